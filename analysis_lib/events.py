"""The six tables as `data/tables.yml` defines them, and every failure of a table at once, each with its line."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, BeforeValidator, TypeAdapter

from analysis_lib.paths import DEFINITIONS

if TYPE_CHECKING:
    import pandas as pd

DEFINED = yaml.load(DEFINITIONS.read_bytes(), Loader=yaml.CSafeLoader)
WORDS = {name: tuple(words.split()) for name, words in DEFINED["words"].items()}
THEATRES, WEAPONS, ACTORS, COUNTRIES = (WORDS[name] for name in ("theatres", "weapons", "actors", "countries"))
CONFIDENCE, PRECISION, BLOCS, TARGET_CLASSES = map(WORDS.get, ("confidence", "precision", "blocs", "target_classes"))


class Problem(NamedTuple):
    """A cell, row or file that is not as it should be, where it stands and what to do about it."""

    file: str
    line: int
    column: str
    got: str
    allowed: str
    do: str
    only_warns: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: got {self.got}, allowed {self.allowed}, do {self.do}"


Checked = tuple["pd.DataFrame", list[Problem], list[Problem]]  # values, errors, warnings


class Column(BaseModel, frozen=True, extra="forbid"):
    """What a column's cells may hold: one that is not blank matches `pattern`; `dtype` is what they become.

    With a `separator` a cell is a list, and each part matches and stands there once. `words`: offered for a wrong cell;
    `among`: a vocabulary whose words are not. `added`: a column that a table may lack without a warning.
    """

    pattern: str
    allowed: str
    do: str
    words: tuple[str, ...] = ()
    among: str = ""
    separator: str = ""
    dtype: str = "str"
    blank: bool = False
    added: bool = False

    def good(self, cells: pd.Series) -> pd.Series:
        """Which cells may stand: decided once for each distinct cell."""
        fits = re.compile(self.pattern).fullmatch
        lists = {cell: cell.split(self.separator) if self.separator else [cell] for cell in cells.unique()}
        whole = {cell: len({*parts}) == len(parts) and all(map(fits, parts)) for cell, parts in lists.items()}
        return cells.astype("category").map(whole | {"": self.blank}).astype(bool)

    def problem(self, file: str, line: int, name: str, cell: str, only_warns: bool = False) -> Problem:
        """A cell of the column `name` that may not stand; the nearest word is offered."""
        near = difflib.get_close_matches(cell.strip().lower(), self.words, n=1, cutoff=0.7)
        do = f"write {near[0]} if that is meant" if near else self.do
        return Problem(file, line, name, quoted(cell), self.allowed, do, only_warns)


def _defined(cell: str | list[str] | dict[str, Any]) -> dict[str, Any]:
    """The fields of a kind of cell, which is named, or is a list of words, or is written out."""
    fields = {"words": cell} if isinstance(cell, list) else DEFINED["cells"][cell] if isinstance(cell, str) else cell
    words = [word for name in fields.get("words", ()) for word in WORDS.get(name, (name,))]
    known = words or WORDS.get(fields.get("among"), ())
    listed = {"pattern": "|".join(map(re.escape, known)), "allowed": "one of {words}", "do": "write one of these"}
    fields = listed | fields
    return fields | {"words": words, "allowed": fields["allowed"].format(words=" ".join(known))}


class Table(BaseModel, frozen=True, extra="forbid"):
    """The columns of one table, and the rules that must hold between them.

    `wanted`: narrower checks, whose failure is a warning (open vocabularies). `names`: columns of free names,
    where two spellings of one name are a warning. `known_from`: the columns with the date from which a row counts,
    the first that is not blank. `required`: no data folder is without this table.
    """

    columns: dict[str, Annotated[Column, BeforeValidator(_defined)]]
    known_from: list[str]
    rules: dict[str, list[list[str]]]
    wanted: dict[str, Annotated[Column, BeforeValidator(_defined)]] = {}
    names: list[str] = []
    required: bool = False


TABLES = TypeAdapter(dict[str, Table]).validate_python(DEFINED["tables"])


def _reported_early(table: pd.DataFrame, reported: str, day: str) -> pd.Series:
    # a page may carry the date of another time zone, or be older than the day set for a vague date
    import pandas as pd

    slack = pd.to_timedelta(table["date_precision"].map({"week": 7, "month": 31}).fillna(1), unit="D")
    return table[reported] < table[day] - slack


def _without_original(table: pd.DataFrame, pointing: str, name: str) -> pd.Series:
    # rows that point at each other in a ring would all be left out, and the attack with them;
    # after as many steps as there are rows every pointer has ended, or goes round in a ring
    pointer = dict(zip(table[name], table[pointing], strict=True))
    far = pointer
    for _ in range(len(pointer).bit_length()):
        far = {start: far.get(end, "") for start, end in far.items()}
    original = table[name].map(pointer)
    return original.ne("") & (~original.isin([*pointer]) | table[name].isin([*far.values()]))


def _overlaps(table: pd.DataFrame, start: str, *group: str) -> pd.Series:
    ordered = table.sort_values(start, kind="stable")
    latest = ordered.assign(end=ordered.groupby([*group])["end"].cummax())
    return table[start] <= latest.groupby([*group])["end"].shift().reindex(table.index)


# what breaks the rules that tables.yml names: a table of values and columns of it → which rows do; an unknown value
# proves nothing against a row
BROKEN = {
    "once": lambda table, *columns: table.duplicated([*columns]),
    "together": lambda table, one, other: table[one].isna() != table[other].isna(),
    "no_more": lambda table, low, high: table[low] > table[high],
    "no_earlier": lambda table, end, start: table[end] < table[start],
    "reported_in_time": _reported_early,
    "has_original": _without_original,
    "count_given": lambda table, count, kind: table[count].isna() & table[kind].eq("cumulative"),
    "apart": _overlaps,
}


def check_table(name: str, frame: pd.DataFrame, lines: Sequence[int], file: str, header: int = 1) -> Checked:
    """A frame of text as a frame of the values of the table `name`, with every error and every warning.

    Each row in is a row out. `lines` holds the line of the file where each row starts, `header` that of the column
    names. A blank is "" in text, NaT in dates, NA in numbers, never 0; so is a date or number with an error. Unknown
    columns stay. A row is held to a rule where its cells may stand.
    """
    import pandas as pd

    table, names = TABLES[name], list(frame.columns)
    problems = list(_of_header(table, names, file, header))
    absent = [column for column in table.columns if column not in names]
    text = frame.loc[:, ~frame.columns.duplicated()].assign(**dict.fromkeys(absent, "")).astype("str")
    good = pd.DataFrame({name: column.good(text[name]) for name, column in table.columns.items()})
    typed = {name: column.dtype for name, column in table.columns.items() if column.dtype != "str"}
    values = text.assign(**{n: text[n].where(good[n] & text[n].ne("")).astype(kind) for n, kind in typed.items()})

    def rows(where: pd.Series) -> list[int]:
        return where.to_numpy().nonzero()[0].tolist()

    for name, column in table.columns.items():
        bad = [] if name in absent else rows(~good[name])
        problems += [column.problem(file, lines[row], name, text[name].iat[row]) for row in bad]
    for rule, columns in ((rule, columns) for rule, groups in table.rules.items() for columns in groups):
        told = {key: words.format(*columns) for key, words in DEFINED["rules"][rule].items()}
        for row in rows(BROKEN[rule](values, *columns).fillna(False).astype(bool) & good[columns].all(axis=1)):
            got = ", ".join(f"{name} {quoted(text[name].iat[row])}" for name in columns)
            problems.append(Problem(file, lines[row], columns[0], got, **told))
    for name, column in table.wanted.items():
        doubtful = good[name] & ~column.good(text[name]) & ~text[name].duplicated()
        problems += [column.problem(file, lines[row], name, text[name].iat[row], True) for row in rows(doubtful)]
    for name in table.names:
        problems += _spellings(name, text[name].tolist(), lines, file)
    problems.sort(key=lambda problem: (problem.line, names.index(problem.column) if problem.column in names else -1))
    errors, warnings = ([p for p in problems if p.only_warns is kind] for kind in (False, True))
    return values, errors, warnings


def quoted(cell: str) -> str:
    """A cell as a message shows it: quoted, control characters shown, at most 80 characters; or `blank`."""
    return repr(cell if len(cell) <= 80 else cell[:79] + "…") if cell else "blank"


def _of_header(table: Table, names: list[str], file: str, line: int) -> Iterator[Problem]:
    """Columns missing, twice there or unknown. One that may be blank may be missing: that is a warning."""
    allowed = f"columns {' '.join(table.columns)}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(file, line, name[:80], "this column twice", "each column once", "remove or rename one")
    strange = {name.strip().lower(): name for name in names if name not in table.columns}
    for name in [name for name in table.columns if name not in names]:
        near = difflib.get_close_matches(name, strange, n=1, cutoff=0.75)
        do = f"rename {quoted(strange.pop(near[0]))}" if near else "add it"
        if near or not table.columns[name].added:
            yield Problem(file, line, name, "no such column", allowed, do, table.columns[name].blank and not near)
    for name in strange.values():
        got, do = f"an unknown column {quoted(name)}", "rename it, or leave it: it is kept and not used"
        yield Problem(file, line, name[:80], got, allowed, do, True)


def _spellings(name: str, cells: list[str], lines: Sequence[int], file: str) -> Iterator[Problem]:
    """Names that differ from a more frequent one by case and spaces alone."""
    parts = [(part, line) for cell, line in zip(cells, lines, strict=True) for part in cell.split(";")]
    first, usual = dict(reversed(parts)), {}
    for part, _ in Counter(part for part, _ in parts).most_common():
        known = usual.setdefault(" ".join(part.split()).casefold(), part)
        if known != part:
            yield Problem(
                file, first[part], name, quoted(part), f"one spelling, {quoted(known)}", "write it alike", True
            )


def window_end(windows: pd.DataFrame, last_day: date) -> pd.Series:
    """The last day of each window: datetime64, shape (n,).

    A blank end is the first day; for a war or truce it is `last_day`, but never before the first day.
    """
    import pandas as pd

    still_open = windows["kind"].isin(WORDS["open_kinds"]) & (windows["start"] <= pd.Timestamp(last_day))
    return windows["end"].fillna(windows["start"].mask(still_open, pd.Timestamp(last_day)))
