"""The coordination family: samples, coincidences, starts of wars, sites, planted truths, the verdicts of its claims."""

from datetime import date
from functools import cache

import numpy as np
import pytest
from scipy import stats
from worlds import YEAR, coverage_row, event_rows, poisson_days, window_row, write

from analysis_lib import Window, evaluate, load_claims, load_tables
from analysis_lib.claims import Rule, Spec
from analysis_lib.coordination import coincidence, marked, pairs, reported, site_days, take_sample, theatres, within
from analysis_lib.coupling import shift_law
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.onsets import take_onsets
from analysis_lib.sensitivity import leave_one_out
from analysis_lib.specs import core_findings, design_of, robustness_findings, run_spec
from analysis_lib.verdicts import judge

REGISTRY = load_claims()
RULE = Rule(direction="greater", sesoi=1.5, claimed_effect=1.5)
WARS = (Window(date(2021, 2, 1), date(2021, 2, 20)), Window(date(2021, 7, 1), date(2021, 7, 25)),
        Window(date(2021, 10, 10), date(2021, 10, 30)))  # fmt: skip
SPEC = Spec(test="coincidence", weapons=None, frame_start=YEAR.start, frame_end=YEAR.end, lag_days=1,
            trigger_kind="war", trigger_theatres=("israel_gaza",))  # fmt: skip


def world(folder, days, wars=WARS, theatre="iraq", more=(), coverage=()):
    """A data folder with attacks on these days, these wars over Gaza, and a year that was watched."""
    windows = [window_row(w, name=f"war {i}") for i, w in enumerate(wars)] or [window_row(YEAR, "other")]
    rows = [*event_rows(days, theatre=theatre), *more]
    return load_tables(write(folder, rows, windows, [coverage_row(), *coverage]))


def claim_of(spec: Spec, name: str = "one-theatre"):
    return REGISTRY[name].model_copy(update={"spec": spec})


def findings(spec: Spec, tables, claim=None):
    claim = claim or claim_of(spec)
    sample = design_of(spec).sample(spec, tables, None)
    core = core_findings(sample, spec, claim.rule, 1)
    return core + robustness_findings(sample, spec, claim.rule, 1, known=core[1])


# ---- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reach", "expected"), [(0, [0, 1, 0, 0, 0, 1]), (2, [0, 1, 1, 1, 0, 1]), (None, [0, 1, 0, 0, 0, 1])]
)
def test_days_within_reach(reach, expected):
    assert within(np.array([0, 2, 0, 0, 0, 1]), reach).astype(int).tolist() == expected


def test_trigger_days_and_counts_of_another_theatre(tmp_path):
    tables = world(tmp_path, YEAR.calendar()[:5])
    sample = take_sample(SPEC, tables)
    assert sample.driver.sum() == sum(w.days for w in WARS)
    assert marked(tables, sample.series.days, None, None).sum() == 0
    spec = SPEC.model_copy(update={"trigger_kind": None, "against": SPEC.model_copy(update={"theatres": ("iraq",)})})
    assert take_sample(spec, tables).driver.tolist() == sample.series.counts.tolist()


def test_a_sampled_theatre_counts_between_its_reported_dates_inside_its_samples(tmp_path):
    days = YEAR.calendar()
    more = event_rows(days[[30, 100, 200]], theatre="yemen_gulf")
    sampled = coverage_row(Window(YEAR.start, date(2021, 6, 1)), "yemen_gulf") | {"level": "sample"}
    tables = world(tmp_path, days[:1], more=more, coverage=[sampled])
    series, only_sample = reported(tables, SPEC.model_copy(update={"theatres": ("yemen_gulf",)}), YEAR)
    assert only_sample
    assert np.flatnonzero(series.observed)[[0, -1]].tolist() == [30, 100]  # the third lies outside the sample
    assert not reported(tables, SPEC, YEAR)[1]
    against = SPEC.model_copy(update={"theatres": ("yemen_gulf",), "sites": "any"})
    spec = SPEC.model_copy(update={"trigger_kind": None, "against": against})
    assert "dates of a sample" in run_spec(spec, tables, RULE).notes[-1]


def test_samples_that_cannot_be_say_why(tmp_path):
    tables = world(tmp_path, YEAR.calendar()[:3])
    with pytest.raises(InputMissing, match="not yet observed"):
        take_sample(SPEC, tables, date(2020, 12, 31))
    with pytest.raises(BadInput, match="no day was watched in all theatres"):
        take_sample(SPEC.model_copy(update={"theatres": ("syria",)}), tables)
    onsets = SPEC.model_copy(update={"test": "onset_shares", "horizon_days": 20})
    with pytest.raises(InputMissing, match="two starts and 20 days after"):
        take_onsets(onsets, tables, date(2021, 7, 10))
    with pytest.raises(InputMissing, match="two starts"):
        take_onsets(onsets.model_copy(update={"trigger_ids": ("war 1",)}), tables)
    with pytest.raises(InputMissing, match="two starts"):
        take_onsets(onsets.model_copy(update={"trigger_ids": ("no such war",)}), tables)
    with pytest.raises(BadInput, match="no horizon_days"):
        take_onsets(onsets.model_copy(update={"horizon_days": None}), tables)
    with pytest.raises(BadInput, match="40 days around the starts"):
        take_onsets(onsets.model_copy(update={"horizon_days": 40}), tables)


# ---- coincidences ----------------------------------------------------------------------------------------------------


def test_ratio_and_p_are_those_of_a_loop_over_all_shifts():
    rng = np.random.default_rng(1)
    y, x = rng.poisson(0.3, 200), rng.random(200) < 0.2
    found = coincidence("ratio", y, x, RULE)
    counts = np.array([(y * np.roll(x, s)).sum() for s in range(200)])
    odds = [k / (y.sum() - k) for k in (counts[0], counts.mean())]
    assert found.estimate == pytest.approx(odds[0] / odds[1])
    assert found.p_value == pytest.approx((counts >= counts[0]).mean())
    assert found.attainable_p == pytest.approx((counts == counts.max()).mean())
    less = coincidence("ratio", y, x, RULE.model_copy(update={"direction": "less"}))
    assert less.p_value == pytest.approx((counts <= counts[0]).mean())
    assert (less.power, less.mde) == (None, None)


@pytest.mark.parametrize("seed", range(8))
def test_limits_agree_with_the_test_and_hold_the_estimate(seed):
    rng = np.random.default_rng(seed)
    y, x = rng.poisson(0.3, 200), np.repeat(rng.random(20) < 0.4, 10)
    found = coincidence("ratio", y, x, RULE)
    assert found.low <= found.limit_low <= found.estimate <= found.limit_high <= found.high
    assert (found.p_value <= 0.05) == (found.limit_low >= 1) or abs(found.p_value - 0.05) < 0.02


def test_power_is_the_share_of_planted_histories_that_are_found():
    rng = np.random.default_rng(4)
    x = np.repeat(rng.random(40) < 0.3, 10)
    y = rng.poisson(0.3, 400)
    found, n, mean = coincidence("ratio", y, x, RULE), y.sum(), y.sum() * x.mean()
    law, hits = shift_law(y, x), 0
    edge = int(np.argmax(np.cumsum(law[::-1])[::-1] <= 0.05))
    share = RULE.claimed_effect * mean / (n - mean + RULE.claimed_effect * mean)  # of the attacks, on open days
    for _ in range(2000):
        k = int((y * np.roll(x, rng.integers(400))).sum())
        hits += k + rng.binomial(n - k, (share * n - mean) / (n - mean)) >= edge
    assert found.power == pytest.approx(hits / 2000, abs=0.03)


@pytest.mark.parametrize(("y", "x"), [(np.zeros(50, int), np.arange(50) < 9), (np.ones(50, int), np.zeros(50, bool)),
                                      (np.ones(50, int), np.ones(50, bool))])  # fmt: skip
def test_without_contrast_there_is_a_reason(y, x):
    found = coincidence("ratio", y, x, RULE)
    assert found.p_value is None
    assert found.reason


def test_differences_between_years_prove_nothing_inside_them():
    """Three times as many attacks in the year of the wars, none of it on war days more than on others."""
    rng = np.random.default_rng(3)
    years = np.repeat([2021, 2022], 365)
    y = rng.poisson(np.where(years == 2021, 0.6, 0.1))
    x = (years == 2021) & (np.arange(730) % 365 < 300) & (np.arange(730) % 365 >= 20)
    assert coincidence("all", y, x, RULE).p_value <= 0.05 < coincidence("inside", y, x, RULE, years).p_value


def test_a_planted_link_is_supported_and_its_absence_is_not(tmp_path):
    span = WARS[0].mask(YEAR.calendar()) | WARS[1].mask(YEAR.calendar()) | WARS[2].mask(YEAR.calendar())
    rng = np.random.default_rng(7)
    linked = np.repeat(YEAR.calendar(), rng.poisson(np.where(span, 1.6, 0.1)))
    claim = claim_of(SPEC)
    rule = claim.rule.model_copy(update={"claimed_effect": 16.0})
    claim = claim.model_copy(update={"rule": rule})
    found = findings(SPEC, world(tmp_path / "linked", linked), claim)
    verdict = judge(claim, found)
    assert (verdict.verdict, verdict.step) == ("supported", 4)
    alone = world(tmp_path / "alone", poisson_days(YEAR, 0.4, seed=3))
    assert judge(claim, findings(SPEC, alone, claim)).verdict in ("not distinguishable", "contradicted")


def test_a_common_shock_takes_the_place_of_coordination(tmp_path):
    """Iraq and Syria both fire on the days of the wars and never look at each other."""
    rng = np.random.default_rng(2)
    inside = np.any([w.mask(YEAR.calendar()) for w in WARS], axis=0)
    iraq, syria = (np.repeat(YEAR.calendar(), rng.poisson(np.where(inside, 2.5, 0.02))) for _ in range(2))
    more = event_rows(syria, theatre="syria", country="SY")
    more = [row | {"event_id": f"SY-{row['event_id']}"} for row in more]
    tables = world(tmp_path, iraq, more=more, coverage=[coverage_row(theatre="syria")])
    against = SPEC.model_copy(update={"theatres": ("syria",)})
    spec = SPEC.model_copy(update={"trigger_kind": None, "trigger_theatres": None, "against": against, "lag_days": 0})
    claim = claim_of(spec)
    rule = claim.rule.model_copy(update={"claimed_effect": 16.0, "robustness": ("nb_autoregression", "granger")})
    claim = claim.model_copy(update={"rule": rule})
    found = findings(spec, tables, claim)
    rival = next(f for f in found if f.role == "rival")
    assert (rival.quantity, rival.method) == ("common_shock", "a common shock")
    assert rival.p_value > 0.10
    verdict = judge(claim, found)
    assert verdict.verdict == "not distinguishable"
    assert verdict.reason.startswith("from a common shock")


def test_leaving_one_out_and_moving_dates_repeat_the_whole_test(tmp_path):
    tables = world(tmp_path, poisson_days(YEAR, 0.08, seed=9))
    moved = {f.role: f for f in findings(SPEC, tables) if f.role in ("leave_one_out", "date_shift")}
    sample = take_sample(SPEC, tables)
    y, x = sample.clock(within(sample.driver, 1))
    slow = []
    for day in np.repeat(np.arange(y.size), y):
        less = y - (np.arange(y.size) == day)
        slow.append(coincidence("ratio", less, x, RULE).p_value)
    assert moved["leave_one_out"].p_value == pytest.approx(max(slow))
    assert moved["date_shift"].p_value == pytest.approx(run_spec(SPEC, tables, RULE).p_value)
    assert leave_one_out(lambda sets: np.zeros(len(sets)), np.array([], "datetime64[D]"), [], "less").p_value is None


# ---- every pair of theatres ------------------------------------------------------------------------------------------


def test_pairs_of_the_bundled_data(tables):
    frame = REGISTRY["one-theatre"].spec.frame
    found = pairs(tables, frame, 3, seed=1, draws=999, tested=("iraq", "israel_gaza"))
    assert ("iraq", "israel_gaza") not in found
    own, _ = found["syria", "iraq"]
    assert "one umbrella" in own.notes[1]
    assert all("q = " in f.notes[1] for pair, (f, _) in found.items() if set(pair) != {"syria", "iraq"})
    sampled = {pair for pair, (f, _) in found.items() if f.notes[-1].startswith("dates of a sample")}
    assert sampled == {pair for pair in found if {"yemen_gulf", "israel_long_range"} & set(pair)}
    assert all(0 <= lag < 15 and f.p_two_sided == f.p_value for f, lag in found.values())
    assert found == pairs(tables, frame, 3, seed=1, draws=999, tested=("iraq", "israel_gaza"))


def test_theatres_of_the_fronts_are_war_days(tables):
    known = theatres(tables, Window(date(2021, 5, 1), date(2021, 5, 31)))
    assert known["israel_gaza"][0].total == (12, 31)
    assert known["iraq"][0].counts.sum() == 7 - 1  # the convoy bombs are no US sites


# ---- starts of two wars ----------------------------------------------------------------------------------------------


def test_shares_after_two_starts_are_fishers_test(tables):
    spec = REGISTRY["one-theatre-sign"].spec
    found = run_spec(spec, tables, REGISTRY["one-theatre-sign"].rule)
    assert found.notes == ("before and after the first start 9 and 14, the second 0 and 33",)
    assert found.estimate == pytest.approx(33 / 33 - 14 / 23)
    assert found.p_value == pytest.approx(stats.fisher_exact([[33, 0], [14, 9]], "greater").pvalue)
    sample = take_onsets(spec, tables)
    null = design_of(spec).null(sample, spec, RULE, 1)
    assert null.values.mean() == pytest.approx(0, abs=1e-12)  # every pair stands there both ways round
    assert null.observed == pytest.approx(33.5 / 34 - 14.5 / 24)


@pytest.mark.parametrize(("second", "verdict"), [(3.0, "supported"), (1.0, "not distinguishable")])
def test_a_planted_change_of_sign(tmp_path, second, verdict):
    """Attacks halve after the first start; after the second they multiply, or go on as they were."""
    days = YEAR.calendar()
    rate = np.full(days.size, 1.0)
    for war, ratio in ((WARS[0], 0.2), (WARS[2], second)):
        rate[(days >= np.datetime64(war.start)) & (days < np.datetime64(war.shift(25).start))] *= ratio
    attacks = np.repeat(days, np.random.default_rng(6).poisson(rate))
    spec = SPEC.model_copy(update={"test": "onset_shares", "horizon_days": 25, "lag_days": None})
    claim = claim_of(spec, "one-theatre-sign")
    found = findings(spec, world(tmp_path, attacks, wars=(WARS[0], WARS[2])), claim)
    assert judge(claim, found).verdict == verdict


# ---- sites -----------------------------------------------------------------------------------------------------------


def nights(folder, places: dict[str, np.ndarray]):
    rows = []
    for site, days in places.items():
        rows += [r | {"location": site, "event_id": f"{site}-{r['event_id']}"} for r in event_rows(days)]
    return load_tables(write(folder, rows))


@pytest.mark.parametrize(("together", "verdict"), [(False, "supported"), (True, "contradicted")])
def test_planted_sites(tmp_path, together, verdict):
    rng = np.random.default_rng(8)
    days = YEAR.calendar()
    first = np.sort(rng.choice(days, 90, replace=False))
    second = first if together else np.sort(rng.choice(days, 90, replace=False))
    claim = REGISTRY["scarce-coordination"]
    spec = claim.spec.model_copy(update={"frame_start": YEAR.start, "frame_end": YEAR.end})
    found = findings(spec, nights(tmp_path, {"A": first, "B": second}), claim)
    assert judge(claim, found).verdict == verdict
    permuted = next(f for f in found if f.quantity == "month_permutation")
    assert (permuted.p_value < 1e-6) is together


def test_site_days_of_a_small_case(tmp_path):
    """January: A on 1 and 5, B on 5 and 9, one day in common. February: A alone."""
    at = np.array(["2021-01-01", "2021-01-05", "2021-01-09", "2021-02-03"], dtype="datetime64[D]")
    tables = nights(tmp_path, {"A": at[[0, 1, 3]], "B": at[[1, 2]]})
    spec = Spec(test="multi_site_days", weapons=None, unit="site_night", frame_start=YEAR.start, frame_end=YEAR.end)
    count, law = site_days(take_sample(spec, tables))
    assert count == 1
    assert law @ np.arange(law.size) == pytest.approx(31 * (2 / 31) ** 2)
    count, law = site_days(take_sample(spec, tables), "W")
    # weeks of datetime64 begin on Thursday: 1 to 6 January hold A twice and B once
    assert (count, law @ np.arange(law.size)) == (1, pytest.approx(2 * 1 / 6))


# ---- the claims ------------------------------------------------------------------------------------------------------


@cache
def study_of(name: str):
    return evaluate(REGISTRY[name], load_tables(), REGISTRY)


NOW = [
    ("drones-move-theatre", "supported", "not testable", "smallest p that this design can reach is 0.534"),
    ("one-theatre", "not testable", "not testable", "power at the effect that the claim states is 0.216"),
    ("one-theatre-sign", "not testable", "not distinguishable", "randomisation p = 0.0747"),
    ("scarce-coordination", "not testable", "not testable", "smallest p that this design can reach is 0.0963"),
    ("no-other-front", "not testable", "not testable", "the literal verdict is the answer"),
    ("cannot-reach-israel", "contradicted", "contradicted", "exceeds the margin"),
    ("regional-chain-2021", "supported", "not testable", "smallest p that this design can reach is 0.0545"),
]
THEN = [
    ("drones-move-theatre", "supported", "not testable", "0.534"),
    ("one-theatre", "not testable", "not testable", "power at the effect that the claim states is 0.0883"),
    ("one-theatre-sign", "not testable", "not testable", "not yet observed"),
    ("scarce-coordination", "not testable", "not testable", "0.0963"),
    ("no-other-front", "not testable", "not testable", "literal"),
    ("cannot-reach-israel", "not testable", "not testable", "0.85"),
    ("regional-chain-2021", "supported", "not testable", "0.0545"),
]


@pytest.mark.parametrize(("name", "literal", "inferential", "why"), NOW, ids=lambda v: v if "-" in str(v) else "")
def test_verdicts_now(name, literal, inferential, why):
    now = study_of(name).now
    assert (now.literal.verdict, now.inferential.verdict) == (literal, inferential)
    assert why in now.inferential.reason


@pytest.mark.parametrize(("name", "literal", "inferential", "why"), THEN, ids=lambda v: v if "-" in str(v) else "")
def test_verdicts_as_of_publication(name, literal, inferential, why):
    then = study_of(name).publication
    assert (then.literal.verdict, then.inferential.verdict) == (literal, inferential)
    assert why in then.inferential.reason


def test_numbers_behind_one_theatre():
    study = study_of("one-theatre")
    primary = study.primary
    assert primary.notes[0] == "68 of 106 attacks on 578 open of 1612 days, 38 expected"
    assert (round(primary.estimate, 3), round(primary.p_value, 4)) == (3.201, 0.0378)
    assert study.finding("yearly_shift").role == "randomisation"
    assert study.finding("common_shock").role == "rival"
    # the gap between war and first attack of 2023 leaves no contrast inside 2024
    assert study.finding("in_2024").p_value is None
    # too small, since the shifts that look like the data are left out
    assert primary.notes[1].startswith("p = 0.0303 without shifts")


def test_what_single_coincidences_of_2021_are_worth():
    study = study_of("regional-chain-2021")
    assert study.finding("random_day").estimate == pytest.approx(70 / 312)
    assert study.finding("granger_reversed").p_value > 0.5
    assert study.finding("precursor").p_value == pytest.approx(
        stats.binom.sf(2, 5, study.finding("precursor").null_value)
    )
