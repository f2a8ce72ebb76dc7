"""Sweeps: cells that depend on nothing but themselves, taken up again, corrected for their number, on one page."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hostile import PAYLOADS, write_registry, write_tables
from test_browser import LOOKS, chromium, needs_chromium, opened  # noqa: F401, two are fixtures
from test_cli import claims
from test_site import external_references
from worlds import FRAME, WAR, YEAR, coverage_row, event_rows, steady_days, without, write

from analysis_lib import sweep as sweeps
from analysis_lib.finding import Finding, Verdict
from analysis_lib.generations import canonical
from analysis_lib.paths import ROOT
from analysis_lib.sources.bundled import load_tables
from analysis_lib.study import evaluate

FILES = ("cells.json", "cells.csv", "index.html")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two attacks a day in three theatres for a year; in Iraq alone none in the war. Nothing ever in Yemen."""
    days = steady_days(YEAR, per_day=2)
    events = event_rows(without(days, WAR))
    for theatre, country in (("syria", "SY"), ("jordan", "JO")):
        rows = event_rows(days, theatre=theatre, country=country, launch_from=country)
        events += [row | {"event_id": row["event_id"].replace("IQ", country)} for row in rows]
    watched = [coverage_row(theatre=name) for name in ("iraq", "syria", "jordan", "yemen_gulf")]
    return write(tmp_path_factory.mktemp("world"), events, coverage=watched)


def run(out, data, *words, over=("theatres=iraq,syria,jordan",), jobs=1):
    """One claim over theatres, few draws: the cells, after a run that must end well."""
    grid = [word for text in over for word in ("--over", text)]
    more = ("--set", "draws=199", "--jobs", jobs, "--data", data, "--out", out)
    done = claims("sweep", "pause-2021", *grid, *more, *words)
    assert done.exit_code == 0, done.output
    return json.loads((out / "cells.json").read_bytes())["cells"]


def files(out):
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.fixture
def judged(monkeypatch):
    """`judged(answer)`: cells are judged in this process by `answer(spec)`, a Finding or an error; the specs seen."""

    def by(answer, reason="a reason"):
        seen = []

        def judgement(claim, spec, *_, **__):
            seen.append(spec)
            found = answer(spec)
            if isinstance(found, Exception):
                raise found
            return SimpleNamespace(inferential=Verdict("not distinguishable", reason), findings=(found,))

        monkeypatch.setattr(sweeps, "judgement", judgement)
        return seen

    return by


# ---- what a cell says ------------------------------------------------------------------------------------------------


def test_a_planted_pause_is_found_in_its_own_cell_alone(world, tmp_path):
    first, *others = run(tmp_path, world)
    assert first["knobs"]["theatres"] == ["iraq"]
    assert first["verdict"] == "supported"
    assert first["q_by"] <= 0.001
    assert len(others) == 2
    for cell in others:  # two a day, inside and outside
        assert cell["finding"]["estimate"] == pytest.approx(1)
        assert cell["verdict"] != "supported"
        assert cell["q_by"] == 1


def test_a_cell_is_what_the_claim_gives_with_its_knobs_and_seed(world, tmp_path, registry):
    for cell in run(tmp_path, world, over=("theatres=iraq,syria", "unit=attack_day")):
        study = evaluate(registry["pause-2021"], load_tables(world), registry, knobs=cell["knobs"], seed=cell["seed"])
        assert study.primary.row() == cell["finding"]
        assert study.now.inferential.row() == {key: cell[key] for key in ("verdict", "reason")}


def test_a_cell_that_cannot_be_tested_is_a_row_with_its_reason(world, tmp_path):
    cells = run(tmp_path, world, over=("theatres=iraq,yemen_gulf,red_sea", "window=2021-05-10..2021-05-21"))
    found = {cell["knobs"]["theatres"][0]: cell for cell in cells}
    assert cells[0] is found["iraq"]
    assert "no row of events.csv matches" in found["yemen_gulf"]["reason"]  # watched, and nothing there
    for name in ("yemen_gulf", "red_sea"):
        assert found[name]["verdict"] == "not testable"
        assert (found[name]["finding"]["p_value"], found[name]["q_bh"], found[name]["q_by"]) == (None,) * 3
        assert found[name]["reason"] in (tmp_path / "index.html").read_text("utf-8")
    assert found["iraq"]["q_by"] == found["iraq"]["finding"]["p_value"]  # one p: nothing to correct for
    assert "3 cells: 1 testable, 1 with a p-value" in (tmp_path / "index.html").read_text("utf-8")


P = {"low": 0.01, "medium": 0.03, "high": 0.02}


def answer(spec):
    """Four p, 0.01 to 0.03 and 0.5; none by days."""
    p = None if spec.unit == "attack_day" else 0.5 if spec.duplicates else P[spec.confidence]
    return Finding("rate_ratio", "made up", "primary", p_value=p, attainable_p=0.001, estimate=0.5, low=0.1, high=2.0)


def test_q_values_are_those_worked_by_hand(world, tmp_path, judged):
    judged(answer)
    cells = run(tmp_path, world, over=("confidence=low,medium,high",))
    harmonic = 1 + 1 / 2 + 1 / 3
    # p times 3 over its rank, then the smallest of its own and of those with a larger p: 0.03, 0.03, 0.03
    assert [cell["finding"]["p_value"] for cell in cells] == [0.01, 0.02, 0.03]
    assert [cell["q_bh"] for cell in cells] == pytest.approx([0.03] * 3)
    assert [cell["q_by"] for cell in cells] == pytest.approx([0.03 * harmonic] * 3)
    cells = run(tmp_path, world, over=("confidence=low,medium,high", "unit=attack,attack_day"))
    assert [cell["q_bh"] for cell in cells[:3]] == pytest.approx([0.03] * 3)  # cells without p do not count
    assert [cell["q_bh"] for cell in cells[3:]] == [None] * 3
    cells = run(tmp_path, world, over=("confidence=low", "duplicates=true,false"))
    assert [cell["q_bh"] for cell in cells] == pytest.approx([0.02, 0.5])
    assert [cell["q_by"] for cell in cells] == pytest.approx([0.03, 0.75])


def test_the_page_counts_cells_and_what_chance_alone_would_give(world, tmp_path, judged):
    judged(answer)
    run(tmp_path, world, over=("confidence=low,medium,high", "unit=attack,attack_day"))
    told = " ".join((tmp_path / "index.html").read_text("utf-8").split())
    assert "6 cells: 6 testable, 3 with a p-value, of which 3 could fall to their alpha at all." in told
    assert "Were nothing there, up to 0.15 of these would do so by chance. 3 did;" in told
    assert "after correction for their number 0 (q by Benjamini–Yekutieli; 3 by Benjamini–Hochberg)" in told
    assert "it changes no claim's own verdict" in told
    assert external_references(told) == []
    assert "Neighbouring cells share events" in told


def test_two_knobs_make_a_grid_and_a_star_marks_it_besides_colour(world, tmp_path):
    run(tmp_path, world, over=("theatres=iraq,syria", "unit=attack,attack_day"))
    page = (tmp_path / "index.html").read_text("utf-8")
    grid = page.partition('<table class="grid">')[2].partition("</table>")[0]
    assert len(re.findall("<td ", grid)) == 4
    rows = {re.search('<th scope="row">(.*?)</th>', row)[1]: row for row in grid.split("<tr>")[2:]}
    assert rows["iraq"].count("<b>★</b>") == 2
    assert "<b>★</b>" not in rows["syria"]
    assert "40,110,190" in rows["iraq"]  # blue, below 1
    assert 'class="lanes"' not in page
    run(tmp_path, world, over=("theatres=iraq,syria",))
    page = (tmp_path / "index.html").read_text("utf-8")
    assert '<table class="grid">' not in page
    assert page.count('class="dot" style="left: 50.00%"') == 1  # Syria: a ratio of 1 is the middle
    assert page.count('class="dot" style="left: 0.00%"') == 1  # Iraq: none in the window


# ---- the same bytes --------------------------------------------------------------------------------------------------


def test_neither_workers_nor_order_nor_a_stop_change_a_byte(world, tmp_path):
    over = ("theatres=iraq,syria", "unit=attack,attack_day")
    run(tmp_path / "one", world, over=over)
    run(tmp_path / "two", world, over=over, jobs=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    run(tmp_path / "turned", world, over=("unit=attack_day,attack", "theatres=syria,iraq"), jobs=2)
    for name in FILES[:2]:
        assert (tmp_path / "turned" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_seeds_are_those_of_the_cell_and_differ_between_cells(world, tmp_path, judged):
    judged(answer)
    wide = run(tmp_path / "wide", world, over=("theatres=iraq,syria,jordan",))
    alone = run(tmp_path / "alone", world, over=("theatres=syria",))
    other = run(tmp_path / "other", world, "--seed", 0, over=("theatres=syria",))
    seeds = {cell["knobs"]["theatres"][0]: cell["seed"] for cell in wide}
    assert len({*seeds.values()}) == 3
    assert alone[0]["seed"] == seeds["syria"] != other[0]["seed"]


def test_only_what_is_missing_torn_or_changed_is_judged_again(world, tmp_path, judged, registry):
    out, over = tmp_path / "out", ("confidence=low,medium,high", "unit=attack,attack_day")
    seen = judged(answer)
    run(out, world, over=over)
    assert len(seen) == 6
    whole, (gone, torn, changed, *kept) = files(out), sorted((out / "finished").iterdir())
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:-20])
    changed.write_bytes(changed.read_bytes().replace(b'"estimate": 0.5', b'"estimate": 0.4'))
    kept = {path: path.stat().st_mtime_ns for path in kept}
    seen.clear()
    run(out, world, over=over)
    assert len(seen) == 3
    assert files(out) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    seen.clear()
    entry = registry["gap-2021"].model_dump(mode="json", exclude_defaults=True) | {"id": "mine"}
    (tmp_path / "mine.yml").write_text(json.dumps({"claims": [entry]}))
    run(out, world, "--claims", tmp_path / "mine.yml", over=over)
    assert seen == []  # another claim is another matter
    assert files(out) == whole
    run(out, world, over=("confidence=low,medium", "unit=attack"))
    assert seen == []  # a part of the grid is there already


@pytest.mark.parametrize("what", ["seed", "data", "rule", "as of", "code"])
def test_whatever_the_numbers_depend_on_makes_a_cell_stale(tmp_path, judged, registry, monkeypatch, what):
    rows = event_rows(steady_days(FRAME))
    data, seen, words = write(tmp_path / "data", rows), judged(answer), ()
    run(tmp_path, data, over=("confidence=low,high",))
    if what == "seed":
        words = ("--seed", 1)
    elif what == "data":
        write(data, rows[:-1])
    elif what == "rule":
        entry = registry["pause-2021"].model_dump(mode="json", exclude_defaults=True)
        entry["rule"]["sesoi"] = 0.4
        (tmp_path / "mine.yml").write_text(json.dumps({"claims": [entry]}))
        words = ("--claims", tmp_path / "mine.yml")
    elif what == "as of":
        words = ("--as-of", "2021-06-05")
    else:
        known = sweeps.shared_provenance
        monkeypatch.setattr(sweeps, "shared_provenance", lambda *given: known(*given) | {"code_sha256": "0" * 64})
    seen.clear()
    run(tmp_path, data, *words, over=("confidence=low,high",))
    assert len(seen) == 2


def test_a_kill_loses_no_cell_that_is_done_and_leaves_no_worker(world, tmp_path):
    over = ("theatres=iraq,syria,jordan", "unit=attack,attack_day,site_night", "confidence=low,medium,high")
    words = [word for text in over for word in ("--over", text)]
    command = [sys.executable, "-m", "analysis_lib", "sweep", "pause-2021", *words, "--set", "draws=199", "--jobs", "2"]
    command += ["--data", world, "--out", tmp_path]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": ROOT}
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True, **quiet)
    end = time.monotonic() + 60
    while len([*tmp_path.glob("finished/[0-9a-f]*")]) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)  # its pipe closes when no worker holds it any more
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("finished/[0-9a-f]*")}
    assert 3 <= len(done) < 27
    assert not (tmp_path / "cells.json").exists()
    assert len(run(tmp_path, world, over=over, jobs=2)) == 27
    assert {path: path.stat().st_mtime_ns for path in done} == done


# ---- mistakes --------------------------------------------------------------------------------------------------------

BAD = {
    "weapons=drone,drones": "--over weapons",
    "wepons=drone": "did you mean weapons",
    "weapons": "not a list of values; allowed: NAME=V1,V2",
    "weapons=[drone": "not a list of values",
    "weapons=a], [b": "not a list of values",
    "window=2021-05-10": "a window START..END",
    "window=2021-05-10..2021-05-12,2021-05-13": "a window START..END",
    "window=2021-05-10..soon": "window_end",
    "window=2021-05-21..2021-05-10": "is before",
    "lag_days=1,2": "unknown knob of pause-2021",
    "draws=99,199": "given twice",
}


@pytest.mark.parametrize(("text", "told"), BAD.items())
def test_a_bad_knob_is_told_before_anything_runs(world, tmp_path, judged, text, told):
    seen, out = judged(answer), tmp_path / "out"
    more = ("--over", "unit=attack", "--set", "draws=199", "--data", world, "--out", out)
    done = claims("sweep", "pause-2021", "--over", text, *more)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert (seen, out.exists()) == ([], False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "unknown family ''"),
        (("--family", "pauses"), "did you mean pause?"),
        (("pause2021",), "did you mean pause-2021"),
        (("mercer-street",), "has no test (kind fact)"),
        (("pause-2021", "--over", "weapons=drone", "--over", "weapons=rocket"), "given twice"),
        (("pause-2021", "--backend", "spark"), "loky"),
    ],
)
def test_a_claim_family_or_backend_that_is_none_is_told(tmp_path, words, told):
    done = claims("sweep", *words, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("backend", "module"), [("loky", "joblib"), ("dask", "dask.distributed")])
def test_a_backend_that_is_not_installed_cannot_run(world, tmp_path, monkeypatch, backend, module):
    monkeypatch.setitem(sys.modules, module, None)
    done = claims("sweep", "pause-2021", "--backend", backend, "--data", world, "--out", tmp_path / "out")
    assert (done.exit_code, done.stderr.count("\n")) == (4, 1)
    assert module in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_generation_of_reports_is_never_written_into(world, tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "manifest.json").write_bytes(canonical({"content_sha256": "0" * 64}))
    for out in (tmp_path, tmp_path / "claims"):
        done = claims("sweep", "pause-2021", "--data", world, "--out", out)
        assert done.exit_code == 2
        assert "belongs to a generation" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["claims", "manifest.json"]


def test_a_cell_whose_numbers_break_is_told_and_tried_again(world, tmp_path, judged):
    def broken(spec):
        return ZeroDivisionError("no days") if spec.confidence == "high" else answer(spec)

    judged(broken)
    words = ("sweep", "pause-2021", "--over", "confidence=low,high", "--jobs", 1, "--data", world, "--out", tmp_path)
    done = claims(*words)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: pause-2021 ")
    assert done.stderr.endswith("failed: ZeroDivisionError: no days\n")
    good, bad = json.loads((tmp_path / "cells.json").read_bytes())["cells"]
    assert (good["failed"], bad["failed"], bad["verdict"]) == (False, True, "not testable")
    assert "failed: ZeroDivisionError: no days" in (tmp_path / "index.html").read_text("utf-8")
    seen = judged(answer)
    assert claims(*words).exit_code == 0
    assert [spec.confidence for spec in seen] == ["high"]


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_json_and_csv_hold_every_cell(world, tmp_path, judged):
    judged(answer, reason="=1+1")
    cells = run(tmp_path, world, over=("confidence=low,high", "window=2021-05-10..2021-05-21"))
    rows = [*csv.DictReader(io.StringIO((tmp_path / "cells.csv").read_text("utf-8")))]
    assert [row["confidence"] for row in rows] == ["low", "high"]
    assert {row["window_start"] for row in rows} == {"2021-05-10"}
    assert [float(row["q_by"]) for row in rows] == [cell["q_by"] for cell in cells]
    assert {row["reason"] for row in rows} == {"'=1+1"}  # no formula in a spreadsheet
    words = ("--over", "confidence=low,high", "--over", "window=2021-05-10..2021-05-21", "--set", "draws=199")
    done = claims("sweep", "pause-2021", *words, "--data", world, "--out", tmp_path, "--json")
    assert json.loads(done.stdout) == cells


def test_a_family_is_its_claims_that_have_a_test(world, tmp_path, judged, registry):
    judged(answer)
    done = claims("sweep", "--family", "counts", "--jobs", 1, "--data", world, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    found = {cell["claim"] for cell in json.loads((tmp_path / "cells.json").read_bytes())["cells"]}
    assert found == {claim.id for claim in registry.claims if claim.family == "counts" and claim.rule}


def test_text_of_data_and_registry_is_never_markup(tmp_path, registry, judged):
    data, mine = write_tables(tmp_path / "data"), write_registry(tmp_path / "mine.yml", registry)
    judged(answer, reason="".join(PAYLOADS.values()))
    words = ("--over", "weapons=drone,rocket", "--data", data, "--claims", mine, "--out", tmp_path / "out")
    done = claims("sweep", "--family", "pause", "--jobs", 1, *words)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert not re.search(r"<(script|img|svg|iframe|base|meta http-equiv=\"refresh)", page)
    assert "&lt;script&gt;" in page
    assert str(tmp_path) not in page
    assert not {*done.output} & {"\x1b", "\x07"}


@needs_chromium
@pytest.mark.parametrize("look", LOOKS)
def test_the_page_can_be_read_by_everybody_and_fetches_nothing(world, tmp_path, judged, opened, look):  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    judged(answer, reason="".join(PAYLOADS.values()))
    for over in (("confidence=low,high",), ("confidence=low,high", "unit=attack,attack_day")):
        run(tmp_path, world, over=over)
        page, told = opened(tmp_path / "index.html", **LOOKS[look])
        assert [(v["id"], v["nodes"][0]["html"]) for v in Axe().run(page).response["violations"]] == []
        assert told() == []
        wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(wide)
