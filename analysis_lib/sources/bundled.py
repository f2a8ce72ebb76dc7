"""Reads a data folder: the tables that the project carries, or another folder of the same layout."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from analysis_lib.errors import BadInput, plain
from analysis_lib.events import TABLES, Problem, check_table, quoted
from analysis_lib.paths import DATA, shown

if TYPE_CHECKING:
    import pandas as pd

UNREADABLE = (yaml.YAMLError, OSError, ValueError, RecursionError, LookupError, TypeError)  # what YAML may raise


@dataclass(frozen=True)
class Tables:
    """The checked tables of `folder`; one that is not there is None. `sha256`: file name → hash of bytes."""

    events: pd.DataFrame
    windows: pd.DataFrame
    counts: pd.DataFrame | None = None
    daily_counts: pd.DataFrame | None = None
    ged: pd.DataFrame | None = None
    coverage: pd.DataFrame | None = None
    second_coding: pd.DataFrame | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    folder: Path = DATA

    @property
    def data_sha256(self) -> str:
        """One hash of all the tables that are there."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.sha256.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def last_day(self) -> date | None:
        """The last day watched: the last coverage end, or else the last event; None without either."""
        watched = self.events["date"] if self.coverage is None or self.coverage.empty else self.coverage["end"]
        return watched.max().date() if len(watched) else None

    def as_of(self, day: date | None) -> Tables:
        """What was public on `day`, windows and coverage cut there, events by first report; None: all."""
        if day is None:
            return self
        import pandas as pd

        last, cut = pd.Timestamp(day), {}
        for name, table in ((name, getattr(self, name)) for name in TABLES if getattr(self, name) is not None):
            known = table[TABLES[name].known_from].bfill(axis=1).iloc[:, 0] <= last
            cut[name] = table[known].reset_index(drop=True)
            if "end" in table:
                cut[name]["end"] = cut[name]["end"].clip(upper=last)
        # nobody could call a row a second report of one that was not yet public
        original = cut["events"]["possible_duplicate_of"]
        cut["events"]["possible_duplicate_of"] = original.where(original.isin(cut["events"]["event_id"]), "")
        return replace(self, **cut)


def load_tables(data_dir: Path = DATA) -> Tables:
    """The tables of a folder, checked. Raises `BadInput` with every error of every file, one line each.

    Of rows with the rights `aggregates` nothing is left that names or quotes them: their licence allows counts alone.

    >>> len(load_tables().events)
    973
    """
    tables, errors = _load(Path(data_dir))
    if errors:
        raise BadInput(*errors)
    return replace(tables, events=_withheld(tables.events))


def _withheld(events: pd.DataFrame) -> pd.DataFrame:
    """The event table, names of rows that may not be shown replaced by numbers, their words and pages by nothing."""
    closed = events["rights"] == "aggregates"
    numbers = {name: f"withheld-{number}" for number, name in enumerate(events["event_id"][closed], 1)}
    told = {name: events[name].map(lambda old: numbers.get(old, old)) for name in ("event_id", "possible_duplicate_of")}
    return events.assign(**told, **{name: events[name].mask(closed, "") for name in ("target", "sources", "notes")})


def load_events(data_dir: Path = DATA) -> pd.DataFrame:
    """The event table alone; see `load_tables`."""
    return load_tables(data_dir).events


def check(data_dir: Path = DATA) -> tuple[list[str], list[str]]:
    """Every error and every warning of a folder, one line each."""
    tables, errors = _load(Path(data_dir))
    return errors, list(tables.warnings)


def _load(folder: Path) -> tuple[Tables, list[str]]:
    """The tables as far as they can be read, with every warning, and every error."""
    frames, digests, problems = dict.fromkeys(TABLES), {}, []
    for name in TABLES:
        path = folder / f"{name}.csv"
        try:
            raw = path.read_bytes()
            digests[path.name] = hashlib.sha256(raw).hexdigest()
            table, found = _table(name, raw, shown(path))
            frames[name] = table.copy(deep=False)  # so that nobody changes what is read once
            problems += found
        except BadInput as unreadable:
            problems += unreadable.args
        except OSError as error:
            if TABLES[name].required or not isinstance(error, FileNotFoundError):
                got = (error.strerror or "nothing").lower()
                problems.append(Problem(shown(path), 1, "file", got, "a file that can be read", "put one there"))
    problems += _compare(folder / "sources.yml", frames, digests)
    errors, warnings = ([plain(p) for p in problems if p.only_warns is kind] for kind in (False, True))
    return Tables(**frames, sha256=digests, warnings=tuple(warnings), folder=folder), errors


@lru_cache(maxsize=len(TABLES))
def _table(name: str, raw: bytes, file: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Bytes → checked table. Raises BadInput with one problem where the records cannot be told apart."""
    import pandas as pd

    (header, names), *rows = _records(raw, file)
    cells = [(row + [""] * len(names))[: len(names)] for _, row in rows]
    frame = pd.DataFrame(cells, columns=names, dtype="str")
    table, wrong, doubtful = check_table(name, frame, [line for line, _ in rows], file, header)
    # a row of the wrong length stays, so that others may point at it, but its shifted cells are not judged
    odd = {line: f"{len(row)} fields" for line, row in rows if len(row) != len(names)}
    told = f"{len(names)} as in the header", "mend commas and quotes"
    wrong = [p for p in wrong if p.line not in odd] + [Problem(file, at, "row", got, *told) for at, got in odd.items()]
    if name == "events" and not rows:
        wrong.append(Problem(file, header, "file", "no rows", "at least one", "add the events"))
    return table, sorted(wrong, key=lambda problem: problem.line) + doubtful


def _records(raw: bytes, file: str) -> list[tuple[int, list[str]]]:
    """Each record with the line where it starts, the header first; blank lines are no records."""
    text, line = raw.decode("utf-8-sig", "surrogateescape"), 1
    if bad := re.search("[\0\udc80-\udcff]", text):  # the second are bytes that are not UTF-8
        line += text.count("\n", 0, bad.start())
        got = f"byte 0x{bad[0].encode('utf-8', 'surrogateescape').hex()}"
        raise BadInput(Problem(file, line, "file", got, "UTF-8 text", "save it as UTF-8"))
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader, records = csv.reader(io.StringIO(text, newline=""), strict=True), []
    try:
        for record in reader:
            if record:
                records.append((line, record))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(Problem(file, line, "row", str(error), "fields in closed quotes", "mend the quotes")) from None
    if not records:
        raise BadInput(Problem(file, 1, "file", "an empty file", "a line of column names and rows", "fill it in"))
    return records


def sources_of(folder: Path) -> dict[str, dict[str, str]]:
    """What sources.yml says of each file, as text: empty where it says nothing that can be read."""
    try:
        return _sources(folder / "sources.yml")
    except UNREADABLE:
        return {}


def _sources(path: Path) -> dict[str, dict[str, str]]:
    # BaseLoader makes text, lists and mappings only; its C twin overflows the stack on deep nesting
    records = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)["sources"]  # noqa: S506
    return {str(record["file"]): dict(record) for record in records}


def _compare(path: Path, frames: dict[str, Any], digests: dict[str, str]) -> Iterator[Problem]:
    """Rows and hashes in sources.yml beside the files; a difference is a warning, since rows are added."""
    file = shown(path)
    try:
        told = {name: {key: record[key] for key in ("rows", "sha256")} for name, record in _sources(path).items()}
    except FileNotFoundError:
        return
    except UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        got = quoted(getattr(error, "problem", None) or getattr(error, "strerror", None) or "another layout")
        allowed = "a list under the key sources, each entry with file, rows and sha256"
        yield Problem(file, mark.line + 1 if mark else 1, "sources", got, allowed, "mend it")
        return
    for name, digest in digests.items():
        table = frames.get(Path(name).stem)
        found = {"sha256": digest} if table is None else {"rows": str(len(table)), "sha256": digest}
        for key, value in found.items():
            got = told.get(name, found)[key]
            if got != value:
                allowed = f"{value} as {name} has it"
                yield Problem(file, 1, key, quoted(str(got)), allowed, "nothing if rows were changed", True)
