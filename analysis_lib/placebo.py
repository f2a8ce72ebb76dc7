"""Randomised nulls: windows of the same length at every other place of a reference period, signs of differences."""

from collections.abc import Iterable

import numpy as np

from analysis_lib.finding import Alternative, Finding
from analysis_lib.series import Series
from analysis_lib.shares import both_tails, one_of
from analysis_lib.windows import Window, outside, placebo_starts

FEWEST = 20  # below this many placebo windows the null is drawn from the conditional uniform law instead


def placebo_counts(reference: Series, length: int, excluded: Iterable[Window]) -> np.ndarray:
    """Events in every run of `length` observed days that meets no excluded window: int, shape (windows,)."""
    starts = placebo_starts(reference.observed & outside(reference.days, excluded), length)
    total = np.concatenate([[0], np.cumsum(reference.counts)])
    return total[starts + length] - total[starts]


def placebo_windows(
    reference: Series, series: Series, window: Window, excluded: Iterable[Window], alternative: Alternative = "less", *,
    seed: int = 0, draws: int = 9999,
) -> Finding:  # fmt: skip
    """The window's count beside the counts of equally long windows of the reference period.

    H0: the window is one of the period's windows, its place arbitrary. Exact, the window itself included:
    p = (1 + #{placebo counts as extreme}) / (1 + windows); `attainable_p` is its resolution. With fewer than 20
    placebo windows, `draws` Monte Carlo samples put the frame's events uniformly on the frame, add-one p (Phipson and
    Smyth 2010, doi 10.2202/1544-6115.1585). Misleads because neighbouring windows overlap (the effective number is
    about days / length) and when the reference period is not comparable.
    """
    x1, t1, x0, t0 = series.split(window)
    null = placebo_counts(reference, t1, excluded) if t1 else np.empty(0)
    method, drawn = f"placebo windows of {t1} days, all {null.size} places", {}
    if null.size < FEWEST:
        if not t1 or not t0:
            return Finding("placebo_windows", "placebo windows", alternative=alternative, n=x1 + x0,
                           reason="no observed day inside or outside the window")  # fmt: skip
        method = f"events uniform on the frame given their number ({null.size} placebo windows are too few)"
        null = np.random.default_rng(seed).binomial(x1 + x0, t1 / (t1 + t0), size=draws)
        drawn = {"seed": seed, "draws": draws}
    size = null.size + 1
    less, greater = (1 + (null <= x1).sum()) / size, (1 + (null >= x1).sum()) / size
    low, high = np.quantile(null, [0.025, 0.975], method="inverted_cdf")
    return Finding(
        "placebo_windows", method, estimate=float(x1), **both_tails(less, greater, alternative), n=null.size,
        attainable_p=float(one_of(1 / size, 1 / size, alternative)), null_value=float(null.mean()), exposure=float(t1),
        **drawn, notes=(f"middle 95 % of the null: {low:g} to {high:g}",),
    )  # fmt: skip


def sign_flips(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact one-sided p-values (less, greater) of a sum of differences when every sign is equally likely.

    `differences`, int (..., m); both answers have shape (...,). H0: before and after are exchangeable within each pair.
    All 2^m flips count, the observed one among them, by inverting the characteristic function prod cos(d_i u), so that
    no flip is listed. Misleads where pairs share their days, or where "before" was chosen for being high.

    >>> less, greater = sign_flips(np.array([2, -1, 1, 3, 0]))
    >>> float(round(less, 4)), float(round(greater, 4))
    (0.9375, 0.1875)
    """
    d = np.asarray(differences)
    size = 2 << int(np.abs(d).sum(axis=-1).max(initial=0)).bit_length()  # a power of two, above twice the largest sum
    angle = 2 * np.pi / size * np.arange(size // 2 + 1)
    cosines = np.cos(np.arange(np.abs(d).max(initial=0) + 1)[:, None] * angle)
    law = np.ones((*d.shape[:-1], angle.size))
    for i in range(d.shape[-1]):
        law *= cosines[np.abs(d[..., i])]
    mass = np.fft.fftshift(np.fft.irfft(law, size), axes=-1)  # of the sums -size / 2 … size / 2 - 1
    place = d.sum(axis=-1)[..., None] + size // 2
    at, below = (np.take_along_axis(x, place, axis=-1)[..., 0] for x in (mass, np.cumsum(mass, axis=-1)))
    least = 0.5 ** np.count_nonzero(d, axis=-1)
    return np.clip(below, least, 1.0), np.clip(1.0 - below + at, least, 1.0)
