"""Events on the days after another side's attacks: planted truths, definitions, the real extract, the bundled data."""

import csv
import json
from datetime import date, timedelta

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from typer.testing import CliRunner
from worlds import coverage_row, event_rows, steady_days, write

from analysis_lib import Window, evaluate, load_tables
from analysis_lib.cli import app
from analysis_lib.distraction import DESIGNS, FEWEST
from analysis_lib.errors import BadInput

SPAN = Window(date(2019, 12, 1), date(2022, 1, 31))
DAYS = SPAN.calendar()
DESIGN = DESIGNS["lagged_regression"]


def near(attacks, steps):
    """Days that follow (negative steps: come before) an attack by so many days."""
    return np.any([np.roll(attacks, k) for k in steps], axis=0)


def world(folder, *, after=1.0, before=1.0, seed=1, share=0.15, start=0):
    """A season, over-dispersed Islamic State events, and militia attacks that multiply them on the days around."""
    rng = np.random.default_rng(seed)
    attacks = rng.random(DAYS.size) < share
    mean = 0.8 * (1 + 0.5 * np.sin(np.arange(DAYS.size) * 2 * np.pi / 365))
    mean = mean * np.where(near(attacks, range(1, 6)), after, 1) * np.where(near(attacks, range(-5, 0)), before, 1)
    counts = rng.poisson(mean * rng.gamma(3, 1 / 3, DAYS.size))
    shifted = DAYS + np.timedelta64(start, "D")
    write(folder, event_rows(shifted[attacks]), coverage=[coverage_row(Window(*shifted[[0, -1]].astype(object)))])
    with (folder / "ged.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "theatre", "bloc", "count", "source"])
        ends = [
            (shifted[0], "other", 1),
            (shifted[-1], "other", 1),
        ]  # the span is that of the country, whatever the side
        for day, bloc, count in [*ends, *zip(shifted, ["islamic_state"] * DAYS.size, counts, strict=True)]:
            writer.writerow([day, "iraq", bloc, count, "https://example.org/ged"])
    return load_tables(folder)


@pytest.fixture(scope="module")
def claim(registry):
    return registry["isis-distraction"]


@pytest.fixture(scope="module")
def doubled(tmp_path_factory):
    return world(tmp_path_factory.mktemp("doubled"), after=2.0)


def findings(claim, tables, **knobs):
    spec = claim.with_knobs(knobs)
    sample = DESIGN.sample(spec, tables)
    tests = (DESIGN.primary, DESIGN.randomisation, *DESIGN.robustness.values())
    return [test(sample, spec, claim.rule, 1) for test in tests], sample


# ---- planted truths --------------------------------------------------------------------------------------------------


def test_a_planted_effect_is_found_by_every_test_and_the_mechanism_is_still_missing(claim, registry, doubled):
    study = evaluate(claim, doubled, registry)
    primary = study.primary
    assert primary.low < 2 < primary.high
    tests = [f for f in study.now.findings if f.role in ("randomisation", "robustness")]
    assert all(f.agrees and f.p_value < 0.01 for f in tests)
    assert study.now.inferential.verdict == "not distinguishable"
    assert "coalition sorties" in study.now.inferential.reason
    assert study.finding("sum_of_lags").p_value < 0.01


def test_without_an_effect_none_is_found(claim, tmp_path):
    (primary, shift, *others), _ = findings(claim, world(tmp_path))
    assert primary.high < claim.rule.sesoi
    assert min(f.p_value for f in (primary, shift, *others)) > 0.05


def test_what_comes_before_as_well_as_after_is_no_effect(claim, tmp_path):
    """A shared cause raises both sides of an attack: days after look like an effect, but not beside those before."""
    (primary, *_, placebo), _ = findings(claim, world(tmp_path, after=1.6, before=1.6))
    assert primary.p_value < 0.01
    assert placebo.quantity == "lead_placebo"
    assert placebo.p_value > 0.1


def test_shifting_both_sides_by_whole_weeks_changes_nothing(claim, doubled, tmp_path):
    moved = world(tmp_path, after=2.0, start=364)
    frame = {"frame_start": "2020-02-01", "frame_end": "2020-12-31"}
    later = {name: str(date.fromisoformat(day) + timedelta(364)) for name, day in frame.items()}
    first, second, *_ = findings(claim, doubled, **frame)[0]
    third, fourth, *_ = findings(claim, moved, **later)[0]
    assert (first.estimate, first.p_value) == pytest.approx((third.estimate, third.p_value), rel=1e-6)
    assert second.p_value == fourth.p_value


# ---- fast paths are the definitions ----------------------------------------------------------------------------------


def test_the_primary_is_statsmodels_negative_binomial(claim, doubled):
    """The same regression with theta by maximum likelihood: the moment theta moves the ratio by little."""
    from analysis_lib.regression import fit_nb

    (primary, *_), sample = findings(claim, doubled)
    fit = fit_nb(sample.y, np.column_stack([sample.course, sample.near]))
    assert primary.estimate == pytest.approx(np.exp(fit.coef[-1]), rel=0.02)


def test_days_after_attacks_are_those_of_a_loop(claim, doubled):
    _, sample = findings(claim, doubled, lag_days=3)
    hit = sample.driver > 0
    assert sample.near.tolist() == [any(hit[t - k] for k in (1, 2, 3)) for t in sample.kept]
    assert sample.attack(np.array([-1]))[:, 0].tolist() == [float(hit[t + 1]) for t in sample.kept]


def test_the_shifts_are_those_of_a_loop(claim, doubled):
    _, sample = findings(claim, doubled, frame_start="2020-06-01", frame_end="2020-09-30")
    null = DESIGN.null(sample, claim.spec, claim.rule, 0)
    slow = np.array([sample.residuals @ np.roll(sample.near, s) for s in range(sample.kept.size)])
    assert null.values == pytest.approx((slow - slow.mean()) / slow.std())
    found = DESIGN.randomisation(sample, claim.spec, claim.rule, 0)
    assert found.p_value == (slow >= slow[0] - 1e-9).mean() >= found.attainable_p == 1 / slow.size


def test_leaving_out_a_day_is_the_shift_test_without_it(claim, doubled):
    """The largest p over days left out, each taken from the calendar and compared with the shifts of the whole one."""
    sample = DESIGN.sample(claim.with_knobs({"frame_start": "2020-06-01", "frame_end": "2020-09-30"}), doubled)
    slow = []
    for day in np.flatnonzero(sample.driver):
        hit = sample.driver > 0
        hit[day] = False
        near = np.array([any(hit[t - k] for k in range(1, 6)) for t in sample.kept])
        slow.append((sample.shifts >= sample.residuals @ near - 1e-9).mean())
    left_out = DESIGN.sensitivity(sample, claim.spec, claim.rule, 1)[0]
    assert (left_out.p_value, left_out.n) == (pytest.approx(max(slow)), len(slow))


def test_events_count_on_their_days_in_their_country_and_of_their_side(claim, tmp_path):
    base = world(tmp_path)
    first = DESIGN.sample(claim.spec, base)
    day = str(first.series.days[100])
    for theatre, bloc, count in (("iraq", "islamic_state", 7), ("syria", "islamic_state", 5), ("iraq", "other", 3)):
        with (tmp_path / "ged.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if (row[0], *row[1:3]) != (day, theatre, bloc)]
        with (tmp_path / "ged.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([*rows, [day, theatre, bloc, count, "https://example.org/ged"]])
    counts = DESIGN.sample(claim.spec, load_tables(tmp_path)).series.counts
    assert counts[100] == 7
    assert np.array_equal(np.delete(counts, 100), np.delete(first.series.counts, 100))


# ---- what is missing -------------------------------------------------------------------------------------------------


def test_the_bundled_data_miss_the_input_and_name_the_download_and_the_command(claim, registry, tables):
    study = evaluate(claim, tables, registry)
    for at in (study.now, study.publication):
        assert at.inferential.verdict == at.headline == "not testable"
        assert at.inferential.reason.startswith("input missing: no Islamic State events are in the data folder")
    for words in ("https://ucdp.uu.se/downloads/", "`claims data add ucdp GEDEvent.csv --into DIR`", "--data DIR`"):
        assert words in study.now.inferential.reason


def test_years_that_do_not_overlap_are_missing_input(claim, registry, doubled):
    study = evaluate(claim, doubled, registry, knobs={"frame_start": "2015-01-01", "frame_end": "2015-12-31"})
    assert study.now.inferential.verdict == "not testable"
    assert "0 on days of 2015-01-01…2015-12-31 watched for both sides" in study.now.inferential.reason


def test_hardly_any_other_day_is_no_contrast(claim, registry, tmp_path):
    tables = world(tmp_path, share=0.9)
    study = evaluate(claim, tables, registry)
    assert "too few" in study.now.inferential.reason
    assert FEWEST == 20


@pytest.mark.parametrize("knobs", [{"lag_days": None}, {"lag_days": 0}, {"against": None}])
def test_a_specification_without_its_knobs_is_bad_input(claim, registry, doubled, knobs):
    with pytest.raises(BadInput, match="lagged_regression"):
        evaluate(claim, doubled, registry, knobs=knobs)


def test_what_is_later_than_the_date_is_unknown(claim, doubled):
    sample = DESIGN.sample(claim.spec, doubled, date(2021, 6, 6))
    last = sample.series.days[sample.kept[-1]]
    assert last == np.datetime64("2021-06-01")  # five days of leads must have been seen
    assert not sample.driver[sample.series.days > np.datetime64("2021-06-06")].any()


# ---- the command that adds the data ----------------------------------------------------------------------------------


@needs_shared
def test_the_real_extract_runs_where_it_is_added(tmp_path):
    """UCDP's Iraq of 2018 beside made-up militia attacks of that year, by the commands that the message gives."""
    year, run = Window(date(2018, 1, 1), date(2018, 12, 31)), CliRunner().invoke
    base = write(tmp_path / "base", event_rows(steady_days(year, every=11)), coverage=[coverage_row(year)])
    file, folder = SHARED / "data" / "ucdp_ged" / "ged_iraq_2018.csv", tmp_path / "with-ged"
    done = run(app, ["data", "add", "ucdp", str(file), "--into", str(folder), "--data", str(base)])
    assert done.exit_code == 0, done.output
    assert "254 rows read" in done.output
    frame = ["--set", "frame_start=2018-01-10", "--set", "frame_end=2018-12-20"]
    done = run(app, ["reproduce", "isis-distraction", "--data", str(folder), "--json", *frame])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    primary = next(f for f in record["findings"] if f["role"] == "primary")
    assert (primary["n"], primary["exposure"]) == (154, 345)
    assert primary["estimate"] == pytest.approx(1.187, abs=5e-4)  # as from the rows themselves, without the reduction
    assert record["headline"] in ("contradicted", "not distinguishable")
