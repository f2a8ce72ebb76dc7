"""Coupling: reference cases, worked numbers, every shift against a loop, exactness, laws against enumeration."""

from itertools import combinations, product

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy import stats

from analysis_lib.coupling import (
    equivalence,
    event_coincidence,
    exceedance,
    granger,
    scan,
    shift_counts,
    shift_law,
    site_law,
)

EVENTS, TIMES = reference("events"), reference("time_series")


def series(seed: int, days: int = 120, rate: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rate, days)


def wars(days: int = 400, *spans: tuple[int, int]) -> np.ndarray:
    """Open days in few long runs."""
    inside = np.zeros(days, dtype=bool)
    for start, length in spans or ((40, 12), (250, 90)):
        inside[start : start + length] = True
    return inside


# ---- event coincidence analysis --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "daily"), [("sh-eca-dT2-tau0", False), ("sh-eca-dT4-tau1", False), ("sh-eca-discrete", True)]
)
def test_coincidence_reference_cases(name, daily):
    case = EVENTS[name]
    d = case["data"]
    found = event_coincidence(np.array(d["A"]), np.array(d["B"]), d["T"], d["dT"], d["tau"], daily=daily)
    got = {}
    for side, f in zip(("precursor", "trigger"), found, strict=True):
        got |= {f"K_{side}": f.estimate * f.n, f"r_{side}": f.estimate, f"p_single_{side}": f.null_value,
                f"p_value_{side}": f.p_value}  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_the_worked_number_of_forty_events_a_side():
    """40 and 40 events in a year, two days: 0.28 expected by chance alone, and 17 of 40 are needed at 5 %."""
    days = np.linspace(0, 364, 40)
    precursor, _ = event_coincidence(days, days, 365, 2, daily=True)
    assert precursor.null_value == pytest.approx(0.28, abs=0.005)
    upper = stats.binom.sf(np.arange(41) - 1, 40, precursor.null_value)
    assert np.argmax(upper <= 0.05) == 17


@pytest.mark.parametrize(("a", "b"), [([], [1.0]), ([1.0], []), ([], [])])
def test_an_empty_series_has_no_coincidence(a, b):
    for found in event_coincidence(np.array(a), np.array(b), 10, 1):
        assert (found.p_value, found.reason) == (None, "one of the two series is empty")


def test_the_closed_form_is_too_sure_of_clusters():
    """Ten salvos of ten attacks each, none linked: the closed form rejects far too often, shifted dates do not."""
    rejected = np.zeros(2)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = (np.repeat(rng.choice(300, 10, replace=False), 10) for _ in range(2))
        y, x = (np.bincount(d, minlength=300) for d in (a, b))
        near = np.convolve(x > 0, np.ones(3))[:300] > 0
        closed = event_coincidence(a, np.unique(b), 300, 2, daily=True)[0].p_value
        law, k = shift_law(y, near), int(y[near].sum())
        rejected += [closed <= 0.05, law[k:].sum() <= 0.05]
    assert rejected[0] >= 8
    assert rejected[1] <= 4


# ---- shifts ----------------------------------------------------------------------------------------------------------


def test_every_shift_is_that_of_a_roll():
    y, x = series(1), series(2) > 0
    slow = [int((y * np.roll(x, s)).sum()) for s in range(y.size)]
    assert shift_counts(y, x).tolist() == slow
    many = shift_counts(np.array([y, y[::-1]])[:, None], np.array([x, ~x])[None])
    assert many.shape == (2, 2, y.size)
    assert many[0, 0].tolist() == slow
    assert (many[0, 1] == y.sum() - many[0, 0]).all()


def test_the_reference_case_of_circular_shifts():
    case = EVENTS["sh-circular-shift"]
    y = np.array(case["data"]["y"])
    x = np.zeros(y.size, dtype=bool)
    x[case["data"]["window"]] = True
    law, observed = shift_law(y, x), int(y[x].sum())
    got = {
        "observed": observed, "n_shifts": y.size, "mean_null": float(law @ np.arange(law.size)),
        "p_less": float(law[: observed + 1].sum()), "p_greater": float(law[observed:].sum()),
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_the_law_of_strata_is_that_of_all_their_shifts():
    y, x, label = series(3, 12, 0.8), series(4, 12, 0.5) > 0, np.repeat([7, 9], [5, 7])
    sums = [
        sum(int((y[label == k] * np.roll(x[label == k], s)).sum()) for k, s in zip((7, 9), shift, strict=True))
        for shift in product(range(5), range(7))
    ]
    expected = np.bincount(sums, minlength=y.sum() + 1) / 35
    assert shift_law(y, x, label) == pytest.approx(expected)


def share_of_rotations_rejected(y: np.ndarray, x: np.ndarray, alpha: float, apart: int) -> float:
    """How often the test rejects when each rotation in turn is taken for the data: its true size."""
    p = []
    for shift in range(y.size):
        rotated = np.roll(x, shift)
        law, k = shift_law(y, rotated, apart=apart), int(y[rotated].sum())
        p.append(law[k:].sum())
    return float(np.mean(np.array(p) <= alpha))


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_all_shifts_together_are_exact_and_leaving_near_ones_out_is_not(alpha):
    y = np.repeat([0, 1], [280, 120]) * series(5, 400, 0.8)
    x = wars(400, (250, 90))
    assert share_of_rotations_rejected(y, x, alpha, apart=0) <= alpha
    if alpha == 0.05:
        assert share_of_rotations_rejected(y, x, alpha, apart=14) > alpha


def test_the_law_sums_to_one_and_keeps_the_mean():
    y, x = series(6), wars(120, (20, 30))
    law = shift_law(y, x)
    assert law.size == y.sum() + 1
    assert law.sum() == pytest.approx(1)
    assert law @ np.arange(law.size) == pytest.approx(y.sum() * x.mean())


@pytest.mark.parametrize("count", [0, 3, 9, 40])
def test_exceedance_is_the_shifts_own_law_at_one_and_has_the_mean_that_the_ratio_names(count):
    y, x = series(7), wars(120, (20, 30))
    law = shift_law(y, x)
    ratio, over = exceedance(law, count)
    assert np.all(np.diff(over) >= -1e-12)
    assert np.interp(1.0, ratio, over) == pytest.approx(law[count:].sum(), abs=1e-9)
    curves = np.array([exceedance(law, k)[1] for k in range(1, law.size)])
    mean, n = law @ np.arange(law.size), law.size - 1
    expected = curves.sum(axis=0)
    assert expected / (n - expected) == pytest.approx(ratio * mean / (n - mean), rel=1e-6)


def test_exceedance_agrees_with_simulation():
    y, x = series(8), wars(120, (20, 30))
    law, rng = shift_law(y, x), np.random.default_rng(0)
    n, mean = y.sum(), law @ np.arange(law.size)
    k = rng.choice(law.size, size=40_000, p=law / law.sum())
    for ratio in (0.5, 2.0):
        expected = n * ratio * mean / (n - mean + ratio * mean)
        away, towards = min(expected / mean, 1.0), max(expected - mean, 0.0) / (n - mean)
        drawn = rng.binomial(k, away) + rng.binomial(n - k, towards)
        assert np.interp(ratio, *exceedance(law, 20)) == pytest.approx((drawn >= 20).mean(), abs=0.012)


# ---- the scan over lags and pairs ------------------------------------------------------------------------------------


def planted(lag: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    b, c = (rng.poisson(0.1, 500) for _ in range(2))
    a = np.roll(b, lag) + rng.poisson(0.02, 500)
    return {("a", "b"): (a, b), ("a", "c"): (a, c), ("c", "b"): (c, b)}


def test_scan_finds_a_planted_lag_and_nothing_else():
    found = scan(planted(6), seed=1, draws=999)
    lag, z, p_lags, p_all = found["a", "b"]
    assert (lag, z > 10) == (6, True)
    assert p_lags == pytest.approx(15 / 500)  # 15 shifts have the peak among their lags
    assert p_all <= 0.1
    assert min(found["a", "c"][2], found["c", "b"][2]) > 0.05
    assert all(p_lags <= p_all + 0.02 for *_, p_lags, p_all in found.values())
    assert found == scan(planted(6), seed=1, draws=999)


def test_scan_is_the_loop_over_all_shifts():
    y, x = series(9, 90), series(10, 90)
    [[lag, z, p_lags, _]] = scan({("a", "b"): (y, x)}, lags=4, seed=0, draws=99).values()
    counts = np.array([(y * np.roll(x, s)).sum() for s in range(90)])
    scores = (counts - counts.mean()) / counts.std()
    largest = [max(abs(scores[(s + k) % 90]) for k in range(4)) for s in range(90)]
    assert p_lags == pytest.approx(np.mean(np.array(largest) >= largest[0] - 1e-9))
    assert (lag, abs(z)) == (int(np.abs(scores[:4]).argmax()), pytest.approx(largest[0]))


def test_scan_pays_for_pairs():
    """Unlinked series: the smallest of the corrected p is below 10 % about as often as it should be."""
    smallest = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        names = {name: rng.poisson(0.15, 300) for name in "abcd"}
        found = scan({(a, b): (names[a], names[b]) for a, b in combinations("abcd", 2)}, seed=seed, draws=299)
        smallest.append(min(row[3] for row in found.values()))
    assert 0 < np.mean(np.array(smallest) <= 0.2) <= 0.33


# ---- Granger ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sh-granger-chicken-to-egg-3", "sh-granger-egg-to-chicken-3"])
def test_granger_reference_cases(name):
    case = TIMES[name]
    d = case["data"]
    found = granger(np.array(d["z"]), np.array(d["x"]), d["order"])
    f, df_num, df_den = (float(found.notes[0].split()[word].strip(",")) for word in (4, 6, 8))
    got = {"F": f, "df_num": df_num, "df_den": df_den, "p": found.p_value}
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.filterwarnings("ignore:verbose is deprecated")
def test_granger_is_that_of_statsmodels(order):
    from statsmodels.tsa.stattools import grangercausalitytests

    y, x = np.sqrt(series(11, 200)), np.sqrt(series(12, 200))
    expected = grangercausalitytests(np.column_stack([y, x]), [order])[order][0]["ssr_ftest"]
    found = granger(y, x, order)
    assert found.p_value == pytest.approx(expected[1], rel=1e-9)
    assert found.p_two_sided == found.p_value


def test_granger_finds_a_planted_lead_and_picks_its_order():
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    y = 0.5 * np.roll(x, 2) + rng.normal(size=400)
    assert granger(y, x).p_value < 1e-6
    assert granger(y, x).notes[0].startswith("order 2")
    assert granger(x, y).p_value > 0.01
    assert granger(y, x).estimate == pytest.approx(0.5, abs=0.15)


def test_a_shared_line_is_no_lead():
    rng = np.random.default_rng(4)
    line = np.linspace(0, 6, 300)
    y, x = line + rng.normal(size=300), line + rng.normal(size=300)
    assert granger(y, x, 1).p_value < 0.01 < granger(y, x, 1, trend=True).p_value


@pytest.mark.parametrize(("y", "x"), [(np.ones(60), np.arange(60.0)), (np.arange(60.0), np.ones(60)),
                                      (np.arange(9.0), np.arange(9.0))])  # fmt: skip
def test_granger_says_why_it_cannot(y, x):
    assert granger(y, x).p_value is None
    assert "constant or shorter" in granger(y, x).reason


# ---- sites -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("nights", "days"), [([1, 1], 4), ([2, 1, 1], 4), ([3, 2, 2], 5), ([1, 1, 1, 1], 3), ([2], 9)])
def test_site_law_is_the_count_of_all_arrangements(nights, days):
    counts = []
    for places in product(*(combinations(range(days), n) for n in nights)):
        hits = np.bincount([day for site in places for day in site], minlength=days)
        counts.append(int((hits >= 2).sum()))
    expected = np.bincount(counts, minlength=sum(nights) // 2 + 1) / len(counts)
    assert site_law(nights, days) == pytest.approx(expected)
    assert site_law(nights[::-1], days) == pytest.approx(expected)


def test_site_law_of_a_busy_month_agrees_with_simulation():
    nights, rng = [12, 9, 5, 3], np.random.default_rng(1)
    hits = np.zeros((20_000, 30), dtype=int)
    for n in nights:
        hits += rng.random((20_000, 30)).argsort(axis=1) < n
    law = site_law(nights, 30)
    assert law.sum() == pytest.approx(1)
    assert law @ np.arange(law.size) == pytest.approx((hits >= 2).sum(axis=1).mean(), abs=0.05)


@pytest.mark.parametrize("count", range(14, 60, 5))
def test_equivalence_is_shown_when_both_limits_lie_inside(count):
    found = equivalence(count, 30.0, 2.0, 1.0)
    inside = found.limit_low > 0.5 and found.limit_high < 2
    assert (found.p_value < 0.05) == inside
    assert found.low <= found.limit_low <= found.estimate <= found.limit_high <= found.high


def test_power_to_show_equivalence_is_that_of_poisson_counts():
    k = np.random.default_rng(0).poisson(30.0, 4000)
    found = {int(c): equivalence(int(c), 30.0, 2.0, 1.0).p_value <= 0.05 for c in np.unique(k)}
    assert equivalence(30, 30.0, 2.0, 1.0).power == pytest.approx(np.mean([found[int(c)] for c in k]), abs=0.02)


def test_few_expected_days_cannot_show_equivalence():
    found = equivalence(5, 5.3, 2.0, 1.0)
    assert found.attainable_p > 0.05
    assert found.power == 0
    assert equivalence(0, 0.0, 2.0, 1.0).reason.startswith("nothing could coincide")
