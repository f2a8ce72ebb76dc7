"""The specification curve: the fast path equals the test of each specification, and the joint test has its size."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
import worlds

from analysis_lib import evaluate
from analysis_lib.curve import REGISTERED, choices, combinations, specification_curve
from analysis_lib.finding import VERDICTS
from analysis_lib.sources.bundled import load_tables
from analysis_lib.specs import run_spec
from analysis_lib.verdicts import alone

RATES = ("pause-2021", "pause-truce-2023", "resumption-2021")


@pytest.fixture(scope="module")
def curves(tables, registry):
    return {name: specification_curve(registry[name], tables, seed=3) for name in RATES}


def small(claim, **spec):
    """The claim with its own variations of window and unit only."""
    kept = tuple(v for v in claim.variations if v.choice in ("window", "unit"))
    return claim.model_copy(update={"variations": kept, "spec": claim.spec.model_copy(update=spec)})


@pytest.mark.parametrize("name", RATES)
def test_a_row_is_what_its_specification_gives(name, curves, tables, registry):
    claim, table = registry[name], curves[name].table
    options = choices(claim)
    for _, row in table.sample(40, random_state=1).iterrows():
        knobs, moves = {}, {}
        for choice, values in options.items():
            for field, value in dict(values)[row[choice]].items():
                (moves if field.startswith("move_") else knobs)[field] = value
        spec = claim.with_knobs(knobs)
        for field, days in moves.items():
            edge = field.removeprefix("move_")
            spec = spec.model_copy(update={edge: getattr(spec, edge) + pd.Timedelta(days=days)})
        found = run_spec(spec, tables, claim.rule)
        ours = [row[k] for k in ("estimate", "low", "high", "p_value")]
        theirs = [getattr(found, k) for k in ("estimate", "low", "high", "p_value")]
        np.testing.assert_allclose(ours, np.array(theirs, dtype=float), rtol=1e-9, equal_nan=True)
        assert row["verdict"] == alone(claim, found).verdict


@pytest.mark.parametrize("name", RATES)
def test_thousands_of_specifications_each_once_the_registered_among_them(name, curves, registry):
    curve = curves[name]
    assert len(curve.table) == 5000
    assert not curve.table.duplicated(list(curve.choices)).any()
    registered = curve.table[(curve.table[list(curve.choices)] == REGISTERED).all(axis=1)]
    assert len(registered) == 1
    single = (curve.table[list(curve.choices)] != REGISTERED).sum(axis=1) == 1
    assert single.sum() >= len([v for v in registry[name].variations if v.choice != "placebo"])


@pytest.mark.parametrize("name", RATES)
def test_shares_count_every_specification_by_what_it_asks(name, curves):
    shares = curves[name].shares
    assert shares["specifications"].sum() == len(curves[name].table)
    np.testing.assert_allclose(shares[[v for v in VERDICTS if v in shares]].sum(axis=1), 1.0)


def test_the_same_seed_gives_the_same_curve_and_another_one_another_sample(tables, registry, curves):
    again = specification_curve(registry["pause-2021"], tables, seed=3)
    pd.testing.assert_frame_equal(again.table, curves["pause-2021"].table)
    other = specification_curve(registry["pause-2021"], tables, seed=4)
    assert not other.table.equals(curves["pause-2021"].table)


def test_the_seed_is_told_where_specifications_were_drawn(tables, registry, curves):
    assert {curve.seed for curve in curves.values()} == {3}
    few = registry["drones-deniable"]  # half of its combinations contradict each other
    assert specification_curve(few, tables, seed=3).seed is None
    assert specification_curve(few, tables, seed=3, largest=10).seed == 3


def test_all_combinations_where_they_are_few():
    rows, possible = combinations({"a": [0, 1], "b": [0, 1, 2]}, 6, seed=1)
    assert possible == 6
    assert sorted(map(tuple, rows)) == [(i, j) for i in range(2) for j in range(3)]
    rows, possible = combinations({"a": [0, 1], "b": [0, 1, 2]}, 5, seed=1)
    assert (len(rows), possible) == (5, 6)
    assert {(0, 0), (1, 0), (0, 1), (0, 2)} <= set(map(tuple, rows))


def test_choices_that_contradict_each_other_are_left_out(curves):
    table = curves["pause-2021"].table  # convoy bombs are counted with convoys as sites
    assert not ((table["weapons"] == "convoy bombs") & (table["sites"] == "launch site or target")).any()


def world(tmp_path, days):
    return load_tables(worlds.write(tmp_path / "data", worlds.event_rows(days)))


def test_a_full_pause_is_seen_in_the_median_and_in_the_share(tmp_path, registry):
    days = worlds.without(worlds.poisson_days(worlds.YEAR, 0.8, seed=5), worlds.WAR)
    curve = specification_curve(small(registry["pause-2021"]), world(tmp_path, days), seed=1)
    median, share = curve.findings()
    assert median.p_value <= 0.05
    assert share.p_value <= 0.05
    assert share.estimate > 0.5 > share.null_value


def test_the_joint_test_keeps_its_size_on_bursts(tmp_path, registry):
    """Histories of quiet spells and bursts without any effect: the p of the median is not too often small."""
    claim, p = small(registry["pause-2021"], weapons=("all",)), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        weeks = np.repeat(rng.random(53) < 0.4, 7)[: worlds.YEAR.days]
        days = np.repeat(worlds.YEAR.calendar(), rng.poisson(np.where(weeks, 1.5, 0.05)))
        curve = specification_curve(claim, world(tmp_path, days), seed=1, largest=60)
        p.append([f.p_value for f in curve.findings()])
    # 60 draws at a true size of 0.05 stay below 8 with probability 0.99
    assert (np.array(p) <= 0.05).sum(axis=0).max() <= 8


def test_a_test_without_a_closed_form_has_a_curve_and_no_joint_test(tables, registry):
    curve = specification_curve(registry["gap-2021"], tables, seed=1)
    assert len(curve.table) > 20
    assert curve.findings() == []


def test_alone_is_the_rule_with_nothing_but_the_primary(registry, tables):
    claim = registry["pause-truce-2023"]
    found = run_spec(claim.spec, tables, claim.rule)
    assert alone(claim, found).verdict == "supported"
    assert alone(claim, replace(found, p_value=0.2, limit_high=0.9)).verdict == "not distinguishable"


# ---- all claims on two rates, the study's curve ----------------------------------------------------------------------


def test_every_claim_on_two_rates_has_thousands_of_specifications(tables, registry):
    claims = [c for c in registry.claims if c.spec and c.rule and c.spec.test == "rate_ratio" and c.id not in RATES]
    assert len(claims) + len(RATES) == 10
    for claim in claims:
        assert len(specification_curve(claim, tables, seed=3).table) == 5000, claim.id


def test_the_end_of_a_frame_moves_with_the_window_that_ends_there(registry):
    """Else the last days of the window would become its baseline, or a later end would change nothing."""
    for claim, together in ((registry["pause-2023"], True), (registry["pause-2021"], False)):
        assert (claim.spec.window_end == claim.spec.frame_end) is together
        moved = dict(choices(claim)["window end"])["-2 days"]
        assert moved == {"move_window_end": -2} | ({"move_frame_end": -2} if together else {})


def test_only_a_change_of_what_is_asked_is_another_estimand(tables, registry, curves):
    estimands = set(curves["pause-truce-2023"].table["estimand"])
    assert {REGISTERED, "drones", "Iraq alone", "drones; Iraq alone"} <= estimands
    assert not any("days" in name or "confidence" in name for name in estimands)
    other = specification_curve(registry["harassment-not-battle"], tables, seed=1, largest=20)
    assert "any US casualty" in "; ".join(other.table["estimand"])
    assert "unknown outcomes" not in "; ".join(other.table["estimand"])


def test_the_shifted_histories_are_those_of_the_definition(tmp_path, registry):
    """Every watched day moved on by the same number of days, one population, by hand with numpy.roll."""
    claim, days = small(registry["pause-2021"]), worlds.poisson_days(worlds.YEAR, 0.6, seed=2)
    claim = claim.model_copy(update={"variations": ()})
    curve = specification_curve(claim, world(tmp_path, days), seed=1, largest=1)
    counts = np.array([(days == day).sum() for day in worlds.FRAME.calendar()])
    inside, medians = worlds.WAR.mask(worlds.FRAME.calendar()), []
    for k in range(200):
        moved = np.roll(counts, -(k * counts.size // 200))
        x1, x0 = moved[inside].sum(), moved[~inside].sum()
        medians.append((x1 + 0.5) / 12 * 41 / (x0 + 0.5))
    np.testing.assert_allclose(curve.shifted[:, 0], medians)
    assert curve.findings()[0].p_value == pytest.approx(np.mean(np.array(medians) <= medians[0] + 1e-9))


def test_a_study_has_its_curve_when_asked_and_its_record_has_none(tables, registry):
    few = {"variations": (), "replications": (), "rivals": ()}
    study = evaluate(
        registry["pause-2021"].model_copy(update=few), tables, registry, seed=8, knobs={"weapons": ["rocket"]}
    )
    assert "curve" not in vars(study)
    assert "curve" not in study.record()
    assert study.curve is study.curve
    assert study.curve.seed is None  # all combinations of moved edges
    here = study.curve.table[(study.curve.table[list(study.curve.choices)] == REGISTERED).all(axis=1)]
    assert here["p_value"].item() == pytest.approx(study.primary.p_value)  # the knob holds in every specification
    assert evaluate(registry["mercer-street"], tables, registry).curve is None


def test_a_curve_as_of_a_date_knows_no_later_row(tables, registry):
    claim, day = registry["pause-truce-2023"], date(2023, 11, 28)
    then = specification_curve(claim, tables, seed=1, as_of=day, largest=50)
    again = specification_curve(claim, tables.as_of(day), seed=1, largest=50)
    pd.testing.assert_frame_equal(then.table, again.table)
    assert not then.table.equals(specification_curve(claim, tables, seed=1, largest=50).table)
