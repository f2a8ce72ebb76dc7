"""From a specification to its findings: the pause claims on the bundled data, and what must change nothing."""

from dataclasses import replace
from datetime import date
from itertools import product

import numpy as np
import pandas as pd
import pytest
from worlds import (
    FRAME,
    WAR,
    YEAR,
    coverage_row,
    event_row,
    event_rows,
    moved,
    poisson_days,
    steady_days,
    window_row,
    without,
    write,
)  # fmt: skip

from analysis_lib import Window, evaluate, load_tables, run_spec
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.gaps import longest_gap, running_gap
from analysis_lib.rates import rate_ratio
from analysis_lib.regression import dispersion, nb_window
from analysis_lib.series import series_of
from analysis_lib.specs import take_sample

PAUSES = ("pause-2021", "gap-2021", "pause-2021-all-weapons", "pause-2023", "pause-truce-2023")


# ---- the pause claims on the bundled data ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studies(tables, registry):
    """The pause claims, evaluated once."""
    return {name: evaluate(registry[name], tables, registry) for name in PAUSES}


@pytest.mark.parametrize(
    ("claim", "inside", "outside", "ratio", "p"),
    [
        ("pause-2021", (1, 12), (2, 41), 1.71, 0.869),
        ("pause-2021-all-weapons", (5, 12), (93, 144), 0.645, 0.226),
        ("pause-2023", (47, 48), (0, 90), np.inf, 1.0),
        ("pause-truce-2023", (1, 6), (60, 39), 0.108, 0.00168),
    ],
)
def test_counts_ratio_and_p(studies, claim, inside, outside, ratio, p):
    study = studies[claim]
    primary = study.finding("rate_ratio")
    assert study.now.sample.series.split(study.now.sample.window) == (*inside, *outside)
    assert primary.n == inside[0] + outside[0]
    assert primary.estimate == pytest.approx(ratio, rel=5e-3)
    assert primary.p_value == pytest.approx(p, rel=3e-3)


def test_1_interval_mid_p_and_chance_of_pause_2021(studies):
    study = studies["pause-2021"]
    primary = study.finding("rate_ratio")
    assert (primary.low, primary.high) == pytest.approx((0.029, 32.8), rel=2e-3)
    assert study.finding("mid_p").p_value == pytest.approx(0.666, abs=5e-4)
    assert study.finding("longest_gap").p_value == pytest.approx(0.778, abs=1e-3)
    assert study.finding("posterior_ratio").notes == ("P(ratio < 1) = 0.294",)
    assert primary.attainable_p == pytest.approx((41 / 53) ** 3)
    assert primary.power < 1e-5


def test_5_open_gap_of_gap_2021(studies):
    found = studies["gap-2021"].finding("running_gap")
    assert found.p_value == pytest.approx(0.270, abs=5e-4)
    assert found.notes == ("2 completed gaps of 27 days in all, then 25 days without an event",)
    earlier = next(o for o in studies["gap-2021"].variations if o.label == "until the day before publication")
    assert earlier.finding.p_value == pytest.approx(0.280, abs=5e-4)


@pytest.mark.parametrize(
    ("claim", "literal", "inferential", "headline"),
    [
        ("pause-2021", "contradicted", "not testable", "not testable"),
        ("gap-2021", "supported", "not testable", "not testable"),
        ("pause-2021-all-weapons", "contradicted", "not distinguishable", "not distinguishable"),
        ("pause-2023", "contradicted", "contradicted", "contradicted"),
        ("pause-truce-2023", "contradicted", "supported", "supported"),
    ],
)
def test_verdicts_with_all_data(studies, claim, literal, inferential, headline):
    now = studies[claim].now
    assert (now.literal.verdict, now.inferential.verdict, now.headline) == (literal, inferential, headline)


@pytest.mark.parametrize(
    ("claim", "literal", "inferential"),
    [
        ("pause-2021", "contradicted", "not testable"),  # Harir had become public the day before
        ("gap-2021", "supported", "not testable"),
        ("pause-2021-all-weapons", "contradicted", "not distinguishable"),
        ("pause-2023", "contradicted", "not testable"),  # twelve days of war were seen
        ("pause-truce-2023", "not testable", "not testable"),  # the truce was to come
    ],
)
def test_verdicts_as_of_publication(studies, claim, literal, inferential):
    then = studies[claim].publication
    assert (then.literal.verdict, then.inferential.verdict) == (literal, inferential)


def test_reasons_name_the_step(studies):
    now = {name: study.now for name, study in studies.items()}
    assert "smallest p that this design can reach is 0.463" in now["pause-2021"].inferential.reason
    assert "opposite to the claim" in now["pause-2023"].inferential.reason
    assert "coded 1 (SY-20231128-01)" in now["pause-truce-2023"].literal.reason
    assert studies["pause-truce-2023"].publication.inferential.reason.startswith("not yet observed")


def test_a_reader_on_20_may_2021_knew_two_strikes(tables, registry):
    """The third, of 11 May, became public on 4 June."""
    spec = registry["pause-2021"].spec
    assert take_sample(spec, tables, date(2021, 5, 20)).series.total == (2, 37)
    assert take_sample(spec, tables, date(2021, 6, 3)).series.total == (2, 51)
    assert take_sample(spec, tables, date(2021, 6, 4)).series.total == (3, 52)
    assert take_sample(spec, tables).series.total == (3, 53)


def test_an_as_of_day_before_publication_holds_for_the_verdict_as_of_publication_too(tables, registry):
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    early = evaluate(alone, tables, registry, as_of=date(2021, 5, 20))
    assert early.publication.sample.series.total == (2, 37)
    late = evaluate(alone, tables, registry, as_of=date(2021, 7, 1))
    assert late.publication.sample.series.total == (3, 53)


def test_the_window_is_cut_at_the_as_of_day(tables, registry):
    assert take_sample(registry["pause-2021"].spec, tables, date(2021, 5, 15)).window == Window(
        WAR.start, date(2021, 5, 15)
    )


@pytest.mark.parametrize("claim", PAUSES)
def test_every_registered_specification_has_a_primary_or_a_reason(studies, claim):
    study = studies[claim]
    assert len(study.variations) == len(study.claim.variations)
    for outcome in (*study.variations, *study.replications):
        assert outcome.finding.p_value is not None or outcome.finding.reason
        assert outcome.verdict.reason


def test_the_share_of_specifications_counts_the_primary_among_them(studies):
    study = studies["pause-truce-2023"]
    words = [o.verdict.verdict for o in study.variations]
    line = study.robustness
    assert line["specifications"] == 1 + len(words)
    assert line["share_same"] == pytest.approx((1 + words.count("supported")) / (1 + len(words)), abs=1e-4)
    assert len(line["flips_on"]) == len(words) - words.count("supported")


@pytest.mark.parametrize("claim", PAUSES)
def test_a_variation_is_the_claim_with_its_knobs_set(studies, tables, registry, claim):
    """The outcome beside the primary is what a reader gets with `--set`."""
    study = studies[claim]
    for variation, outcome in list(zip(study.claim.variations, study.variations, strict=True))[::4]:
        alone = registry[claim].model_copy(update={"variations": (), "replications": (), "rivals": ()})
        asked = evaluate(alone, tables, registry, knobs=variation.set)
        assert asked.now.inferential == outcome.verdict
        assert asked.primary.p_value == outcome.finding.p_value


# ---- a specification that cannot be met ------------------------------------------------------------------------------


def test_an_unknown_test_word_names_the_nearest(tables, registry):
    claim = registry["pause-2021"]
    with pytest.raises(BadInput, match="unknown test 'rate_ration': did you mean rate_ratio"):
        run_spec(claim.with_knobs({"test": "rate_ration"}), tables, claim.rule)


def test_a_specification_without_a_window_says_what_to_give(tables, registry):
    claim = registry["pause-2021"]
    with pytest.raises(BadInput, match="no window: give window_start and window_end"):
        run_spec(claim.with_knobs({"window_start": None, "window_end": None}), tables, claim.rule)


def test_a_table_that_is_not_there_is_a_missing_input(tables, registry):
    claim = registry["pause-2021"]
    with pytest.raises(InputMissing, match=r"coverage\.csv"):
        run_spec(claim.spec, replace(tables, coverage=None), claim.rule)


# ---- single events and dates: the fast path equals the whole test on changed tables ----------------------------------

FEW = np.array(["2021-04-14", "2021-04-29", "2021-05-09", "2021-05-12", "2021-06-06"], dtype="datetime64[D]")
VAGUE = ("day", "day", "pm1", "day", "pm1")


@pytest.fixture(params=["pause-2021", "gap-2021"])
def few(request, registry, tmp_path):
    """A claim of each primary test, and five rows of which one lies just after the frame."""
    rows = [row | {"date_precision": word} for row, word in zip(event_rows(FEW), VAGUE, strict=True)]
    claim = registry[request.param].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    return claim, load_tables(write(tmp_path, rows)), registry


def test_leave_one_out_is_the_whole_test_without_each_row(few):
    claim, tables, registry = few
    rows = tables.events[tables.events["date"] <= pd.Timestamp(FRAME.end)].index
    slow = [run_spec(claim.spec, replace(tables, events=tables.events.drop(row)), claim.rule).p_value for row in rows]
    assert evaluate(claim, tables, registry).finding("leave_one_out").p_value == pytest.approx(max(slow))


def test_date_shift_is_the_whole_test_on_every_combination_of_dates(few):
    claim, tables, registry = few
    moving = [i for i, word in enumerate(VAGUE) if word == "pm1"]
    slow = []
    for moves in product((-1, 0, 1), repeat=len(moving)):
        events = tables.events.copy()
        for row, days in zip(moving, moves, strict=True):
            events.loc[row, "date"] += pd.Timedelta(days, "D")
        slow.append(run_spec(claim.spec, replace(tables, events=events), claim.rule).p_value)
    found = evaluate(claim, tables, registry).finding("date_shift")
    assert found.p_value == pytest.approx(max(slow))
    assert "all 9 combinations" in found.method


# ---- what must change nothing, for every method at once --------------------------------------------------------------


def all_findings(claim, registry, folder, rows, knobs=None, **tables):
    """Every finding of a claim on these rows, by name, as plain values without notes (they may name dates)."""
    alone = claim.model_copy(update={"variations": (), "replications": (), "rivals": ()})
    study = evaluate(alone, load_tables(write(folder, rows, **tables)), registry, knobs=knobs)
    found = {f.quantity: {k: v for k, v in f.row().items() if k != "notes"} for f in study.now.findings}
    assert found
    assert study.primary.p_value is not None
    return found, study.now.inferential


def same(one, other, rel=1e-6) -> bool:
    return one.keys() == other.keys() and all(
        value == pytest.approx(other[name][key], rel=rel, nan_ok=True)
        if isinstance(value, float)
        else value == other[name][key]
        for name, row in one.items()
        for key, value in row.items()
    )


HISTORY = np.sort(np.concatenate([poisson_days(YEAR, 0.5, seed=12), FEW]))


@pytest.mark.parametrize("name", ["pause-2021", "gap-2021"])
@pytest.mark.parametrize("days", [-30, 1, 100])
def test_moving_all_dates_changes_no_finding(registry, tmp_path, name, days):
    claim = registry[name]
    short = Window(date(2021, 2, 1), date(2021, 8, 31))
    days_here = HISTORY[short.mask(HISTORY)]
    spans = {"window": claim.spec.window, "frame": claim.spec.frame, "placebo": short}
    results = []
    for k in (0, days):
        knobs = {f"{span}_{end}": day for span, w in spans.items() for end, day in moved(w, k).items()}
        rows = event_rows(days_here + np.timedelta64(k, "D"))
        there = {"windows": [window_row(WAR.shift(k))], "coverage": [coverage_row(short.shift(k))]}
        results.append(all_findings(claim, registry, tmp_path / str(k), rows, knobs, **there))
    (here, verdict_here), (there, verdict_there) = results
    assert same(here, there)
    assert verdict_here.step == verdict_there.step


@pytest.mark.parametrize(
    "how",
    ["another order", "more sources", "more weapons listed", "rows that do not count", "a coverage row cut in two"],
)
def test_no_finding_changes_with(registry, tmp_path, how):
    rows, tables = event_rows(HISTORY), {}
    other = {
        "another order": rows[::-1],
        "more sources": [row | {"sources": "https://example.org/a | https://example.org/b"} for row in rows],
        "more weapons listed": [row | {"weapons": "drone;rocket"} for row in rows],
        "rows that do not count": [*rows, event_row("2021-05-15", 999, weapons="rocket"), event_row("2022-01-05", 998)],
        "a coverage row cut in two": rows,
    }[how]
    if how == "a coverage row cut in two":
        tables = {
            "coverage": [
                coverage_row(Window(YEAR.start, WAR.start)),
                coverage_row(Window(WAR.shift(1).start, YEAR.end)),
            ]
        }
    here, verdict = all_findings(registry["pause-2021"], registry, tmp_path / "a", rows)
    there, verdict_there = all_findings(registry["pause-2021"], registry, tmp_path / "b", other, **tables)
    assert same(here, there)
    assert verdict == verdict_there


@pytest.mark.parametrize("place", [0, 10, 30, 53])
def test_a_day_that_nobody_watched_changes_no_finding(place):
    """One blind day put into the frame, later days and events moved on by one."""
    dates = np.concatenate([HISTORY[FRAME.mask(HISTORY)], [np.datetime64("2021-04-14")]])
    longer = Window(FRAME.start, FRAME.shift(1).end)
    cut = FRAME.calendar()[0] + np.timedelta64(place, "D")
    watched = np.ones(longer.days, dtype=bool)
    watched[place] = False
    late = lambda day: np.datetime64(day) >= cut  # noqa: E731
    war = Window(WAR.shift(int(late(WAR.start))).start, WAR.shift(int(late(WAR.end))).end)
    here = series_of(dates, np.ones(FRAME.days, dtype=bool), FRAME)
    there = series_of(dates + (dates >= cut), watched, longer)
    assert here.split(WAR) == there.split(war)
    for method in (
        longest_gap,
        running_gap,
        lambda s, w: nb_window(s, w, trend=False),
        lambda s, w: rate_ratio(*s.split(w)),
    ):
        one, other = method(here, WAR), method(there, war)
        assert (one.estimate, one.low, one.high, one.p_value, one.n, one.exposure) == pytest.approx(
            (other.estimate, other.low, other.high, other.p_value, other.n, other.exposure)
        )
    assert [f.estimate for f in dispersion(here)] == pytest.approx([f.estimate for f in dispersion(there)])


def test_other_wars_are_no_placebo_and_an_open_one_lasts_as_long_as_the_data(registry, tmp_path):
    def places(*wars):
        rows = [window_row(WAR)] + [window_row(w, name=f"w{i}") for i, w in enumerate(wars)]
        return all_findings(registry["pause-2021"], registry, tmp_path, event_rows(HISTORY), windows=rows)[0][
            "placebo_windows"
        ]["n"]

    autumn = Window(date(2021, 10, 1), date(2021, 12, 31))
    alone, closed = places(), places(autumn)
    open_row = [window_row(WAR), window_row(autumn, name="open") | {"end": ""}]
    still = all_findings(registry["pause-2021"], registry, tmp_path, event_rows(HISTORY), windows=open_row)[0]
    assert still["placebo_windows"]["n"] == closed == alone - autumn.days
    elsewhere = [window_row(WAR), window_row(autumn, theatre="yemen_gulf", name="other")]
    found = all_findings(registry["pause-2021"], registry, tmp_path, event_rows(HISTORY), windows=elsewhere)[0]
    assert found["placebo_windows"]["n"] == alone


def test_a_steady_history_without_any_chance_in_it_raises_no_warning(registry, tmp_path):
    """One attack a day: no gap differs from another, no day from the next."""
    found, verdict = all_findings(registry["pause-2021"], registry, tmp_path, event_rows(steady_days(YEAR)))
    assert found["rate_ratio"]["estimate"] == pytest.approx(1)
    assert verdict.verdict in ("contradicted", "not distinguishable")
    assert all_findings(registry["pause-2021"], registry, tmp_path, event_rows(without(steady_days(YEAR), WAR)))
