"""How many there are beyond those seen: their interval; the names behind claims, their coverage, first appearances."""

from collections.abc import Sequence

import numpy as np

from analysis_lib.finding import Finding


def with_unseen(seen: int, unseen: float, variance: float) -> dict[str, float]:
    """Estimate and 95 % log-normal interval of `seen` + `unseen`, which ends above what was seen: cells of a finding.

    `variance` is that of `unseen`. Chao 1987, doi 10.2307/2531532.
    """
    factor = np.exp(1.96 * np.sqrt(np.log(1 + variance / unseen**2))) if unseen else 1.0
    return {"estimate": seen + unseen, "low": seen + unseen / factor, "high": seen + unseen * factor}


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
