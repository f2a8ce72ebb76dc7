"""A generation for machines: every finding as one table, and what each file is, as an RO-Crate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from analysis_lib.errors import plain
from analysis_lib.finding import Finding
from analysis_lib.generations import sha256
from analysis_lib.sources.bundled import sources_of
from analysis_lib.tables import render

Rows = list[dict[str, Any]]
ABOUT = ("headline", "as_of", "data_sha256")  # of the record that a finding stands in
COLUMNS = dict.fromkeys(("id", "claim", *ABOUT), "str") | {f.name: str(f.type) for f in fields(Finding)}
FORMULA = tuple("=+-@＝＋－＠")  # with what a spreadsheet takes a text for a formula


def findings_of(records: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Every finding of every record as a row under COLUMNS: numbers, text on one line, None for nothing."""
    found = [{"claim": name} | {key: r[key] for key in ABOUT} | f | {"notes": "; ".join(f["notes"])}
             for name, r in records.items() for f in r["findings"]]  # fmt: skip
    told = [{name: row.get(name) for name in COLUMNS} for row in found]
    return [{name: plain(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in told]


def as_csv(rows: Rows, columns: Iterable[str]) -> bytes:
    """Rows as they are, None as nothing, under a line of names."""
    writer = csv.DictWriter(text := io.StringIO(newline=""), columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def defused(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it; a number stays one.

    >>> defused("=1+1"), defused(" @A1"), defused("a = 1"), defused(-0.5)
    ("'=1+1", "' @A1", 'a = 1', -0.5)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(FORMULA) else cell


def as_parquet(rows: Rows) -> dict[str, bytes]:
    """Rows as findings.parquet; nothing where pyarrow is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return {}
    kinds = {"float": pa.float64(), "int": pa.int64()}
    schema = pa.schema([(name, kinds.get(kind.split()[0], pa.string())) for name, kind in COLUMNS.items()])
    pq.write_table(pa.Table.from_pylist(rows, schema), sink := pa.BufferOutputStream())
    return {"findings.parquet": sink.getvalue().to_pybytes()}


def exports(
    records: Mapping[str, Mapping[str, Any]], files: Mapping[str, bytes], provenance: Mapping[str, Any], data: Path
) -> dict[str, bytes]:
    """findings.csv, findings.parquet and ro-crate-metadata.json of a generation that holds `files`."""
    rows = findings_of(records)
    safe = [{name: defused(cell) for name, cell in row.items()} for row in rows]
    made = {"findings.csv": as_csv(safe, COLUMNS)} | as_parquet(rows)
    told = [(path, len(content), sha256(content)) for path, content in sorted((files | made).items())]
    crate = render("ro-crate.json.j2", files=told, records=records, sources=sources_of(data),
                   provenance=provenance)  # fmt: skip
    return made | {"ro-crate-metadata.json": crate.encode()}
