"""Dated statements checked field by field against coded events."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from analysis_lib.claims import Claim, Fact, Spec
from analysis_lib.errors import InputMissing
from analysis_lib.finding import tidy
from analysis_lib.series import exposure, select
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

# the words of comparison: how a sentence says them, and when a coded value agrees with a stated one
COMPARED = {
    "equal": ("", operator.eq),
    "at_least": ("at least ", operator.ge),
    "at_most": ("at most ", operator.le),
    "more_than": ("more than ", operator.gt),
    "less_than": ("fewer than ", operator.lt),
    "contains": ("", operator.eq),
    "about": ("about ", lambda coded, stated: abs(coded - stated) <= 0.1 * abs(stated)),  # a tenth either way
}
GROWS = {"equal", "at_most", "less_than", "about"}  # a count that agrees so far may still grow out of these


@dataclass(frozen=True)
class FactCheck:
    """One fact beside its coded value. `agrees` is None where the value is missing or was not known yet."""

    fact: Fact
    coded: Any
    agrees: bool | None
    event_ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """Plain JSON values."""
        told = self.fact.model_dump(mode="json", include={"field", "text", "stated", "compare", "required"})
        coded = self.coded.isoformat() if isinstance(self.coded, date) else tidy(self.coded)
        ids = ", ".join(self.event_ids) or None
        return told | {"coded": coded, "agrees": self.agrees, "event_id": ids, "reason": self.reason}

    @property
    def named(self) -> str:
        """The field, with the text that states it where a claim rests on several."""
        return self.fact.field + (f" ({self.fact.text})" if self.fact.text else "")

    def sentence(self) -> str:
        """The check in words."""
        stated = "" if self.fact.stated is None else f"stated {COMPARED[self.fact.compare][0]}{self.fact.stated}, "
        coded = f"coded {self.coded}" if self.coded is not None else f"not known ({self.reason})"
        more = f" and {len(self.event_ids) - 3} more" if len(self.event_ids) > 3 else ""
        rows = f" ({', '.join(self.event_ids[:3])}{more})" if self.event_ids else ""
        left_open = f", {self.reason}" if self.reason and self.coded is not None else ""
        return f"{self.named}: {stated}{coded}{rows}{left_open}"


def check_facts(claim: Claim, tables: Tables, as_of: date | None = None) -> list[FactCheck]:
    """Every fact of a claim beside the event list as it was known on `as_of` (None: all of it)."""
    known = tables.as_of(as_of)
    return [_check(fact, claim, known, as_of) for fact in claim.facts]


def _check(fact: Fact, claim: Claim, tables: Tables, as_of: date | None) -> FactCheck:
    if as_of is not None and fact.known_from is not None and fact.known_from > as_of:
        return FactCheck(fact, None, None, reason=f"public only from {fact.known_from}")
    if fact.measure is not None:
        return _measured(fact, claim, tables, as_of)
    if fact.event_id is not None:
        return _from_row(fact, tables.events)
    reason = "" if fact.coded is not None else "no value is coded"
    return FactCheck(fact, fact.coded, compare(fact, fact.coded), (), (fact.source,) if fact.source else (), reason)


def _from_row(fact: Fact, events: pd.DataFrame) -> FactCheck:
    rows = events[events["event_id"] == fact.event_id]
    if rows.empty:
        return FactCheck(fact, None, None, reason=f"row {fact.event_id} is not in events.csv")
    row = rows.iloc[0]
    value, origin = row[fact.column], ((fact.event_id,), tuple(row["sources"].split(" | ")))
    if rows[fact.column].isna().iat[0] or value == "":
        return FactCheck(fact, None, None, *origin, f"{fact.column} is blank")
    value = value.date() if hasattr(value, "date") else tidy(value)
    agrees = compare(fact, value)
    if agrees is False and row["confidence"] == "low":
        return FactCheck(fact, value, None, *origin, "the row that disagrees has low confidence")
    left_open = agrees is None and fact.stated is not None
    return FactCheck(fact, value, agrees, *origin, "which leaves open whether the text is right" if left_open else "")


def _measured(fact: Fact, claim: Claim, tables: Tables, as_of: date | None) -> FactCheck:
    span = Window(fact.start, fact.end)
    seen = span.until(as_of)
    if seen is None:
        return FactCheck(fact, None, None, reason=f"not yet observed: it starts on {fact.start}")
    spec = claim.with_knobs(fact.set) if fact.set else claim.spec or Spec()
    try:
        watched = exposure(tables.coverage, spec, seen).any()
    except InputMissing as error:
        return FactCheck(fact, None, None, reason=str(error))
    if not watched:
        return FactCheck(fact, None, None, reason=f"no day of {seen} was watched")
    rows = select(tables.events, spec)
    rows = rows[rows["date"].between(str(seen.start), str(seen.end))]
    coded = _measure(fact.measure, rows, seen)
    ids = tuple(rows["event_id"])
    reason = "" if coded is not None else f"no attack in {seen}" if not ids else "a number fired is unknown"
    if fact.measure in ("first_date", "last_date", "days_since_last"):
        ids = ids[:1] if fact.measure == "first_date" else ids[-1:]
    sources = tuple(dict.fromkeys(" | ".join(rows["sources"]).split(" | "))) if ids else ()
    agrees = compare(fact, coded)
    # counts only grow in the days still to come; other measures may go either way
    final = fact.measure in ("attacks", "munitions") and agrees != (fact.compare in GROWS)
    if seen != span and agrees is not None and not final:
        agrees, reason = None, f"observed only to {seen.end}"
    return FactCheck(fact, coded, agrees, ids, sources, reason)


def _measure(name: str, rows: pd.DataFrame, span: Window) -> int | date | None:
    """A number or day of the attacks in `rows`, which are in order; None where there is none or it is unknown."""
    if name == "attacks" or rows.empty:
        return len(rows) if name == "attacks" else None
    if name == "munitions":
        return None if rows["munitions"].isna().any() else int(rows["munitions"].sum())
    days = [day.date() for day in rows["date"]]
    edges = [span.start, *days, span.end + timedelta(1)]
    return {"first_date": days[0], "last_date": days[-1], "days_since_last": (span.end - days[-1]).days,
            "longest_gap_days": max((b - a).days for a, b in pairwise(edges))}[name]  # fmt: skip


def compare(fact: Fact, coded: Any) -> bool | None:
    """Does the coded value agree with the stated one? None where either is missing or the row leaves it open.

    A bar in a coded value joins alternatives, a semicolon things that all hold.

    >>> compare(Fact(field="killed", stated=39, compare="about"), 42)
    True
    >>> compare(Fact(field="launch site", stated="SY"), "IQ|SY") is None
    True
    """
    if coded is None or fact.stated is None:
        return None
    if isinstance(fact.stated, str) or isinstance(coded, str):
        said, alternatives = ({*str(value).casefold().split("|")} for value in (fact.stated, coded))
        if said < alternatives:
            return None
        return said == alternatives or (fact.compare == "contains" and said <= {*str(coded).casefold().split(";")})
    return COMPARED[fact.compare][1](coded, fact.stated)
