"""`claims data fetch` against a server on this machine that does as the documented interfaces do, faults included."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from downloads import ACLED, FIGHT, ROCKETS, changed, save
from typer.testing import CliRunner
from worlds import YEAR, coverage_row, event_row, write

from analysis_lib.cli import app
from analysis_lib.errors import BadInput, CannotRun, ReportFailed, RunLocked
from analysis_lib.generations import locked, sha256
from analysis_lib.paths import ROOT
from analysis_lib.sources import definitions
from analysis_lib.sources import fetch as module
from analysis_lib.sources.fetch import WAITS, fetch, pages_of

TOKEN, PASSWORD = "tok-5f1e9c27ab", "pass word-81d3"
DAYS = {"version": "", "from": "2021-01-01", "to": "2021-12-31"}
ASKED = {"ucdp": DAYS | {"version": "25.1"}, "acled": DAYS}
OPTIONS = {name: [word for key, text in given.items() if text for word in (f"--{key}", text)]
           for name, given in ASKED.items()}  # fmt: skip
PLAIN = changed(FIGHT, "id", {}, {"country": "Syria"}, {}, {"side_b": "PKK"}, {"country": "Peru"})
FIGHTS = [row | {"id": int(row["id"]), "date_prec": 1, "date_start": "2021-03-01T00:00:00", "gwnob": None}
          for row in PLAIN]  # fmt: skip
ATTACKS = changed(ROCKETS, "event_id_cnty", {}, {"notes": "A drone fell"}, {"event_date": "2021-06-01"})


class Server:
    """Both interfaces. `pages` are lists of rows; `faults`: what to do instead, in turn, by number of request."""

    def __init__(self):
        self.pages, self.faults, self.seen, self.total, self.says, self.after = [], {}, [], None, {}, None
        self.login, self.waiting, self.go_on = (200, {"access_token": TOKEN}), threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                outer.seen.append(("POST", self.path, parse_qs(self.rfile.read(length).decode()), dict(self.headers)))
                send(self, *outer.login)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # a client that was killed
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler):
        url = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.seen.append(("GET", url.path, query, dict(handler.headers)))
        if fault := self.faults.get(len(self.gets) - 1):
            return fault(handler, self.page(url.path, query))
        return send(handler, 200, self.page(url.path, query))

    def page(self, path, query):
        number = int(query["page"]) - (0 if "gedevents" in path else 1)
        rows = self.pages[number] if number < len(self.pages) else self.after or []
        if "gedevents" in path:
            total = self.total or sum(map(len, self.pages))
            told = {"TotalCount": total, "TotalPages": len(self.pages), "PreviousPageUrl": ""}
            return told | {"NextPageUrl": "http://127.0.0.2:9/api/gedevents/25.1", "Result": rows} | self.says
        return {"status": 200, "success": True, "count": len(rows), "data": rows, "messages": []} | self.says

    @property
    def gets(self):
        return [request for request in self.seen if request[0] == "GET"]

    @property
    def asked(self):
        return [int(query["page"]) for method, _, query, _ in self.gets]


def send(handler, status, body, headers=(), length=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for key, value in dict(headers).items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


def status(code, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler, page: send(handler, code, {"error": f"no, {TOKEN}"}, headers)


def cut(handler, page):
    body = json.dumps(page).encode()
    send(handler, 200, body[: len(body) // 2], length=len(body))


def torn(handler, page):
    send(handler, 200, json.dumps(page).encode()[:-9])


def hung_up(handler, page):
    handler.close_connection = True


def unlike(**changes):
    return lambda handler, page: send(handler, 200, {k: v for k, v in (page | changes).items() if v is not ...})


FAULTS = {
    "busy": status(429), "ill": status(500), "away": status(503), "cut": cut, "torn": torn, "hung up": hung_up,
    "when to come back, in no form": status(429, Retry_After="soon"),
    "a page for people": lambda handler, page: send(handler, 200, b"<html>"),
    "a list": lambda handler, page: send(handler, 200, []),
    "no rows": unlike(Result=..., data=...), "rows that are null": unlike(Result=None, data=None),
    "rows of another kind": unlike(Result=["a"], data=["a"]), "rows without ids": unlike(Result=[{}], data=[{}]),
    "nested too deep": lambda handler, page: send(handler, 200, b"[" * 200_000),
}  # fmt: skip


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server to which the definitions point, the token in the environment, waits that only are noted down."""
    server = Server()
    folder = shutil.copytree(definitions.FOLDER, tmp_path / "definitions", ignore=shutil.ignore_patterns("*.py*"))
    for name in ("ucdp", "acled"):
        file = folder / f"{name}.yml"
        block, _, told = file.read_text(encoding="utf-8").partition("fetch:")
        hosts = r"https://(ucdpapi\.pcr\.uu\.se|acleddata\.com)(?=/(api|oauth))"
        file.write_text(block + "fetch:" + re.sub(hosts, server.address, told), encoding="utf-8")
    monkeypatch.setattr(definitions, "FOLDER", folder)
    server.folder, server.slept = folder, []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=server.slept.append))
    for name in ("UCDP", "ACLED"):
        monkeypatch.delenv(f"{name}_USERNAME", raising=False)
        monkeypatch.delenv(f"{name}_PASSWORD", raising=False)
        monkeypatch.setenv(f"{name}_TOKEN", TOKEN)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.go_on.set()
    server.http.shutdown()
    server.http.server_close()


def fetched(name, folder, **options):
    lines = []
    return fetch(name, folder, ASKED[name], lines.append, **options), lines


def rows_in(folder, name):
    key = {"ucdp": "Result", "acled": "data"}[name]
    return [row for file in sorted(folder.glob("page-*.json")) for row in json.loads(file.read_bytes())[key]]


def known(folder):
    return json.loads((folder / "manifest.json").read_bytes())


def claims(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def split(rows, size=2):
    return [rows[i : i + size] for i in range(0, len(rows), size)]


# ---- what the interfaces say they do ---------------------------------------------------------------------------------


def test_all_pages_of_ucdp_are_fetched_and_become_the_same_counts_as_a_file(server, tmp_path):
    server.pages = split(FIGHTS)
    done = claims("data", "fetch", "ucdp", *OPTIONS["ucdp"], "--into", tmp_path / "pages")
    assert done.exit_code == 0, done.output
    assert server.asked == [0, 1, 2]
    _, path, query, headers = server.gets[0]
    assert path == "/api/gedevents/25.1"
    assert headers["x-ucdp-access-token"] == TOKEN
    asked = {"pagesize": "1000", "Country": "645,652,663,678,660", "StartDate": "2021-01-01", "EndDate": "2021-12-31"}
    assert query == asked | {"page": "0"}
    assert rows_in(tmp_path / "pages", "ucdp") == FIGHTS
    told = known(tmp_path / "pages")
    pages = {file.name: sha256(file.read_bytes()) for file in sorted((tmp_path / "pages").glob("page-*.json"))}
    assert told == {
        "source": "ucdp", "url": f"{server.address}/api/gedevents/25.1", "query": asked, "pages": pages,
        "complete": True, "rows": 5, "repeated": 0,
        "beside": {"TotalCount": 5, "TotalPages": 3, "PreviousPageUrl": "",
                   "NextPageUrl": "http://127.0.0.2:9/api/gedevents/25.1"},
    }  # fmt: skip
    base = write(tmp_path / "base", [event_row("2021-05-08", 1)], coverage=[coverage_row(YEAR)])
    single = save(tmp_path / "ged.csv", PLAIN)
    added = claims("data", "add", "ucdp", *sorted((tmp_path / "pages").glob("*.json")), "--into", tmp_path / "a",
                   "--data", base)  # fmt: skip
    assert added.exit_code == 0, added.output
    assert claims("data", "add", "ucdp", single, "--into", tmp_path / "b", "--data", base).exit_code == 0
    assert (tmp_path / "a" / "ged.csv").read_bytes() == (tmp_path / "b" / "ged.csv").read_bytes()
    [record] = [r for r in yaml.safe_load((tmp_path / "a" / "sources.yml").read_text())["sources"] if "files" in r]
    assert record["files"] == [{"file": name, "sha256": digest} for name, digest in pages.items()]


def test_acled_signs_in_and_asks_for_pages_until_one_is_empty(server, tmp_path, monkeypatch):
    monkeypatch.delenv("ACLED_TOKEN")
    monkeypatch.setenv("ACLED_USERNAME", "a@example.org")
    monkeypatch.setenv("ACLED_PASSWORD", PASSWORD)
    server.pages, server.says = split(ATTACKS), {"data_query_restrictions": {"date_recency": {"date": "2025-08-29"}}}
    done = claims("data", "fetch", "acled", *OPTIONS["acled"], "--into", tmp_path / "pages")
    assert done.exit_code == 0, done.output
    method, path, form, _ = server.seen[0]
    assert (method, path) == ("POST", "/oauth/token")
    assert form == {"username": ["a@example.org"], "password": [PASSWORD], "grant_type": ["password"],
                    "client_id": ["acled"], "scope": ["authenticated"]}  # fmt: skip
    assert len(server.seen) - len(server.gets) == 1
    assert server.asked == [1, 2, 3]  # the last one holds nothing
    assert {headers["Authorization"] for _, _, _, headers in server.gets} == {f"Bearer {TOKEN}"}
    query = server.gets[0][2]
    assert (query["event_date"], query["event_date_where"]) == ("2021-01-01|2021-12-31", "BETWEEN")
    assert "the publisher adds: data_query_restrictions" in done.output  # an account that may not see what is recent
    assert "2025-08-29" in done.output
    assert rows_in(tmp_path / "pages", "acled") == ATTACKS
    base = write(tmp_path / "base", [event_row("2021-01-08", 1)], coverage=[coverage_row(YEAR)])
    for into, files in (("a", sorted((tmp_path / "pages").glob("*.json"))),
                        ("b", [save(tmp_path / "acled.csv", ATTACKS, ACLED)])):  # fmt: skip
        added = claims("data", "add", "acled", *files, "--into", tmp_path / into, "--data", base)
        assert added.exit_code == 0, added.output
    assert (tmp_path / "a" / "events.csv").read_bytes() == (tmp_path / "b" / "events.csv").read_bytes()


def test_a_token_of_acled_needs_no_sign_in(server, tmp_path):
    server.pages = [ATTACKS]
    fetched("acled", tmp_path / "pages")
    assert {method for method, *_ in server.seen} == {"GET"}


def test_definitions_ask_for_the_countries_that_they_use():
    acled, ucdp = (definitions.load_source(name) for name in ("acled", "ucdp"))
    [places] = [choice for choice in acled.set_aside if choice.then == "another place"]
    assert tuple(acled.fetch.query["country"].split("|")) == places.unless[0]["country"]
    [places] = [choice for choice in ucdp.set_aside if choice.then == "another country"]
    numbers = dict(
        zip(("Iraq", "Syria", "Jordan", "Yemen (North Yemen)", "Lebanon"), (645, 652, 663, 678, 660), strict=True)
    )
    assert ucdp.fetch.query["Country"].split(",") == [str(numbers[name]) for name in places.unless[0]["country"]]
    for source in (acled, ucdp):
        api = source.fetch
        assert {*re.findall(r"\{(\w+)\}", str((api.url, api.query)))} == api.asks.keys()
        assert api.keys.startswith(f"{source.name.upper()}_TOKEN")
        assert [*api.login] == ["https://acleddata.com/oauth/token"] * (source.name == "acled")
    assert "ACLED_USERNAME" in acled.fetch.keys
    assert "ACLED_PASSWORD" in acled.fetch.keys


def test_nothing_found_is_complete(server, tmp_path):
    server.pages, server.says = [[]], {"TotalCount": 0, "TotalPages": 0}
    told, _ = fetched("ucdp", tmp_path / "pages")
    assert (told["complete"], told["rows"], server.asked) == (True, 0, [0])


# ---- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ucdp", "acled"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_fails_is_asked_for_again_and_only_it(server, tmp_path, name, fault):
    rows = {"ucdp": FIGHTS, "acled": ATTACKS}[name]
    server.pages = split(rows)
    fetched(name, tmp_path / "calm")
    calm, server.seen, server.slept[:] = server.asked, [], []
    server.faults = {1: FAULTS[fault], 2: FAULTS[fault]}
    fetched(name, tmp_path / "stormy")
    assert server.asked == [calm[0], *[calm[1]] * 3, *calm[2:]]
    assert [wait for wait in server.slept if wait] == [*WAITS[1:3]]
    for file in (tmp_path / "calm").glob("*.json"):  # not a byte differs
        assert (tmp_path / "stormy" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_fails_for_ever_is_told_and_the_others_are_kept(server, tmp_path, monkeypatch, fault):
    server.pages, server.faults = split(FIGHTS), dict.fromkeys(range(1, 99), FAULTS[fault])
    done = claims("data", "fetch", "ucdp", *OPTIONS["ucdp"], "--into", tmp_path / "pages")
    assert done.exit_code == 1
    [error] = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert re.match(r"error: ucdp: (HTTP \d+|no whole answer \(\w+\)); pages that came are kept", error)
    assert server.asked == [0] + [1] * len(WAITS)
    assert rows_in(tmp_path / "pages", "ucdp") == FIGHTS[:2]
    assert known(tmp_path / "pages")["complete"] is False
    server.faults, server.seen = {}, []
    assert fetched("ucdp", tmp_path / "pages")[0]["complete"]
    assert server.asked == [1, 2]


def test_a_server_says_how_long_to_wait_within_reason(server, tmp_path):
    server.pages = [FIGHTS]
    server.faults = {0: status(429, Retry_After="7"), 1: status(503, Retry_After="999999"), 2: status(500)}
    fetched("ucdp", tmp_path / "pages", waits=(0, 1, 1, 1))
    assert server.slept == [0, 8, 301, 1]


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize(
    ("name", "keys"), [("ucdp", "UCDP_TOKEN"), ("acled", "ACLED_TOKEN, or ACLED_USERNAME and ACLED_PASSWORD")]
)
def test_a_token_that_is_refused_is_told_at_once(server, tmp_path, code, name, keys):
    server.pages, server.faults = [FIGHTS], dict.fromkeys(range(9), status(code))
    done = claims("data", "fetch", name, *OPTIONS[name], "--into", tmp_path / "pages")
    assert done.exit_code == 4
    assert done.output.strip() == f"error: {name}: HTTP {code}, not let in; set {keys} in the environment"
    assert len(server.gets) == 1


@pytest.mark.parametrize("answer", [(400, {"error": "invalid_grant"}), (401, {}), (200, {"error": "no"}), (500, {})])
def test_a_sign_in_that_fails_is_told(server, tmp_path, monkeypatch, answer):
    monkeypatch.delenv("ACLED_TOKEN")
    monkeypatch.setenv("ACLED_USERNAME", "a@example.org")
    monkeypatch.setenv("ACLED_PASSWORD", PASSWORD)
    server.login = answer
    with pytest.raises(CannotRun if 400 <= answer[0] < 500 else ReportFailed) as error:
        fetched("acled", tmp_path / "pages", waits=(0, 0))
    assert PASSWORD not in "".join(traceback.format_exception(error.value))
    assert server.gets == []


@pytest.mark.parametrize("token", [None, "", " ", "two words", "line\nbreak", "\x1b[31m", "ключ"])
def test_without_a_token_nothing_is_asked(server, tmp_path, monkeypatch, token):
    monkeypatch.delenv("UCDP_TOKEN") if token is None else monkeypatch.setenv("UCDP_TOKEN", token)
    done = claims("data", "fetch", "ucdp", *OPTIONS["ucdp"], "--into", tmp_path / "pages")
    assert (done.exit_code, server.seen) == (4, [])
    assert done.output.startswith("error: ucdp: no token, or one with blanks; set UCDP_TOKEN in the environment")


@pytest.mark.parametrize(
    ("says", "asked"),
    [
        ({"TotalCount": 6}, [0, 1, 2]),  # one row more than there is
        ({"TotalCount": 4}, [0, 1, 2]),
        ({"TotalPages": 2}, [0, 1]),  # the last page is never reached
        ({"TotalPages": 9, "TotalCount": 6}, [0, 1, 2, 3]),
        ({"TotalPages": 0}, [0, 1, 2, 3]),
    ],
)
def test_another_number_of_rows_than_announced_is_not_complete(server, tmp_path, says, asked):
    server.pages, server.says = split(FIGHTS), says
    if says == {"TotalPages": 0}:  # of no use, but five rows are announced, and five came
        assert fetched("ucdp", tmp_path / "pages")[0]["rows"] == 5
    else:
        done = claims("data", "fetch", "ucdp", *OPTIONS["ucdp"], "--into", tmp_path / "pages")
        came, total = min(len(asked) * 2, 5), says.get("TotalCount", 5)
        assert done.exit_code == 1
        told = f"error: ucdp: not complete: {came} rows, not {total}; fetch into a new folder"
        assert done.output.splitlines()[-1] == told
        assert known(tmp_path / "pages")["complete"] is False
    assert server.asked == asked


def test_three_pages_are_announced_and_two_exist(server, tmp_path):
    server.pages, server.says = split(FIGHTS[:4]), {"TotalPages": 3}
    told, _ = fetched("ucdp", tmp_path / "pages")  # every row that was announced came
    assert (told["rows"], len(told["pages"]), server.asked) == (4, 3, [0, 1, 2])
    server.says = {"TotalPages": 3, "TotalCount": 5}
    with pytest.raises(ReportFailed, match="not complete: 4 rows, not 5"):
        fetched("ucdp", tmp_path / "other")


def test_a_total_that_changes_on_the_way_is_not_complete(server, tmp_path):
    server.pages, server.faults = split(FIGHTS), {0: unlike(TotalCount=4)}
    with pytest.raises(ReportFailed, match="not complete"):
        fetched("ucdp", tmp_path / "pages")


def test_rows_that_come_twice_are_told(server, tmp_path):
    server.pages, server.total = [FIGHTS[:2], FIGHTS[1:4], FIGHTS[4:]], 5
    done = claims("data", "fetch", "ucdp", *OPTIONS["ucdp"], "--into", tmp_path / "a")
    assert "6 rows in 3 pages are in" in done.output
    assert "1 of them came twice" in done.output
    server.pages, server.total = [FIGHTS[:2], FIGHTS[1:3], FIGHTS[4:]], 5  # as many as announced, but one is missing
    with pytest.raises(ReportFailed, match="not complete: 4 rows, not 5"):
        fetched("ucdp", tmp_path / "b")


def test_the_same_page_for_ever_ends(server, tmp_path):
    server.pages, server.after = [ATTACKS], ATTACKS
    with pytest.raises(ReportFailed, match="not complete: 3 rows, not all"):
        fetched("acled", tmp_path / "pages")
    assert server.asked == [1, 2]


def test_a_refusal_with_a_friendly_status_is_not_the_end_of_the_data(server, tmp_path):
    server.pages = split(ATTACKS)
    server.faults = dict.fromkeys(range(1, 99), unlike(success=False, data=[], count=0))
    with pytest.raises(ReportFailed, match="no whole answer"):
        fetched("acled", tmp_path / "pages", waits=(0, 0))
    assert known(tmp_path / "pages")["complete"] is False


# ---- where the token goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server, tmp_path, code):
    other = Server()
    server.pages = [FIGHTS]
    server.faults = dict.fromkeys(
        range(9), status(code, Location=f"{other.address.replace('127.0.0.1', 'localhost')}/")
    )
    with pytest.raises(ReportFailed, match=f"HTTP {code}, sent elsewhere"):
        fetched("ucdp", tmp_path / "pages")
    assert (other.seen, len(server.gets)) == ([], 1)
    other.http.shutdown()
    other.http.server_close()


@pytest.mark.parametrize(
    "url",
    ["http://example.org/a", "http://127.0.0.1@example.org/a", "http://127.0.0.1:80@example.org/a",
     "https://user:word@example.org/a", "http://localhost.example.org/a", "ftp://127.0.0.1/a", "https://a.org/b?c={d}",
     "https://example.org", "https://a.org/\nb"],
)  # fmt: skip
def test_an_address_is_encrypted_or_of_this_machine(server, url):
    for place in ("url", "login"):
        file = server.folder / "acled.yml"
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        told["fetch"][place] = url if place == "url" else {url: {}}
        (server.folder / "bad.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
        with pytest.raises(BadInput, match=rf"bad.yml:\d+: fetch\.{place}"):
            definitions.load_source("bad")


@pytest.mark.parametrize("name", ["gtd", "nobody", "acled.yml", "./ucdp.yml"])
def test_only_definitions_of_the_program_are_fetched(server, tmp_path, monkeypatch, name):
    monkeypatch.chdir(server.folder)  # with files of these names
    done = claims("data", "fetch", name, *OPTIONS["acled"], "--into", tmp_path / "pages")
    assert done.exit_code == 2
    assert "error: unknown interface" in done.output
    assert server.seen == []


def test_no_password_of_a_netrc_is_sent(server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.pages = [ATTACKS]
    fetched("acled", tmp_path / "pages")
    assert {headers["Authorization"] for _, _, _, headers in server.gets} == {f"Bearer {TOKEN}"}


def test_a_page_that_repeats_the_token_is_not_kept(server, tmp_path):
    server.pages, server.says = [FIGHTS], {"PreviousPageUrl": f"?key={TOKEN}"}
    with pytest.raises(ReportFailed, match="repeats the token") as error:
        fetched("ucdp", tmp_path / "pages")
    assert TOKEN not in str(error.value)
    assert [file.name for file in (tmp_path / "pages").glob("*.json")] == ["manifest.json"]


@pytest.mark.parametrize("name", ["ucdp", "acled"])
@pytest.mark.parametrize("fault", ["none", *FAULTS, "refused", "elsewhere", "not found"])
def test_no_secret_is_in_any_byte_of_output_or_files(server, tmp_path, monkeypatch, capfd, caplog, name, fault):
    caplog.set_level("DEBUG")
    if name == "acled":
        monkeypatch.delenv("ACLED_TOKEN")
        monkeypatch.setenv("ACLED_USERNAME", "a@example.org")
        monkeypatch.setenv("ACLED_PASSWORD", PASSWORD)
    server.pages = split({"ucdp": FIGHTS, "acled": ATTACKS}[name])
    faults = FAULTS | {
        "refused": status(401),
        "elsewhere": status(302, Location=f"/?{TOKEN}"),
        "not found": status(404),
    }
    server.faults = dict.fromkeys(range(1, 99), faults.get(fault))
    done = claims("data", "fetch", name, *OPTIONS[name], "--into", tmp_path / "pages")
    assert (done.exit_code == 0) == (fault == "none")
    assert isinstance(done.exception, SystemExit | None)
    try:
        fetched(name, tmp_path / "again")
        told = ""
    except (ReportFailed, CannotRun) as error:
        told = "".join(traceback.format_exception(error)) + repr(error.__cause__) + repr(error.__context__)
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 4
    streams = capfd.readouterr()
    everything = [done.output, done.stderr, told, caplog.text, streams.out, streams.err]
    for secret in (TOKEN, PASSWORD, PASSWORD.replace(" ", "+"), "a@example.org"):
        assert not any(secret in text for text in everything)
        assert not any(secret.encode() in content for content in files)


# ---- going on --------------------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_and_leaves_the_same_bytes(server, tmp_path):
    server.pages = split(FIGHTS)
    fetched("ucdp", tmp_path / "calm")
    server.seen = []

    def stall(handler, page):
        server.waiting.set()
        server.go_on.wait(30)

    server.faults = {2: stall}
    script = (
        "import pathlib, sys; from analysis_lib.sources import definitions; "
        "definitions.FOLDER = pathlib.Path(sys.argv.pop(1)); from analysis_lib.cli import main; main()"
    )
    words = [
        sys.executable,
        "-c",
        script,
        server.folder,
        "data",
        "fetch",
        "ucdp",
        *OPTIONS["ucdp"],
        "--into",
        tmp_path / "p",
    ]
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert server.waiting.wait(60)
        command = Path(f"/proc/{child.pid}/cmdline")
        if command.exists():
            assert TOKEN.encode() not in command.read_bytes()
    finally:
        child.send_signal(signal.SIGKILL)
        streams = child.communicate()
    assert not any(TOKEN.encode() in stream for stream in streams)
    assert (server.asked, known(tmp_path / "p")["complete"]) == ([0, 1, 2], False)
    with pytest.raises(BadInput, match="not complete"):
        pages_of(sorted((tmp_path / "p").glob("*.json")))
    server.seen, server.faults = [], {}
    fetched("ucdp", tmp_path / "p")
    assert server.asked == [2]
    names = sorted(file.name for file in (tmp_path / "calm").glob("*"))
    assert sorted(file.name for file in (tmp_path / "p").glob("*")) == names
    for name in names:
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


@pytest.mark.parametrize("name", ["ucdp", "acled"])
def test_what_is_whole_is_not_asked_for_and_needs_no_token(server, tmp_path, monkeypatch, name):
    server.pages = split({"ucdp": FIGHTS, "acled": ATTACKS}[name])
    told, _ = fetched(name, tmp_path / "pages")
    server.seen = []
    monkeypatch.delenv(f"{name.upper()}_TOKEN")
    assert fetched(name, tmp_path / "pages")[0] == told
    assert server.seen == []


@pytest.mark.parametrize("harm", ["missing", "changed", "emptied", "not in the manifest"])
def test_only_a_damaged_page_is_fetched_again(server, tmp_path, harm):
    server.pages = split(FIGHTS)
    fetched("ucdp", tmp_path / "pages")
    before = {file.name: file.read_bytes() for file in (tmp_path / "pages").glob("*.json")}
    file = tmp_path / "pages" / "page-0002.json"
    if harm == "missing":
        file.unlink()
    elif harm == "not in the manifest":
        told = known(tmp_path / "pages")
        del told["pages"]["page-0002.json"]
        (tmp_path / "pages" / "manifest.json").write_text(json.dumps(told))
    else:
        file.write_bytes(
            b"" if harm == "emptied" else file.read_bytes().replace(b"Syria", b"Yemen").replace(b"PKK", b"IS")
        )
    with (
        pytest.raises(BadInput, match="were changed") if harm != "not in the manifest" else pytest.MonkeyPatch.context()
    ):
        pages_of(sorted((tmp_path / "pages").glob("*.json")))
    server.seen, server.faults = [], {0: status(404)}
    with pytest.raises(ReportFailed, match="HTTP 404"):
        fetched("ucdp", tmp_path / "pages")
    assert known(tmp_path / "pages")["complete"] is False  # until it is whole again
    server.seen, server.faults = [], {}
    fetched("ucdp", tmp_path / "pages")
    assert server.asked == [1]
    after = {file.name: file.read_bytes() for file in (tmp_path / "pages").glob("page-*.json")}
    assert after == {name: body for name, body in before.items() if name != "manifest.json"}


def test_a_manifest_edited_into_another_shape_is_one_line(server, tmp_path):
    server.pages, pages = split(FIGHTS), tmp_path / "pages"
    fetched("ucdp", pages)
    told = known(pages)
    (pages / "page-0001.json").write_bytes(b"no page")
    edited = told | {"pages": told["pages"] | {"page-0001.json": sha256(b"no page")}}
    (pages / "manifest.json").write_text(json.dumps(edited))
    with pytest.raises(ReportFailed, match=r"page-0001\.json: got no page of ucdp; delete it"):
        fetched("ucdp", pages)
    (pages / "manifest.json").write_text(json.dumps(told | {"pages": ["page-0001.json"]}))
    with pytest.raises(BadInput, match="name a new folder"):
        fetched("ucdp", pages)
    with pytest.raises(BadInput, match="were changed"):
        pages_of(sorted(pages.glob("*.json")))


def test_pages_after_the_end_are_told(server, tmp_path):
    server.pages = split(ATTACKS, 1)
    fetched("acled", tmp_path / "pages")
    (tmp_path / "pages" / "page-0002.json").unlink()
    server.pages = server.pages[:1]  # what is asked for again is empty now, and page 3 was there
    with pytest.raises(ReportFailed, match="not complete"):
        fetched("acled", tmp_path / "pages")


@pytest.mark.parametrize("words", [["--from", "2021-01-02", "--to", "2021-12-31", "--version", "25.1"],
                                   ["--from", "2021-01-01", "--to", "2021-12-31", "--version", "24.1"]])  # fmt: skip
def test_another_query_does_not_go_into_the_same_folder(server, tmp_path, words):
    server.pages = [FIGHTS]
    fetched("ucdp", tmp_path / "pages")
    before = {file.name: file.read_bytes() for file in (tmp_path / "pages").glob("*")}
    done = claims("data", "fetch", "ucdp", *words, "--into", tmp_path / "pages")
    assert done.exit_code == 2
    assert "got other files, or pages of another query" in done.output
    assert {file.name: file.read_bytes() for file in (tmp_path / "pages").glob("*")} == before


@pytest.mark.parametrize("name", ["page-0001.json", "notes.txt", "manifest.json"])
def test_a_folder_with_other_files_is_left_alone(server, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("{}" if name == "notes.txt" else '{"pages": []}')
    with pytest.raises(BadInput, match="got other files"):
        fetched("ucdp", tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == [name]


def test_two_runs_do_not_write_to_one_folder(server, tmp_path):
    with locked(tmp_path / "pages"), pytest.raises(RunLocked):
        fetched("ucdp", tmp_path / "pages")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ucdp", ["--from", "2021-01-01", "--to", "2021-12-31"]),
        ("acled", [*OPTIONS["acled"], "--version", "25.1"]),
        ("acled", ["--from", "2021-01-01"]),
        ("acled", ["--from", "5 May", "--to", "2021-12-31"]),
        ("ucdp", [*OPTIONS["ucdp"], "--version", "../25.1"]),
        ("ucdp", [*OPTIONS["ucdp"], "--version", "25.1?key=1"]),
        ("ucdp", [*OPTIONS["ucdp"], "--to", "2021-12-31\n"]),
        ("ucdp", [*OPTIONS["ucdp"], "--to", "{from}"]),
    ],
)
def test_options_are_those_of_the_interface(server, tmp_path, name, words):
    done = claims("data", "fetch", name, *words, "--into", tmp_path / "pages")
    assert done.exit_code == 2
    assert f"allowed for {name}: --" in done.output
    assert (server.seen, (tmp_path / "pages").exists()) == ([], False)


def test_a_manifest_of_somebody_else_is_a_file_like_any_other(tmp_path):
    other = tmp_path / "manifest.json"
    other.write_text('{"name": "an app", "pages": []}')
    assert pages_of([other]) == [other]
    assert pages_of([tmp_path / "none.json"]) == [tmp_path / "none.json"]


def test_a_folder_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").write_text("")
    done = claims("data", "fetch", "ucdp", *OPTIONS["ucdp"], "--into", tmp_path / "file" / "pages")
    assert done.exit_code == 1
    assert "cannot be written" in done.output
    assert server.seen == []
