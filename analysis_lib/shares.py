"""Shares and differences of shares: exact tests, intervals, clusters of days, strata, exchanged labels, power."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, ndtr
from scipy.stats import binom, binomtest, hypergeom

from analysis_lib.finding import Alternative, Finding

Array = np.ndarray


def one_of(less, greater, alternative: Alternative):
    """The p-value for an alternative from the two tails; two-sided is twice the smaller one."""
    return {"less": less, "greater": greater, "two-sided": np.minimum(1.0, 2 * np.minimum(less, greater))}[alternative]


def both_tails(less: float, greater: float, alternative: Alternative) -> dict[str, Any]:
    """The cells of a finding that say what its p-value is: p_value, p_two_sided, alternative."""
    p, two = (float(one_of(less, greater, side)) for side in (alternative, "two-sided"))
    return {"p_value": p, "p_two_sided": two, "alternative": alternative}


def tails(law: Array, alternative: Alternative) -> Array:
    """The exact p of every count k = 0, 1, …, from its law under H0 (probability of k along the first axis).

    >>> tails(np.array([0.25, 0.5, 0.25]), "less")
    array([0.25, 0.75, 1.  ])
    """
    return np.minimum(1.0, one_of(law.cumsum(axis=0), law[::-1].cumsum(axis=0)[::-1], alternative))


def exact_null(law: Array, observed: int, alternative: Alternative, **cells) -> Finding:
    """A count beside its law under H0; `cells` name the quantity, the method and n."""
    p, two = (tails(law, side) for side in (alternative, "two-sided"))
    return Finding(estimate=float(observed), p_value=float(p[observed]), p_two_sided=float(two[observed]),
                   attainable_p=float(p[law > 0].min()), alternative=alternative,
                   null_value=float(law @ np.arange(law.size)), **cells)  # fmt: skip


def summed(laws: Iterable[Array]) -> Array:
    """The law of a sum of independent counts, from the law of each."""
    return reduce(np.convolve, laws, np.ones(1))


def powered(found: Finding, power: Callable, far: float, claimed: float | None) -> Finding:
    """The finding with its power at `claimed`, and the value nearest to the null, towards `far`, found with 80 %."""
    truths = np.linspace(found.null_value, far, 501)[1:]
    mde = truths[power(truths) >= 0.8][:1]
    at_claim = None if claimed is None else float(power([claimed])[0])
    return replace(found, power=at_claim, mde=float(mde[0]) if mde.size else None)


# ---- one share -------------------------------------------------------------------------------------------------------


def share(x: int, n: int, against: float, alternative: Alternative = "greater", claimed=None, alpha=0.05) -> Finding:
    """A share `x` of `n` (not 0) beside the share `against`, by the exact binomial test, with its power at `claimed`.

    H0: the true share is `against`. Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404. Misleads where attacks come
    in clusters that share their fate (see `day_clusters`) and where the outcome is known more often for one kind of
    attack (see the bounds of a study).

    >>> share(3, 20, 0.1, "less").sentence()
    'share 0.15 (95 % interval 0.0321 to 0.379), p = 0.867, n = 20'
    """
    law = binom.pmf(np.arange(n + 1), n, against)
    (low, high), (limit_low, limit_high) = (binomtest(x, n).proportion_ci(level) for level in (0.95, 0.90))
    names = {"quantity": "share", "method": "exact binomial test, Clopper–Pearson interval"}
    found = replace(exact_null(law, x, alternative, n=n, **names), estimate=x / n, low=low, high=high,
                    limit_low=limit_low, limit_high=limit_high, null_value=against)  # fmt: skip
    power = partial(share_power, n, against, alternative, alpha)
    return powered(found, power, float(alternative == "greater"), claimed)


def share_power(n: int, against: float, alternative: Alternative, alpha: float, truth) -> Array:
    """Probability that the exact test gives p <= alpha at each true share, all outcomes enumerated: shape as `truth`.

    >>> share_power(69, 0.5, "greater", 0.05, [0.65]).round(2)
    array([0.8])
    """
    x = np.arange(n + 1)[:, None]
    rejected = tails(binom.pmf(x[:, 0], n, against), alternative) <= alpha
    return rejected @ binom.pmf(x, n, np.clip(truth, 0, 1))


def wilson(x: int, n: int, quantity: str = "wilson", what: str = "attacks") -> Finding:
    """A share with its 95 % interval of Wilson (1927, doi 10.1080/01621459.1927.10502953), no continuity correction.

    Misleads where attacks share their outcome, as in a salvo: the interval is then too short.
    """
    low, high = binomtest(x, n).proportion_ci(method="wilson")
    return Finding(quantity, f"share of {what}, Wilson interval", estimate=x / n, low=low, high=high, n=n)


def jeffreys(x: int, n: int, against: float, alternative: Alternative) -> Finding:
    """Posterior of a share under the Jeffreys prior Beta(½, ½): median, 95 % interval, probability of the other side.

    The interval ends at 0 for x = 0 and at 1 for x = n. Brown, Cai and DasGupta 2001, doi 10.1214/ss/1009213286.
    Misleads as the exact test does: attacks count as independent.
    """
    low, middle, high = betaincinv(x + 0.5, n - x + 0.5, [0.025, 0.5, 0.975])
    below = betainc(x + 0.5, n - x + 0.5, against)
    return Finding("jeffreys", "posterior probability of the other side, Jeffreys prior", estimate=float(middle),
                   low=float(low) if x else 0.0, high=float(high) if x < n else 1.0, n=n, null_value=against,
                   p_value=float(one_of(1 - below, below, alternative)), alternative=alternative)  # fmt: skip


def cluster_law(clusters: Array, against: float) -> Array:
    """Law of the number of attacks with the outcome when all attacks of a cluster share one: see `day_clusters`."""
    sizes = np.unique(clusters, return_counts=True)[1]
    return summed(np.concatenate([[1 - against], np.zeros(size - 1), [against]]) for size in sizes)


def day_clusters(outcome: Array, days: Array, against: float, alternative: Alternative) -> Finding:
    """The number of attacks with the outcome, when days are drawn and not attacks: the exact law, no draws.

    `outcome` (0 or 1) and `days` have shape (n,). H0: each day has the outcome with probability `against`, for all its
    attacks alike: the strongest dependence within a day there can be. With one attack a day it is the binomial test.
    Misleads where dependence lasts longer than a day.

    >>> day_clusters(np.array([1, 1, 1]), np.array([5, 5, 6]), 0.5, "greater").p_value
    0.25
    """
    n = np.unique(days).size
    return exact_null(cluster_law(days, against), int(outcome.sum()), alternative, n=n, quantity="day_clusters",
                      method=f"{n} days, the attacks of each sharing one outcome, exact")  # fmt: skip


def cluster_bootstrap(
    outcome: Array, clusters: Array, against: float, alternative: Alternative, *, seed: int, draws: int, weights=None
) -> Finding:
    """The share, `weights` given or equal, with whole clusters resampled: percentile interval and p.

    `outcome`, `clusters`, `weights` have shape (n,). H0: the share is `against`; p is the part of the resampled shares
    on the other side, add-one. Misleads with fewer than about 20 clusters, and says nothing (no p) where every
    attack has the same outcome.
    """
    place = np.unique(clusters, return_inverse=True)[1]
    size, yes = (np.bincount(place, w) for w in (weights, outcome if weights is None else outcome * weights))
    found = Finding("cluster_bootstrap", f"{size.size} clusters resampled, percentiles", alternative=alternative,
                    estimate=float(yes.sum() / size.sum()), null_value=against, n=size.size)  # fmt: skip
    if size.size < 2 or np.ptp(outcome) == 0:
        return replace(found, reason="the outcomes do not vary: a bootstrap cannot judge them")
    picks = np.random.default_rng(seed).multinomial(size.size, np.full(size.size, 1 / size.size), size=draws)
    shares = picks @ yes / (picks @ size)
    p = one_of(*((1 + (s * shares >= s * against).sum()) / (draws + 1) for s in (1, -1)), alternative)
    low, high = np.quantile(shares, [0.025, 0.975])
    return replace(found, low=float(low), high=float(high), p_value=float(p), seed=seed, draws=draws)


# ---- two shares ------------------------------------------------------------------------------------------------------


def label_law(outcome: Array, first: Array, strata: Array) -> Array:
    """Law of the number of first-group attacks with the outcome when labels are exchanged within strata: exact."""
    _, place, n = np.unique(strata, return_inverse=True, return_counts=True)
    sizes = (np.bincount(place, w).astype(int) for w in (outcome, first))
    return summed(hypergeom.pmf(np.arange(n1 + 1), n, k, n1) for n, k, n1 in zip(n, *sizes, strict=True))


def label_permutation(outcome: Array, first: Array, strata: Array, alternative: Alternative, within: str) -> Finding:
    """How many attacks of the first group have the outcome, beside every exchange of group labels within strata.

    `outcome` (0 or 1), `first` (bool) and `strata` have shape (n,). H0: within a stratum the label says nothing about
    the outcome; hypergeometric in each, convolved, so that nothing is drawn. Strata with one group or one outcome
    carry nothing. Misleads where the labels differ within a stratum in another way.
    """
    return exact_null(label_law(outcome, first, strata), int(outcome[first].sum()), alternative, n=outcome.size,
                      quantity="weapon_permutation", method=f"labels exchanged within {within}, exact")  # fmt: skip


def newcombe(x1: int, n1: int, x0: int, n0: int, alternative: Alternative) -> Finding:
    """Share x1 of n1 less share x0 of n0, interval by method 10 of Newcombe (1998), its p where a limit meets 0.

    Misleads as every comparison of two binomials does: attacks count as independent, months and sites as alike.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    limits = partial(confint_proportions_2indep, x1, n1, x0, n0, method="newcomb", compare="diff")
    gap = x1 / n1 - x0 / n0
    side, least = int(gap < 0), 1e-15  # the limit that may meet 0, and the smallest alpha that can be asked for
    meets = limits(alpha=least)[side] * gap < 0
    alpha = brentq(lambda alpha: limits(alpha=alpha)[side], least, 1 - 1e-9) if meets else 1.0 if gap == 0 else least
    p = one_of(*((alpha / 2, 1 - alpha / 2) if side else (1 - alpha / 2, alpha / 2)), alternative)
    (low, high), (limit_low, limit_high) = limits(alpha=0.05), limits(alpha=0.10)
    return Finding("newcombe", "difference of two shares, Newcombe's method 10", estimate=gap, low=low, high=high,
                   p_value=float(p), alternative=alternative, null_value=0.0, limit_low=limit_low,
                   limit_high=limit_high, n=n1 + n0)  # fmt: skip


def share_difference(
    x1: int, n1: int, x0: int, n0: int, alternative: Alternative = "greater", claimed: float | None = None, alpha=0.05
) -> Finding:
    """Share x1 of n1 less share x0 of n0: Fisher's exact p, Newcombe's interval, power at `claimed`.

    H0: both groups have the same share. `attainable_p` keeps the margins, as the test does: the smallest p that any
    exchange of labels could give (Tarone 1990, doi 10.2307/2531456). Misleads where months or sites differ between
    the groups (see `stratified_odds`, `label_permutation`).

    >>> share_difference(9, 10, 3, 10).sentence()
    'share difference 0.6 (95 % interval 0.171 to 0.809), p = 0.00988, n = 20'
    """
    names = {"quantity": "share_difference", "method": "Fisher's exact test, Newcombe's interval", "n": n1 + n0}
    if not n1 or not n0:
        return Finding(**names, alternative=alternative, null_value=0.0, reason="one of the two groups is empty")
    fisher = exact_null(hypergeom.pmf(np.arange(n1 + 1), n1 + n0, x1 + x0, n1), x1, alternative, **names)
    cells = {name: getattr(fisher, name) for name in (*names, "p_value", "p_two_sided", "attainable_p")}
    power = partial(difference_power, n1, n0, x0 / n0, alternative, alpha)
    found = replace(newcombe(x1, n1, x0, n0, alternative), **cells)
    return powered(found, power, (alternative == "greater") - x0 / n0, claimed)


def difference_power(n1: int, n0: int, base: float, alternative: Alternative, alpha: float, gaps) -> Array:
    """Power of Fisher's test when the second share is `base` and the first exceeds it by each of `gaps`.

    All outcomes are enumerated; a first share beyond 0 or 1 is cut there.

    >>> difference_power(20, 60, 0.1, "greater", 0.05, [0.2]).round(2)
    array([0.54])
    """
    x1, x0 = np.arange(n1 + 1)[:, None], np.arange(n0 + 1)
    law = hypergeom.pmf(x1, n1 + n0, np.arange(n1 + n0 + 1), n1)  # of x1, for each total
    rejected = tails(law, alternative)[x1, x1 + x0] <= alpha
    return rejected @ binom.pmf(x0, n0, base) @ binom.pmf(x1, n1, np.clip(base + np.asarray(gaps), 0, 1))


def stratified_odds(outcome: Array, first: Array, strata: Array, alternative: Alternative, within: str) -> Finding:
    """Common odds ratio over strata (Mantel–Haenszel) with the test of Cochran, Mantel and Haenszel, one-sided.

    H0: in no stratum does the outcome depend on the group; no continuity correction, p from the signed root. Strata
    with one group or one outcome carry nothing. Misleads where the ratio changes its direction between strata.
    """
    from statsmodels.stats.contingency_tables import StratifiedTable

    names, place = np.unique(strata, return_inverse=True)
    counts = np.zeros((2, 2, names.size))
    np.add.at(counts, (1 - first.astype(int), 1 - outcome.astype(int), place), 1)
    counts = counts[:, :, (counts.sum(axis=0).min(axis=0) > 0) & (counts.sum(axis=1).min(axis=0) > 0)]
    method = f"Cochran–Mantel–Haenszel odds ratio over {counts.shape[2]} of {names.size} {within}"
    found = Finding("stratified", method, alternative=alternative, n=int(counts.sum()))
    if not counts.size:
        return replace(found, reason="no stratum holds both groups and both outcomes")
    table = StratifiedTable(counts)
    odds = float(table.oddsratio_pooled) if (counts[0, 1] * counts[1, 0]).any() else np.inf
    root = np.sqrt(table.test_null_odds().statistic) * np.sign(odds - 1)
    return replace(found, estimate=odds, p_value=float(one_of(ndtr(root), ndtr(-root), alternative)))
