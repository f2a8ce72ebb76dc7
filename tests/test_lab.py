"""Panels, pages and JupyterLab as a reader uses them: what a control moves is the number that the library gives."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from conftest import ROOT
from test_reports import without_data_blocks
from test_site import external_references
from typer.testing import CliRunner

from analysis_lib import explore, run_spec, select
from analysis_lib.claims import Population
from analysis_lib.cli import app
from analysis_lib.curve import window_grid
from analysis_lib.errors import BadInput
from analysis_lib.finding import number
from analysis_lib.registry import load_claims, new_claim
from analysis_lib.reports import publish_reports
from analysis_lib.specs import take_sample
from analysis_lib.study import open_study

CHROMIUM = "/usr/bin/chromium"
needs_chromium = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed here")
SOON = 120_000  # milliseconds, for a busy machine


def parts(html: str) -> dict[str, str]:
    """What a panel says, by the name of the part."""
    found = re.findall(r'data-part="(\w+)"[^>]*>(.*?)</(?:td|dd|span|code|p)>', html, re.S)
    return {name: unescape(re.sub(r"<[^>]+>", "", text)).strip() for name, text in found}


def move(panel, deep=False, **values):
    """Move controls as a hand would, in a loop like a kernel's; `deep` waits for what comes when they rest."""

    async def moving():
        for name, value in values.items():
            panel.controls[name].value = value
        if panel.timer:
            panel.timer.cancel()

    asyncio.run(moving())
    if deep:
        panel.draw(next(iter(values), panel.first), deep=True)
    return parts(panel.html)


@pytest.fixture(scope="module")
def pause():
    return open_study("pause-2021")


# ---- panels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pause-2021", "surge-2023", "truce-2020"])
def test_each_move_shows_what_run_spec_gives(registry, tables, name):
    panel, spec = explore.what_if(open_study(name)), registry[name].spec
    for days, weapons in ((3, ("all",)), (-4, ("drone", "rocket")), (0, spec.weapons)):
        knobs = {"window_start": spec.window_start + timedelta(days), "weapons": weapons}
        told = move(panel, **knobs)
        found = run_spec(registry[name].with_knobs(knobs), tables, registry[name].rule)
        assert told["estimate"] == number(found.estimate)
        assert told["interval"] == found.interval
        assert (told["p"], told["attainable"]) == (number(found.p_value), number(found.attainable_p))
        assert told["counts"] == found.notes[0]
        assert not panel.error


COMMANDS = {
    "pause-2021": {"weapons": ("drone", "rocket"), "sites": "us_interests", "without": ("IQ-20210414-03",)},
    "surge-2023": {"confidence": "high", "theatres": ("iraq",)},
    "one-theatre": {"lag_days": 5, "after": "Syria, US sites", "before": "war days in Lebanon"},
    "regional-chain-2021": {"after": "Iraq, US sites", "before": "Saudi Arabia and UAE", "lag_days": 2},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_yields_the_same_numbers(name):
    panel = explore.what_if(open_study(name))
    chosen = {
        key: dict(panel.controls[key].options)[value] if key in ("after", "before") else value
        for key, value in COMMANDS[name].items()
    }
    told = move(panel, deep=True, **chosen)
    program, *words = shlex.split(told["command"])
    assert program == "claims"
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    primary = next(f for f in record["findings"] if f["role"] == "primary")
    assert told["estimate"] == number(primary["estimate"])
    assert (told["p"], told["attainable"]) == (number(primary["p_value"]), number(primary["attainable_p"]))
    assert told["verdict"].partition(" ")[2] == f"{record['inferential']['verdict']}: {record['inferential']['reason']}"
    assert set(record["knobs"]) >= COMMANDS[name].keys() - {"after", "before"}


def test_the_place_on_the_curve_counts_smaller_specifications(pause):
    panel = explore.what_if(pause)
    assert "curve" not in parts(panel.html)  # nobody asked yet
    low = move(panel, deep=True, window_start=pause.spec.window_start + timedelta(3))  # no attack inside: ratio 0
    assert low["estimate"] == "0"
    assert low["curve"].startswith("larger than 0 % of ")


def test_bad_input_is_a_sentence_at_the_control_that_was_moved(pause):
    panel = explore.what_if(pause)
    move(panel, window_end=pause.spec.window_start - timedelta(1))
    assert "window_end 2021-05-09 is before window_start 2021-05-10" in panel.told["window_end"].value
    assert panel.html == panel.view.value == ""  # no number that belongs to another choice
    assert [name for name, told in panel.told.items() if told.value] == ["window_end"]
    move(panel, weapons=())
    assert "weapons" in panel.told["weapons"].value
    move(panel, window_end=pause.spec.window_end, weapons=("small_arms",))
    assert "no row of events.csv matches" in panel.told["weapons"].value
    assert "Traceback" not in panel.error
    assert move(panel, weapons=("drone",))["estimate"] == number(pause.primary.estimate)
    assert not any(told.value for told in panel.told.values())


def test_events_are_left_out_listed_with_links_and_sorted(pause):
    panel = explore.what_if(pause)
    assert panel.controls["without"].options == ("IQ-20210414-03", "IQ-20210508-01", "IQ-20210511-03")
    told = move(panel, deep=True, without=("IQ-20210511-03",))
    assert told["counts"] == "0 in 12 days inside, 2 in 41 days outside"
    assert "IQ-20210511-03" in panel.controls["without"].options  # so that it can come back
    assert "IQ-20210511-03" not in panel.html.partition("<table class")[2]
    places = []
    for column in (0, 2):
        move(panel, deep=True, sort=column, without=())
        body = panel.html.partition("<tbody>")[2]
        rows = re.findall(r"<tr>(.*?)</tr>", body)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)[column] for row in rows]
        assert cells == sorted(cells)
        places.append(cells)
    assert len(places[0]) == 3
    assert 'rel="noreferrer nofollow"' in panel.html


def test_a_claim_without_controls_says_why():
    assert "its test is share" in repr(explore.what_if(open_study("two-bases")))
    assert "it is not tested" in repr(explore.what_if(open_study("moving-ship")))


def test_any_claim_opens(registry, tables):
    panel = explore.open_claim(registry, tables, "pause-2021")
    assert registry["pause-2021"].question in panel.html
    assert "Nothing to move" in move_html(panel, "moving-ship")
    assert registry["surge-2023"].question in move_html(panel, "surge-2023")


def move_html(panel, claim):
    move(panel, claim=claim)
    return panel.html


def test_the_region_shows_the_rows_that_are_chosen(tables):
    panel = explore.region(tables)
    move(panel, weapons=("drone",), theatres=("iraq", "red_sea"), bloc="iran_aligned")
    population = Population(sites="any", weapons=("drone",), theatres=("iraq", "red_sea"), bloc="iran_aligned")
    rows = select(tables.events, population)
    assert f"<strong>{len(rows)} attacks</strong>" in panel.html
    assert panel.html.count("<circle") == len(
        rows.dropna(subset=["lat"]).groupby(["theatre", "location", "lat", "lon"])
    )
    assert len(re.findall(r"M[\d.]+ \d+v16", panel.html)) == len(rows)
    move(panel, theatres=())
    assert "choose a theatre" in panel.told["theatres"].value


def test_without_a_kernel_the_state_is_plain_html(pause):
    panel = explore.what_if(pause)
    shown = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert parts(shown["text/html"])["estimate"] == number(pause.primary.estimate)
    assert external_references(shown["text/html"]) == []


# ---- a claim of one's own --------------------------------------------------------------------------------------------


def claims(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_new_writes_an_entry_that_every_command_knows(tmp_path, registry):
    file = tmp_path / "own.yml"
    file.write_text("# mine\nclaims:\n", "utf-8")
    file.unlink()
    words = ["--from", "pause-2021", "--claims", file, "--set", "weapons=rocket", "--set", "window_start=2021-05-12"]
    done = claims("new", "rockets-pause", *words, "--rule", "sesoi=0.4", "--question", "Did rockets pause?")
    assert (done.exit_code, done.stderr) == (0, "")
    claim = load_claims(file)["rockets-pause"]
    assert (claim.question, claim.origin, claim.facts, claim.rule.sesoi) == ("Did rockets pause?", "ours", (), 0.4)
    assert claim.spec == registry["pause-2021"].with_knobs({"weapons": ("rocket",), "window_start": "2021-05-12"})
    assert not [v.label for v in claim.variations if any("window" in knob for knob in v.set)]
    assert {v.label for v in claim.variations} >= {"all weapons", "high confidence only"}
    assert len(claim.replications) == len(registry["pause-2021"].replications)
    done = claims("reproduce", "rockets-pause", "--claims", file, "--json", "--out", tmp_path)
    assert json.loads(done.stdout)["claim"] == "rockets-pause"


def test_what_a_registry_held_stays_as_it_was_written(tmp_path):
    file = tmp_path / "own.yml"
    new_claim("first", "pause-2021", file, knobs={}, rule={})
    text = file.read_text("utf-8").replace("  - id: first", "  # a remark\n  - id: first")
    file.write_text(text, "utf-8")
    new_claim("second", "first", file, knobs={"weapons": ("rocket",)}, rule={"direction": "greater", "sesoi": 2})
    assert file.read_text("utf-8").startswith(text.rstrip())
    assert load_claims(file)["second"].rule.direction == "greater"
    assert [path.name for path in tmp_path.iterdir()] == ["own.yml"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pause-2021", "--from", "gap-2021"], "claim 'pause-2021' is there already"),
        (["../../mine", "--from", "pause-2021"], "own.yml:3: id: got '../../mine'"),
        (["Mine", "--from", "pause-2021"], "own.yml:3: id: got 'Mine'"),
        (["mine", "--from", "pause2021"], "unknown claim 'pause2021': did you mean pause-2021"),
        (["mine", "--from", "moving-ship"], "claim 'moving-ship' has no test"),
        (["mine", "--from", "pause-2021", "--rule", "sesoi=x"], "rule.sesoi: got 'x'"),
        (["mine", "--from", "pause-2021", "--rule", "sesoy=1"], "rule.sesoy"),
        (["mine", "--from", "pause-2021", "--set", "window_start=2022-01-01"], "is before window_start 2022-01-01"),
        (["mine", "--from", "pause-2021", "--set", "window=1"], "unknown knob 'window'"),
    ],
)
def test_new_refuses_in_one_line_and_writes_nothing(tmp_path, words, told):
    file = tmp_path / "own.yml"
    done = claims("new", *words, "--claims", file)
    assert done.exit_code == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["claims: []\n", "claims: [{}]\n", "claims:\n- id: a\n", "claim:\n  - id: a\n", "a: [\n"]
)
def test_a_registry_that_cannot_take_an_entry_is_left_as_it_is(tmp_path, text):
    file = tmp_path / "own.yml"
    file.write_text(text, "utf-8")
    done = claims("new", "mine", "--from", "pause-2021", "--claims", file)
    assert (done.exit_code, file.read_text("utf-8")) == (2, text)
    assert "own.yml" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_that_write_at_once_none_is_lost(tmp_path):
    file, names = tmp_path / "own.yml", [f"mine-{k}" for k in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: new_claim(name, "pause-2021", file, knobs={}, rule={}), names))
    assert {*names} <= load_claims(file).by_id.keys()


def test_a_full_disk_or_a_missing_folder_is_one_line(tmp_path):
    done = claims("new", "mine", "--from", "pause-2021", "--claims", tmp_path / "no" / "own.yml")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_an_event_that_is_not_there_cannot_be_left_out():
    done = claims("reproduce", "pause-2021", "--set", "without=IQ-1")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "no row 'IQ-1'" in done.stderr
    with pytest.raises(BadInput, match="no row 'IQ-1'"):
        open_study("pause-2021", without=["IQ-1"])


def test_the_form_shows_the_rule_before_and_the_verdict_after(tmp_path, registry, tables):
    panel = explore.own_claim(registry, tables, tmp_path / "own.yml")
    assert "lower than in the rest" in panel.html
    move(panel, source="surge-2023")
    assert panel.controls["window_start"].value == registry["surge-2023"].spec.window_start
    assert "higher than in the rest of 2023-07-22 to 2023-11-18, by a ratio of 2 or more" in panel.html
    assert "verdict" not in parts(panel.html)
    assert not (tmp_path / "own.yml").exists()
    move(panel, name="my-surge", sesoi=3.0)
    assert "ratio of 3 or more" in panel.html
    button = panel.box.children[0].children[-1]
    button.click()
    assert "claims report my-surge --claims own.yml" in panel.html
    assert load_claims(tmp_path / "own.yml")["my-surge"].rule.sesoi == 3
    button.click()
    assert "claim &#39;my-surge&#39; is there already" in panel.told["name"].value


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pause-2021", "surge-2023"])
def test_the_grid_of_a_page_holds_what_run_spec_gives(registry, tables, name):
    claim = registry[name]
    grid = window_grid(claim, take_sample(claim.spec, tables))
    rows, columns = len(grid["cells"]), len(grid["cells"][0])
    for i, k in ((0, 0), (grid["begin"], grid["days"] - grid["shortest"]), (rows - 1, columns - 1), (5, 9)):
        start = claim.spec.window_start + timedelta(i - grid["begin"])
        end = start + timedelta(k + grid["shortest"] - 1)
        found = run_spec(claim.with_knobs({"window_start": start, "window_end": end}), tables, claim.rule)
        x1, t1, x0, t0, estimate, p, attainable, interval, *_ = grid["outcomes"][grid["cells"][i][k]]
        assert found.notes[0] == f"{x1} in {t1} days inside, {x0} in {t0} days outside"
        assert estimate == number(found.estimate)
        assert (interval, p, attainable) == (found.interval, number(found.p_value), number(found.attainable_p))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The folder of one generation: a bundled claim, and one of our own, reported at once."""
    folder = tmp_path_factory.mktemp("page")
    new_claim("mine", "pause-2021", folder / "own.yml", knobs={"weapons": ("all",)}, rule={}, question="Is it mine?")
    run = publish_reports(["mine", "surge-2023"], out=folder / "out", claims=folder / "own.yml", jobs=2)
    assert run.failed == {}
    return folder / "out/latest/claims"


def test_a_report_runs_on_a_claim_of_ones_own_and_holds_no_kernel_state(report):
    html = (report / "mine.html").read_text("utf-8")
    assert "<h1>Is it mine?</h1>" in html
    assert "widget-view" not in (report / "mine.ipynb").read_text("utf-8")
    assert len(html) < 3_000_000
    assert parts(html)["estimate"] in (
        "1.08",
        number(json.loads((report / "mine.json").read_text())["findings"][0]["estimate"]),
    )
    assert external_references(without_data_blocks(html)) == []


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@needs_chromium
def test_the_page_answers_without_a_server(browser, report, registry, tables):
    claim, told = registry["surge-2023"], []
    page = browser.new_context(offline=True, viewport={"width": 1100, "height": 900}).new_page()
    page.on("console", lambda message: told.append(message.text))
    page.on(
        "request", lambda request: told.append(request.url) if not request.url.startswith(("file:", "data:")) else 0
    )
    page.goto((report / "surge-2023.html").as_uri())
    first, length = (page.get_by_role("slider", name=name) for name in ("First day", "Length"))
    for _ in range(5):
        first.press("ArrowRight")
    length.press("ArrowLeft")
    start = claim.spec.window_start + timedelta(5)
    days = (claim.spec.window_end - claim.spec.window_start).days
    knobs = {"window_start": start, "window_end": start + timedelta(days - 1)}
    found = run_spec(claim.with_knobs(knobs), tables, claim.rule)
    shown = {name: page.locator(f".what-if [data-part={name}]").inner_text() for name in ("estimate", "interval", "p")}
    assert shown == {"estimate": number(found.estimate), "interval": found.interval, "p": number(found.p_value)}
    assert page.locator(".what-if [data-part=counts]").inner_text() == found.notes[0]
    page.get_by_role("button", name="As registered").click()
    registered = run_spec(claim.spec, tables, claim.rule)
    assert page.locator(".what-if [data-part=estimate]").inner_text() == number(registered.estimate)

    search = page.get_by_label(re.compile("Search Events of the frame"))
    table = page.locator("table:has(caption:text('Events of the frame'))")
    page.locator("details:has(caption:text('Events of the frame')) > summary").click()
    everything = table.locator("tbody tr:visible").count()
    search.fill("asad drone")
    rows = table.locator("tbody tr:visible")
    assert 0 < rows.count() < everything
    assert all("asad" in text.lower() and "drone" in text.lower() for text in rows.all_inner_texts())
    if folder := os.environ.get("PICTURES"):
        page.locator(".what-if").scroll_into_view_if_needed()
        page.screenshot(path=Path(folder) / "explore-page.png")
    assert told == []


@needs_chromium
def test_the_page_reads_without_javascript(browser, report, registry, tables):
    page = browser.new_context(offline=True, java_script_enabled=False).new_page()
    page.goto((report / "surge-2023.html").as_uri())
    assert page.locator(".what-if input, .search, .what-if button").count() == 0
    found = run_spec(registry["surge-2023"].spec, tables, registry["surge-2023"].rule)
    assert page.locator(".what-if [data-part=estimate]").inner_text() == number(found.estimate)


# ---- JupyterLab ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of JupyterLab, its token in it, as `claims explore` starts it on a copy of the project."""
    copy = tmp_path_factory.mktemp("lab") / "project"
    left = shutil.ignore_patterns(".git", ".venv", "__pycache__", "2*Z-*", "latest", ".lock", "tests", "bench", "docs")
    shutil.copytree(ROOT, copy, ignore=left)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "CLAIMS"))}
    environment |= {"PYTHONPATH": str(copy), "HOME": str(copy.parent), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "analysis_lib", "explore", "--no-browser", "--ServerApp.port_retries=50"]
    with subprocess.Popen(words, cwd=copy, env=environment, stderr=subprocess.PIPE, text=True) as server:
        lines = iter(server.stderr)
        address = next((m[0] for line in lines if (m := re.search(r"http://\S+\?token=\w{20,}", line))), None)
        with ThreadPoolExecutor(1) as reader:
            reader.submit(lambda: [None for _ in lines])  # so that the server never waits for a reader
            yield address
            server.terminate()


def idle(page):
    page.locator("[title*='Change kernel for'], .jp-StatusBar-TextItem").get_by_text("| Idle").wait_for(timeout=SOON)


def open_and_run(browser, address, name):
    page = browser.new_context(viewport={"width": 1400, "height": 1100}).new_page()
    page.goto(address.replace("00_overview", name) + "&reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=SOON)
    idle(page)
    page.click("li.lm-MenuBar-item:has-text('Run')")
    begun = time.perf_counter()
    page.click("li[data-command='runmenu:run-all']")
    estimate = page.locator("[data-part=estimate]").first
    estimate.wait_for(timeout=SOON)
    print(f"{name}: first figure after {time.perf_counter() - begun:.1f} s")
    page.locator(".jp-Notebook .jp-CodeCell").last.get_by_text(re.compile(r"\[\d+\]:")).first.wait_for(timeout=SOON)
    idle(page)
    return page, estimate.inner_text()


def move_slider(page, steps):
    """Move the first day of the window by hand and wait for the full rule; what the panel says then."""
    handle = page.locator(".widget-hslider:has-text('window from') .noUi-handle").first
    for _ in range(steps):
        handle.press("ArrowRight")
    page.locator("[data-part=curve]").first.wait_for(timeout=SOON)  # it comes last
    names = ("estimate", "interval", "p", "command")
    return {name: page.locator(f"[data-part={name}]").first.inner_text() for name in names}


@needs_chromium
@pytest.mark.parametrize("name", ["00_overview", "01_pause"])
def test_jupyterlab_runs_a_notebook_and_follows_a_slider(browser, lab, registry, tables, name):
    assert lab is not None
    assert re.match(r"http://127\.0\.0\.1:\d+/lab/tree/notebooks/00_overview\.ipynb\?token=", lab)
    page, before = open_and_run(browser, lab, name)
    after = move_slider(page, 3)
    claim = registry["pause-2021"]
    assert before == number(run_spec(claim.spec, tables, claim.rule).estimate)
    knobs = {"window_start": claim.spec.window_start + timedelta(3)}
    found = run_spec(claim.with_knobs(knobs), tables, claim.rule)
    shown = {"estimate": number(found.estimate), "interval": found.interval, "p": number(found.p_value)}
    assert after == shown | {"command": "claims reproduce pause-2021 --seed 20210510 --set window_start=2021-05-13"}
    assert (
        page.locator(".jp-OutputArea-output[data-mime-type*=error], .jp-RenderedText[data-mime-type*=stderr]").count()
        == 0
    )
    if (folder := os.environ.get("PICTURES")) and name == "00_overview":
        page.screenshot(path=Path(folder) / "explore-lab.png")
    page.context.close()


@needs_chromium
def test_nobody_enters_jupyterlab_without_the_token(browser, lab):
    page = browser.new_context().new_page()
    page.goto(lab.partition("?token=")[0])
    assert "/login" in page.url
    assert page.locator("input[type=password]").count() >= 1
