"""Reads a download with Spark: the expressions of `foreign`, run by a cluster or by the cores of one machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL

import narwhals as nw
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from analysis_lib.errors import BadInput, CannotRun
from analysis_lib.paths import shown
from analysis_lib.sources import foreign
from analysis_lib.sources.definitions import Choice, Source

MARKED = Choice(when={"no-record": ("true",)}, then=foreign.TORN)  # no source's column has a hyphen


def read(source: Source, files: Sequence[Path]) -> foreign.Reading:
    """What `foreign.read` returns and raises, found by Spark; every machine of a cluster sees the files where they are.

    A CSV with quotes is read by one core, since a line break may stand inside a field; other files by all. A malformed
    quote, and a pattern beside letters beyond ASCII, may be read otherwise than by DuckDB: docs/scale.md. JSON is left
    to DuckDB. Raises CannotRun where Spark does not start.
    """
    marking = source.model_copy(update={"set_aside": (MARKED, *source.set_aside)})
    failure, where, do = CannotRun, "Spark does not start", "install Java 17, see docs/scale.md"
    try:
        if "SPARK_REMOTE" not in os.environ and SparkSession.getActiveSession() is None:  # what Java says is not shown
            SparkContext(appName="claims", gateway=launch_gateway(popen_kwargs={"stdout": DEVNULL, "stderr": DEVNULL}))
        session = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
        failure, where, do = BadInput, ", ".join(map(shown, files)), "mend the file or the definition"
        frame = nw.concat([nw.from_native(_text(session, source, file)) for file in files])
        found = foreign.reduced(marking, frame).to_native().toArrow().to_pandas()
    except (PySparkException, Py4JError) as error:
        first = str(error).rpartition("\n: ")[2].splitlines()[0]  # of an error of Java's the line that names it
        raise failure(f"{where}: {re.sub('file:[^ ]+', 'a file', first)}; {do}") from None
    found.loc[found[foreign.ASIDE] == foreign.TORN, foreign.ROWS] //= len(source.unpivot) or 1  # lines, not parts
    return foreign.checked(marking, found, 0)


def _text(session: SparkSession, source: Source, path: Path) -> DataFrame:
    """The columns that a definition uses: trimmed text, "" where there is none; and whether the row is no record."""
    kind, place = foreign.kind_of(path), re.sub(r"([\\{}\[\]*?])", r"\\\1", f"file://{path.resolve()}")
    if kind == "json" or path.name.startswith((".", "_")):
        raise BadInput(f"{shown(path)}: Spark reads CSV or Parquet, no . or _ first; rename it, or use --engine duckdb")
    if kind == "parquet":
        frame = session.read.parquet(place).select("*", F.lit(None))
        names = frame.columns[:-1]
    else:
        names, headed, delimiter = foreign.recognised(source, path)
        # Spark would put a mark for what is no UTF-8 and say nothing: so it reads bytes, and text is made of them here
        options = {"sep": delimiter, "quote": source.quote, "escape": source.quote, "multiLine": bool(source.quote),
                   "header": headed, "encoding": "ISO-8859-1", "lineSep": "\n", "columnPruning": False}  # fmt: skip
        columns = [*(f"c{i} STRING" for i in range(len(names))), "_corrupt_record STRING"]
        frame = session.read.load(place, "csv", ", ".join(columns), **options)
        code = {"utf-8": "ISO-8859-1"}.get(source.encoding, "UTF-8")
        frame = frame.select(*(F.rtrim(F.encode(name, code).cast("string"), F.lit("\r")) for name in frame.columns))
    places = [f"c{i}" for i in range(len(names))]
    cells = foreign.cells(source, path, names, places)
    named = [f"{cell} AS `{name}`" for cell, name in zip(cells, source.used, strict=True)]
    torn = f"torn IS NOT NULL OR NOT is_valid_utf8(concat({', '.join(cells)}))"
    table = frame.toDF(*places, "torn").selectExpr(*named, f"CAST({torn} AS STRING) AS `no-record`")
    others = [name for name in table.columns if name not in source.unpivot]
    return table.unpivot(others, [*source.unpivot], "column", "value") if source.unpivot else table
