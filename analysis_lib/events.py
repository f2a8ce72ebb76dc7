"""The six tables as `data/tables.yml` defines them, and the rules between their cells and rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import yaml

from analysis_lib.checks import Checked, Column, Relation, Table, check, never
from analysis_lib.paths import DEFINITIONS

if TYPE_CHECKING:
    import pandas as pd

DEFINED = yaml.load(DEFINITIONS.read_bytes(), Loader=yaml.CSafeLoader)
WORDS = {name: tuple(words.split()) for name, words in DEFINED["words"].items()}
THEATRES, WEAPONS, ACTORS, COUNTRIES = (WORDS[name] for name in ("theatres", "weapons", "actors", "countries"))
CONFIDENCE, PRECISION, QUALIFIERS, BLOCS = (WORDS[name] for name in ("confidence", "precision", "qualifiers", "blocs"))
TARGET_CLASSES, WINDOW_KINDS, OPEN_KINDS = (WORDS[name] for name in ("target_classes", "window_kinds", "open_kinds"))


def _once(table: pd.DataFrame, *columns: str) -> pd.Series:
    keys = table[list(columns)]
    return ~keys.duplicated() | keys.isna().any(axis=1) | keys.eq("").any(axis=1)


def _reported_in_time(table: pd.DataFrame, reported: str, day: str) -> pd.Series:
    # a page may carry the date of another time zone, or be older than the day set for a vague date
    import pandas as pd

    slack = pd.to_timedelta(table["date_precision"].map({"week": 7, "month": 31}).fillna(1), unit="D")
    return never(table[reported] < table[day] - slack)


def _has_original(table: pd.DataFrame, pointing: str, name: str) -> pd.Series:
    # rows that point at each other in a ring would all be left out, and the attack with them;
    # after as many steps as there are rows every pointer has ended, or goes round in a ring
    pointer = dict(zip(table[name], table[pointing], strict=True))
    far = pointer
    for _ in range(len(pointer).bit_length()):
        far = {start: far.get(end, "") for start, end in far.items()}
    original, in_ring = table[name].map(pointer), table[name].isin(list(far.values()))
    return original.eq("") | (original.isin(list(pointer)) & ~in_ring)


def _apart(table: pd.DataFrame, start: str, *group: str) -> pd.Series:
    ordered = table.sort_values(start, kind="stable")
    keys = [ordered[column] for column in group]
    earlier = ordered.groupby(keys)["end"].cummax().groupby(keys).shift()
    return never(table[start] <= earlier.reindex(table.index))


# the rules that tables.yml names: a table of values and columns of it → which rows keep the rule
RULES = {
    "once": _once,
    "together": lambda table, one, other: table[one].isna() == table[other].isna(),
    "no_more": lambda table, low, high: never(table[low] > table[high]),
    "no_earlier": lambda table, end, start: never(table[end] < table[start]),
    "reported_in_time": _reported_in_time,
    "has_original": _has_original,
    "count_given": lambda table, count, kind: table[count].notna() | table[kind].ne("cumulative"),
    "apart": _apart,
}


def _column(cell: str | list[str] | dict[str, Any]) -> Column:
    """What a cell may hold: a kind by its name, a list of words, or the fields of a kind."""
    if isinstance(cell, str):
        return _column(DEFINED["cells"][cell])
    fields = {"one_of": cell} if isinstance(cell, list) else dict(cell)
    if "pattern" in fields:
        return Column(**fields)
    offered = "one_of" in fields
    words = tuple(word for name in fields.pop("one_of" if offered else "among") for word in WORDS.get(name, (name,)))
    fields = {"allowed": "one of {words}", "do": "write one of these"} | fields
    fields["allowed"] = fields["allowed"].format(words=" ".join(words))
    return Column("|".join(map(re.escape, words)), words=words if offered else (), **fields)


def _relation(rule: str, columns: list[str]) -> Relation:
    message = {key: text.format(*columns) for key, text in DEFINED["rules"][rule].items()}
    return Relation(tuple(columns), RULES[rule], **message)


def _table(columns: dict[str, Any], rules: dict[str, list], wanted: dict[str, Any], **fields: Any) -> Table:
    relations = [_relation(rule, group) for rule, groups in rules.items() for group in groups]
    checks, doubts = ({name: _column(cell) for name, cell in cells.items()} for cells in (columns, wanted))
    return Table(checks, relations, doubts, **fields)


TABLES = {name: _table(**{"wanted": {}} | defined) for name, defined in DEFINED["tables"].items()}


def check_table(name: str, frame: pd.DataFrame, lines: Sequence[int], file: str, header: int = 1) -> Checked:
    """A frame of text, the line where each row starts → values, errors and warnings of the table `name`."""
    return check(TABLES[name], frame, lines, file, header)


def window_end(windows: pd.DataFrame, last_day: date) -> pd.Series:
    """The last day of each window: datetime64, shape (n,).

    A blank end is the first day; for a war or truce it is `last_day`, but never before the first day.
    """
    import pandas as pd

    still_open = windows["kind"].isin(OPEN_KINDS) & (windows["start"] <= pd.Timestamp(last_day))
    return windows["end"].fillna(windows["start"].mask(still_open, pd.Timestamp(last_day)))
