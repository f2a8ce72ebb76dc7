"""A download added to a data folder: matched with what is there, written as a new folder with its record."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent
from typing import TYPE_CHECKING, Any, Literal

import yaml

from analysis_lib.errors import BadInput, CannotRun
from analysis_lib.events import TABLES, WEAPONS
from analysis_lib.generations import STAGING, writable
from analysis_lib.paths import DATA, shown
from analysis_lib.sensitivity import REACH
from analysis_lib.sources.bundled import load_tables
from analysis_lib.sources.definitions import load_source
from analysis_lib.sources.fetch import pages_of

if TYPE_CHECKING:
    import pandas as pd

# Two rows that may be one attack. 0.35 degrees: as far as two codings of one site may lie apart in second_coding.csv.
ALIKE = """SELECT abs(n.date::DATE - k.date::DATE) AS days, n.place != k.place AS renamed, n.name, k.name,
  round(greatest(abs(n.lat - k.lat), abs(n.lon - k.lon)), 3) AS apart
FROM new AS n JOIN known AS k ON n.theatre = k.theatre WHERE (apart <= 0.35 OR NOT renamed)
  AND days <= greatest(1, n.reach + k.reach) AND list_has_any(n.with_what, k.with_what)
ORDER BY days, renamed, apart, n.name, k.name"""


def add(
    name: str, files: Sequence[Path], into: Path, base: Path = DATA, keep: Iterable[str] = (), version: str = "",
    engine: Literal["duckdb", "spark"] = "duckdb",
) -> dict[str, Any]:  # fmt: skip
    """A new folder `into`: the tables of `base` and rows of the files; each row read is added, matched or set aside.

    A row that matches one of `base` is left out, unless `keep` names it; one kept under a name that is there takes its
    place. `engine` is what reads the files. Returns the record that sources.yml gets, and `matches`.
    The folder appears whole or not at all. Raises BadInput, CannotRun where the engine is missing, and ReportFailed
    where nothing can be written.
    """
    import pandas as pd

    try:
        from analysis_lib.sources.foreign import read

        if engine == "spark":
            from analysis_lib.sources.spark import read
    except ImportError as error:
        how = f"run `python -m pip install -e '.[data{',spark' * (engine == 'spark')}]'` in the project's folder"
        raise CannotRun(f"reading downloads needs {error.name}, which is not installed: {how}") from None
    if into.exists() or DATA in into.resolve().parents:
        raise BadInput(f"--into {shown(into)}: got what is there; allowed: a new folder, not in data/; name another")
    load_tables(base)
    source, files = load_source(name), pages_of(files)
    reading, path = read(source, files), base / f"{source.table}.csv"
    key, known = TABLES[source.table].rules["once"][0], reading.table[:0]
    if path.exists():
        known = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    new, known = (t.set_index(t[key[0]].str.cat([t[name] for name in key[1:]], " ")) for t in (reading.table, known))
    pairs = _pairs(new, known, source.table == "events")
    if strange := {*keep} - {*pairs["new"]}:
        raise BadInput(f"--keep {min(strange)}: no such row is left out; allowed: one listed without --keep; mend it")
    pairs["row"] = pairs["new"].isin([*keep]).map({True: "kept", False: "left out"})
    added = new.drop(pairs["new"][pairs["row"] == "left out"])
    table = pd.concat([known.drop(added.index, errors="ignore"), added]).fillna("")
    copied = {"sources.yml", *(f"{other}.csv" for other in TABLES)}
    record = source.model_dump(include={"name", "title", "publisher", "url", "licence", "rights"}) | {
        "version": version or None, "date": date.fromtimestamp(max(file.stat().st_mtime for file in files)),
        "files": [{"file": file.name, "sha256": _sha256(file)} for file in files], "rows_read": reading.rows,
        "rows_used": reading.rows - sum(reading.set_aside.values()), "set_aside": reading.set_aside,
        "added": len(added), "matched": len(new) - len(added), "file": path.name, "rows": len(table),
    }  # fmt: skip
    with writable(into):
        into.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=STAGING, dir=into.parent) as folder:
            (staging := Path(folder) / "data").mkdir()
            for file in (file for file in base.iterdir() if file.name in copied):
                shutil.copyfile(file, staging / file.name)
            for file, frame in ((path.name, table), ("matches.csv", pairs)):
                frame.to_csv(staging / file, index=False, lineterminator="\n")
            record["sha256"] = _sha256(staging / path.name)
            _append(staging / "sources.yml", record)
            load_tables(staging)
            os.sync()
            os.rename(staging, into)
    return record | {"matches": pairs.to_dict("records")}


def _pairs(new: pd.DataFrame, known: pd.DataFrame, events: bool) -> pd.DataFrame:
    """Rows of one name, and attacks that may be one, the closest first; each row stands in one pair at most.

    So two new attacks of one night are not both the one that is known.
    """
    import duckdb
    import pandas as pd

    found, chosen, seen = [(0, False, name, name, 0.0) for name in new.index.intersection(known.index)], [], set()
    if events:
        with duckdb.connect() as connection:
            for view, table in (("new", new), ("known", known)):
                weapons = table["weapons"].replace("unknown", ";".join(WEAPONS)).str.split(";")
                told = {"name": table.index, "place": table["location"].str.casefold(), "with_what": weapons}
                told |= {name: pd.to_numeric(table[name], errors="coerce") for name in ("lat", "lon")}
                told["reach"] = table["date_precision"].map(REACH)
                connection.register(view, table[["date", "theatre"]].assign(**told))
            found += connection.sql(ALIKE).fetchall()
    for days, _, mine, theirs, apart in found:
        if not seen & {("new", mine), ("known", theirs)}:
            seen |= {("new", mine), ("known", theirs)}
            chosen.append((mine, theirs, days, apart))
    return pd.DataFrame(chosen, columns=["new", "known", "days_apart", "degrees_apart"])


def _append(path: Path, record: dict[str, Any]) -> None:
    """One more record at the end of the list in sources.yml, indented as those before it."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else "sources:\n"
    before = re.search(r"^ *(?=- )", text, re.M)
    content = yaml.safe_dump([record], sort_keys=False, allow_unicode=True, width=120)
    path.write_text(f"{text.rstrip()}\n{indent(content, before[0] if before else '')}", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
