"""How many there are beyond those seen: names behind claims, attacks that two lists leave out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import hypergeom

from analysis_lib.finding import Finding, number


def with_unseen(seen: int, unseen: float, variance: float) -> dict[str, float]:
    """Estimate and 95 % log-normal interval of `seen` + `unseen`, which ends above what was seen: cells of a finding.

    `variance` is that of `unseen`. Chao 1987, doi 10.2307/2531532.
    """
    factor = np.exp(1.96 * np.sqrt(np.log(1 + variance / unseen**2))) if unseen else 1.0
    return {"estimate": seen + unseen, "low": seen + unseen / factor, "high": seen + unseen * factor}


# ---- names -----------------------------------------------------------------------------------------------------------


def chao1(counts: Sequence[int]) -> Finding:
    """Lower bound for the number of names, seen and unseen: Chao1, bias-corrected, with its log-normal interval.

    `counts` are the claims made under each name seen. Chao 1984, Scand J Stat 11:265–270; 1987, doi 10.2307/2531532.
    Misleads where claims are no draws from one fixed set of names: names that are made for one claim and dropped, and
    two spellings of one name, both raise the singletons and with them the estimate. With fewer than 15 claims the
    interval spans a factor of three or more.

    >>> chao1([5, 3, 2, 2, 1, 1, 1]).estimate
    8.0
    """
    seen, (once, twice) = len(counts), np.bincount(counts, minlength=3)[1:3].tolist()
    more = once * (once - 1) / (2 * (twice + 1))
    spread = once * (2 * once - 1) ** 2 / (4 * (twice + 1) ** 2)
    last = once**2 * twice * (once - 1) ** 2 / (4 * (twice + 1) ** 4) if twice else -(once**4) / 4 / max(seen + more, 1)
    return Finding("names_at_least", "Chao1, bias-corrected, log-normal interval: a lower bound", n=int(sum(counts)),
                   notes=(f"{seen} names seen, {once} of them once, {twice} twice",),
                   **with_unseen(seen, more, more + spread + last))  # fmt: skip


def coverage(counts: Sequence[int]) -> Finding:
    """Probability that the next claim bears a name already seen, Good–Turing; Chao and Jost's form in the note.

    Good 1953, doi 10.1093/biomet/40.3-4.237; Chao and Jost 2012, doi 10.1890/11-1952.1. Misleads as `chao1` does.

    >>> coverage([5, 3, 2, 2, 1, 1, 1]).estimate
    0.8
    """
    n, (once, twice) = int(sum(counts)), np.bincount(counts, minlength=3)[1:3].tolist()
    later = (n - 1) * (once if twice else max(once - 1, 0))
    form = 1 - once / n * later / (later + 2 * max(twice, 1)) if later else 1.0
    return Finding("coverage", "Good–Turing coverage: chance that the next claim bears a name seen before", n=n,
                   estimate=1 - once / n, notes=(f"{form:.6g} in the form of Chao and Jost",))  # fmt: skip


def first_appearances(names: Sequence[str]) -> np.ndarray:
    """Names seen so far after each claim, in order: int, shape (claims,). A curve that flattens nears the last name.

    >>> first_appearances(["a", "b", "a", "c"])
    array([1, 2, 2, 3])
    """
    _, first = np.unique(np.asarray(names, dtype=str), return_index=True)
    return np.cumsum(np.bincount(first, minlength=len(names)))


# ---- two lists -------------------------------------------------------------------------------------------------------


def chapman(n1: int, n2: int, m: int) -> Finding:
    """Total number estimated from two lists of `n1` and `n2` with `m` in both, 95 % log-normal interval.

    Chapman 1951; variance of Seber 1970 (doi 10.2307/2529040), interval of Chao 1987 (doi 10.2307/2531532). Assumes a
    closed period and lists that draw from the same attacks independently: lists that copy each other, or that both
    have what is easily seen, make it a lower bound. Where all of one list is in the other the variance is 0 and there
    is no interval: see `total_limits`.

    >>> chapman(28, 20, 13).sentence()
    'total 42.5 (95 % interval 37.4 to 58), n = 35'
    """
    union, total = n1 + n2 - m, (n1 + 1) * (n2 + 1) / (m + 1) - 1
    variance = (n1 + 1) * (n2 + 1) * (n1 - m) * (n2 - m) / ((m + 1) ** 2 * (m + 2))
    cells, reason = with_unseen(union, total - union, variance), ""
    if not variance:
        cells, reason = {"estimate": total}, "all of one list is in the other: no variance, no interval"
    petersen = f"Lincoln–Petersen {number(n1 * n2 / m if m else np.inf)}"
    notes = (f"{n1} and {n2} in the lists, {m} in both", petersen, f"standard error {number(variance**0.5)}")
    return Finding("total", "two-list estimate of Chapman, log-normal interval", n=union, notes=notes, reason=reason,
                   **cells)  # fmt: skip


def overlap_p(n1: int, n2: int, m: Any, total: Any) -> tuple[np.ndarray, np.ndarray]:
    """P(overlap <= m), P(overlap >= m) of independent lists of `n1` and `n2` among `total`: hypergeometric, broadcast.

    For fewer than the lists hold together the first is 0; the second is then that of the fewest possible.

    >>> [round(float(p), 4) for p in overlap_p(18, 9, 9, 39)]
    [1.0, 0.0002]
    """
    most, seen = np.maximum(total, max(n1, n2)), np.maximum(total, n1 + n2 - np.asarray(m))
    few = np.where(most > total, 0.0, hypergeom.cdf(m, most, n1, n2))
    return few, hypergeom.sf(np.asarray(m) - 1, seen, n1, n2)


def total_limits(n1: int, n2: int, m: int, tail: float = 0.05) -> tuple[float, float]:
    """Exact limits of the total, each with `tail` beyond it, from the law of the overlap; the upper may be infinite.

    >>> total_limits(18, 9, 9)
    (18.0, 23.0)
    """
    totals = range(n1 + n2 - m, 100 * (n1 + n2))
    first = bisect_left(totals, True, key=lambda total: overlap_p(n1, n2, m, total)[0] > tail)
    over = bisect_left(totals, True, key=lambda total: overlap_p(n1, n2, m, total)[1] <= tail)
    return float(totals[first]), float(totals[over - 1]) if over < len(totals) else np.inf
