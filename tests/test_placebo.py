"""The randomised null: every other place for the window, or the frame's events put down at random."""

import numpy as np
import pytest
from reference_cases import differences, reference
from scipy import stats
from worlds import FRAME, WAR, YEAR, poisson_days

from analysis_lib import Series, Window
from analysis_lib.placebo import FEWEST, placebo_counts, placebo_windows
from analysis_lib.series import series_of


def watched(dates, span: Window, blind: tuple[Window, ...] = ()) -> Series:
    observed = np.ones(span.days, dtype=bool)
    for window in blind:
        observed &= ~window.mask(span.calendar())
    return series_of(dates, observed, span)


HISTORY = poisson_days(YEAR, 0.6, seed=5)
OTHER_WAR = WAR.shift(120)
NO_REPORTS = Window(YEAR.shift(20).start, YEAR.shift(20).start)


@pytest.mark.parametrize("blind", [(), (NO_REPORTS, WAR.shift(-60))], ids=["all days watched", "two blind spells"])
@pytest.mark.parametrize("excluded", [[WAR], [WAR, OTHER_WAR], []], ids=["own window", "two wars", "nothing"])
def test_placebo_counts_are_those_of_a_loop_over_all_places(excluded, blind):
    year = watched(HISTORY, YEAR, blind)
    slow = []
    for offset in range(YEAR.days - WAR.days + 1):
        place = Window(YEAR.start, YEAR.start).shift(offset)
        place = Window(place.start, place.shift(WAR.days - 1).start)
        mask = place.mask(year.days)
        if year.observed[mask].all() and not any(place.overlaps(w) for w in excluded):
            slow.append(int(year.counts[mask].sum()))
    assert placebo_counts(year, WAR.days, excluded).tolist() == slow


@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
def test_p_is_the_share_of_places_as_extreme_the_window_itself_included(alternative):
    year, frame = watched(HISTORY, YEAR), watched(HISTORY, FRAME)
    found = placebo_windows(year, frame, WAR, [WAR], alternative)
    null, x1 = placebo_counts(year, WAR.days, [WAR]), frame.split(WAR)[0]
    less, greater = ((1 + np.sum(null <= x1)) / (1 + null.size), (1 + np.sum(null >= x1)) / (1 + null.size))
    assert found.p_value == {"less": less, "greater": greater, "two-sided": min(1, 2 * min(less, greater))}[alternative]
    assert (found.estimate, found.n, found.seed) == (x1, null.size, None)
    assert found.null_value == pytest.approx(null.mean())


def test_the_reference_case_of_circular_shifts_on_an_open_line():
    """A placebo window does not wrap around; on the series laid out twice its places are the circular shifts."""
    case = reference("events")["sh-circular-shift"]
    y, window = case["data"]["y"], case["data"]["window"]
    ring = np.array(y + y[: len(window) - 1])
    days = np.datetime64("2021-01-01") + np.arange(ring.size).astype("timedelta64[D]")
    null = placebo_counts(Series(days, ring, np.ones(ring.size, dtype=bool)), len(window), [])
    observed = sum(y[i] for i in window)
    got = {
        "observed": observed, "n_shifts": null.size, "mean_null": null.mean(),
        "p_less": (null <= observed).mean(), "p_greater": (null >= observed).mean(),
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_resolution_is_one_over_the_places():
    found = placebo_windows(watched(HISTORY, YEAR), watched(HISTORY, FRAME), WAR, [WAR])
    assert found.attainable_p == pytest.approx(1 / (found.n + 1))
    assert found.p_value >= found.attainable_p


@pytest.mark.parametrize(("places", "drawn"), [(FEWEST, False), (FEWEST - 1, True)])
def test_below_twenty_places_the_frames_events_are_drawn_instead(places, drawn):
    short = Window(YEAR.start, YEAR.shift(WAR.days + places - 2).start)
    found = placebo_windows(watched(HISTORY, short), watched(HISTORY, FRAME), WAR, [WAR], seed=4, draws=999)
    assert (found.seed, found.draws) == ((4, 999) if drawn else (None, None))
    assert found.n == (999 if drawn else places)
    assert ("too few" in found.method) is drawn


def test_drawn_p_values_are_those_of_the_conditional_law():
    """Events uniform on the frame given their number: the binomial of the exact test, within simulation error."""
    frame = watched(HISTORY, FRAME)
    x1, t1, x0, t0 = frame.split(WAR)
    found = placebo_windows(watched(HISTORY, WAR), frame, WAR, [WAR], seed=1, draws=99_999)
    exact = stats.binom.cdf(x1, x1 + x0, t1 / (t1 + t0))
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 99_999))


def test_draws_follow_the_seed_and_add_one():
    def p(seed, draws=99):
        empty = watched(HISTORY[:0], WAR)
        return placebo_windows(empty, watched(HISTORY, FRAME), WAR, [WAR], seed=seed, draws=draws).p_value

    assert p(1) == p(1)
    assert len({p(seed) for seed in range(9)}) > 1
    assert all(round(p(seed) * 100, 9) == int(round(p(seed) * 100, 9)) >= 1 for seed in range(9))


def test_a_window_that_nobody_watched_has_no_p():
    found = placebo_windows(watched(HISTORY, WAR), watched(HISTORY, FRAME, (WAR,)), WAR, [WAR])
    assert found.p_value is None
    assert found.reason == "no observed day inside or outside the window"


@pytest.mark.parametrize(("ratio", "less", "greater"), [(0.0, True, False), (3.0, False, True)])
def test_a_pause_and_a_surge_fall_out_of_the_null(ratio, less, greater):
    dates = poisson_days(YEAR, 1.5, seed=2, ratio=ratio)
    found = {
        s: placebo_windows(watched(dates, YEAR), watched(dates, FRAME), WAR, [WAR], s) for s in ("less", "greater")
    }
    assert (found["less"].p_value <= 0.01, found["greater"].p_value <= 0.01) == (less, greater)
    assert (found["less"].agrees, found["greater"].agrees) == (less, greater)
