"""Circular shifts of six theatres over 15 lags: every shift at once by FFT beside a loop of numpy.roll.

Run `python bench/shifts.py`. The loop does a few of the 10,000 shifts and its time is scaled; both must agree.
"""

from time import perf_counter

import numpy as np

from analysis_lib.coupling import shift_counts

THEATRES, DAYS, LAGS, SHIFTS, LOOPED = 6, 1612, 15, 10_000, 20


def by_fft(counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Coincidences of every pair at every lag under each shift: (theatres, theatres, shifts, lags)."""
    table = shift_counts(counts[:, None], counts[None])
    return table[:, :, (shifts[:, None] + np.arange(LAGS)) % DAYS]


def by_roll(counts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The same, one shift, pair and lag at a time."""
    found = np.zeros((THEATRES, THEATRES, shifts.size, LAGS), dtype=np.int64)
    for i, shift in enumerate(shifts):
        for before in range(THEATRES):
            for lag in range(LAGS):
                moved = np.roll(counts[before], shift + lag)
                for after in range(THEATRES):
                    found[after, before, i, lag] = (counts[after] * moved).sum()
    return found


def timed(function, *arguments) -> tuple[float, np.ndarray]:
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result


if __name__ == "__main__":
    rng = np.random.default_rng(1)
    counts, shifts = rng.poisson(0.15, (THEATRES, DAYS)), rng.integers(DAYS, size=SHIFTS)
    fast, result = min((timed(by_fft, counts, shifts) for _ in range(3)), key=lambda pair: pair[0])
    slow, expected = timed(by_roll, counts, shifts[:LOOPED])
    assert np.array_equal(result[:, :, :LOOPED], expected), "the two ways differ"
    scaled = slow * SHIFTS / LOOPED
    print(f"{SHIFTS} shifts of {THEATRES} theatres x {LAGS} lags: FFT {fast:.3f} s, numpy.roll {scaled:.1f} s (scaled)")
    print(f"equal; ratio {scaled / fast:.0f}")
