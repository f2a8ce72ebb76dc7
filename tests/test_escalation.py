"""Escalation: the claims on the bundled data, histories whose truth is known, the joint statement, the pictures."""

from dataclasses import replace
from datetime import date
from itertools import product

import numpy as np
import pytest
from scipy.special import ndtr
from worlds import YEAR, coverage_row, event_row, event_rows, steady_days, write

from analysis_lib import Finding, Series, Verdict, Window, evaluate, judge, load_tables, run_spec
from analysis_lib.design import Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.escalation import DESIGNS, Sample
from analysis_lib.gaps import scan
from analysis_lib.regression import THETAS, loglike, nb_slope
from analysis_lib.series import series_of
from analysis_lib.specs import take_sample
from analysis_lib.study import judgement
from analysis_lib.verdicts import _both

TESTED = ("drones-rise-2021", "drone-onset-april", "drones-replace-rockets", "vow-to-escalate", "surge-2023",
          "escalation-progress")  # fmt: skip
DESIGNED = [name for name in TESTED if name not in ("vow-to-escalate", "surge-2023")]
LATE = Window(date(2021, 4, 14), date(2021, 12, 31))
SPRING = Window(date(2021, 1, 1), date(2021, 8, 31))
SECOND_HALF = Window(date(2021, 7, 2), date(2021, 12, 31))


@pytest.fixture(scope="module")
def studies(tables, registry):
    """The claims of the family, evaluated once."""
    return {claim.id: evaluate(claim, tables, registry) for claim in registry.claims if claim.family == "escalation"}


# ---- the claims on the bundled data ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "now", "then", "headline", "why"),
    [
        ("drones-rise-2021", "contradicted", "contradicted", "contradicted", "one-sided 95 % limit, 1.91, excludes"),
        ("drone-onset-april", "supported", "supported", "supported", "every condition of the rule holds"),
        ("drones-replace-rockets", "not testable", "not testable", "not testable", "power at the effect"),
        ("vow-to-escalate", "not testable", "not testable", "not testable", "power at the effect"),
        ("surge-2023", "supported", "not testable", "supported", "every condition of the rule holds"),
        ("escalation-progress", "not distinguishable", "not distinguishable", "not distinguishable", "from chance"),
        ("moving-ship", "not testable", "not testable", "not testable", "recorded, not tested"),
        ("bigger-drones", "not testable", "not testable", "not testable", "recorded, not tested"),
    ],
)
def test_verdicts(studies, claim, now, then, headline, why):
    study = studies[claim]
    assert (study.now.inferential.verdict, study.publication.inferential.verdict) == (now, then)
    assert study.now.headline == headline
    assert why in study.now.inferential.reason


@pytest.mark.parametrize(
    ("claim", "estimate", "low", "high", "p", "n"),
    [
        ("drones-rise-2021", 1.15, 0.630, 2.11, 0.328, 11),
        ("drone-onset-april", np.inf, 5.73, np.inf, 0.0001, 4),
        ("drones-replace-rockets", 0.490, -0.346, 1.0, 0.125, 33),
        ("vow-to-escalate", 2.22, 0.767, 5.80, 0.0724, 22),
        ("surge-2023", 28.8, 11.5, 92.7, 8.9e-24, 53),
        ("escalation-progress", -0.218, -1.39, 1.13, 0.662, 9),
    ],
)
def test_primary_numbers(studies, claim, estimate, low, high, p, n):
    found = studies[claim].primary
    assert (found.estimate, found.low, found.high) == pytest.approx((estimate, low, high), rel=5e-3)
    assert found.p_value == pytest.approx(p, rel=0.01)
    assert found.n == n


@pytest.mark.parametrize("claim", TESTED)
def test_every_primary_is_complete(studies, claim):
    study = studies[claim]
    primary, rule = study.primary, study.claim.rule
    for name in ("estimate", "low", "high", "p_value", "p_two_sided", "attainable_p", "limit_low", "limit_high", "n",
                 "exposure"):  # fmt: skip
        assert getattr(primary, name) is not None, name
    assert (primary.power is None) == (rule.claimed_effect is None)
    assert primary.alternative == rule.direction == "greater"
    assert primary.attainable_p <= primary.p_value
    roles = [f.role for f in study.now.findings]
    assert roles[:2] == ["primary", "randomisation"]
    assert roles.count("leave_one_out") == roles.count("date_shift") == 1
    names = {f.quantity for f in study.now.findings if f.role in ("robustness", "randomisation")}
    assert {"growth_per_90_days" if name == "trend" else name for name in rule.robustness} <= names
    assert len({f.id for f in study.now.findings}) == len(study.now.findings)


def test_the_rise_since_january_is_the_first_use(studies):
    study = studies["drones-rise-2021"]
    rival = study.finding("growth_from_first_use")
    assert (rival.role, rival.n) == ("rival", 10)
    assert rival.estimate == pytest.approx(0.412, rel=5e-3)
    assert rival.p_value > 0.9
    assert studies["drone-onset-april"].finding("likeliest_break").method.endswith("2021-04-14")
    half = next(o for o in study.variations if o.label == "first half of the year")
    assert half.finding.p_value < 0.01  # a frame that ends at the peak rises


def test_2023_repeats_it_a_first_use_without_growth_after_it(studies):
    whole, after = studies["drones-rise-2021"].replications
    assert whole.finding.low > 2
    assert whole.verdict.verdict == "not distinguishable"
    assert "from a first use with no growth after it" in whole.verdict.reason
    assert after.verdict.verdict == "contradicted"
    assert {o.verdict.verdict for o in studies["escalation-progress"].replications} == {"contradicted"}


def test_the_joint_statement_names_both_parts(studies):
    study = studies["drones-replace-rockets"]
    total, rest, drones = (study.finding(name) for name in ("total_ratio", "ratio_without_drones", "ratio_of_drones"))
    assert (total.role, rest.role, drones.role) == ("joint", "rival", "shown")
    assert total.n == rest.n + drones.n == 33
    assert total.estimate == pytest.approx(10 / 182 / (23 / 183))
    assert "no change of the total is (total ratio 0.437" in study.now.inferential.reason


def test_the_onset_cannot_be_placed_in_a_short_frame(studies):
    by_label = {o.label: o.verdict for o in studies["drone-onset-april"].variations}
    for label in ("frame from 1 January", "April 2021"):  # a break anywhere ties with one window in twenty and more
        assert by_label[label].verdict == "not testable"
        assert "smallest p that this design can reach" in by_label[label].reason
    assert studies["drone-onset-april"].now.literal.verdict == "supported"


def test_the_wave_was_not_yet_observed_when_the_text_appeared(studies):
    reason = studies["surge-2023"].publication.inferential.reason
    assert reason == "not yet observed: the window starts on 2023-10-20, after 2023-10-19"


def test_a_documentary_claim_shows_its_sources(studies):
    for claim in ("moving-ship", "bigger-drones"):
        facts = studies[claim].now.facts
        assert facts
        assert all(f.sources and not f.fact.required for f in facts)


@pytest.mark.parametrize("claim", DESIGNED)
def test_the_fast_path_is_the_primary_test(registry, tables, claim):
    spec = registry[claim].with_knobs({"date_precision": "day"})  # then no date may move
    found = judgement(registry[claim], spec, tables, None, 1).findings
    primary, shifted = (next(f for f in found if f.role == role) for role in ("primary", "date_shift"))
    assert shifted.p_value == pytest.approx(primary.p_value, abs=1e-9)


# ---- histories whose truth is known ----------------------------------------------------------------------------------


def grown(n: int, per_90_days: float, span: Window = YEAR) -> np.ndarray:
    """n days at the quantiles of exponential growth: no chance in it."""
    c = np.log(per_90_days) * span.days / 90
    share = np.log1p((np.arange(n) + 0.5) / n * np.expm1(c)) / c
    return span.calendar()[(share * span.days).astype(int)]


def judged(tmp_path, registry, claim, rows, coverage=None, **knobs):
    tables = load_tables(write(tmp_path, rows, coverage=coverage or [coverage_row()]))
    return judgement(registry[claim], registry[claim].with_knobs(knobs), tables, None, 1)


def named(found, quantity):
    return next(f for f in found.findings if f.quantity == quantity)


def test_growth_that_goes_on_after_the_first_use_is_supported(tmp_path, registry):
    found = judged(tmp_path, registry, "drones-rise-2021", event_rows(grown(90, 4.0)))
    assert found.inferential.verdict == "supported"
    assert found.findings[0].low < 4 < found.findings[0].high


def test_a_first_use_without_growth_is_no_growth(tmp_path, registry):
    rows = event_rows(steady_days(LATE, every=2))
    found = judged(tmp_path, registry, "drones-rise-2021", rows, frame_end="2021-06-30").inferential
    assert found.verdict == "not distinguishable"
    assert found.reason.startswith("from a first use with no growth after it")


@pytest.mark.parametrize("per_90_days", [1.001, 0.4])
def test_no_growth_and_decline_contradict(tmp_path, registry, per_90_days):
    found = judged(tmp_path, registry, "drones-rise-2021", event_rows(grown(90, per_90_days))).inferential
    assert found.verdict == "contradicted"
    assert ("opposite to the claim" in found.reason) == (per_90_days < 1)


def test_gaps_that_shrink_are_found_and_gaps_that_do_not_are_not(tmp_path, registry):
    sooner = YEAR.calendar()[5] + np.cumsum(np.append(0, np.round(60 / np.arange(1, 26)))).astype(int)
    rows, claim = event_rows(sooner), "escalation-progress"
    found = judged(tmp_path / "sooner", registry, claim, rows, frame_end=sooner[-1].item())
    assert found.inferential.verdict == "supported"
    assert found.findings[0].estimate == pytest.approx(1.0, abs=0.1)
    same = judged(tmp_path / "same", registry, claim, event_rows(steady_days(YEAR, every=6)))
    assert same.inferential.verdict == "contradicted"


def test_no_break_in_the_window_is_no_significant_fall(tmp_path, registry):
    """The window is seldom the best place for a rise: a p near 1 says nothing of a fall, which is time backwards."""
    steady = named(judged(tmp_path / "steady", registry, "drone-onset-april", event_rows(steady_days(SPRING, every=6)),
                          frame_start=SPRING.start, frame_end=SPRING.end), "change_point")  # fmt: skip
    assert steady.p_value > 0.9
    assert steady.p_two_sided > 0.5
    fall = event_rows(steady_days(Window(SPRING.start, date(2021, 4, 14)), every=6))
    found = judged(tmp_path / "fall", registry, "drone-onset-april", fall, frame_start=SPRING.start,
                   frame_end=SPRING.end)  # fmt: skip
    assert named(found, "change_point").p_two_sided <= 0.01
    assert found.inferential.verdict == "contradicted"


def test_the_two_sided_p_of_a_break_keeps_its_size(registry):
    claim, days, rng = registry["drone-onset-april"], YEAR.calendar(), np.random.default_rng(4)
    spec, small = claim.with_knobs({"draws": 199}), []
    for _ in range(200):
        at = np.sort(rng.integers(0, days.size, 15))
        sample = Sample(None, None, None, YEAR, None, days, at, np.ones(15), np.arange(100, 110))
        small.append(DESIGNS["change_point"].primary(sample, spec, claim.rule, 1).p_two_sided <= 0.05)
    assert np.mean(small) <= 0.08


def test_ties_with_the_earliest_days_count_in_the_two_sided_p(registry, tables):
    """Of 35 choices of three days among seven the earliest and the latest are as far from the middle as can be."""
    claim, counts = registry["drones-rise-2021"], np.bincount([1, 2, 3], minlength=9)
    series = Series(YEAR.calendar()[:9], counts, np.ones(9, dtype=bool))
    sample = replace(take_sample(claim.spec, tables), tested=series, days=series.event_days)
    found = DESIGNS["trend"].randomisation(sample, claim.spec, claim.rule, 1)
    assert found.estimate < 0
    assert found.p_two_sided == pytest.approx(2 / 35, abs=0.01)


LONG = [coverage_row(Window(date(2020, 1, 1), date(2021, 12, 31)))]


@pytest.mark.parametrize(("start", "expected"), [("2021-04-14", "supported"), ("2021-02-20", "not distinguishable")])
def test_an_onset_is_found_in_its_own_window_alone(tmp_path, registry, start, expected):
    span = Window(date.fromisoformat(start), date(2021, 6, 6))
    found = judged(tmp_path, registry, "drone-onset-april", event_rows(steady_days(span, every=4)), LONG)
    assert found.inferential.verdict == expected
    assert named(found, "likeliest_break").method.endswith(start)


def weapons_rows(drones: np.ndarray, rockets: np.ndarray) -> list[dict[str, str]]:
    days = [*product(drones, ["drone"]), *product(rockets, ["rocket"])]
    return [event_row(str(day), n, weapons=weapon) for n, (day, weapon) in enumerate(days, 1)]


FIRST_HALF = Window(date(2021, 1, 1), date(2021, 7, 1))


@pytest.mark.parametrize(
    ("drones", "rockets", "expected", "why"),
    [
        (steady_days(SECOND_HALF, every=5), steady_days(FIRST_HALF, every=5), "supported", "inside the margin"),
        (steady_days(SECOND_HALF, every=2), steady_days(YEAR, every=5), "contradicted", "exceeds the margin"),
        (steady_days(FIRST_HALF, every=5), steady_days(SECOND_HALF, every=5), "contradicted", "opposite to the claim"),
        (
            np.concatenate([steady_days(FIRST_HALF, every=6, phase=2), steady_days(SECOND_HALF, per_day=3, every=6)]),
            steady_days(FIRST_HALF, per_day=2, every=6),
            "supported",
            "inside the margin",
        ),
    ],
)
def test_replacement_is_more_drones_fewer_rockets_same_total(tmp_path, registry, drones, rockets, expected, why):
    found = judged(tmp_path, registry, "drones-replace-rockets", weapons_rows(drones, rockets)).inferential
    assert found.verdict == expected
    assert why in found.reason


def test_drones_on_top_of_rockets_are_no_replacement(tmp_path, registry):
    """The share rises and the total stays within a factor of two, yet the rockets go on."""
    rows = weapons_rows(steady_days(SECOND_HALF, every=5), steady_days(YEAR, every=3))
    found = judged(tmp_path, registry, "drones-replace-rockets", rows).inferential
    assert found.verdict == "not distinguishable"
    assert "from drones that came on top of other attacks" in found.reason


# ---- what cannot be run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", DESIGNED)
def test_what_is_not_yet_observed_is_said(registry, tables, claim):
    with pytest.raises(InputMissing, match="not yet observed"):
        take_sample(registry[claim].spec, tables, date(2019, 12, 1))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"weapons": "mortar", "theatres": "jordan"}, "no row of events.csv matches"),
        ({"frame_start": "2021-04-01", "frame_end": "2021-04-20"}, "too few watched days"),
        ({"theatres": "israel_gaza", "sites": "any"}, "too few watched days"),
    ],
)
def test_what_cannot_be_met_is_refused(registry, tables, knobs, words):
    with pytest.raises(BadInput, match=words):
        take_sample(registry["drones-rise-2021"].with_knobs(knobs), tables)


@pytest.mark.parametrize("claim", DESIGNED)
def test_one_attack_is_not_testable(tmp_path, registry, claim):
    found = judged(tmp_path, registry, claim, event_rows([np.datetime64("2021-04-14")]), LONG)
    assert found.inferential.verdict == "not testable"


# ---- the joint rule, the scan, the slope -----------------------------------------------------------------------------

TOTAL = Finding("total_ratio", "", role="joint", estimate=1.0, limit_low=0.7, limit_high=1.4, power=0.9)


@pytest.mark.parametrize(
    ("first", "changes", "expected"),
    [
        ("supported", {}, "supported"),
        ("supported", {"limit_high": 2.3}, "not distinguishable"),
        ("supported", {"power": 0.2}, "not testable"),
        ("supported", {"limit_low": 2.1, "limit_high": 3.0}, "contradicted"),
        ("contradicted", {}, "contradicted"),
        ("contradicted", {"power": 0.2}, "contradicted"),
        ("not distinguishable", {}, "not distinguishable"),
        ("not testable", {"limit_high": 2.3}, "not testable"),
        ("not testable", {"limit_low": 2.1, "limit_high": 3.0}, "contradicted"),
    ],
)
def test_a_joint_statement_needs_both_parts(registry, first, changes, expected):
    rule = registry["drones-replace-rockets"].rule
    both = _both(Verdict(first, "the reason"), replace(TOTAL, **changes), rule)
    assert both.verdict == expected
    assert f"the change is {first}, the reason" in both.reason


def test_a_narrower_margin_is_part_of_the_rule(registry):
    claim = registry["drones-replace-rockets"]
    narrow = claim.rule.model_copy(update={"margin": 1.2})
    assert _both(Verdict("supported", "x"), TOTAL, claim.rule).verdict == "supported"
    assert _both(Verdict("supported", "x"), TOTAL, narrow).verdict == "not distinguishable"


def test_judge_reads_the_joint_finding(registry):
    claim = registry["drones-replace-rockets"]
    primary = Finding("share_rise", "", role="primary", reason="no attack")
    assert judge(claim, [primary, TOTAL]).verdict == "not testable"
    assert judge(claim, [primary, replace(TOTAL, limit_low=3.0, limit_high=4.0)]).verdict == "contradicted"


def few(days, total, window=(0, 4)):
    first = YEAR.calendar()[0]
    frame = Window(date(2021, 1, 1), (first + np.timedelta64(total - 1, "D")).item())
    series = series_of(first + np.asarray(days, dtype="timedelta64[D]"), np.ones(total, dtype=bool), frame)
    return series, Window(*((first + np.timedelta64(day, "D")).item() for day in (window[0], window[1] - 1)))


def test_the_scan_is_the_fullest_window_of_uniform_events():
    series, window = few([0, 1, 3, 8], 10)
    most = [max(sum(a <= d < a + 4 for d in days) for a in range(10)) for days in product(range(10), repeat=4)]
    found = scan(series, window, seed=1, draws=40_000)
    assert found.estimate == 3
    assert found.p_value == pytest.approx(np.mean(np.array(most) >= 3), abs=0.01)
    assert found.null_value == pytest.approx(np.mean(most), abs=0.02)
    assert (found.agrees, found.alternative) == (True, "greater")


def test_the_scan_pays_for_having_chosen_the_window():
    series, window = few([0, 1, 2, 3, 20, 60, 70, 90], 100)
    assert scan(series, window, seed=1).p_value > 10 * 4e-4  # the window alone: P(at least 4 of 8 in 4 of 100 days)
    assert scan(*few([], 10), seed=1).reason == "no event in the frame"
    blind = replace(series, observed=~window.mask(series.days))
    assert scan(blind, window).reason == "no observed day in the window"


def test_the_slope_is_a_likelihood_ratio_of_a_regression_on_the_date():
    days = np.arange(0, 270, 27)  # ten events: theta cannot be estimated, the largest p of the grid is given
    series = Series(YEAR.calendar()[:270], np.bincount(days**2 // 270 + 20, minlength=270), np.ones(270, dtype=bool))
    found, t = nb_slope(series), np.arange(270) / 90
    roots = {}
    for theta in THETAS:
        full, coef = loglike(series.counts, np.column_stack([np.ones(270), t]), theta)
        null, _ = loglike(series.counts, np.ones((270, 1)), theta)
        roots[theta] = (np.sign(coef[1]) * np.sqrt(2 * (full - null)), np.exp(coef[1]))
    worst, ratio = min(roots.values())
    assert (found.p_value, found.estimate) == pytest.approx((ndtr(-worst), ratio), rel=1e-6)
    assert found.low < found.estimate < found.high
    back = nb_slope(replace(series, counts=series.counts[::-1]))
    assert back.estimate == pytest.approx(1 / found.estimate, rel=0.2)


def test_the_slope_starts_with_the_first_watched_day():
    counts = np.bincount(np.arange(30, 120, 4), minlength=120)
    late = Series(YEAR.calendar()[:120], counts, np.arange(120) >= 30)
    alone = Series(late.days[30:], counts[30:], late.observed[30:])
    assert nb_slope(late) == nb_slope(alone)
    assert nb_slope(late).p_value is not None


def test_a_value_beside_its_null_is_add_one_where_drawn_and_exact_where_all_are_there():
    null = Null(np.array([1.0, 2, 2, 5]), 2.0, "")
    drawn, exact = null.finding("q", "m"), null.finding("q", "m", "less", own=0, n=7)
    assert (drawn.p_value, drawn.p_two_sided, drawn.attainable_p, drawn.n) == pytest.approx((4 / 5, 1, 1 / 5, 4))
    assert (exact.p_value, exact.p_two_sided, exact.attainable_p, exact.n) == pytest.approx((3 / 4, 1, 1 / 4, 7))


@pytest.mark.parametrize("claim", DESIGNED)
def test_the_same_seed_gives_the_same_finding(registry, tables, claim):
    spec, rule = registry[claim].spec, registry[claim].rule
    assert run_spec(spec, tables, rule, seed=3).row() == run_spec(spec, tables, rule, seed=3).row()


@pytest.mark.parametrize("claim", [*TESTED, "moving-ship", "bigger-drones"])
def test_pictures_degrade_to_a_sentence(studies, claim):
    import matplotlib.pyplot as plt

    from analysis_lib.figures_families import added_up, gaps_in_order

    for picture in (added_up, gaps_in_order):
        figure = picture(studies[claim])
        texts = [text.get_text() for text in figure.axes[0].texts]
        drawn = bool(figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel())
        assert drawn != any(text.startswith("Nothing to draw: ") for text in texts)
        assert drawn == (claim in TESTED)
        plt.close(figure)


def test_the_curve_ends_at_the_number_of_attacks(studies):
    import matplotlib.pyplot as plt

    from analysis_lib.figures_families import added_up

    figure = added_up(studies["drones-replace-rockets"])
    lines = figure.axes[0].lines
    ends = {line.get_label(): line.get_ydata()[-1] for line in lines if not line.get_label().startswith("_")}
    assert ends == {"all counted": 33, "with a drone": 11, "without a drone": 22}
    plt.close(figure)
