"""What changed between two generations: planted rows that turn a verdict, and what must not be blamed on rows."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from test_site import external_references
from typer.testing import CliRunner
from worlds import WAR, YEAR, event_row, event_rows, steady_days, window_row, write

from analysis_lib import changes, reports
from analysis_lib.changes import View, between, changed_rows, history, row_digests
from analysis_lib.cli import app
from analysis_lib.generations import canonical, differences, manifest
from analysis_lib.generations import publish as publish_numbers
from analysis_lib.reports import publish_reports
from analysis_lib.site import news
from analysis_lib.sources.bundled import load_tables
from analysis_lib.study import open_study

CLAIM, CLAIMS = "pause-2021", ("pause-2021", "gap-2021")
ATOM = "{http://www.w3.org/2005/Atom}"
HOSTILE = "<script>alert(1)</script>\x1b[31m\x07]]><b onclick='x'>"

ON = event_rows(steady_days(YEAR, every=2))  # attacks go on through the war
WAR_ROWS = [row for row in ON if str(WAR.start) <= row["date"] <= str(WAR.end)]
PAUSE = [row for row in ON if row not in WAR_ROWS]  # the planted truth: none in the war
TURNED = "headline not distinguishable → supported"
IDS = [row["event_id"] for row in WAR_ROWS]


@pytest.fixture(scope="session")
def studied():
    """`studied(claim, folder)`: the record of a claim on a data folder, each evaluated once."""
    known = {}

    def record(claim: str, folder: Path) -> dict:
        key = claim, load_tables(folder).data_sha256
        if key not in known:
            known[key] = json.loads(json.dumps(open_study(claim, data=str(folder)).record()))
        return known[key]

    return record


@pytest.fixture
def publish(tmp_path, studied, monkeypatch):
    """`publish(rows, …)`: a run over these events without kernels, a day later than the one before.

    `fails`: claims that fail. The command line's runs in the same test are without kernels, too.
    """
    state = {"fails": (), "day": datetime(2026, 1, 1, 6, tzinfo=UTC)}

    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return state["day"]

    @contextmanager
    def workers(jobs, ready, env):
        yield env

    def run_tasks(env, tasks, *_):
        for task in tasks:
            if task.name in state["fails"]:
                yield task, None, 0.0, f"{task.name}: 01_pause.ipynb, cell 5: {HOSTILE}"
                continue
            told = studied(task.name, Path(env["CLAIMS_DATA"])) | {"seed": task.parameters["seed"]}
            yield task, {f"claims/{task.name}.json": canonical(told), f"claims/{task.name}.html": b"<p>"}, 0.1, ""

    monkeypatch.setattr(reports, "workers", workers)
    monkeypatch.setattr(reports, "run_tasks", run_tasks)
    monkeypatch.setattr(reports, "datetime", Clock)

    def run(rows, claims=CLAIMS, *, fails=(), windows=(), where="canary-folder", command=(), **options):
        state.update(fails=fails, day=state["day"] + timedelta(1))
        data, out = write(tmp_path / where / "data", rows, windows), tmp_path / where / "out"
        if command:
            return CliRunner().invoke(app, ["report", *claims, "--data", str(data), "--out", str(out), *command])
        return publish_reports(claims, out=out, data=data, **options)

    run.out = tmp_path / "canary-folder" / "out"
    return run


def page(out: Path, name: str) -> str:
    return (out / "latest" / name).read_text(encoding="utf-8")


def text_of(out: Path, name: str = "changes.html") -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page(out, name).partition("<body")[2]).split())


def entries(out: Path) -> list[dict[str, str]]:
    """The feed's entries; fails where it is not well-formed or lacks what RFC 4287 demands."""
    feed = ET.fromstring(page(out, "feed.xml"))
    found = [{part: entry.findtext(ATOM + part) for part in ("id", "title", "updated", "summary")}
             for entry in feed.findall(f"{ATOM}entry")]  # fmt: skip
    for told in (*found, {part: feed.findtext(ATOM + part) for part in ("id", "title", "updated")}):
        assert all(told.values())
        assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", told["id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["updated"])
    assert feed.find(f"{ATOM}author/{ATOM}name").text
    assert len({entry["id"] for entry in found}) == len(found)
    return found


def diff(out: Path, *words: str) -> dict:
    done = CliRunner().invoke(app, ["diff", *words, "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def change_of(found: dict, claim: str = CLAIM) -> dict | None:
    return next((change for change in found["claims"] if change["claim"] == claim), None)


# ---- rows ------------------------------------------------------------------------------------------------------------


def digests_of(folder: Path, rows, windows=()) -> dict:
    return row_digests(load_tables(write(folder, rows, windows)))


def test_rows_added_removed_and_changed_with_their_columns_and_sources(tmp_path):
    a, b, c = (event_row(date(2021, 5, day), sources=f"https://example.org/{day}") for day in (1, 2, 3))
    old = digests_of(tmp_path, [a, b])
    new = digests_of(tmp_path, [b | {"killed": "2", "notes": "more"}, c | {"sources": "https://a.org | https://b.org"}])
    assert changed_rows(old, old) == []
    assert changed_rows(old, new) == [
        {"table": "events", "row": "IQ-20210503-01", "kind": "added", "columns": [],
         "sources": "https://a.org | https://b.org"},
        {"table": "events", "row": "IQ-20210502-01", "kind": "changed", "columns": ["killed", "notes"],
         "sources": "https://example.org/2"},
        {"table": "events", "row": "IQ-20210501-01", "kind": "removed", "columns": [],
         "sources": "https://example.org/1"},
    ]  # fmt: skip


def test_the_order_of_rows_is_no_change_and_a_new_column_is_one_of_each_row(tmp_path):
    rows = [event_row(date(2021, 5, day)) for day in (1, 2)]
    old = digests_of(tmp_path, rows)
    assert changed_rows(old, digests_of(tmp_path, rows[::-1])) == []
    path = tmp_path / "events.csv"
    lines = write(tmp_path, rows).joinpath("events.csv").read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},extra", *(f"{line},x" for line in lines[1:])]))
    assert [row["columns"] for row in changed_rows(old, row_digests(load_tables(tmp_path)))] == [["extra"]] * 2


def test_a_table_without_identifiers_tells_a_change_as_removed_and_added(tmp_path):
    write(tmp_path, [event_row(date(2021, 5, 1))])
    header = "as_of,period_start,period_end,scope,weapon,count,count_qualifier,kind,issuer,source,notes\n"
    row = "2021-05-01,,,iraq,drone,{},about,cumulative,A,https://example.org,\n"
    states = []
    for rows in ([3, 3, 4], [3, 5]):
        (tmp_path / "counts.csv").write_text(header + "".join(row.format(count) for count in rows))
        states.append(row_digests(load_tables(tmp_path)))
    found = [(row["table"], row["kind"], row["row"].split(" #")[0]) for row in changed_rows(*states)]
    assert found == [("counts", "added", "2021-05-01"), *[("counts", "removed", "2021-05-01")] * 2]


def test_no_cell_but_keys_and_sources_is_copied(tmp_path):
    cells = {"location": "Canary Base", "target": "canary", "notes": "canary", "claimed_by": "Canary"}
    data = write(tmp_path, [event_row(date(2021, 5, 1), **cells, sources="https://example.org/canary-source")])
    text = canonical(row_digests(load_tables(data))).decode()
    assert "IQ-20210501-01" in text
    assert re.findall(r"canary\S*", text, re.I) == ['canary-source",']
    # equal cells of two rows have digests of their own: how often a word stands there is not told
    two = digests_of(tmp_path, [event_row(date(2021, 5, day)) for day in (1, 2)])["events"].values()
    assert len({row["theatre"] for row in two}) == 2


def test_a_record_lists_the_rows_that_the_claim_counts(tmp_path, registry):
    spec = registry[CLAIM].spec
    counted = event_rows(steady_days(spec.frame, every=5))
    others = [
        event_row(spec.frame_start, 92, theatre="syria", country="SY"),
        event_row(spec.frame_start, 93, weapons="rocket"),
        event_row(date(2019, 5, 2), 94),
        event_row(WAR.start, 95, us_target="no"),
    ]
    data = write(tmp_path, [*counted, *others])
    assert open_study(CLAIM, data=str(data)).record()["rows"] == [row["event_id"] for row in counted]


def test_the_rows_stay_out_of_the_committed_numbers_and_of_a_comparison(publish, registry, tmp_path):
    publish(ON)
    record = json.loads(page(publish.out, f"claims/{CLAIM}.json"))
    assert set(record["rows"]) >= {*IDS}
    path, _ = publish_numbers(publish.out, registry, published=tmp_path / "published.json")
    stored = json.loads(path.read_text())["claims"][CLAIM]
    assert "rows" not in stored
    assert differences(stored, record)[0] == differences(record, stored)[0] == []


# ---- a verdict turns -------------------------------------------------------------------------------------------------


def test_the_first_generation_has_nothing_to_compare_and_says_so(publish):
    run = publish(ON)
    assert (run.failed, run.changed) == ({}, [])
    assert "first generation of these reports: there is nothing to compare it with" in text_of(publish.out)
    assert entries(publish.out) == []
    assert "changed 20" not in text_of(publish.out, "index.html")
    assert diff(publish.out)["old"] is None
    done = CliRunner().invoke(app, ["diff", "--out", str(publish.out)])
    assert (done.exit_code, done.stdout) == (
        0,
        f"nothing to compare: no generation before {run.generation.name} is kept\n",
    )


def test_removed_rows_turn_a_verdict_and_are_named(publish):
    publish(ON)
    run = publish(PAUSE)
    assert run.changed == [
        f"{CLAIM}: {TURNED}, inferential not distinguishable → supported, literal contradicted → supported"
    ]
    assert "1 with a changed verdict" in run.summary()
    found = diff(publish.out)
    assert [(row["row"], row["kind"]) for row in found["rows"]] == [(row, "removed") for row in IDS]
    change = change_of(found)
    assert (change["rows"], change["because"]) == (IDS, [])
    assert change["why"] == f"By rows that it counts: {', '.join(IDS)}."
    verdicts = {v["id"]: (v["before"], v["now"]) for v in change["verdicts"]}
    assert verdicts["headline"] == verdicts["publication headline"] == ("not distinguishable", "supported")
    estimates = {v["id"]: (v["before"], v["now"]) for v in change["estimates"]}
    assert estimates[f"findings {CLAIM}/rate_ratio n"] == (26, 20)
    assert estimates[f"findings {CLAIM}/rate_ratio estimate"][1] == 0.0
    assert change_of(found, "gap-2021")["verdicts"] == []
    # the same on the page, on the board, in the feed and on the terminal
    html = text_of(publish.out)
    assert f"By rows that it counts: {', '.join(IDS)}." in html
    assert (
        html.index("Verdicts that changed")
        < html.index(CLAIM)
        < html.index("Numbers that changed")
        < html.index("gap-2021")
    )
    assert "2026-01-02 06:00 UTC to those of 2026-01-03 06:00 UTC" in html
    assert external_references(page(publish.out, "changes.html")) == []
    board = text_of(publish.out, "index.html")
    assert f"changed 2026-01-03: {TURNED}" in board
    assert "changed 2026-01-03: numbers, no verdict" in board
    [entry] = entries(publish.out)
    assert entry["title"].startswith(f"{CLAIM}: {TURNED}")
    assert entry["updated"] == "2026-01-03T06:00:00Z"
    assert IDS[0] in entry["summary"]
    lines = CliRunner().invoke(app, ["diff", "--out", str(publish.out)]).stdout.splitlines()
    assert f"  removed  events {IDS[0]}  https://example.org/report" in lines
    assert "    headline: not distinguishable → supported" in lines
    assert any(line.startswith(f"    findings {CLAIM}/rate_ratio: estimate 1.02 → 0, ") for line in lines)


def test_the_history_is_carried_on_and_an_entry_keeps_its_id(publish):
    publish(ON)
    publish(PAUSE)
    [first] = entries(publish.out)
    feed = ET.fromstring(page(publish.out, "feed.xml")).findtext(f"{ATOM}id")
    outside = PAUSE[-1] | {"killed": "1"}  # a cell that neither of the claims reads
    assert publish([*PAUSE[:-1], outside]).changed == []
    assert entries(publish.out) == [first]
    assert "changed 2026-01-03: headline" in text_of(publish.out, "index.html")
    run = publish(ON)
    assert run.changed[0].startswith(f"{CLAIM}: headline supported → not distinguishable")
    again, kept = entries(publish.out)
    assert kept == first
    assert again["title"].startswith(f"{CLAIM}: headline supported → not distinguishable")
    assert ET.fromstring(page(publish.out, "feed.xml")).findtext(f"{ATOM}id") == feed
    assert "changed 2026-01-05: headline supported" in text_of(publish.out, "index.html")
    # a run that changes nothing makes nothing
    assert publish(ON).generation is None


def test_added_rows_are_named_and_so_is_a_cell_that_takes_a_row_out(publish):
    publish(PAUSE)
    publish(ON)
    assert change_of(diff(publish.out))["rows"] == IDS
    rockets = [row | {"weapons": "rocket"} if row in WAR_ROWS[:1] else row for row in ON]
    publish(rockets)
    found = diff(publish.out)
    assert [(row["row"], row["kind"], row["columns"]) for row in found["rows"]] == [(IDS[0], "changed", ["weapons"])]
    assert change_of(found)["rows"] == IDS[:1]  # counted before, not now


def test_the_history_is_bounded(publish, monkeypatch):
    monkeypatch.setattr(changes, "KEPT", 2)
    for rows in (ON, PAUSE, ON, PAUSE):
        publish(rows, [CLAIM])
    updated = [entry["updated"][:10] for entry in entries(publish.out)]
    assert updated == ["2026-01-05", "2026-01-04"]
    assert len(manifest(publish.out)["run"]["changes"]["feed"]) == 2


def test_any_two_generations_can_be_compared(publish):
    names = [publish(rows, [CLAIM]).generation.name for rows in (ON, PAUSE, ON)]
    assert diff(publish.out, names[0])["claims"] == []  # there and back
    found = diff(publish.out, names[1], names[0])
    assert (found["old"], found["new"]) == (names[1], names[0])
    assert {row["kind"] for row in found["rows"]} == {"added"}
    done = CliRunner().invoke(app, ["diff", "../../etc", "--out", str(publish.out)])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: unknown generation '../../etc': allowed: 2026")
    done = CliRunner().invoke(app, ["diff", "--out", str(publish.out.parent / "none")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "none yet; make one: claims report --all" in done.stderr


def test_exit_codes(publish):
    assert publish(ON, command=["--fail-on-change"]).exit_code == 0
    done = publish(PAUSE, command=["--fail-on-change", "--quiet"])
    assert (done.exit_code, done.stdout) == (10, "")
    assert done.stderr.startswith(f"error: {CLAIM}: {TURNED}, ")
    assert publish(PAUSE, command=["--fail-on-change"]).exit_code == 0
    assert publish(ON).changed  # without being asked it is no failure
    assert publish(PAUSE, command=["--quiet"]).exit_code == 0
    done = publish(ON, command=["--fail-on-change"], fails=("gap-2021",))
    assert done.exit_code == 1  # a failure wins; the change is published all the same
    assert change_of(diff(publish.out))["verdicts"]


# ---- carried over, failed, damaged -----------------------------------------------------------------------------------


def test_a_claim_that_was_carried_over_is_compared_with_the_data_it_stood_on(publish):
    publish(ON)
    publish(PAUSE, ["gap-2021"])
    found = diff(publish.out)
    assert change_of(found) is None
    assert found["behind"] == [CLAIM]
    assert "pause-2021 : carried over, on other data" in text_of(publish.out)
    publish(PAUSE, [CLAIM])
    found = diff(publish.out)
    assert (found["rows"], found["behind"]) == ([], [])  # since the last generation no row changed
    assert change_of(found)["why"] == f"By rows that it counts: {', '.join(IDS)}."
    assert list(json.loads(page(publish.out, "rows.json"))) == [manifest(publish.out)["data_sha256"]]


def test_a_failed_claim_is_not_compared_and_its_text_is_text(publish):
    publish(ON)
    run = publish(PAUSE, fails=(CLAIM,))
    assert run.changed == []
    found = diff(publish.out)
    assert change_of(found) is None
    assert list(found["failed"]) == [CLAIM]
    html = page(publish.out, "changes.html")
    assert "failed since 2026-01-03, so that nothing of it is compared" in html
    assert "<script" not in html
    assert "\x1b" not in html
    assert publish(PAUSE).changed  # what it did not tell then it tells now, with the rows of then
    assert change_of(diff(publish.out))["rows"] == IDS


@pytest.mark.parametrize("damage", ["rows.json", f"claims/{CLAIM}.json", "feed.xml", "changes.html"])
def test_what_is_damaged_is_made_again(publish, damage):
    publish(ON)
    (publish.out / "latest" / damage).write_text("{")
    run = publish(ON)
    assert run.generation is not None
    found = diff(publish.out)
    assert found["rows"] == []
    assert found["claims"] == ([{"claim": CLAIM, "only": "new"}] if "claims" in damage else [])
    assert publish(ON).generation is None


def test_without_the_digests_of_before_rows_are_not_compared(publish):
    publish(ON)
    (publish.out / "latest" / "rows.json").unlink()
    told = manifest(publish.out)
    told["run"] = {key: told["run"][key] for key in ("started", "finished", "failures")}  # as it once was
    (publish.out / "latest" / "manifest.json").write_bytes(canonical(told))
    assert publish(PAUSE).changed
    assert diff(publish.out)["rows"] is None
    assert change_of(diff(publish.out))["why"] == "The data changed, and which rows is not known."
    assert "Not compared" in text_of(publish.out)


# ---- what is no row --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def worlds(tmp_path_factory, studied):
    """`worlds(rows, windows, **hashes)`: a generation of one claim as a view, the other inputs as named."""

    def view(rows, windows=(), name="20260101T060000Z-00000000", **inputs) -> View:
        tables = load_tables(write(tmp_path_factory.mktemp("world"), rows, windows))
        record = studied(CLAIM, tables.folder)
        entry = {"data_sha256": tables.data_sha256, "parameters": {"seed": 1}, "code_sha256": "a"} | inputs
        told = {"data_sha256": tables.data_sha256, "claims": {CLAIM: entry}, "run": {"failures": {}}}
        return View(
            name, told, {"rows.json": {tables.data_sha256: row_digests(tables)}, f"claims/{CLAIM}.json": record}
        )

    return view


def turned(view: View) -> View:
    """The same generation with another headline."""
    files = copy.deepcopy(view.files)
    files[f"claims/{CLAIM}.json"]["headline"] = "contradicted"
    return view._replace(files=files)


def why(old: View, new: View) -> str:
    return change_of(between(old, new))["why"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"code_sha256": "b"}, "Not by rows: by the code."),
        ({"entry_sha256": "b"}, "Not by rows: by its entry in the registry."),
        ({"notebook_sha256": "b", "versions": {}}, "Not by rows: by its notebook, the versions of the libraries."),
        ({"parameters": {"seed": 2}}, "Not by rows: by its parameters."),
        ({"definitions_sha256": "b"}, "Not by rows: by the definitions."),
        ({}, "By nothing that the manifest names: the same inputs gave other values."),
    ],
)  # fmt: skip
def test_a_change_without_rows_is_said_as_such(worlds, inputs, words):
    assert why(worlds(ON), turned(worlds(ON, **inputs))) == words


def test_rows_and_code_together_are_not_parted(worlds):
    assert why(worlds(ON), worlds(PAUSE, code_sha256="b")) == (
        f"By rows that it counts ({', '.join(IDS)}), or by the code: "
        "all of these changed, and which of them moved it is not known."
    )


def test_rows_that_the_claim_does_not_count_are_not_blamed(worlds):
    elsewhere = event_row(WAR.start, 99, theatre="syria", country="SY")
    old = worlds(ON)
    assert (
        why(old, turned(worlds([*ON, elsewhere]))) == "By no row that it counts; of the other rows of events 1 changed."
    )
    assert why(old, turned(worlds([*ON, elsewhere], code_sha256="b"))) == (
        "By no row that it counts: by the code, or by other rows of events, of which 1 changed."
    )
    longer = window_row(WAR) | {"end": "2021-05-25"}
    assert why(old, turned(worlds(ON, [longer]))) == (
        "By no row of events that it counts; by rows of other tables (war in windows)."
    )
    assert why(old, worlds([*PAUSE, elsewhere], [longer])) == (
        f"By rows that it counts: {', '.join(IDS)}, or by rows of other tables: war in windows; "
        "rows changed that it does not count: 1."
    )


def test_many_rows_are_counted_and_not_all_named(worlds):
    words = why(worlds(ON), worlds(ON[:-20]))
    assert re.fullmatch(r"By rows that it counts: (IQ-\d{8}-\d+, ){11}IQ-\d{8}-\d+ and 8 more\.", words)


def test_a_claim_of_one_generation_only_is_no_change_of_a_verdict(worlds):
    old, new = worlds(ON), worlds(ON)
    gone = new._replace(told=new.told | {"claims": {}}, files={})
    assert between(old, gone)["claims"] == [{"claim": CLAIM, "only": "old"}]
    assert between(gone, new)["claims"] == [{"claim": CLAIM, "only": "new"}]
    assert history({}, between(gone, new), "20260101T060000Z") == {"first": new.name, "last": {}, "feed": []}


# ---- the same bytes, and text as text --------------------------------------------------------------------------------


def test_equal_inputs_give_equal_bytes_but_for_times(publish):
    for where in ("one", "two"):
        for rows in (ON, PAUSE):
            publish(rows, where=where)
    pairs = [[path for path in sorted((publish.out.parent.parent / where / "out" / "latest").resolve().iterdir())
              if path.is_file()] for where in ("one", "two")]  # fmt: skip
    made = ["changes.html", "feed.xml", "findings.csv", "findings.parquet", "index.html", "manifest.json",
            "ro-crate-metadata.json", "rows.json"]  # fmt: skip
    assert [path.name for path in pairs[0]] == made
    times = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ)?|\d{8}T\d{6}Z|changed \d{4}-\d\d-\d\d|urn:uuid:\S{36}")
    for one, two in zip(*pairs, strict=True):
        a, b = (path.read_bytes().decode(errors="replace") for path in (one, two))
        if one.name == "manifest.json":
            a, b = ({k: v for k, v in json.loads(t).items() if k not in ("run", "sha256")} for t in (a, b))
        elif one.name != "rows.json":
            a, b = times.sub("…", a), times.sub("…", b)
        assert a == b, one.name


def test_no_output_names_this_machine(publish):
    publish(ON)
    publish(PAUSE, fails=("gap-2021",))
    for path in (publish.out / "latest").iterdir():
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            assert "canary" not in text
            assert str(publish.out.parent) not in text
            assert str(Path.home()) + os.sep not in text


def test_hostile_rows_and_sources_are_shown_as_text(worlds, registry, tmp_path):
    evil = {"table": "events", "row": HOSTILE, "kind": "changed", "columns": [HOSTILE],
            "sources": f"javascript:alert(1) | https://a.org/\"><script>x</script>\x1b | {HOSTILE}"}  # fmt: skip
    found = between(worlds(ON), worlds(PAUSE, code_sha256="b"))
    found["rows"] = [evil]
    change = change_of(found)
    change["why"] = changes_why(rows=[HOSTILE], all=[evil], because=[])
    change["estimates"].append({"id": f"facts {HOSTILE} coded", "before": HOSTILE, "now": None})
    found["failed"] = {HOSTILE: {"since": "2026-01-01", "message": HOSTILE}}
    past = history({}, found, "20260101T060000Z")
    files = news(registry, found, past)
    html, feed = (files[name].decode() for name in ("changes.html", "feed.xml"))
    for text in (html, feed):
        assert not re.search(r"<script|<b |\x1b|\x07", text)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m\\x07]]&gt;" in text
    assert external_references(re.sub(r'<a href="https?://[^"]*" rel="noreferrer nofollow">', "", html)) == []
    assert not re.search(r"href=\"\s*javascript", html)
    assert "javascript:alert(1)" in html  # as text
    [entry] = ET.fromstring(feed).findall(f"{ATOM}entry")
    assert "<script>alert(1)</script>\\x1b" in entry.findtext(f"{ATOM}summary")


def changes_why(**values) -> str:
    from analysis_lib.tables import render

    return render("why.txt.j2", **values).strip()


def test_hostile_tables_reach_no_page_and_no_terminal_as_code(publish):
    evil = "<img src=x onerror=alert(1)>\x1b]0;x\x07"
    publish(ON, [CLAIM])
    publish(
        [*PAUSE, event_row(WAR.start, 1, event_id=evil, sources="https://a.org/'onmouseover='alert(1)\x1b")], [CLAIM]
    )
    assert evil in change_of(diff(publish.out))["rows"]
    for name in ("changes.html", "index.html", "feed.xml"):
        assert not re.search(r"<img|\x1b|\x07", page(publish.out, name)), name
    assert len(entries(publish.out)) <= 1
    shown = CliRunner().invoke(app, ["diff", "--out", str(publish.out)]).stdout
    assert "<img src=x onerror=alert(1)>\\x1b]0;x\\x07" in shown
    assert not re.search(r"\x1b|\x07", shown)


# ---- through a kernel ------------------------------------------------------------------------------------------------


def test_a_verdict_turns_in_a_run_of_the_notebook(tmp_path):
    new, notebooks = nbformat.v4, tmp_path / "notebooks"
    notebooks.mkdir()
    parameters = f'claim: str = "{CLAIM}"\ndata: str = None\nas_of: str = None\nseed: int = 20210510'
    code = "from analysis_lib import tables\nfrom analysis_lib.study import open_study\n"
    code += "tables.how_to_reproduce(open_study(claim, data=data, as_of=as_of, seed=seed))"
    cells = [new.new_code_cell(parameters, metadata={"tags": ["parameters"]}), new.new_code_cell(code)]
    nbformat.write(new.new_notebook(cells=cells), notebooks / "01_pause.ipynb")
    for rows in (ON, PAUSE):
        run = publish_reports(
            [CLAIM], out=tmp_path / "out", data=write(tmp_path / "data", rows), notebooks=notebooks, jobs=1
        )
        assert run.failed == {}
    assert run.changed[0].startswith(f"{CLAIM}: {TURNED}")
    assert change_of(diff(tmp_path / "out"))["rows"] == IDS
    shutil.rmtree(tmp_path / "out" / manifest(tmp_path / "out")["run"]["before"])  # pruned
    assert diff(tmp_path / "out")["old"] is None
