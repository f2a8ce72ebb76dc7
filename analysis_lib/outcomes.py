"""Shares of attacks with an outcome: what an outcome word means, the sample, the designs of one share and of two."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from analysis_lib import shares
from analysis_lib.claims import Rule, Spec
from analysis_lib.design import Design, Null, Test
from analysis_lib.errors import BadInput, InputMissing, unknown
from analysis_lib.events import DEFINED
from analysis_lib.finding import Finding, number, percent
from analysis_lib.rates import mid_p
from analysis_lib.richness import chao1, coverage
from analysis_lib.sensitivity import REACH
from analysis_lib.series import exposure, filters, select
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window

OUTCOMES = DEFINED["outcomes"]  # the words and their meaning stand in data/tables.yml
SETTLED = timedelta(30)  # after so long an attack without a claim counts as unclaimed
TESTS = {"share": shares.share, "share_difference": shares.share_difference}
ROOM = 0.15  # the smallest difference of shares of interest


def coded(events: pd.DataFrame, word: str | None, settled: date | None = None) -> pd.DataFrame:
    """The rows that an outcome concerns, with a column `outcome`: 1 yes, 0 no, ½ unknown.

    Outcomes that rest on claims are unknown for attacks after the day `settled`: a claim may still come. Raises
    BadInput for an unknown word.
    """
    if word not in OUTCOMES:
        raise unknown("outcome", str(word), OUTCOMES, "set outcome to one of them")
    told = OUTCOMES[word]
    known = events.astype(dict.fromkeys(("killed", "wounded", "us_killed", "us_wounded"), float))
    met = {key: known.eval(told[key], engine="python") for key in ("has", "lacks", "of") if key in told}
    late = events["date"] > np.datetime64(settled if settled and told.get("about") == "claims" else "NaT", "D")
    rows = events.assign(outcome=np.select([late, met.get("lacks", ~met["has"]), met["has"]], [0.5, 0.0, 1.0], 0.5))
    return rows[met["of"]] if "of" in met else rows


def toll(rows: pd.DataFrame) -> pd.Series:
    """Killed and wounded of each attack of which either number is known, by event_id; a blank counts as none."""
    return rows.set_index("event_id")[["killed", "wounded"]].sum(axis=1, min_count=1).dropna()


# ---- the sample ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """The attacks of the frame by date, each with its `outcome` (1, 0, nan unknown), its group and its strata.

    Of two `groups` the population is `first`. `listed` is the share of the Iran-aligned side among all rows of the
    list, `watched` the number of days of the frame that were watched.
    """

    rows: pd.DataFrame
    groups: int
    frame: Window
    listed: float
    watched: float | None
    window: None = None

    @property
    def labels(self) -> list[str]:
        """The outcome of each row in words, with the name of a claim."""
        words = self.rows["outcome"].map({1.0: "yes", 0.0: "no"}).fillna("unknown")
        return [f"{word} ({name})" if name else word for word, name in zip(words, self.rows["claimed_by"], strict=True)]

    @cached_property
    def known(self) -> pd.DataFrame:
        """The rows with a known outcome, which is then an integer."""
        return self.rows.dropna(subset="outcome").astype({"outcome": int})

    def columns(self, *names: str) -> list[np.ndarray]:
        """Columns of the rows with a known outcome, shape (n,) each."""
        return [self.known[name].to_numpy() for name in names]

    def counts(self, fill: tuple[float, float] = (np.nan, np.nan)) -> tuple[int, ...]:
        """x, n of each group: attacks with the outcome, and attacks; unknown outcomes as in `fill` (nan: left out)."""
        known = self.rows["outcome"].where(self.rows["outcome"].notna(), np.where(self.rows["first"], *fill))
        groups = (known[self.rows["first"] == first] for first in (True, False)[: self.groups])
        return tuple(int(number) for group in groups for number in (group.sum(), group.count()))


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of a specification, everything later than `as_of` unknown.

    Rows of days that nobody watched count as well: a share is no rate. A row of both populations (a drone with
    rockets) is left out of a comparison. With a unit other than `attack`, a site's night or a day has the outcome if
    any of its attacks has it. Raises InputMissing for a frame that is not yet observed and where no outcome is known,
    BadInput where outcome, threshold or second population are missing, and where no attack passes.
    """
    known, frame, parts = tables.as_of(as_of), spec.frame.until(as_of), []
    needs = "against" if spec.test == "share_difference" else "threshold"
    if frame is None:
        raise InputMissing(f"not yet observed: the frame starts on {spec.frame_start}, after {as_of}")
    if getattr(spec, needs) is None:
        raise BadInput(f"test {spec.test}: no {needs} given; allowed: one; set {needs}")
    for group in (spec, spec.against) if needs == "against" else (spec,):
        rows = select(known.events, group.model_copy(update={"unit": "attack"}))
        rows = coded(rows[frame.mask(rows["date"].to_numpy())], spec.outcome, as_of and as_of - SETTLED)
        by = {"attack": "event_id", "site_night": ["date", "location"], "attack_day": "date"}[group.unit]
        parts.append(rows.assign(first=group is spec).sort_values("outcome").drop_duplicates(by, keep="last"))
    rows = pd.concat(parts).drop_duplicates("event_id", keep=False).sort_values(["date", "event_id"])
    if rows.empty:
        raise BadInput(f"no attack in {frame} passes {filters(spec)}; allowed: some; widen the filters or the frame")
    month, unclear = rows["date"].dt.strftime("%Y-%m "), {"left_out": np.nan, "no": 0.0, "yes": 1.0}[spec.missing_as]
    rows = rows.assign(outcome=rows["outcome"].replace(0.5, unclear), month=month, site_month=month + rows["location"])
    watched = None if known.coverage is None else float(exposure(known.coverage, spec, frame).sum())
    sample = Sample(rows, len(parts), frame, float((known.events["bloc"] == "iran_aligned").mean()), watched)
    if 0 in sample.counts()[1::2]:
        raise InputMissing(f"no attack with a known outcome in {frame}: {filters(spec)}")
    return sample


# ---- tests: (sample, spec, rule, seed) → Finding ---------------------------------------------------------------------


def null_of(spec: Spec, rule: Rule) -> tuple[float | str, ...]:
    """The share tested against, if one is, and the side: for equivalence the margin, to be stayed below."""
    if spec.test == "share":
        return (spec.threshold + rule.sesoi, "less") if rule.form == "equivalence" else (spec.threshold, rule.direction)
    if rule.form == "equivalence":
        raise BadInput("test share_difference under a rule of equivalence; allowed: share; set test=share")
    return (rule.direction,)


def _primary(sample: Sample, spec: Spec, rule: Rule, seed: int, fill=(np.nan, np.nan)) -> Finding:
    counts = sample.counts(fill)
    found = TESTS[spec.test](*counts, *null_of(spec, rule), rule.claimed_effect, rule.alpha)
    told = " beside ".join(f"{x} of {n} attacks" for x, n in zip(counts[::2], counts[1::2], strict=True))
    against = f"against {number(found.null_value)}, {found.alternative}"
    return replace(found, exposure=sample.watched, notes=(told, against))


def _ends(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """The primary with every unknown outcome so that the estimate is lowest, then highest; none where all are known."""
    left = int(sample.rows["outcome"].isna().sum())
    ends = (("at_least", "lowest", (0, 1)), ("at_most", "highest", (1, 0))) if left else ()
    return [replace(_primary(sample, spec, rule, seed, fill), quantity=f"{spec.test}_{name}", role="band_end",
                    method=f"{left} unknown outcomes counted so that the estimate is {word}")
            for name, word, fill in ends]  # fmt: skip


def _of(method: Test, *columns: str, **words: str) -> Test:
    """A test of the known outcomes by a function of `shares` that takes these columns."""
    return lambda sample, spec, rule, seed: method(*sample.columns(*columns), *null_of(spec, rule), **words)


def _resampled(sample: Sample, spec: Spec, rule: Rule, seed: int, by: str = "date", weights=None) -> Finding:
    columns = sample.columns("outcome", by)
    return shares.cluster_bootstrap(*columns, *null_of(spec, rule), seed=seed, draws=spec.draws, weights=weights)


def _equal_weight(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Every site and month of equal weight, months resampled: no busy month and no busy site decides alone."""
    weights = 1 / sample.known.groupby("site_month")["outcome"].transform("size").to_numpy()
    found = _resampled(sample, spec, rule, seed, "month", weights)
    return replace(found, quantity="stratified", method=f"sites and months of equal weight, {found.method}")


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any one attack; dates, which hardly enter a share; a rival that the share is held against."""
    primary, rows = _primary(sample, spec, rule, seed), sample.rows
    kinds = sample.known.drop_duplicates(["first", "outcome"]).index  # leaving out another of a kind gives the same
    left = [replace(sample, rows=rows.drop(row)).counts() for row in kinds]
    p = [TESTS[spec.test](*c, *null_of(spec, rule)).p_value if all(c[1::2]) else 1.0 for c in left]
    reach = pd.to_timedelta(rows["date_precision"].map(REACH), unit="D")
    edge = int((~(sample.frame.mask(rows["date"] - reach) & sample.frame.mask(rows["date"] + reach))).sum())
    cells = {"alternative": primary.alternative, "n": primary.n}
    return [
        Finding("leave_one_out", "primary p without each attack in turn, the largest", role="leave_one_out",
                p_value=max(p), notes=(f"the smallest is {min(p):.3g}",), **cells),
        Finding("date_shift", "the primary p: dates enter a share only at the edges of the frame", role="date_shift",
                p_value=primary.p_value, **cells,
                notes=(f"{edge} attacks may lie outside the frame by the precision of their date",)),
        *_rivals(sample, spec, rule),
    ]  # fmt: skip


def _rivals(sample: Sample, spec: Spec, rule: Rule) -> list[Finding]:
    """Silence: do the claimed attacks alone show it? Selection: does the share say more than how the list was made?"""
    known, (*against, side) = sample.known, null_of(spec, rule)
    if spec.outcome == "no_parent_claim":
        known, method = known[known["claimed_by"] != ""], "silence: the same share of the claimed attacks alone"
        reason = "" if len(known) else "no attack was claimed"
    elif spec.outcome in ("officially_attributed", "attributed_iran_aligned"):
        against, method = [sample.listed], f"the making of the list, {percent(sample.listed)} of which is Iran-aligned"
        reason = "" if sample.listed <= 1 - ROOM else "no share can exceed that of the list by enough to matter"
    else:
        return []
    found = Finding("rival", method, role="rival", alternative=side, n=len(known), reason=reason)
    if against and not reason:
        found = shares.share(int(known["outcome"].sum()), len(known), *against, side)
    return [replace(found, quantity="rival", role="rival", method=method)]


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: other intervals and p, the rule of three, names behind the claims, the tail of the toll."""
    (x, n, *other), about = sample.counts(), OUTCOMES[spec.outcome].get("about")
    found = [shares.wilson(x, n, "wilson", "attacks of the population")]
    if other:
        exchanged = _of(shares.label_permutation, "outcome", "first", "site_month", within="site and months")
        found.append(shares.wilson(*other, "wilson_comparison", "attacks of the comparison"))
        found.append(replace(exchanged(sample, spec, rule, seed), quantity="site_month_permutation"))
    else:
        against, side = null_of(spec, rule)
        p = float(shares.one_of(*mid_p(x, n, against), side))
        found += [Finding("mid_p", "exact binomial test, mid-p", p_value=p, alternative=side, null_value=against, n=n)]
    if x == 0:
        found += [Finding("rule_of_three", "3 / n: about the upper limit after none of n", estimate=3 / n, n=n)]
    names = sample.rows["claimed_by"].str.split(";").explode().replace("", None).value_counts().tolist()
    found += [chao1(names), coverage(names)] if names and about == "claims" else []
    return [*found, *(_tail(sample.rows) if about == "casualties" else ())]


def _tail(rows: pd.DataFrame) -> list[Finding]:
    """How heavy attacks can be: shares above a toll, the largest beside the sum. Means and their errors say nothing."""
    hurt = toll(rows)
    if not hurt.sum():
        return []
    note = f"{hurt.max()} of {hurt.sum()} in {hurt.idxmax()}; median {hurt.median():g}"
    worst = Finding("largest_of_total", "killed and wounded in the worst attack over those in all", n=hurt.size,
                    estimate=float(hurt.max() / hurt.sum()), notes=(note,))  # fmt: skip
    heavy = [shares.wilson(int((hurt >= k).sum()), hurt.size, f"toll_{k}_or_more", f"attacks with {k} or more hurt")
             for k in (1, 5, 20)]  # fmt: skip
    return [*heavy, worst]


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    """Counts drawn from the exact law of the randomisation, for its picture."""
    if spec.test == "share":
        law, words = shares.cluster_law(*sample.columns("date"), null_of(spec, rule)[0]), "days drawn"
    else:
        law, words = shares.label_law(*sample.columns("outcome", "first", "month")), "weapons exchanged within months"
    values = np.random.default_rng(seed).choice(law.size, spec.draws, p=law / law.sum())
    return Null(values, sample.counts()[0], f"attacks with the outcome, {words}")


def _power(sample: Sample, spec: Spec, rule: Rule, effects: np.ndarray) -> np.ndarray:
    _, n, *other = sample.counts()
    if spec.test == "share":
        return shares.share_power(n, *null_of(spec, rule), rule.alpha, effects)
    return shares.difference_power(n, other[1], other[0] / other[1], *null_of(spec, rule), rule.alpha, effects)


_ONE = {
    "jeffreys": lambda sample, spec, rule, _: shares.jeffreys(*sample.counts(), *null_of(spec, rule)),
    "day_clusters": _of(shares.day_clusters, "outcome", "date"),
    "cluster_bootstrap": _resampled,
    "stratified": _equal_weight,
}
_TWO = {
    "newcombe": lambda sample, spec, rule, _: shares.newcombe(*sample.counts(), *null_of(spec, rule)),
    "stratified": _of(shares.stratified_odds, "outcome", "first", "location", within="sites"),
    "weapon_permutation": _of(shares.label_permutation, "outcome", "first", "month", within="months"),
}
DESIGNS = {
    name: Design(take_sample, _primary, tests[randomised], tests, _sensitivity, _shown, _null, _power, _ends)
    for name, tests, randomised in (
        ("share", _ONE, "day_clusters"), ("share_difference", _TWO, "weapon_permutation")
    )
}  # fmt: skip
