"""Reads a download as its definition says: DuckDB filters and reduces it, and every row is accounted for."""

from __future__ import annotations

import csv
import gzip
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from glob import escape
from operator import and_, or_
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import narwhals as nw

from analysis_lib.errors import BadInput
from analysis_lib.events import TABLES, check_table
from analysis_lib.paths import shown
from analysis_lib.sources.definitions import Choice, Condition, Source

if TYPE_CHECKING:
    import pandas as pd

ASIDE, ROWS, COUNT, NEWEST = "set aside", "rows read", "the count", "newest first"  # no source's column has a space
TORN = "a line that is no record"
CONFIG = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "memory_limit": "700MB",
          "preserve_insertion_order": "false", "temp_directory": tempfile.gettempdir()}  # fmt: skip
CSV = "auto_detect = false, store_rejects = true, buffer_size = "  # larger is faster, and takes memory for each core


@dataclass(frozen=True)
class Reading:
    """Rows for a table, as text and in order; each of the `rows` read is in it or set aside for one reason.

    A row of a daily series stands for several rows read.
    """

    table: pd.DataFrame
    rows: int
    set_aside: dict[str, int]


def read(source: Source, files: Sequence[Path]) -> Reading:
    """The rows of all files, reduced to a table of the project, and the account of them.

    A row is set aside for the first reason of the definition that applies, as a line that is no record, as an id that
    comes again, or for a cell that the table may not hold. CSV, also as .gz, Parquet, JSON of API pages; columns go by
    name, whatever the case, and one that the definition does not need may be missing. Only reduced rows reach pandas.
    Raises BadInput for a file that is not the source's, and for a definition that leaves open what the table must have.
    """
    with duckdb.connect(config=CONFIG) as connection:
        try:
            frame = nw.from_native(connection.sql(" UNION ALL ".join(_text(connection, source, f) for f in files)))
            found = reduced(source, frame).to_native().df()
            kept = connection.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'").fetchall()
            lines = "SELECT count(DISTINCT (scan_id, file_id, line)) FROM reject_errors"
            torn = connection.sql(lines).fetchall()[0][0] if kept else 0
        except duckdb.Error as error:
            told = reduce(lambda text, f: text.replace(escape(str(f)), shown(f)), files, str(error).splitlines()[0])
            raise BadInput(f"{', '.join(map(shown, files))}: {told}; mend quotes, line ends, definition") from None
    return checked(source, found, torn)


# ---- files → one table of text ---------------------------------------------------------------------------------------


def _text(connection: duckdb.DuckDBPyConnection, source: Source, path: Path) -> str:
    """The query for the columns that a definition uses: trimmed text, "" where there is none."""
    kind, file, used = kind_of(path), _sql(escape(str(path))), [_sql(name, chr(34)) for name in source.used]
    if kind in ("json", "parquet"):
        scan = f"read_{kind}({file}{', sample_size = -1, map_inference_threshold = -1' * (kind == 'json')})"
        top = connection.sql(f"FROM {scan} LIMIT 0")
        if page := dict(zip(top.columns, map(str, top.types), strict=True)).get(source.pages):
            if not page.startswith("STRUCT"):  # the page after the last one
                return f"SELECT {', '.join(f'NULL AS {name}' for name in used)} WHERE false"
            scan = f"(SELECT unnest({_sql(source.pages, chr(34))}, max_depth := 2) FROM {scan})"
            top = connection.sql(f"FROM {scan} LIMIT 0")
        names, places = top.columns, [_sql(column, chr(34)) for column in top.columns]
    else:
        names, headed, delimiter = recognised(source, path)
        places, quote = [f"c{i}" for i in range(len(names))], _sql(source.quote)
        how = f"quote = {quote}, escape = {quote}, delim = {_sql(delimiter)}, encoding = '{source.encoding}'"
        size = min(max(path.stat().st_size // 64, 2**22), 2**24)
        scan = f"read_csv({file}, columns = {dict.fromkeys(places, 'VARCHAR')}, header = {headed}, {how}, {CSV}{size})"
    named = [f"{cell} AS {name}" for cell, name in zip(cells(source, path, names, places), used, strict=True)]
    query = f"SELECT {', '.join(named)} FROM {scan}"
    longer = f'FROM (UNPIVOT ({query}) ON {", ".join(source.unpivot)} INTO NAME "column" VALUE "value")'
    return longer if source.unpivot else query


# ---- what any engine asks of a file ----------------------------------------------------------------------------------


def kind_of(path: Path) -> str:
    """The ending of a file that can be read, without `.gz`; raises BadInput for any other, and where there is none."""
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if not path.is_file() or kind not in ("csv", "tsv", "txt", "json", "parquet"):
        got = f"a .{kind} file" if path.is_file() else "no such file"
        raise BadInput(f"{shown(path)}: got {got}; allowed: csv, tsv, txt, json, parquet, also as .gz; save it as one")
    return kind


def cells(source: Source, path: Path, names: Sequence[str], places: Sequence[str]) -> list[str]:
    """SQL for each column that a definition uses: trimmed text, "" where there is none.

    `places` are what queries call the columns of the names that a file has; of two with one name the first counts.
    Raises BadInput where one that the definition needs is missing.
    """
    known = dict(zip(map(column_name, reversed(names)), reversed(places), strict=True))
    if missing := [name for name in source.needs if name not in known]:
        bare = f", or {len(source.layout)} without names" * bool(source.layout)
        told = f"got no column {', '.join(missing)}; allowed: the columns of {source.title}{bare}"
        raise BadInput(f"{shown(path)}:1: {told}; check that it is such a file: `claims data sources`")
    return [f"trim(coalesce(CAST({known[n]} AS STRING), ''))" if n in known else "''" for n in source.used]


def recognised(source: Source, path: Path) -> tuple[Sequence[str], bool, str]:
    """Names of the columns of a CSV, from its first line or by their number; has it a header, and its delimiter."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    quoting = {"quotechar": source.quote} if source.quote else {"quoting": csv.QUOTE_NONE}
    with opened(path, "rt", encoding=source.encoding.replace("8", "8-sig"), errors="replace", newline="") as file:
        for delimiter in source.delimiters:
            file.seek(0)
            try:
                names = [column_name(cell) for cell in next(csv.reader(file, delimiter=delimiter, **quoting), [])]
            except (csv.Error, OSError, EOFError) as error:
                raise BadInput(f"{shown(path)}:1: {error}; allowed: the CSV of {source.title}; save it so") from None
            headed = {*source.needs} <= {*names}
            if headed or len(names) == len(source.layout):
                break
    bare = not headed and len(names) == len(source.layout)
    return source.layout if bare else names, headed, delimiter


def column_name(column: str) -> str:
    """A column's name as definitions write it: lower case, `_` for what is no letter or digit.

    >>> column_name(" Event Date ")
    'event_date'
    """
    return re.sub(r"\W+", "_", column.lower()).strip("_")


def _sql(text: str, mark: str = "'") -> str:
    """A text as a query writes it: in quotes, those inside doubled; with `"` the name of a column."""
    return f"{mark}{text.replace(mark, 2 * mark)}{mark}"


# ---- a definition → expressions that any engine of narwhals can run --------------------------------------------------


def reduced(source: Source, frame: nw.LazyFrame) -> nw.LazyFrame:
    """Rows that are used, alike ones as one, and for each reason one row of those set aside; `ROWS` counts them."""
    frame = frame.with_columns(_chosen(source, source.set_aside).alias(ASIDE))
    used = nw.col(ASIDE) == ""
    values = {name: _chosen(source, choices, ";" * (name == "weapons")) for name, choices in source.columns.items()}
    values |= {NEWEST: nw.col(source.newest)} if source.newest else {}
    cells = {name: nw.when(used).then(value).otherwise(nw.lit("")) for name, value in values.items()}
    counted = nw.col(source.once) if source.once else nw.col(source.count).cast(nw.Int64) if source.count else nw.lit(1)
    frame = frame.select(ASIDE, nw.when(used).then(counted).alias(COUNT), **cells)
    count = nw.col(COUNT).n_unique() if source.once else nw.col(COUNT).sum()
    return frame.group_by(ASIDE, *cells).agg(nw.len().alias(ROWS), count)


def _chosen(source: Source, choices: Sequence[Choice], joined: str = "") -> nw.Expr:
    """The template of the first choice that applies, else ""; `joined` by a mark: of all that apply."""
    value, every = nw.lit(""), []
    for choice in reversed(choices):
        texts = re.split(r"\{(\w+)\}", choice.then)
        parts = [nw.col(text) if i % 2 else nw.lit(text) for i, text in enumerate(texts) if text]
        then = nw.concat_str(parts) if parts[1:] else [*parts, nw.lit("")][0]  # one alone costs no joining
        tests = [_any(source, choice.when)] if choice.when else []
        tests += [~_any(source, choice.unless)] if choice.unless else []
        if tests and joined:
            every.append(nw.when(reduce(and_, tests)).then(nw.lit(joined + choice.then)).otherwise(nw.lit("")))
        else:
            value = nw.when(reduce(and_, tests)).then(then).otherwise(value) if tests else then
    together = nw.concat_str([*reversed(every), nw.lit("")])
    return nw.when(together == "").then(value).otherwise(together.str.strip_chars(joined)) if every else value


def _any(source: Source, conditions: Sequence[Condition]) -> nw.Expr:
    """Does any of the conditions hold? In one all its lines must; in a line any of its columns will do."""

    def holds(name: str, wanted: str | tuple[str, ...]) -> nw.Expr:
        cell = nw.col(name)
        return cell.str.contains(source.pattern(wanted)) if isinstance(wanted, str) else cell.is_in(wanted)

    lines = [[reduce(or_, [holds(n, wanted) for n in key.split()]) for key, wanted in c.items()] for c in conditions]
    return reduce(or_, [reduce(and_, tests) for tests in lines])


# ---- what is left → a checked table ----------------------------------------------------------------------------------


def checked(source: Source, found: pd.DataFrame, torn: int) -> Reading:
    """Dates and numbers in one spelling; what may not stand in the table is set aside, so is an id that comes again."""
    import pandas as pd

    used, kind, reasons = found[ASIDE] == "", TABLES[source.table], found.groupby(ASIDE)[ROWS].sum()
    aside = {choice.then: int(reasons.get(choice.then, 0)) for choice in source.set_aside}
    table = found[used].drop(columns=ASIDE)
    for name in (name for name in source.columns if name in kind.columns and kind.columns[name].dtype != "str"):
        each = pd.Series(table[name].unique())
        if kind.columns[name].dtype == "datetime64[us]":
            days = reduce(pd.Series.fillna, (pd.to_datetime(each, format=f, errors="coerce") for f in source.dates))
            spelled = days.dt.strftime("%Y-%m-%d")
        else:
            spelled = pd.to_numeric(each, errors="coerce").round(6).astype(str).str.removesuffix(".0")
        table[name] = table[name].map(dict(zip(each, spelled.fillna(each), strict=True)))
    if "count" in kind.columns:
        table = table.groupby([*source.columns], as_index=False).sum()
        table["count"] = table[COUNT].astype("int64").astype(str)
        stands = table[COUNT if source.once else ROWS].tolist()  # for so many rows read
    else:
        table[NEWEST] = -pd.to_numeric(table[NEWEST], errors="coerce") if source.newest else 0
        key = kind.rules["once"][0]
        table = table.sort_values([*key, NEWEST, *source.columns]).drop_duplicates(key, ignore_index=True)
        stands = [1] * len(table)
    aside |= {"the same id again": int(found[ROWS][used].sum()) - sum(stands), TORN: aside.pop(TORN, 0) + torn}
    table = table.drop(columns=[ROWS, COUNT, NEWEST], errors="ignore")
    if source.table == "events":
        table["rights"] = source.rights.replace("rows", "")
    wrong = check_table(source.table, table, range(2, len(table) + 2), source.name)[1]
    if left_open := [str(problem) for problem in wrong if problem.line == 1]:
        raise BadInput(*left_open)
    first = {problem.line - 2: f"{problem.column}: not {problem.allowed}" for problem in reversed(wrong)}
    for row, reason in first.items():
        aside[reason] = aside.get(reason, 0) + int(stands[row])
    rows = int(found[ROWS].sum()) + torn
    return Reading(table.drop(index=[*first]), rows, {why: count for why, count in aside.items() if count})
