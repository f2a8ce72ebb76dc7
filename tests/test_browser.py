"""Pages in a real browser: nothing runs or is fetched, everybody can read them, on paper and on a phone, too."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from hostile import NUL, PAYLOADS, write_registry, write_tables
from test_cli import claims
from test_reports import contents

from analysis_lib import pdf
from analysis_lib.paths import ROOT, TEMPLATES
from analysis_lib.pdf import print_pages
from analysis_lib.reports import publish_reports

BROWSER = next(filter(None, map(shutil.which, pdf.BROWSERS)), None)
needs_chromium = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
READ = ("pause-2021", "one-theatre", "facade-brands", "kadhimi-residence")  # of four families, one of them facts alone
ATTACKED = ("pause-2021", "facade-brands", "rare-casualties", "count-39")
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "paper": {"viewport": {"width": 700, "height": 1000}},
}


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """`opened(path, **look)`: the page in a context of its own, and everything that it did: `told`."""
    contexts = []

    def open_page(path: Path, **look) -> SimpleNamespace:
        context = chromium.new_context(**look)
        contexts.append(context)
        page, told = context.new_page(), []
        page.on("dialog", lambda dialog: (told.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on(
            "console", lambda message: told.append(f"console {message.text}")
        )  # a breach of the policy is told here
        page.on("pageerror", lambda error: told.append(f"error {error}"))
        page.on("request", lambda request: told.append(f"request {request.url}"))
        page.on("framenavigated", lambda frame: told.append(f"opened {frame.url}"))
        page.on("popup", lambda other: told.append(f"window {other.url}"))
        page.goto(path.as_uri(), wait_until="load")
        known = re.compile(rf"(request|opened) {re.escape(path.as_uri())}|request data:image/png;base64,[\w+/=]+")
        return page, lambda: [line for line in told if not known.fullmatch(line)]

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """The reports of claims of four families, from the bundled tables, once: the folder of the generation."""
    out = tmp_path_factory.mktemp("reports")
    assert publish_reports(READ, out=out).failed == {}
    return (out / "latest").resolve()


@pytest.fixture
def copied(reports, tmp_path):
    """A copy of the output folder, under a name that no PDF may hold."""
    shutil.copytree(reports.parent, tmp_path / "canary (out)", symlinks=True)
    return tmp_path / "canary (out)"


@pytest.fixture(scope="session")
def attacked(tmp_path_factory, registry):
    """The same from tables and a registry whose every field of text is hostile: the folder above."""
    folder = tmp_path_factory.mktemp("attacked")
    data = write_tables(folder / "data")
    mine = write_registry(folder / "mine.yml", registry)
    assert publish_reports(ATTACKED, out=folder / "out", data=data, claims=mine).failed == {}
    return folder


def pages(folder: Path, names) -> list[Path]:
    return [folder / "index.html", *(folder / "claims" / f"{name}.html" for name in names)]


# ---- read by everybody -----------------------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.parametrize("look", LOOKS)
def test_no_page_has_a_serious_fault_of_accessibility_nor_does_or_fetches_anything(reports, opened, look):
    from axe_playwright_python.sync_playwright import Axe

    for path in pages(reports, READ if look in ("light", "dark") else READ[:1]):
        page, told = opened(path, **LOOKS[look])
        if look == "paper":
            page.emulate_media(media="print")
        else:
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        found = Axe().run(page).response
        faults = {v["id"]: [node["html"] for node in v["nodes"]][:3] for v in found["violations"]
                  if v["impact"] in ("serious", "critical")}  # fmt: skip
        assert faults == {}, path.name
        assert {rule["id"] for rule in found["passes"]} > {"color-contrast", "document-title", "html-has-lang"}
        assert told() == [], path.name


@needs_chromium
def test_axe_finds_a_planted_fault(opened, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "bad.html").write_text(
        "<title>x</title><p style='color:#aaa;background:#fff'>pale</p><img src='data:,'>"
    )
    page, _ = opened(tmp_path / "bad.html")
    assert {v["id"] for v in Axe().run(page).response["violations"]} >= {"color-contrast", "image-alt", "html-has-lang"}


@needs_chromium
def test_nothing_is_wider_than_a_phone_and_wide_tables_scroll_in_their_own_box(reports, opened):
    for path in pages(reports, READ):
        page, _ = opened(path, **LOOKS["phone"])
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        if path.name != "index.html":
            boxes = page.locator(".scroll")
            assert boxes.count() > 5
            assert set(boxes.evaluate_all("all => all.map(box => box.tabIndex)")) == {0}  # a keyboard scrolls them


@needs_chromium
def test_a_claim_page_says_what_it_is_about_without_scripts(reports, opened, registry):
    claim = registry["pause-2021"]
    page, _ = opened(reports / "claims" / "pause-2021.html", java_script_enabled=False)
    assert page.title() == claim.question
    assert page.locator("h1").all_inner_texts() == [claim.question]
    assert claim.statement in page.locator("header").inner_text()
    badge = page.locator(".verdict .badge.large")
    assert badge.inner_text() == "∅ not testable"
    assert badge.bounding_box()["y"] < 600  # at a glance, before anything is scrolled
    assert "0.463" in page.locator(".verdict").inner_text()
    [alt, *others] = page.locator("img").evaluate_all("all => all.map(img => img.alt)")
    assert alt.startswith("Timeline of the events by weapon")
    assert all(len(words) > 20 for words in others)
    events = page.locator("table.claims", has=page.locator("caption", has_text="Events of the frame"))
    assert events.locator("thead th").first.inner_text() == "date"
    assert events.locator("tbody th").all_inner_texts() == ["2021-04-14", "2021-05-08", "2021-05-11"]
    assert events.locator("a").first.get_attribute("href").startswith("http")
    assert page.locator("details.code[open]").count() == 0


@needs_chromium
def test_headings_descend_and_the_contents_lead_to_them(reports, opened):
    for path in pages(reports, READ):
        page, _ = opened(path)
        levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        targets = page.locator(".contents a").evaluate_all("all => all.map(a => !!document.querySelector(a.hash))")
        assert len(targets) > 5
        assert all(targets)


@needs_chromium
def test_the_keyboard_reaches_the_report_first_and_shows_where_it_is(reports, opened):
    for name in ("index", "claims/pause-2021"):
        page, _ = opened(reports / f"{name}.html")
        page.keyboard.press("Tab")
        skip = page.locator(":focus")
        assert skip.inner_text().startswith("Skip to the")
        assert skip.bounding_box()["x"] >= 0  # it is seen when it has the focus
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        style = page.locator(":focus").evaluate(
            "e => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth"
        )
        assert style == "solid3px"


@needs_chromium
def test_the_board_leads_to_every_page_that_was_made(reports, opened, registry):
    page, _ = opened(reports / "index.html", java_script_enabled=False)
    rows = page.locator("table.board tbody tr:not(.family)")
    assert rows.count() == len(registry.claims)
    assert page.locator("table.board a").evaluate_all("all => all.length") == len(READ)
    row = rows.filter(has_text="kadhimi-residence")
    assert row.locator(".badge").inner_text() == "✗ contradicted"
    row.locator("a").click()
    assert page.locator("h1").inner_text() == registry["kadhimi-residence"].question
    page.get_by_text("← All claims").click()
    assert page.locator("h1").inner_text().startswith("What the texts claim")


@needs_chromium
def test_on_a_phone_the_board_is_still_a_table_to_a_screen_reader(reports, opened):
    page, _ = opened(reports / "index.html", **LOOKS["phone"])
    tree = page.locator("table.board").aria_snapshot()
    assert 'columnheader "Headline now"' in tree
    assert re.search(r'rowheader ".*kadhimi-residence', tree)
    assert 'cell "Headline now contradicted"' in tree


# ---- on paper --------------------------------------------------------------------------------------------------------


@needs_chromium
def test_on_paper_folded_tables_are_open_code_is_gone_and_links_are_spelt_out(reports, opened):
    page, _ = opened(reports / "claims" / "one-theatre.html")
    folded = page.locator("details:not(.code) table").first
    assert not folded.is_visible()
    page.emulate_media(media="print")
    assert folded.is_visible()
    assert page.locator("details.code:visible").count() == 0
    assert page.locator("nav:visible").count() == 0
    source = page.locator(".output a[href^=http]").first
    shown = source.evaluate("a => getComputedStyle(a, '::after').content")
    assert source.get_attribute("href") in shown


def inside(pdf_bytes: bytes) -> bytes:
    """A PDF with its compressed streams opened."""
    found = [pdf_bytes]
    for stream in re.finditer(rb"stream\r?\n(.*?)endstream", pdf_bytes, re.S):
        try:
            found.append(zlib.decompressobj().decompress(stream[1]))
        except zlib.error:
            continue
    return b"\n".join(found)


@needs_chromium
def test_pdf_of_the_board_and_of_the_claims_that_were_asked_for(copied):
    before, lines = contents(copied), []
    assert print_pages(copied, ["pause-2021"], lambda *line: lines.append(line)) == []
    assert lines == [(1, 2, "index.pdf done"), (2, 2, "pause-2021.pdf done")]
    after = contents(copied)
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == ["claims/pause-2021.pdf", "index.pdf"]
    board, page = after["index.pdf"], after["claims/pause-2021.pdf"]
    assert b"/Title (Claims and verdicts)" in board
    assert set(re.findall(rb"/URI \((.*?)\)", board)) == {f"claims/{name}.html".encode() for name in READ}
    own = {link for link in re.findall(rb"/URI \((.*?)\)", page) if not link.startswith(b"http")}
    assert own == {b"../index.html#pause-2021"}
    assert b"/StructTreeRoot" in page  # tagged: a screen reader finds headings and tables
    for content in (board, page):
        for word in (b"canary", b"file:", b"CreationDate", b"ModDate"):
            assert word not in inside(content)
        table = content.rindex(b"xref\n", 0, content.rindex(b"startxref"))
        assert int(re.search(rb"startxref\s+(\d+)", content)[1]) == table  # what was blanked kept its length
    # what is there is not printed again, and equal pages give equal bytes
    lines.clear()
    assert print_pages(copied, ["pause-2021"], lambda *line: lines.append(line)) == []
    assert lines == []
    (copied / "latest" / "index.pdf").unlink()
    assert print_pages(copied, [], lambda *line: lines.append(line)) == []
    assert contents(copied)["index.pdf"] == board


def test_without_chromium_the_pages_are_published_and_one_line_says_what_to_install(copied, tmp_path, monkeypatch):
    (copied / "latest" / "index.html").unlink()  # so that there is something to publish
    monkeypatch.setenv("PATH", str(tmp_path))
    done = claims("report", "pause-2021", "--pdf", "--out", copied)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "error: --pdf: no Chromium was found, so there are pages and no PDF; install Chromium (Debian, Ubuntu: apt "
        "install chromium) or Google Chrome, then run this command again"
    ]
    assert done.stdout.startswith("1 fresh\n")
    assert "index.html" in contents(copied)


HALF = """for word; do case $word in --print-to-pdf=*) printf '%%PDF-half' > "${word#*=}";; esac; done"""


@pytest.mark.parametrize("script", ["exec sleep 60", "exit 1", HALF], ids=["hangs", "fails", "stops half way"])
def test_a_browser_that_makes_no_whole_pdf_is_one_line_and_leaves_no_file(copied, tmp_path, monkeypatch, script):
    (tmp_path / "chromium").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    before = contents(copied)
    told = print_pages(copied, [], lambda *_: None, timeout=0.5)
    assert told == ["index.pdf: Chromium did not make it in 0.5 s; try again, or print the page"]
    assert contents(copied) == before
    assert not list(copied.glob(".staging-*"))


class Heard(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.heard.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server that notes in `heard` what it is asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Heard) as made:
        made.heard = []
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@needs_chromium
def test_the_browser_that_prints_reaches_no_server(tmp_path, server):
    address, named = (f"http://{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
    page = tmp_path / "page.html"
    page.write_text(f"<img src='{address}/image'><link rel=stylesheet href='{named}/sheet'>"
                    f"<iframe src='{address}/frame'></iframe><script>fetch('{named}/script')</script>text")  # fmt: skip
    assert pdf._printed(BROWSER, page, 60).startswith(b"%PDF-")
    assert server.heard == []
    free = [BROWSER, "--headless", "--no-sandbox", f"--user-data-dir={tmp_path / 'profile'}", "--print-to-pdf=x.pdf"]
    subprocess.run([*free, page.as_uri()], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert "/image" in server.heard  # without those walls the page would


# ---- hostile text ----------------------------------------------------------------------------------------------------

MARKUP = "script, iframe, object, embed, base, form, svg, link, meta[http-equiv=refresh], input, textarea"
OWN = ("script[type$=json]", ".slider > input[type=range]", ".search input[type=search]")
# what the page's own script makes, and that script; the strip of days has places in per cent
FOREIGN = f"""script => [...document.querySelectorAll('{MARKUP}')].filter(
  e => !e.matches('{", ".join(OWN)}') && !(e.localName == 'script' && e.textContent == script)).map(e => e.outerHTML)"""
HANDLERS = """() => [...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(
  a => a.name.startsWith('on')
    || a.name == 'style' && !(a.ownerElement.closest('.what-if') && !/url|import/.test(a.value))
).map(a => a.value)"""


@needs_chromium
@pytest.mark.parametrize("guarded", [True, False], ids=["with the policy", "without it"])
def test_no_payload_runs_or_becomes_markup(attacked, opened, guarded):
    """Also without the Content-Security-Policy: it is the second wall, and the first has to stand alone."""
    seen = ""
    for path in pages((attacked / "out" / "latest").resolve(), ATTACKED):
        page, told = opened(path, bypass_csp=not guarded)
        title = page.title()
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        page.mouse.move(300, 300)
        page.keyboard.press("Tab")
        assert page.evaluate(FOREIGN, (TEMPLATES / "page.js").read_text(encoding="utf-8")) == []
        assert page.evaluate(HANDLERS) == []
        links = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert all(
            re.match(r"https?://|#[\w-]+$|(\.\./|claims/)?[\w-]+\.(html(#[\w-]+)?|ipynb|json|xml)$", link)
            for link in links
        )
        assert page.title() == title != "ran"
        assert told() == [], path.name
        seen += page.locator("body").inner_text()
    flat = re.sub(r"\s+", " ", seen)
    for name in ("script", "svg", "closing", "base", "template", "yaml", "formula", "markup", "path", "comment"):
        assert PAYLOADS[name] in flat, f"{name} is not shown as text"
    assert "\\x1b[2J" in flat
    assert "\\u202e" in flat
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff]", flat)


@needs_chromium
def test_a_payload_that_is_not_escaped_is_caught(opened, tmp_path):
    for name in ("script", "handler", "svg"):
        (tmp_path / "bad.html").write_text(f"<title>x</title>{PAYLOADS[name]}")
        page, told = opened(tmp_path / "bad.html")
        page.wait_for_function("document.title == 'ran'")
        assert page.evaluate(FOREIGN, "") or page.evaluate(HANDLERS)
    (tmp_path / "bad.html").write_text(f"<title>x</title>{PAYLOADS['style']}")
    _, told = opened(tmp_path / "bad.html")
    assert any(line.startswith("request http://127.0.0.1:9/") for line in told())


@needs_chromium
def test_the_policy_alone_would_stop_every_payload(attacked, opened, server, tmp_path):
    html = (attacked / "out" / "latest" / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>x</title>'
    for name, text in PAYLOADS.items():
        # no policy in a page can stop a refresh: that it is text is all that stops it
        text = text.partition("<meta")[0].replace("127.0.0.1:9", f"127.0.0.1:{server.server_port}")
        (tmp_path / "bad.html").write_text(head + text, encoding="utf-8")
        page, told = opened(tmp_path / "bad.html")
        page.wait_for_timeout(50)
        assert page.title() == "x", name
        assert not any(line.startswith(("dialog", "window")) for line in told()), name
        assert page.evaluate("document.baseURI") == (tmp_path / "bad.html").as_uri()
    assert server.heard == []


def test_hostile_text_is_shown_and_not_obeyed_in_a_terminal(attacked):
    data, mine, out = ("--data", attacked / "data"), ("--claims", attacked / "mine.yml"), ("--out", attacked / "out")
    for words in (["show", "pause-2021", *mine, *out], ["data", "check", attacked / "data"],
                  ["reproduce", "facade-brands", *data, *mine, *out], ["list", *mine, *out]):  # fmt: skip
        done = claims(*words)
        assert done.exit_code == 0, done.output
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u200b\ufeff]", done.output)
    for name in ("script", "handler", "svg", "markup", "formula", "template", "yaml", "path", "long"):
        assert PAYLOADS[name] in done.stdout, name
    assert r"\x1b[2J\x1b[31mred\x1b]0;title\x07" in done.stdout
    assert r"a\x00b" in done.stdout


def test_a_table_that_holds_a_nul_is_refused_by_line(tmp_path):
    path = write_tables(tmp_path / "data") / "events.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("https://", f"https://{NUL}", 1), encoding="utf-8")
    done = claims("data", "check", tmp_path / "data")
    assert done.exit_code == 2
    assert done.stderr == "error: events.csv:2:file: got byte 0x00, allowed UTF-8 text, do save it as UTF-8\n"


@pytest.mark.parametrize("name", PAYLOADS)
def test_an_id_is_never_a_path(name, tmp_path, monkeypatch, registry):
    """Refused wherever an id is read: on the command line and in a user's registry."""
    monkeypatch.chdir(tmp_path)
    text = PAYLOADS[name][:200]
    for command in ("show", "reproduce", "report"):
        done = claims(command, text if not text.startswith("-") else f"./{text}", "--out", "out")
        assert done.exit_code == 2
        assert done.stderr.startswith("error: unknown claim ")
    entry = registry["pause-2021"].model_dump(mode="json", exclude_defaults=True) | {"id": text}
    (tmp_path / "mine.yml").write_text(json.dumps({"claims": [entry]}).replace("\\udb40\\udc41", ""))
    done = claims("list", "--claims", "mine.yml")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: mine.yml:1: id: got ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yml"]


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_value_of_set_is_never_code(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for knob in ("weapons", "window_start", "outcome", "draws"):
        done = claims("reproduce", "pause-2021", "--set", f"{knob}={PAYLOADS[name]}", "--out", "out")
        assert done.exit_code in (0, 2, 4), done.output
        assert "Traceback" not in done.output
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.output)
    assert list(tmp_path.iterdir()) == []


# ---- nothing of this machine -----------------------------------------------------------------------------------------


def test_no_output_holds_anything_of_the_environment(tmp_path):
    """A home folder, a user, a host and secrets that are called canary: in no byte of what is made or said."""
    home = tmp_path / "home-of-zqcanary"
    home.mkdir()
    names = (
        "USER LOGNAME USERNAME HOSTNAME GITHUB_TOKEN AWS_SECRET_ACCESS_KEY DATABASE_URL EDITOR HTTPS_PROXY CLAIMS_ANY"
    )
    environment = os.environ | {name: f"zqcanary-{name.lower()}" for name in names.split()}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(home / "mpl")}
    printed, said = "--pdf" if BROWSER else "", b""
    for words in (f"report pause-2021 kadhimi-residence --out out {printed}", "reproduce pause-2021 --out out",
                  "reproduce pause-2021 --json --out out", "list --json --out out", "report no-such --out out",
                  "data check nowhere", "reproduce pause-2021 --claims nowhere.yml"):  # fmt: skip
        command = [sys.executable, "-m", "analysis_lib", *words.split()]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, check=False, timeout=240)
        assert done.returncode in (0, 2), done.stderr
        said += done.stdout + done.stderr
    files = {path: path.read_bytes() for path in (home / "out").rglob("*") if path.is_file()}
    assert len([path for path in files if path.suffix == ".pdf"]) == (3 if BROWSER else 0)
    for name, content in {"the terminal": said, **files}.items():
        text = inside(content) if content.startswith(b"%PDF") else content
        text += b"".join(base64.b64decode(picture) for picture in re.findall(rb"iVBORw0KGgo[\w+/=]+", content))
        assert b"zqcanary" not in text, name
        assert str(tmp_path).encode() not in text, name


# ---- colours ---------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return sum(w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
               for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))  # fmt: skip


def test_every_colour_of_text_stands_out_from_both_grounds_in_light_dark_and_print():
    assert (luminance("#ffffff") + 0.05) / (luminance("#767676") + 0.05) == pytest.approx(4.54, abs=0.005)  # by WCAG
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    roots = [dict(re.findall(r"--([\w-]+): (#\w{6})\b", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S)]
    assert len(roots) == 3
    light, dark, _ = roots
    for colours in (light, light | dark):
        for ground in ("paper", "card"):
            for name in colours.keys() - {"paper", "card", "line"}:
                one, other = sorted(luminance(colours[part]) for part in (name, ground))
                assert (other + 0.05) / (one + 0.05) >= 4.5, (name, ground)
