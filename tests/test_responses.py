"""Claims on answers: the days compared, planted truths, peaks without an answer, the claims on the bundled data."""

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from worlds import coverage_row, event_rows, window_row, write

from analysis_lib import Window, evaluate, load_tables
from analysis_lib.answers import PAST, PEAKS, Sample, forecast, interrupted_series, matched_days, matched_peaks
from analysis_lib.errors import BadInput
from analysis_lib.hawkes import simulate
from analysis_lib.responses import DESIGNS, compared_days, lag_scan, single_case, triggers, waiting_time
from analysis_lib.series import Series, sum_before

SPAN = Window(date(2020, 1, 1), date(2021, 12, 31))
DAYS = SPAN.calendar()
KNOBS = {
    "theatres": ["iraq"], "trigger_theatres": ["iraq"], "frame_start": "2020-02-01", "frame_end": "2021-12-31",
    "draws": 999,
}  # fmt: skip


def day(number: int) -> date:
    return SPAN.start + timedelta(int(number))


def strike(number: int, days: int = 1, kind: str = "us_strike", name: str | None = None) -> dict[str, str]:
    span = Window(day(number), day(number + days - 1))
    return window_row(span, kind=kind, theatre="iraq", name=name or f"{kind}-{number}")


def world(folder, counts, strikes, **cells):
    """A watched data folder with so many attacks on each day of `SPAN`, and strikes on these days."""
    rows = event_rows(np.repeat(DAYS, counts), **cells)
    return load_tables(write(folder, rows, [strike(n) for n in strikes], [coverage_row(SPAN)]))


def study(registry, tables, **knobs):
    return evaluate(registry["passivity"], tables, registry, knobs=KNOBS | knobs)


# ---- which days are compared -----------------------------------------------------------------------------------------


def sides(responses, horizon, blind=(), length=20):
    series = Series(DAYS[:length], np.zeros(length, dtype=int), ~np.isin(np.arange(length), blind))
    return compared_days(tuple(Window(day(a), day(b)) for a, b in responses), series, series.observed, horizon).tolist()


def test_days_on_both_sides_without_those_of_the_response():
    assert sides([(5, 6)], 3) == [-1, -1, 0, 0, 0, -1, -1, 1, 1, 1, *[-1] * 10]


def test_both_sides_have_as_many_days_the_nearest_ones():
    assert sides([(2, 2)], 4, length=8) == [0, 0, -1, 1, 1, -1, -1, -1]
    assert sides([(5, 5)], 4, blind=(4, 7), length=12) == [-1, 0, 0, 0, -1, -1, 1, -1, 1, 1, -1, -1]


def test_days_between_two_responses_are_split_and_none_counts_twice():
    assert sides([(4, 4), (9, 9)], 4, length=14) == [-1, -1, 0, 0, -1, 1, 1, 2, 2, -1, 3, 3, -1, -1]
    assert sides([(4, 4), (6, 6)], 4, length=11) == [-1] * 11  # one day between them is nobody's


def test_adjacent_windows_are_one_response_and_a_long_one_is_its_first_day(tmp_path, registry):
    rows = [strike(9), strike(10, 2), strike(13), strike(30, 40), strike(90, name="another"), strike(95, kind="truce")]
    tables = load_tables(write(tmp_path, event_rows(DAYS[:3]), rows, [coverage_row(SPAN)]))
    spec = registry["passivity"].with_knobs(KNOBS)
    found = triggers(tables, spec)
    assert [(w.start, w.days) for w in found] == [(day(9), 3), (day(13), 1), (day(30), 1), (day(90), 1)]
    only = registry["passivity"].with_knobs(KNOBS | {"trigger_ids": ["another"]})
    assert triggers(tables, only) == found[-1:]


# ---- planted truths --------------------------------------------------------------------------------------------------


STRIKES = range(60, 700, 45)


def history(seed, after=1.0, rate=0.9):
    """Poisson attacks, `after` times as many in the 14 days that follow a strike."""
    near = np.zeros(DAYS.size, dtype=bool)
    for n in STRIKES:
        near[n + 1 : n + 15] = True
    return np.random.default_rng(seed).poisson(np.where(near, after, 1.0) * rate)


def test_attacks_that_fall_after_every_strike_support_the_claim(tmp_path, registry):
    found = study(registry, world(tmp_path, history(1, after=0.2), STRIKES))
    assert (found.now.inferential.verdict, found.now.inferential.step) == ("supported", 4)
    assert found.finding("answer_ratio").estimate == pytest.approx(0.2, abs=0.1)
    assert all(f.agrees for f in found.now.findings if f.role in ("robustness", "randomisation", "rival"))


def test_attacks_that_stop_after_every_strike_support_it_too(tmp_path, registry):
    """The strongest effect leaves one side of the regressions empty; that must not count against it."""
    found = study(registry, world(tmp_path, history(7, after=0.0), STRIKES))
    assert (found.now.inferential.verdict, found.primary.estimate) == ("supported", 0.0)
    assert {f.estimate for f in found.now.findings if f.role in ("robustness", "randomisation", "rival")} == {0.0}


def test_attacks_that_rise_after_every_strike_contradict_it(tmp_path, registry):
    found = study(registry, world(tmp_path, history(2, after=3.0, rate=0.5), STRIKES))
    assert (found.now.inferential.verdict, found.now.inferential.step) == ("contradicted", 2)


def test_no_effect_is_not_support(tmp_path, registry):
    found = study(registry, world(tmp_path, history(3), STRIKES))
    assert found.now.inferential.verdict in ("contradicted", "not distinguishable")
    assert found.finding("matched_peaks").p_value > 0.05


def bursts(seed):
    """Attacks that excite further ones, and strikes at peaks that do nothing: a Hawkes process, threshold 6 a week."""
    rng = np.random.default_rng(seed)
    [times] = simulate(np.array([0.06]), np.array([[0.12]]), 0.15, float(DAYS.size), rng)
    counts = np.bincount(times.astype(int), minlength=DAYS.size)[: DAYS.size]
    week, strikes = sum_before(counts, 7), [0]
    for n in range(40, DAYS.size - 20):
        if week[n] >= 6 and n - strikes[-1] > 20 and rng.random() < 0.5:
            strikes.append(n)
    return counts, strikes[1:]


def test_a_fall_after_peaks_is_not_taken_for_an_effect(registry):
    """The central bias: over many histories without any effect the raw ratio and the level change find one too often.

    Peaks without a strike fall as much, and a forecast from the history foresees the fall.
    """
    claim, found = registry["passivity"], []
    for seed in range(60):
        counts, strikes = bursts(seed)
        if len(strikes) >= 6:
            sample = taken(counts, strikes)
            tests = (DESIGNS["event_study"].primary, interrupted_series, matched_peaks, forecast)
            spec = claim.spec.model_copy(update={"draws": 199})
            found.append([test(sample, spec, claim.rule, seed).p_value or 1.0 for test in tests])
    raw, level, matched, foreseen = (np.array(found) <= 0.05).mean(axis=0)
    assert len(found) >= 25
    assert raw > 0.05
    assert level > 0.5
    assert matched <= 0.05
    assert foreseen <= 0.1


def taken(counts, strikes):
    """The sample of these counts without a data folder; everything was watched, no casualties."""
    days = np.arange(DAYS.size)
    responses = tuple(Window(day(n), day(n)) for n in strikes)
    series, usable = Series(DAYS, counts, days >= 0), days >= 31
    past = np.column_stack([*(sum_before(counts, k) for k in PAST), 0 * days])
    side, hit = compared_days(responses, series, usable, 14), np.isin(days, strikes)
    past = np.where((days >= PAST[-1])[:, None], past, np.nan)
    return Sample(None, Window(day(31), SPAN.end), series, responses, side, hit, usable, usable & ~hit, past)


def test_days_before_anybody_watched_are_no_quiet_days_of_the_forecast(registry):
    counts, strikes = bursts(3)
    whole, claim = taken(counts, strikes), registry["passivity"]
    series = Series(SPAN.calendar(), counts, np.arange(DAYS.size) >= 25)
    blind = replace(whole, series=series)
    late = replace(
        whole, series=Series(series.days[25:], counts[25:], series.observed[25:]),
        **{name: getattr(whole, name)[25:] for name in ("side", "answered", "usable", "quiet", "past")},
    )  # fmt: skip
    spec = claim.spec.model_copy(update={"draws": 99})
    one, other = (forecast(sample, spec, claim.rule, 1) for sample in (blind, late))
    assert one == other


def test_the_shortcut_of_these_tests_is_the_sample_of_the_design(tmp_path, registry):
    counts, strikes = bursts(3)
    spec = registry["passivity"].with_knobs(KNOBS)
    real, short = DESIGNS["event_study"].sample(spec, world(tmp_path, counts, strikes)), taken(counts, strikes)
    assert real.pairs.tolist() == short.pairs.tolist()
    offset = int((real.series.days[0] - DAYS[0]).astype(int))
    for i in range(len(strikes)):
        assert (matched_days(real, i) + offset).tolist() == matched_days(short, i).tolist()


def test_matched_peaks_share_history_and_casualties_and_keep_clear_of_responses(tmp_path, registry):
    counts, strikes = bursts(5)
    spec = registry["passivity"].with_knobs(KNOBS | {"horizon_days": 7})
    sample = DESIGNS["event_study"].sample(spec, world(tmp_path, counts, strikes))
    assert sum(matched_days(sample, i).size for i in range(len(strikes))) > 20
    for i, response in enumerate(sample.responses):
        at = int((np.datetime64(response.start) - sample.series.days[0]).astype(int))
        chosen = matched_days(sample, i)
        assert chosen.size <= PEAKS
        for d in chosen:
            assert not sample.answered[d - 7 : d + 8].any()
            for k, column in ((7, 0), (14, 1), (28, 2)):
                assert sample.past[d, column] == sample.series.counts[d - k : d].sum()
                assert abs(np.sqrt(sample.past[d, column]) - np.sqrt(sample.past[at, column])) <= 1
            assert sample.past[d, 3] == sample.past[at, 3]


def test_casualties_of_the_week_before_are_flagged(tmp_path, registry):
    tables = world(tmp_path, np.ones(DAYS.size, dtype=int), [100], wounded="1")
    spec = registry["passivity"].with_knobs(KNOBS)
    assert DESIGNS["event_study"].sample(spec, tables).past[60, 3] == 1
    none = world(tmp_path / "none", np.ones(DAYS.size, dtype=int), [100], killed="0")
    assert DESIGNS["event_study"].sample(spec, none).past[60, 3] == 0


def test_shifting_all_dates_changes_nothing(tmp_path, registry):
    def key(tables, shift):
        frame = {"frame_start": str(day(30 + shift)), "frame_end": str(day(600 + shift))}
        spec = registry["passivity"].with_knobs(KNOBS | frame)
        design, rule = DESIGNS["event_study"], registry["passivity"].rule
        sample = design.sample(spec, tables)
        tests = (design.primary, *design.robustness.values())
        found = [*(test(sample, spec, rule, 1) for test in tests), *design.sensitivity(sample, spec, rule, 1)]
        return [(f.quantity, f.estimate, f.p_value) for f in found]

    counts = history(5)
    counts[650:] = 0
    strikes = [n for n in STRIKES if n < 550]
    first = key(world(tmp_path / "a", counts, strikes), 0)
    assert key(world(tmp_path / "b", np.roll(counts, 35), [n + 35 for n in strikes]), 35) == first


@pytest.mark.parametrize(
    ("strikes", "words"),
    [([], "windows.csv has no us_strike"), ([100, 200, 300, 400], "5 are needed"), ([100], "5 are needed")],
)
def test_few_answers_are_not_testable(tmp_path, registry, strikes, words):
    rows = [strike(n) for n in strikes] or [strike(5, kind="war")]
    tables = load_tables(write(tmp_path, event_rows(np.repeat(DAYS, history(6))), rows, [coverage_row(SPAN)]))
    found = evaluate(registry["passivity"], tables, registry, knobs=KNOBS)
    assert found.now.inferential.verdict == "not testable"
    assert words in found.now.inferential.reason


@pytest.mark.parametrize("knobs", [{"horizon_days": None}, {"trigger_kind": None}])
def test_a_specification_without_its_knobs_is_bad_input(registry, tables, knobs):
    with pytest.raises(BadInput, match="event_study"):
        evaluate(registry["passivity"], tables, registry, knobs=knobs)


def test_without_any_attack_nothing_can_be_tested(registry, tables):
    found = evaluate(registry["passivity"], tables, registry, knobs={"weapons": ["artillery"]})
    assert found.now.inferential.verdict == "not testable"
    assert found.primary.n == 0


def test_a_frame_that_has_not_begun_is_not_yet_observed(registry, tables):
    found = evaluate(registry["passivity"], tables, registry, as_of=date(2020, 12, 1))
    assert "not yet observed" in found.now.inferential.reason


# ---- one attack and one strike ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attacks", "after", "some"), [(1, 0.019, 0.43), (2, 0.038, 0.67), (4, 0.074, 0.89)])
def test_the_worked_chances_of_a_single_case(attacks, after, some):
    before, follow, pair = (f.estimate for f in single_case(29, attacks, 365, 7))
    assert before == pytest.approx(0.43, abs=5e-3)
    assert follow == pytest.approx(after, abs=6e-4)
    assert pair == pytest.approx(some, abs=6e-3)
    assert single_case(8, attacks, 365, 7)[0].estimate == pytest.approx(0.14, abs=5e-3)


def linked(attacks, strikes, days=40):
    """What the tests of retaliation ask of a sample: attacks and strikes on the days that count."""
    y, driver = (np.bincount(list(when), minlength=days) for when in (attacks, strikes))
    return SimpleNamespace(driver=driver, clock=lambda *more: [y, *more])


def test_waiting_times_are_those_of_a_loop_over_all_shifts(registry):
    claim = registry["palmyra-retaliation"]
    sample = linked([5, 6, 20, 33], [3, 18, 31])
    attack_days = [5, 6, 20, 33]

    def mean_wait(strikes):
        return np.mean([min((a - s) % 40 for a in attack_days) for s in strikes])

    null = [mean_wait([(s + shift) % 40 for s in (3, 18, 31)]) for shift in range(40)]
    found = waiting_time(sample, claim.spec, claim.rule, 0)
    assert found.estimate == pytest.approx(np.mean(null) / 2)
    assert found.p_value == pytest.approx(np.mean([n <= 2 + 1e-9 for n in null]))
    assert found.agrees


def test_the_lag_scan_names_the_lag(registry):
    claim = registry["palmyra-retaliation"]
    strikes = np.array([4, 31, 60, 99, 150, 171, 230, 260])
    found = lag_scan(linked(strikes + 6, strikes, 300), claim.spec, claim.rule, 1)
    assert found.notes == ("lag 6 days",)
    assert found.p_value == pytest.approx(15 / 300)  # fifteen lags were looked at
    assert waiting_time(linked([], [3]), claim.spec, claim.rule, 0).p_value is None


# ---- the claims on the bundled data ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "now", "why", "then"),
    [
        ("truce-2020", "not distinguishable", "randomisation p = 0.113", "not distinguishable"),
        ("resumption-2021", "not testable", "power at the effect that the claim states is 0.113", "not testable"),
        ("passivity", "contradicted", "limit, 0.79, excludes the smallest effect of interest, 0.5", "not testable"),
        ("palmyra-retaliation", "not testable", "power at the effect that the claim states", "not testable"),
        ("election-pressure", "not testable", "power at the effect that the claim states is 0.0921", "not testable"),
        ("arrests-reversed", "not testable", "a dated statement", "not testable"),
    ],
)
def test_verdicts_now_and_as_of_publication(registry, tables, claim, now, why, then):
    found = evaluate(registry[claim], tables, registry)
    assert (found.now.inferential.verdict, found.publication.inferential.verdict) == (now, then)
    assert why in found.now.inferential.reason
    assert found.now.headline == now


def test_passivity_as_of_publication_knows_one_answer_which_the_text_leaves_out(registry, tables):
    found = evaluate(registry["passivity"], tables, registry)
    assert "1 of 1 responses have a matched peak" in found.publication.inferential.reason
    assert found.publication.literal.verdict == found.now.literal.verdict == "supported"
    left_out = next(f for f in found.now.facts if f.fact.field == "US strike earlier in 2021")
    assert (left_out.coded, left_out.fact.required) == (date(2021, 2, 25), False)
    assert found.finding("response_2021-02-25").notes == ("3 before, 1 after, 14 days each",)


def test_passivity_shows_that_peaks_without_an_answer_fall_too(registry, tables):
    found = evaluate(registry["passivity"], tables, registry)
    at_peaks = float(found.finding("matched_peaks").notes[0].split(", ")[1].split()[0])
    assert at_peaks < 0.8 < found.finding("answer_ratio").estimate
    assert found.now.sample.pairs.sum() == found.finding("answer_ratio").n == 105


def test_the_single_case_of_palmyra_is_shown_beside_the_series(registry, tables):
    found = evaluate(registry["palmyra-retaliation"], tables, registry)
    assert found.finding("strike_before").estimate == pytest.approx(1 - np.exp(-7 * 23 / 365))
    assert found.finding("any_pair").estimate > 0.9
    assert [f.quantity for f in found.now.findings if f.role == "robustness"] == [
        "waiting_time", "lag_scan", "nb_autoregression",
    ]  # fmt: skip


def test_no_share_of_arrests_is_given_from_one_case(registry, tables):
    found = evaluate(registry["arrests-reversed"], tables, registry)
    assert found.now.literal.verdict == "not testable"
    assert "not known (no value is coded)" in found.now.literal.reason
