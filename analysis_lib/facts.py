"""Dated statements checked field by field against coded events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis_lib.claims import Claim, Fact, Spec
from analysis_lib.errors import InputMissing
from analysis_lib.finding import tidy
from analysis_lib.series import exposure, select
from analysis_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd

    from analysis_lib.sources.bundled import Tables

WORDS = {
    "equal": "", "at_least": "at least ", "at_most": "at most ", "more_than": "more than ", "less_than": "fewer than ",
    "contains": "", "about": "about ",
}  # fmt: skip
ABOUT = 0.1  # "about" allows a tenth either way
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
        stated = self.fact.stated
        return {
            "field": self.fact.field,
            "text": self.fact.text,
            "stated": stated.isoformat() if isinstance(stated, date) else stated,
            "compare": self.fact.compare,
            "coded": self.coded.isoformat() if isinstance(self.coded, date) else tidy(self.coded),
            "agrees": self.agrees,
            "required": self.fact.required,
            "event_id": ", ".join(self.event_ids) or None,
            "reason": self.reason,
        }

    @property
    def named(self) -> str:
        """The field, with the text that states it where a claim rests on several."""
        return self.fact.field + (f" ({self.fact.text})" if self.fact.text else "")

    def sentence(self) -> str:
        """The check in words."""
        stated = "" if self.fact.stated is None else f"stated {WORDS[self.fact.compare]}{self.fact.stated}, "
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
    coded = fact.coded
    reason = "" if coded is not None else "no value is coded"
    return FactCheck(fact, coded, compare(fact, coded), sources=(fact.source,) if fact.source else (), reason=reason)


def _from_row(fact: Fact, events: pd.DataFrame) -> FactCheck:
    rows = events[events["event_id"] == fact.event_id]
    if rows.empty:
        return FactCheck(fact, None, None, reason=f"row {fact.event_id} is not in events.csv")
    row = rows.iloc[0]
    value = row[fact.column]
    sources = tuple(row["sources"].split(" | "))
    if rows[fact.column].isna().iat[0] or value == "":
        return FactCheck(fact, None, None, (fact.event_id,), sources, f"{fact.column} is blank")
    value = value.date() if hasattr(value, "date") else tidy(value)
    agrees = compare(fact, value)
    if agrees is False and row["confidence"] == "low":
        return FactCheck(fact, value, None, (fact.event_id,), sources, "the row that disagrees has low confidence")
    reason = "" if agrees is not None or fact.stated is None else "which leaves open whether the text is right"
    return FactCheck(fact, value, agrees, (fact.event_id,), sources, reason)


def _measured(fact: Fact, claim: Claim, tables: Tables, as_of: date | None) -> FactCheck:
    span = Window(fact.start, fact.end)
    seen = span.until(as_of)
    if seen is None:
        return FactCheck(fact, None, None, reason=f"not yet observed: it starts on {fact.start}")
    spec = claim.with_knobs(fact.set) if fact.set else claim.spec or Spec()
    try:
        watched = exposure(tables.coverage, spec, seen)
    except InputMissing as error:
        return FactCheck(fact, None, None, reason=str(error))
    if not watched.any():
        return FactCheck(fact, None, None, reason=f"no day of {seen} was watched")
    rows = select(tables.events, spec)
    dates = rows["date"].to_numpy().astype("datetime64[D]")
    inside = seen.mask(dates)
    days = dates[inside].astype(object)
    sources = tuple(dict.fromkeys(s for cell in rows["sources"][inside] for s in cell.split(" | ")))
    coded = _measure(fact.measure, days, seen, rows["munitions"][inside])
    ids = tuple(rows["event_id"][inside])
    reason = "" if coded is not None else f"no attack in {seen}" if not ids else "a number fired is unknown"
    if fact.measure in ("first_date", "last_date", "days_since_last") and coded is not None:
        ids = (ids[0 if fact.measure == "first_date" else -1],)
    agrees = compare(fact, coded)
    if seen != span and agrees is not None and _open(fact, agrees):
        return FactCheck(fact, coded, None, ids, sources, f"observed only to {seen.end}")
    return FactCheck(fact, coded, agrees, ids, sources, reason)


def _open(fact: Fact, agrees: bool) -> bool:
    """May the days still to come change the answer? Counts only grow; other measures may go either way."""
    if fact.measure not in ("attacks", "munitions"):
        return True
    return agrees if fact.compare in GROWS else not agrees


def _measure(name: str, days: np.ndarray, span: Window, fired: pd.Series) -> int | date | None:
    if name == "attacks":
        return len(days)
    if name == "munitions":
        return None if fired.isna().any() or fired.empty else int(fired.sum())
    if len(days) == 0:
        return None
    if name == "first_date":
        return days[0]
    if name == "last_date":
        return days[-1]
    if name == "days_since_last":
        return (span.end - days[-1]).days
    edges = [span.start, *days, span.end + timedelta(1)]
    return max((b - a).days for a, b in pairwise(edges))


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
    stated = fact.stated
    if isinstance(stated, str) or isinstance(coded, str):
        said, alternatives = ({*str(value).casefold().split("|")} for value in (stated, coded))
        if said < alternatives:
            return None
        return said == alternatives or (fact.compare == "contains" and said <= {*str(coded).casefold().split(";")})
    return {
        "equal": lambda: coded == stated,
        "at_least": lambda: coded >= stated,
        "at_most": lambda: coded <= stated,
        "more_than": lambda: coded > stated,
        "less_than": lambda: coded < stated,
        "about": lambda: abs(coded - stated) <= ABOUT * abs(stated),
    }[fact.compare]()
