"""Spark reads what DuckDB reads, with the same account; what DuckDB makes of a file stands in test_foreign.

One session for the module, on two cores; only the test of the command starts a second one, in a process of its own.
"""

import gc
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import yaml
from conftest import ROOT, SHARED, needs_shared
from downloads import ACLED, BOMB, FIGHT, GTD, ROCKETS, changed, page, save
from packaging.requirements import Requirement
from test_house import EXTRAS

from analysis_lib.errors import BadInput
from analysis_lib.sources import foreign
from analysis_lib.sources.definitions import load_source

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
"""py4j leaves its sockets to the garbage collector."""

SETTINGS = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": 2, "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN"}  # fmt: skip
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"  # a short run is not worth Java's optimising
ENVIRONMENT = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "PYSPARK_SUBMIT_ARGS": f"--master local[2] --driver-java-options '{QUICK}' "
    + "".join(f"--conf {key}={value} " for key, value in SETTINGS.items())
    + "pyspark-shell",
}
GED, GDELT = load_source("ucdp").layout, load_source("gdelt").layout


def absent() -> str:
    """Why Spark cannot start here, or nothing."""
    if not find_spec("pyspark"):
        return "pyspark is not installed: python -m pip install '.[spark]'"
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else shutil.which("java")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""
    version = re.search(r'version "(\d+)', told)
    return "" if version and int(version[1]) >= 17 else "Java 17 or newer is not installed"


ABSENT = absent()
needs_spark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)


@pytest.fixture(scope="module")
def spark():
    """The module `analysis_lib.sources.spark`, whose first reading starts Spark with the settings of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("SPARK_REMOTE", raising=False)
        from pyspark import SparkContext
        from pyspark.sql import SparkSession

        from analysis_lib.sources import spark

        yield spark
        if session := SparkSession.getActiveSession():
            session.stop()
            SparkContext._gateway.shutdown()
            SparkContext._gateway = SparkContext._jvm = None
        gc.collect()


def alike(spark, source, *files):
    """The reading of both engines, which is one: table, number of rows, reasons and their order."""
    definition = load_source(source)
    one, two = foreign.read(definition, files), spark.read(definition, files)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert (one.rows, list(one.set_aside.items())) == (two.rows, list(two.set_aside.items()))
    for name in {"lat", "lon", "count", "killed"} & {*one.table.columns}:
        sums = [pd.to_numeric(reading.table[name]).sum() for reading in (one, two)]
        assert sums[0] == pytest.approx(sums[1], abs=1e-9)
    return two


# ---- the same results ------------------------------------------------------------------------------------------------


@needs_spark
def test_acled_reads_alike(spark, tmp_path):
    """Line breaks in quotes, letters beyond ASCII, semicolons, packed files, and three lines that are no record."""
    file = save(tmp_path / "it's [1] *{a}.csv", changed(
        ROCKETS, "event_id_cnty", {}, {"notes": "Drönes\r\nand \"mortars\", in  Ain al-Asad "}, {"country": "France"},
        {"event_date": "08 May 2021", "fatalities": "3"}, {"event_date": "8.5.2021"}, {"country": "Israel"},
        {"latitude": "91"}, {"event_id_cnty": "IRQ10", "timestamp": "1"}, {"country": "Red Sea", "location": ""},
        {"notes": "", "sub_event_type": "Suicide bomb"}, {"actor1": "Kata'ib Hezbollah", "notes": "A UAV, a rocket"},
    ), ACLED)  # fmt: skip
    with file.open("ab") as out:
        out.write(b"one,two\r\n" + b"\xff" * 4 + b"," * (len(ACLED) - 1) + b"\r\n" + b"x," * 99 + b"\r\n")
    other = [
        {name.upper(): cell for name, cell in row.items()} for row in changed(ROCKETS, "event_id_cnty", *[{}] * 12)
    ]
    packed = save(tmp_path / "packed.csv.gz", other, [name.upper() for name in ACLED], delimiter=";")
    reading = alike(spark, "acled", file, packed)
    assert reading.rows == 11 + 3 + 12 == len(reading.table) + sum(reading.set_aside.values())
    assert reading.set_aside[foreign.TORN] == 3
    assert 'Wire: Drönes\r\nand "mortars", in  Ain al-Asad' in set(reading.table["notes"])
    assert "drone;rocket" in set(reading.table["weapons"])


@needs_spark
def test_ged_reads_alike_with_and_without_header_as_csv_and_parquet(spark, tmp_path):
    tags = {name: f"#{name}" for name in GED}
    rows = changed(FIGHT, "id", tags, {}, {"country": "Syria"}, {"id": "11"}, {"side_a": "IS"}, {"date_prec": "2"},
                   {"date_start": "2021-02-03 00:00:00.000"}, {"country": "Turkey"}, {"date_start": ""})  # fmt: skip
    headed = save(tmp_path / "ged.csv", rows, GED)
    bare = save(tmp_path / "month.csv", changed(FIGHT | {"id": "9"}, "id", {}, {}), GED, header=False)
    reading = alike(spark, "ucdp", headed, bare)
    assert (reading.rows, reading.set_aside["the row of tags of the HDX edition"]) == (11, 1)
    duckdb.sql(f"COPY (SELECT * REPLACE (TRY_CAST(date_prec AS INT) AS date_prec, NULL AS gwnob, "
               f"TRY_CAST(date_start AS TIMESTAMP) AS date_start), 1 AS torn FROM read_csv('{headed}', "
               f"all_varchar = true, header = true, comment = '')) TO '{tmp_path / 'ged.parquet'}'")  # fmt: skip
    assert alike(spark, "ucdp", tmp_path / "ged.parquet", bare).rows == 11


@needs_spark
def test_gdelt_reads_alike(spark, tmp_path):
    """No header, tabs, quotes that are none, a line too short, one that is no text."""
    row = {"sqldate": "20210510", "isrootevent": "1", "eventcode": "1952", "actiongeo_countrycode": "IZ",
           "actor1name": 'a "name'}  # fmt: skip
    changes = ({}, {}, {"actiongeo_countrycode": "US"}, {"eventcode": "051"}, {"isrootevent": "0"},
               {"eventcode": "195"}, {"sqldate": "20210511"}, {"sqldate": "0"}, {"actiongeo_countrycode": "IS"},
               {"actiongeo_countrycode": "IS", "actor1countrycode": "PSE"})  # fmt: skip
    path = tmp_path / "day.export.CSV"
    lines = ["\t".join((row | change).get(name, "") for name in GDELT) for change in changes]
    path.write_bytes("\n".join([*lines, "20210510\tshort", ""]).encode() + b"1\t\xff" + b"\t" * 59 + b"\n")
    reading = alike(spark, "gdelt", path)
    assert (reading.rows, reading.set_aside[foreign.TORN], reading.table["count"].astype(int).sum()) == (12, 2, 5)


@needs_spark
def test_latin_letters_and_columns_that_become_rows_read_alike(spark, tmp_path):
    bombs = changed(BOMB, "eventid", {}, {"iday": "0"}, {"imonth": "0"}, {"nkill": "-99", "nwound": "12.0"})
    reading = alike(spark, "gtd", save(tmp_path / "gtd.csv", bombs, GTD, encoding="latin-1"))
    assert set(reading.table["notes"]) == {"An explosive device went off at a café."}
    bands = ("south", "centre", "north", "unmatched")
    cells = {f"n_locality_alerts_{band}": str(number) for number, band in enumerate(bands)}
    alerts = [{"date": "2021-05-11", "category_en": "rockets_missiles"} | cells] * 3
    alerts.append(alerts[0] | {"category_en": "drill"})
    alerts.append(alerts[0] | {"n_locality_alerts_north": "many"})
    file = save(tmp_path / "alerts.csv", alerts)
    with file.open("ab") as out:
        out.write(b"2021-05-11,drill\r\n")
    reading = alike(spark, "oref", file)
    assert (reading.rows, reading.set_aside[foreign.TORN], list(reading.table["count"])) == (4 * 5 + 1, 1, ["6"])


@needs_spark
@needs_shared
@pytest.mark.parametrize("name", ["ged_syria_2018_2019", "ged231_sample_region"])
def test_real_extracts_read_alike(spark, name):
    reading = alike(spark, "ucdp", SHARED / "data" / "ucdp_ged" / f"{name}.csv")
    assert reading.rows > 300


# ---- what cannot be read ---------------------------------------------------------------------------------------------


@needs_spark
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"id,country\n1,Iraq\n", "a.csv:1: got no column event_id_cnty, event_date"),
        ("a.xlsx", b"PK", "a.xlsx: got a .xlsx file; allowed: csv"),
        ("_a.csv", b"", "_a.csv: Spark reads CSV or Parquet"),
        ("a.parquet", b"no parquet", "a.parquet: "),
        ("a b.csv.gz", None, "a b.csv.gz: "),
    ],
)
def test_a_file_that_spark_cannot_read_is_told_in_one_line(spark, tmp_path, name, content, told):
    path = tmp_path / name
    if content is None:  # a packed file that was cut: its first line is whole
        rows = changed(ROCKETS, "event_id_cnty", *({"notes": os.urandom(200).hex()} for _ in range(2000)))
        packed = save(path, rows, ACLED).read_bytes()
        content = packed[: len(packed) // 2]
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        spark.read(load_source("acled"), [path])
    [line] = error.value.lines
    assert told in line
    assert "\n" not in line
    assert str(tmp_path) not in line


@needs_spark
def test_pages_of_an_api_are_left_to_duckdb(spark, tmp_path):
    with pytest.raises(BadInput, match=r"page\.json: Spark reads CSV or Parquet.*use --engine duckdb"):
        spark.read(load_source("acled"), [page(tmp_path / "page.json", "data", [ROCKETS])])


# ---- the command -----------------------------------------------------------------------------------------------------


def claims(folder, *words, before="pass", **environment):
    """`claims data add` in a process of its own, in a folder."""
    code = f"import sys; {before}; from analysis_lib.cli import main; main()"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    kept = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"}
    return subprocess.run(
        [sys.executable, "-c", code, "data", "add", *map(str, words)], capture_output=True, text=True, check=False,
        cwd=folder, env=kept | ENVIRONMENT | {"PYTHONPATH": path} | environment,
    )  # fmt: skip


@needs_spark
def test_both_engines_write_the_same_folder_and_java_says_nothing(tmp_path):
    save(tmp_path / "ged.csv", changed(FIGHT, "id", {}, {}, {"country": "Syria"}, {"date_prec": "3"}), GED)
    done = {engine: claims(tmp_path, "ucdp", "ged.csv", "--into", engine, "--engine", engine)
            for engine in ("duckdb", "spark")}  # fmt: skip
    assert [(run.returncode, run.stderr) for run in done.values()] == [(0, "")] * 2
    assert done["spark"].stdout.replace("spark", "duckdb") == done["duckdb"].stdout
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / engine).iterdir()} for engine in done)
    assert one == two
    record = yaml.safe_load(two["sources.yml"])["sources"][-1]
    assert (record["rows_read"], record["set_aside"]) == (4, {"the day is not known": 1})


def test_without_pyspark_one_line_names_the_command_that_installs_it(tmp_path):
    save(tmp_path / "ged.csv", changed(FIGHT, "id", {}), GED)
    hidden = "sys.modules['pyspark'] = sys.modules['py4j'] = None"
    done = claims(tmp_path, "ucdp", "ged.csv", "--engine", "spark", before=hidden)
    assert (done.returncode, done.stdout) == (4, "")
    [line] = done.stderr.splitlines()
    assert "which is not installed: run `python -m pip install -e '.[data,spark]'`" in line


@pytest.mark.skipif(ABSENT.startswith("pyspark"), reason=ABSENT)
def test_without_java_one_line_says_so(tmp_path):
    save(tmp_path / "ged.csv", changed(FIGHT, "id", {}), GED)
    done = claims(tmp_path, "ucdp", "ged.csv", "--engine", "spark", JAVA_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    [line] = done.stderr.splitlines()
    assert "Spark does not start" in line
    assert "install Java 17" in line
    assert [path.name for path in tmp_path.iterdir()] == ["ged.csv"]


def test_an_engine_that_does_not_exist_is_refused(tmp_path):
    done = claims(tmp_path, "ucdp", "ged.csv", "--engine", "dask")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'duckdb'" in done.stderr
    assert "'spark'" in done.stderr


def test_the_lock_of_spark_pins_hashes_within_the_range_of_the_extra():
    lock = (ROOT / "requirements-spark.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line.split() for line in lock.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for _, *hashes in pins for word in hashes)
    versions = dict(pin.split("==") for pin, *hashes in pins if hashes)
    [wanted] = map(Requirement, EXTRAS["spark"])
    assert wanted.specifier.contains(versions["pyspark"])
    assert versions.keys() == {"py4j", "pyspark"}
