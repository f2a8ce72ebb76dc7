"""What the cells and rows of a table may hold, and every failure of a table at once, each with its line."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Problem:
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


@dataclass(frozen=True)
class Column:
    """What a column's cells may hold: one that is not blank matches `pattern`; `dtype` is what they become.

    With a `separator` a cell is a list, and each part matches and stands there once. `words`: offered for a wrong cell.
    """

    pattern: str
    allowed: str
    do: str = ""
    words: tuple[str, ...] = ()
    separator: str = ""
    dtype: str = "str"
    blank: bool = False

    def fits(self, cell: str) -> bool:
        parts = cell.split(self.separator) if self.separator else (cell,)
        return len({*parts}) == len(parts) and all(map(re.compile(self.pattern).fullmatch, parts))

    def values(self, cells: pd.Series) -> pd.Series:
        """The cells as `dtype`; a blank, or one that may not stand, becomes NaN, NaT or NA."""
        import pandas as pd

        usable = cells.where(self.good(cells) & cells.ne(""))
        if self.dtype.startswith("datetime"):
            usable = pd.to_datetime(usable, format="ISO8601")
        return usable.astype(self.dtype)

    def good(self, cells: pd.Series) -> pd.Series:
        """Which cells may stand."""
        return cells.map({cell: self.fits(cell) if cell else self.blank for cell in cells.unique()}).astype(bool)


@dataclass(frozen=True)
class Relation:
    """What must hold between cells of a row, or between rows; reported at the first of `columns`."""

    columns: tuple[str, ...]
    rule: Callable[..., pd.Series]
    allowed: str
    do: str = "mend one of them"

    def holds(self, table: pd.DataFrame) -> pd.Series:
        """In which rows it does."""
        return self.rule(table, *self.columns)


@dataclass(frozen=True)
class Table:
    """The columns of one table and what must hold between them.

    `wanted`: narrower checks, whose failure is a warning (open vocabularies). `names`: columns of free names,
    where two spellings of one name are a warning. `known_from`: the columns with the date from which a row counts,
    the first that is not blank. `required`: no data folder is without this table.
    """

    columns: Mapping[str, Column]
    relations: Sequence[Relation]
    wanted: Mapping[str, Column]
    known_from: list[str]
    names: Sequence[str] = ()
    required: bool = False


def never(bad: pd.Series) -> pd.Series:
    """Rows where `bad` is not true: an unknown value proves nothing against a row."""
    return ~bad.fillna(False).astype(bool)


def check(table: Table, frame: pd.DataFrame, lines: Sequence[int], file: str, header: int = 1) -> Checked:
    """A frame of text as a frame of values, with every error and every warning; each row in is a row out.

    `lines` holds the line of the file where each row starts, `header` that of the column names. A blank is ""
    in text, NaT in dates, NA in numbers, never 0; so is a date or number with an error. Unknown columns stay.
    """
    names = list(frame.columns)
    problems = list(_columns(table, names, file, header))
    absent = [name for name in table.columns if name not in names]
    text = frame.loc[:, ~frame.columns.duplicated()].assign(**dict.fromkeys(absent, "")).astype("str")
    typed = {name: column for name, column in table.columns.items() if column.dtype != "str"}
    values = text.assign(**{name: column.values(text[name]) for name, column in typed.items()})
    wrong = set(_failures(text, {name: column.good for name, column in table.columns.items()}, []))
    for name, row in wrong:
        if name not in absent:
            problems.append(_cell_problem(table.columns[name], name, text[name].iat[row], file, lines[row]))
    for number, row in _failures(values, {}, [relation.holds for relation in table.relations]):
        relation = table.relations[number]
        if wrong.isdisjoint((name, row) for name in relation.columns):
            got = ", ".join(f"{name} {quoted(text[name].iat[row])}" for name in relation.columns)
            problems.append(Problem(file, lines[row], relation.columns[0], got, relation.allowed, relation.do))
    for name, column in table.wanted.items():
        for cell in text[name][~column.good(text[name]) & table.columns[name].good(text[name])].unique():
            first = lines[text[name].tolist().index(cell)]
            problems.append(_cell_problem(column, name, cell, file, first, only_warns=True))
    for name in table.names:
        problems += _spellings(name, text[name].tolist(), lines, file)
    order = {name: position for position, name in enumerate(names)}
    problems.sort(key=lambda problem: (problem.line, order.get(problem.column, -1)))
    errors, warnings = ([p for p in problems if p.only_warns is kind] for kind in (False, True))
    return values, errors, warnings


def quoted(cell: str) -> str:
    """A cell as a message shows it: quoted, control characters shown, at most 80 characters; or `blank`."""
    return repr(cell if len(cell) <= 80 else cell[:79] + "…") if cell else "blank"


def _failures(frame: pd.DataFrame, cells: Mapping[str, Callable], rows: Sequence[Callable]) -> Iterator[tuple]:
    """The column's name (or the number of the check of rows) and the position of the row, for every failure."""
    import pandera.pandas as pa

    columns = {name: pa.Column(checks=pa.Check(good)) for name, good in cells.items()}
    try:
        pa.DataFrameSchema(columns, [pa.Check(holds, ignore_na=False) for holds in rows]).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as failed:
        for error in failed.schema_errors:
            key = error.schema.name or error.check_index
            yield from ((key, int(row)) for row in (~error.check_output).to_numpy().nonzero()[0])


def _cell_problem(column: Column, name: str, cell: str, file: str, line: int, only_warns: bool = False) -> Problem:
    near = difflib.get_close_matches(cell.strip().lower(), column.words, n=1, cutoff=0.7)
    do = f"write {near[0]} if that is meant" if near else column.do
    return Problem(file, line, name, quoted(cell), column.allowed, do, only_warns)


def _columns(table: Table, names: list[str], file: str, line: int) -> Iterator[Problem]:
    """Columns missing, twice there or unknown. One that may be blank may be missing: that is a warning."""
    allowed = f"columns {' '.join(table.columns)}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(file, line, name[:80], "this column twice", "each column once", "remove or rename one")
    strange = {name.strip().lower(): name for name in names if name not in table.columns}
    for name in [name for name in table.columns if name not in names]:
        near = difflib.get_close_matches(name, strange, n=1, cutoff=0.75)
        do = f"rename {quoted(strange.pop(near[0]))}" if near else "add it"
        yield Problem(file, line, name, "no such column", allowed, do, table.columns[name].blank and not near)
    for name in strange.values():
        got, do = f"an unknown column {quoted(name)}", "rename it, or leave it: it is kept and not used"
        yield Problem(file, line, name[:80], got, allowed, do, only_warns=True)


def _spellings(name: str, cells: list[str], lines: Sequence[int], file: str) -> Iterator[Problem]:
    """Names that differ from a more frequent one by case and spaces alone."""
    counts = Counter(part for cell in cells for part in cell.split(";"))
    usual: dict[str, str] = {}
    for part, _ in counts.most_common():
        first = usual.setdefault(" ".join(part.split()).casefold(), part)
        if first != part:
            line = next(line for line, cell in zip(lines, cells, strict=True) if part in cell.split(";"))
            yield Problem(file, line, name, quoted(part), f"one spelling, {quoted(first)}", "write it alike", True)
