"""A stated total beside two lists of attacks: the design of a count claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, chi2_contingency

from analysis_lib.claims import Rule, Spec
from analysis_lib.completeness import chapman, incidents_of, link, overlap_p, total_limits
from analysis_lib.design import Design
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.rates import poisson_rate
from analysis_lib.series import filters, select
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from analysis_lib.sources.bundled import Tables

ONE_SIDED = "lists that share sources limit a total from below only, and no outcome could show that it is right"


@dataclass(frozen=True)
class Sample:
    """A closed period: rows of events.csv, incidents of the second list, running totals, what was matched how."""

    rows: pd.DataFrame
    incidents: pd.DataFrame
    counts: pd.DataFrame
    frame: Window
    days: int
    window: None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Length of the first list, of the second, how many stand in both."""
        return len(self.rows), len(self.incidents), int((link(self.incidents, self.rows, self.days) >= 0).sum())


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """Both lists of the frame. Raises InputMissing where one has nothing, or the frame ends after `as_of`."""
    known = tables.as_of(as_of)
    if spec.threshold is None:
        raise BadInput("threshold: got nothing; allowed: the stated total; give --set threshold=NUMBER")
    if spec.frame.until(as_of) != spec.frame:
        raise InputMissing(f"not yet observed: the count ends on {spec.frame_end}, after {as_of}")
    rows, incidents = select(known.events, spec), incidents_of(known, spec, spec.frame)
    rows = rows[rows["date"].between(str(spec.frame_start), str(spec.frame_end))]
    if rows.empty or incidents.empty or known.counts is None:
        raise InputMissing(f"one of the lists has no attack in {spec.frame}: {filters(spec)}")
    return Sample(rows, incidents, known.counts, spec.frame, 1 if spec.lag_days is None else spec.lag_days)


def _primary(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """The estimated number over the stated one, H0: it is not within the rule's factor of it.

    Lists that share sources limit the number from below only: no outcome can show agreement, so that there is no p
    unless they hold more than the factor allows. `low`…`high` is the exact interval of independent lists.
    """
    (n1, n2, m), a = sample.sizes, spec.threshold
    found, (low, high) = chapman(n1, n2, m), total_limits(n1, n2, m, 0.025)
    least = total_limits(n1, n2, m)[0] / a
    return replace(
        found, quantity="total_over_stated", method="exact law of the overlap of two lists, estimate of Chapman",
        estimate=found.estimate / a, low=low / a, high=high / a, limit_low=least, limit_high=np.inf, power=0.0,
        p_value=1.0 if least > rule.sesoi else None, attainable_p=1.0, exposure=float(sample.frame.days),
        reason="" if least > rule.sesoi else ONE_SIDED,
    )  # fmt: skip


def _overlap(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """H0: the stated total is true and the lists independent; two-sided p of the overlap, enumerated."""
    (n1, n2, m), a = sample.sizes, round(spec.threshold)
    p = np.minimum(1, 2 * np.minimum(*overlap_p(n1, n2, np.arange(min(n1, n2) + 1), a)))
    return Finding("overlap_if_true", "attacks in both lists if the stated total were true, enumerated", n=n2,
                   estimate=m, p_value=float(p[m]), attainable_p=float(p.min()), null_value=n1 * n2 / a)  # fmt: skip


def _count_ratio(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    return replace(poisson_rate(len(sample.rows), spec.threshold), quantity="count_ratio",
                   notes=("the first list alone; the interval is that of the underlying rate",))  # fmt: skip


def _increments(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Steps of the running totals of the agency that states the total, beside the rows of each step.

    H0: one ratio holds for all steps. Both counts are of the same attacks, so p is too large, and expected counts are
    small. A small p dates a change of definition.
    """
    found = Finding("count_increments", "steps of the agency's running totals beside the rows of each step, chi-square")
    known = "scope in @spec.theatres and weapon == 'any' and kind == 'cumulative'"
    span = f"period_start >= '{spec.frame_start}' and as_of <= '{spec.frame_end}'"
    totals = sample.counts.query(f"{known} and {span}").sort_values("as_of")
    agency = totals["issuer"].str.split(" via ").str[0]
    totals = totals[agency.isin(agency[totals["count"] == spec.threshold])]
    chain = max((c.drop_duplicates("count") for _, c in totals.groupby("period_start")), key=len, default=totals)
    if len(chain) < 2:
        return replace(found, reason="no chain of running totals by one agency in the frame")
    official = np.diff(chain["count"].to_numpy(int), prepend=0)
    edges = [chain["period_start"].iat[0], *chain["as_of"]]
    listed = [int(sample.rows["date"].between(a, b, inclusive="right").sum()) for a, b in pairwise(edges)]
    return replace(found, estimate=sum(listed) / official.sum(), p_value=chi2_contingency([official, listed]).pvalue,
                   n=sum(listed), notes=(f"rows {listed} beside steps {official.tolist()}",))  # fmt: skip


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    (n1, n2, m), a = sample.sizes, spec.threshold
    low, high = binomtest(m, n2).proportion_ci(0.95)
    return [
        chapman(n1, n2, m),
        Finding("completeness", "second list found in the first", estimate=m / n2, low=low, high=high, n=n2),
        replace(poisson_rate(round(a), 1), quantity="stated_total", notes=("interval of the rate, were it a draw",)),
    ]


# equivalence reads no single events or dates; how the lists are matched is varied by specifications
_ROBUSTNESS = {"count_ratio": _count_ratio, "count_increments": _increments}
DESIGNS = {
    "recapture": Design(
        take_sample, _primary, _overlap, _ROBUSTNESS, lambda *_: [], _shown, lambda *_: None, lambda *_: None
    )
}
