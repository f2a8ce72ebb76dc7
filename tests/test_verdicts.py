"""The rule: `judge` as a pure function, step by step; then histories whose truth is known, through all of it."""

import json
from dataclasses import replace
from datetime import date
from itertools import permutations

import numpy as np
import pytest
from worlds import (
    FRAME,
    WAR,
    YEAR,
    coverage_row,
    event_rows,
    moved,
    poisson_days,
    salvo_days,
    steady_days,
    without,
    write,
)  # fmt: skip

from analysis_lib import Finding, Verdict, Window, evaluate, judge, load_tables
from analysis_lib.claims import Fact
from analysis_lib.errors import BadInput
from analysis_lib.facts import FactCheck
from analysis_lib.verdicts import headline, literal_verdict, needs_robustness

# ---- judge: findings that support, and each single change that does not ----------------------------------------------

SUPPORT = {
    "primary": Finding("rate_ratio", "exact", role="primary", estimate=0.1, low=0.01, high=0.4, p_value=0.001,
                       p_two_sided=0.002, attainable_p=1e-6, power=0.99, alternative="less", limit_low=0.02,
                       limit_high=0.35, n=60),
    "randomisation": Finding("placebo_windows", "placebo", role="randomisation", estimate=1.0, null_value=8.0,
                             p_value=0.02, p_two_sided=0.04, attainable_p=0.01, alternative="less"),
    "trend": Finding("nb_trend", "nb", role="robustness", estimate=0.2, p_value=0.03, alternative="less"),
    "gap": Finding("longest_gap", "gaps", role="robustness", estimate=9.0, null_value=4.0, p_value=0.06,
                   alternative="greater"),
    "one_out": Finding("leave_one_out", "loo", role="leave_one_out", p_value=0.004, alternative="less"),
    "shifted": Finding("date_shift", "shift", role="date_shift", p_value=0.005, alternative="less"),
}  # fmt: skip


@pytest.fixture
def claim(registry):
    """pause-2021: difference, less, alpha 0.05, SESOI 0.5, power 0.5, three robustness methods."""
    return registry["pause-2021"]


def verdict_of(claim, **changes):
    """The verdict on the supporting findings with some fields replaced; None leaves a finding out."""
    findings = {
        name: changes.get(name, {}) is not None and replace(found, **(changes.get(name) or {}))
        for name, found in SUPPORT.items()
    }
    return judge(claim, [f for f in findings.values() if f])


def test_the_rule_of_the_pause_claims(claim):
    rule = claim.rule
    assert (rule.form, rule.direction, rule.alpha, rule.sesoi, rule.power) == ("difference", "less", 0.05, 0.5, 0.5)
    assert (rule.claimed_effect, rule.robustness) == (0.0, ("nb_trend", "placebo_windows", "longest_gap"))


def test_step_4_supported_when_every_condition_holds(claim):
    found = verdict_of(claim)
    assert (found.verdict, found.step) == ("supported", 4)
    assert "rate ratio 0.1" in found.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"primary": None}, "primary test: not computed"),
        ({"randomisation": None}, "randomisation: not computed"),
        ({"primary": {"p_value": None, "reason": "no event in the frame"}}, "primary test: no event in the frame"),
        ({"primary": {"attainable_p": 0.0501}}, "smallest p that this design can reach is 0.0501, above 0.05"),
        ({"randomisation": {"attainable_p": 0.06}}, "smallest p that this design can reach is 0.06, above 0.05"),
    ],
)
def test_step_1_not_testable(claim, changes, reason):
    found = verdict_of(claim, **changes)
    assert (found.verdict, found.step) == ("not testable", 1)
    assert reason in found.reason


def test_step_1_an_attainable_p_exactly_at_alpha_is_enough(claim):
    assert verdict_of(claim, primary={"attainable_p": 0.05}).step == 4


OPPOSITE = {
    "primary": {"estimate": 3.0, "p_value": 0.999, "p_two_sided": 0.01, "limit_low": 1.5},
    "randomisation": {"estimate": 20.0, "p_value": 0.99, "p_two_sided": 0.03},
}


@pytest.mark.parametrize("p", [0.05, 0.01, 0.0])
def test_step_2_contradicted_by_the_opposite_effect(claim, p):
    """Also at a p of exactly 0, which is a number and not a missing one."""
    changes = {name: cells | {"p_two_sided": p} for name, cells in OPPOSITE.items()}
    found = verdict_of(claim, **changes)
    assert (found.verdict, found.step) == ("contradicted", 2)


@pytest.mark.parametrize(
    "weaker",
    [
        {"primary": {"p_two_sided": 0.051}},
        {"randomisation": {"p_two_sided": 0.051}},
        {"randomisation": {"p_two_sided": None}},
        {"randomisation": {"estimate": 7.0}},  # the placebo windows see no surge
        {"primary": {"estimate": 1.0}},  # neither side
    ],
)
def test_step_2_needs_both_tests_and_both_directions(claim, weaker):
    changes = {name: cells | weaker.get(name, {}) for name, cells in OPPOSITE.items()}
    assert verdict_of(claim, **changes).step != 2


def test_step_2_comes_before_low_power(claim):
    changes = OPPOSITE | {"primary": OPPOSITE["primary"] | {"power": 0.1}}
    assert verdict_of(claim, **changes).step == 2


def test_step_1_comes_before_the_opposite_effect(claim):
    changes = OPPOSITE | {"primary": OPPOSITE["primary"] | {"attainable_p": 0.2}}
    assert verdict_of(claim, **changes).step == 1


@pytest.mark.parametrize(("power", "step"), [(0.0, 3), (0.4999, 3), (0.5, 4), (None, 4)])
def test_step_3_not_testable_below_the_power_needed(claim, power, step):
    found = verdict_of(claim, primary={"power": power})
    assert found.step == step
    assert (found.verdict == "not testable") is (step == 3)


def test_step_3_comes_before_support_and_before_equivalence(claim):
    assert verdict_of(claim, primary={"power": 0.1}).step == 3
    same = {"estimate": 0.9, "p_value": 0.4, "limit_low": 0.7, "power": 0.1}
    assert verdict_of(claim, primary=same).step == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"primary": {"p_value": 0.0501}}, "primary p = 0.0501"),
        ({"randomisation": {"p_value": 0.0501}}, "randomisation p = 0.0501"),
        ({"primary": {"estimate": 0.51}}, "smaller than the smallest effect of interest"),
        ({"primary": {"estimate": 0.51, "p_value": 0.2}}, "estimate 0.51 does not reach 0.5"),
        ({"trend": {"estimate": 1.2}}, "nb_trend does not point in the claim's direction"),
        ({"gap": {"estimate": 3.9}}, "longest_gap does not point in the claim's direction"),
        ({"gap": {"estimate": None, "p_value": None}}, "longest_gap does not point in the claim's direction"),
        ({"randomisation": {"estimate": 8.5}}, "placebo_windows does not point in the claim's direction"),
        ({"trend": {"p_value": 0.11}, "gap": {"p_value": 0.11}}, "fewer than two robustness tests reach p = 0.1"),
        ({"one_out": {"p_value": 0.101}}, "leave one out moves the primary p to 0.101"),
        ({"shifted": {"p_value": 0.101}}, "date shift moves the primary p to 0.101"),
        ({"one_out": None}, "leave one out not computed"),
        ({"shifted": {"p_value": None}}, "date shift not computed"),
    ],
)
def test_step_4_fails_when_any_single_condition_does(claim, changes, reason):
    found = verdict_of(claim, **changes)
    assert (found.verdict, found.step) == ("not distinguishable", 6)
    assert reason in found.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"primary": {"p_value": 0.05}},
        {"randomisation": {"p_value": 0.05}},
        {"primary": {"estimate": 0.5}},
        {"trend": {"p_value": 0.10}, "gap": {"p_value": 0.9}},  # with the placebo windows two are left
        {"one_out": {"p_value": 0.10}},
        {"shifted": {"p_value": 0.10}},
    ],
)
def test_step_4_limits_belong_to_the_side_of_support(claim, changes):
    assert verdict_of(claim, **changes).step == 4


def test_the_randomisation_counts_as_robustness_only_where_the_rule_lists_it(claim):
    without_it = claim.model_copy(
        update={"rule": claim.rule.model_copy(update={"robustness": ("nb_trend", "longest_gap")})}
    )
    assert verdict_of(claim, gap={"p_value": 0.9}).step == 4
    assert verdict_of(without_it, gap={"p_value": 0.9}).step == 6


SAME = {"primary": {"estimate": 0.95, "p_value": 0.4, "p_two_sided": 0.8, "limit_low": 0.7, "limit_high": 1.3}}


def test_step_5_contradicted_when_the_limit_excludes_the_smallest_effect_of_interest(claim):
    found = verdict_of(claim, **SAME)
    assert (found.verdict, found.step) == ("contradicted", 5)
    assert "0.7" in found.reason


@pytest.mark.parametrize("limit", [0.5, 0.49, None])
def test_step_6_a_p_that_is_not_small_alone_contradicts_nothing(claim, limit):
    found = verdict_of(claim, primary=SAME["primary"] | {"limit_low": limit})
    assert (found.verdict, found.step) == ("not distinguishable", 6)


def test_a_rise_reads_every_comparison_from_the_other_side(claim):
    rise = claim.model_copy(
        update={"rule": claim.rule.model_copy(update={"direction": "greater", "sesoi": 2.0, "claimed_effect": 4.0})}
    )
    up = {"alternative": "greater"}
    base = {
        "primary": up | {"estimate": 2.0, "limit_low": 1.2, "limit_high": 9.0},
        "randomisation": up | {"estimate": 12.0},
        "trend": up | {"estimate": 1.5},
        "gap": {"alternative": "less", "estimate": 3.0},
    }
    assert verdict_of(rise, **base).step == 4
    small = base | {"primary": base["primary"] | {"estimate": 1.99}}
    assert "smaller than the smallest effect of interest" in verdict_of(rise, **small).reason
    same = base | {"primary": base["primary"] | {"estimate": 1.1, "p_value": 0.4, "limit_high": 1.9}}
    assert verdict_of(rise, **same).step == 5
    fall = {"p_value": 0.99, "p_two_sided": 0.02}
    down = base | {
        "primary": base["primary"] | fall | {"estimate": 0.2},
        "randomisation": base["randomisation"] | fall | {"estimate": 2.0},
    }
    assert verdict_of(rise, **down).step == 2


def test_the_order_of_findings_does_not_matter(claim):
    assert len({judge(claim, order) for order in permutations(SUPPORT.values())}) == 1


def test_what_is_only_shown_never_enters(claim):
    shown = [
        Finding("mid_p", "m", p_value=0.9, attainable_p=0.9, power=0.0, alternative="less"),
        Finding("dispersion_index", "m", role="check", estimate=9.0, p_value=0.0, alternative="greater"),
    ]
    for found in shown:
        assert judge(claim, [found, *SUPPORT.values()]) == judge(claim, SUPPORT.values())


def test_what_a_finding_is_called_by_its_claim_does_not_matter(claim):
    assert judge(claim, [f.named("other") for f in SUPPORT.values()]) == judge(claim, SUPPORT.values())


@pytest.mark.parametrize(
    ("changes", "needed"),
    [({}, True), ({"p_value": 0.06}, False), ({"estimate": 0.6}, False), ({"p_value": None}, False)],
)
def test_robustness_is_asked_for_only_where_it_can_still_decide(claim, changes, needed):
    core = [replace(SUPPORT["primary"], **changes), SUPPORT["randomisation"]]
    assert needs_robustness(claim.rule, core) is needed
    assert needs_robustness(claim.rule, [SUPPORT["primary"], replace(SUPPORT["randomisation"], p_value=0.06)]) is False
    if not needed:  # and what it would have said changes nothing
        full = [*core, *list(SUPPORT.values())[2:]]
        assert judge(claim, full).verdict == judge(claim, core).verdict


# ---- equivalence: claims of no effect --------------------------------------------------------------------------------


def equal(claim, low, high, **cells):
    """The verdict of the equivalence form, margin 0.5 to 2, for these one-sided limits."""
    rule = claim.rule.model_copy(update={"form": "equivalence", "direction": "two-sided"})
    primary = {"alternative": "two-sided", "limit_low": low, "limit_high": high} | cells
    return verdict_of(claim.model_copy(update={"rule": rule}), primary=primary)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "step"),
    [
        (0.6, 1.8, "supported", 4),
        (0.51, 1.99, "supported", 4),
        (0.5, 1.8, "not distinguishable", 6),
        (0.6, 2.0, "not distinguishable", 6),
        (0.1, 9.0, "not distinguishable", 6),
        (2.1, 9.0, "contradicted", 5),
        (0.1, 0.49, "contradicted", 5),
        (1.5, 2.5, "not distinguishable", 6),
        (None, 1.8, "not testable", 1),
    ],
)
def test_equivalence_asks_where_both_limits_lie(claim, low, high, verdict, step):
    found = equal(claim, low, high)
    assert (found.verdict, found.step) == (verdict, step)


def test_equivalence_without_the_power_to_show_it_is_not_testable(claim):
    assert (equal(claim, 0.6, 1.8, power=0.4).verdict, equal(claim, 0.6, 1.8, power=0.4).step) == ("not testable", 3)
    assert equal(claim, 0.6, 1.8, attainable_p=0.2).step == 1


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.1, 0.1, "supported"), (-0.2, 0.1, "not distinguishable"), (0.2, 0.4, "contradicted")],
)
def test_equivalence_of_a_difference_has_a_margin_around_zero(claim, low, high, verdict):
    rule = claim.rule.model_copy(update={"form": "equivalence", "direction": "two-sided", "sesoi": 0.15})
    found = verdict_of(
        claim.model_copy(update={"rule": rule}), primary={"null_value": 0.0, "limit_low": low, "limit_high": high}
    )
    assert found.verdict == verdict


# ---- literal verdict and headline ------------------------------------------------------------------------------------


def check(agrees, required=True):
    return FactCheck(Fact(field="f", stated=1, required=required), 1, agrees, reason="blank")


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([check(True), check(True)], "supported"),
        ([check(True), check(False)], "contradicted"),
        ([check(None), check(False)], "contradicted"),
        ([check(True), check(None)], "not testable"),
        ([check(True), check(False, required=False)], "supported"),
        ([check(True), check(None, required=False)], "supported"),
        ([check(True, required=False)], "not testable"),
        ([], "not testable"),
    ],
)
def test_literal_verdict_needs_every_required_fact(checks, verdict):
    assert literal_verdict(checks).verdict == verdict


LITERAL = ("supported", "contradicted", "not testable")
INFERENTIAL = ("supported", "contradicted", "not distinguishable", "not testable")


@pytest.mark.parametrize("inferential", INFERENTIAL)
@pytest.mark.parametrize("literal", LITERAL)
def test_headline_by_kind(claim, literal, inferential):
    def of(kind):
        return headline(claim.model_copy(update={"kind": kind}), Verdict(literal, ""), Verdict(inferential, ""))

    assert of("test") == inferential
    assert of("fact") == literal
    assert of("fact+test") == ("contradicted" if literal == "contradicted" else inferential)
    assert of("documentary") == "not testable"


# ---- planted truth: a data folder in, a verdict out ------------------------------------------------------------------


@pytest.fixture
def verdict(tmp_path, claim, registry):
    """Days of attacks → the verdict of pause-2021 on a folder that holds just these."""

    def of(days, knobs=None, as_of=None, **tables):
        alone = claim.model_copy(update={"variations": (), "replications": (), "rivals": ()})
        data = load_tables(write(tmp_path, event_rows(days), **tables))
        return evaluate(alone, data, registry, knobs=knobs, as_of=as_of).now.inferential

    return of


@pytest.mark.parametrize(("per_day", "every", "phase"), [(1, 1, 0), (3, 2, 0), (3, 2, 1)])
def test_steady_attacks_that_stop_for_the_war_are_a_pause(verdict, per_day, every, phase):
    found = verdict(without(steady_days(YEAR, per_day, every, phase), WAR))
    assert (found.verdict, found.step) == ("supported", 4)


@pytest.mark.parametrize("seed", range(3))
def test_random_attacks_that_stop_for_the_war_are_a_pause(verdict, seed):
    assert verdict(poisson_days(YEAR, 1.0, seed, ratio=0.0)).verdict == "supported"


@pytest.mark.parametrize("seed", range(3))
def test_many_attacks_at_one_rate_contradict_the_pause(verdict, seed):
    """By equivalence: not because p is large, but because half the rate is excluded."""
    found = verdict(poisson_days(YEAR, 4.0, seed))
    assert (found.verdict, found.step) == ("contradicted", 5)


@pytest.mark.parametrize("every", [1, 3])
def test_steady_attacks_contradict_the_pause(verdict, every):
    assert verdict(steady_days(YEAR, 3 * every, every)).step == 5


@pytest.mark.parametrize("seed", range(3))
def test_more_attacks_in_the_war_contradict_the_pause(verdict, seed):
    found = verdict(poisson_days(YEAR, 1.0, seed, ratio=3.0))
    assert (found.verdict, found.step) == ("contradicted", 2)


@pytest.mark.parametrize(("every", "phase"), [(19, 0), (19, 11), (25, 5)])
def test_a_handful_of_attacks_is_not_testable_even_with_an_empty_window(verdict, every, phase):
    found = verdict(without(steady_days(YEAR, every=every, phase=phase), WAR))
    assert (found.verdict, found.step) == ("not testable", 1)


def test_a_somewhat_lower_rate_is_not_the_pause_that_was_claimed(verdict):
    """Two thirds of the rate: surely below equality, perhaps not below the smallest effect of interest."""
    found = verdict(np.sort(np.concatenate([without(steady_days(YEAR, 3), WAR), steady_days(WAR, 2)])))
    assert (found.verdict, found.step) == ("not distinguishable", 6)
    assert found.reason == "from chance: smaller than the smallest effect of interest"


@pytest.mark.parametrize("phase", [6, 7, 8])
def test_salvos_that_miss_the_window_are_no_pause(verdict, phase):
    """Eight attacks on one day in 15: single attacks would make the quiet window a wonder, placebo windows do not."""
    days = salvo_days(YEAR, 8, 15, phase=phase)
    assert not days[WAR.mask(days)].size
    found = verdict(days)
    assert (found.verdict, found.step) == ("not distinguishable", 6)
    assert "randomisation p" in found.reason


def test_a_change_of_knobs_changes_the_question(verdict):
    """The pause lies in July: the window of May does not show it, that of July does."""
    july = WAR.shift(60)
    days = without(steady_days(YEAR, 3), july)
    knobs = {
        f"{name}_{end}": day for name, w in (("window", WAR), ("frame", FRAME)) for end, day in moved(w, 60).items()
    }
    assert verdict(days).verdict == "contradicted"
    assert verdict(days, knobs=knobs).verdict == "supported"


def test_without_coverage_no_zero_can_be_told_from_silence(verdict):
    found = verdict(without(steady_days(YEAR), WAR), coverage=None)
    assert (found.verdict, found.step) == ("not testable", 1)
    assert found.reason.startswith("input missing: coverage.csv")


def test_a_window_after_the_as_of_day_is_not_yet_observed(verdict):
    found = verdict(without(steady_days(YEAR), WAR), as_of=date(2021, 5, 9))
    assert (found.verdict, found.step) == ("not testable", 1)
    assert found.reason == "not yet observed: the window starts on 2021-05-10, after 2021-05-09"


def test_an_unwatched_window_is_missing_input_or_bad_input_where_it_was_asked_for(verdict):
    before = [coverage_row(Window(YEAR.start, WAR.shift(-1).start))]
    assert verdict(steady_days(YEAR), coverage=before).reason.startswith("input missing: window")
    with pytest.raises(BadInput, match=r"window 2021-05-11…2021-05-21: no watched day; allowed: days from 2021-01-01"):
        verdict(steady_days(YEAR), coverage=before, knobs={"window_start": "2021-05-11"})


def test_filters_that_no_row_passes_are_bad_input(verdict):
    with pytest.raises(BadInput, match=r"no row of events\.csv matches theatres syria"):
        verdict(steady_days(YEAR), knobs={"theatres": ["syria"]})


# ---- the same inputs, the same bytes ---------------------------------------------------------------------------------


def test_evaluating_twice_gives_the_same_bytes(claim, tables, registry):
    first, second = (json.dumps(evaluate(claim, tables, registry).record()) for _ in range(2))
    assert first == second


def test_another_seed_changes_seeded_findings_alone(tmp_path, claim, registry):
    """A placebo period too short for 20 places, so that the null is drawn."""
    data = load_tables(write(tmp_path, event_rows(poisson_days(YEAR, 0.8, 3))))
    alone = claim.model_copy(update={"variations": (), "replications": (), "rivals": ()})
    knobs = {"placebo_start": "2021-05-01", "placebo_end": "2021-06-05", "draws": 499}
    one, two = (
        {f.id: f for f in evaluate(alone, data, registry, seed=seed, knobs=knobs).now.findings} for seed in (1, 2)
    )
    seeded = {name for name, found in one.items() if found.seed is not None}
    assert seeded == {"pause-2021/placebo_windows"}
    assert {name for name in one if one[name] != two[name]} == seeded
    assert {two[name].seed for name in seeded} == {2}


def test_a_record_is_json_without_nan_and_echoes_its_inputs(claim, tables, registry):
    record = evaluate(claim, tables, registry, seed=7, knobs={"unit": "attack_day"}).record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["claim"], record["seed"], record["knobs"]) == ("pause-2021", 7, {"unit": "attack_day"})
    assert record["data_sha256"] == tables.data_sha256
    assert record["registry_sha256"] == registry.sha256
    ids = [f["id"] for f in record["findings"]]
    assert len(set(ids)) == len(ids)
    assert np.isfinite([f["p_value"] for f in record["findings"] if f["p_value"] is not None]).all()
