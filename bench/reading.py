"""Reading large downloads: `sources.foreign` beside DuckDB alone and the natural pandas call, time and peak memory.

Run `python bench/reading.py [--rows 5000000]`. A table like GED's (400,000 rows, 49 columns, as CSV and Parquet)
becomes daily counts of five countries; one like GDELT's (`--rows`, 61 columns, tabs) daily counts by theatre and
weapon, by DuckDB alone also with an account of the rows that do not count. Every way runs in a process of its own, in
turn, three times; the fastest run counts, the counts must agree. Times are told twice: of the whole process, and of the
reading alone, after everything has been imported.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parent.parent
COUNTRIES = ("Iraq", "Syria", "Jordan", "Yemen (North Yemen)", "Lebanon")
PLACES = ("IZ", "SY", "JO", "IS", "GZ", "WE", "LE", "SA", "AE", "KU", "BA", "QA", "MU")
CODES = ("195", "1951", "1952", "194", "183", "1831", "1832", "1833", "1834")
SIDES = ("PSE", "LBN", "IRN", "IRQ", "YEM", "SYR")
GED_ROWS = 400_000
PANDAS_ROWS = 2_000_000  # pandas holds two gigabytes for every million rows like GDELT's


def layout(source: str) -> list[str]:
    """The columns of a source in the order of its files."""
    from analysis_lib.sources.definitions import load_source

    return [*load_source(source).layout]


# ---- made-up tables --------------------------------------------------------------------------------------------------


LENGTHS = {"relid": 20, "code_status": 5, "source_article": 117, "source_office": 10, "source_date": 15,
           "source_headline": 82, "source_original": 9, "where_coordinates": 16, "where_description": 26,
           "geom_wkt": 26}  # fmt: skip
REPEATED = {"conflict_name": 21, "dyad_name": 38, "side_a": 19, "side_b": 16, "adm_1": 19, "adm_2": 17, "region": 11}
GED = {
    **{name: f"left(repeat(md5(i::VARCHAR), 4), {length})" for name, length in LENGTHS.items()},
    **{name: f"left(repeat(md5((i % 40)::VARCHAR), 2), {length})" for name, length in REPEATED.items()},
    **dict.fromkeys(("latitude", "longitude"), "(hash(i) % 60000000)::BIGINT / 1000000"),
    "id": "i",
    "country": "['Iraq', 'Syria', 'Jordan', 'Yemen (North Yemen)', 'Lebanon', 'Afghanistan', 'India', 'Nigeria', "
    "'Ukraine', 'Mexico'][1 + (hash(i) % 10)::INT]",
    "date_start": "strftime(DATE '2000-01-01' + (hash(7 * i) % 8000)::INT, '%Y-%m-%d 00:00:00.000')",
    "date_end": "strftime(DATE '2000-01-01' + (hash(7 * i) % 8000)::INT, '%Y-%m-%d 00:00:00.000')",
    "source_original": "if(i % 50 = 0, 'a \"quoted\",' || chr(10) || 'broken line', 'an agency')",
    "gwnob": "''",
}
GDELT = {
    **{f"actor{n}{kind}": "''" for n in (1, 2) for kind in ("religion2code", "type2code", "type3code", "ethniccode")},
    **{f"actor{n}geo_fullname": "left(md5(i::VARCHAR), 24)" for n in (1, 2)},
    **{f"actor{n}name": "left(md5((i % 900)::VARCHAR), 9)" for n in (1, 2)},
    "actiongeo_fullname": "left(md5(i::VARCHAR), 24)",
    "globaleventid": "i",
    "sqldate": "strftime(DATE '2019-01-01' + (hash(i) % 2000)::INT, '%Y%m%d')",
    "isrootevent": "i % 2",
    "eventcode": "['010', '042', '043', '051', '112', '173', '190', '195', '1952', '183'][1 + (hash(3 * i) % 10)::INT]",
    "actor1countrycode": "['', 'USA', 'IRN', 'PSE', 'GBR'][1 + (hash(5 * i) % 5)::INT]",
    "actiongeo_countrycode": "if(hash(7 * i) % 40 = 0, ['IZ', 'SY', 'IS', 'LE'][1 + (hash(11 * i) % 4)::INT], 'US')",
    "sourceurl": "'https://example.org/news/2021/05/10/' || md5(i::VARCHAR)",
}


def write(path: Path, names: list[str], texts: dict[str, str], rows: int, options: str) -> None:
    """CSV and Parquet of these columns; those that nothing is said of hold numbers."""
    import duckdb

    cells = [texts.get(name, "(i % 1000)::VARCHAR") for name in names]
    columns = ", ".join(f"{cell} AS {name}" for name, cell in zip(names, cells, strict=True))
    for target in (f"'{path}.csv' ({options})", f"'{path}.parquet'"):
        duckdb.sql(f"COPY (SELECT {columns} FROM range({rows}) AS t(i)) TO {target}")


# ---- the ways, each returns the number of rows that count ----------------------------------------------------------


def ours(file: Path, kind: str) -> int:
    from analysis_lib.sources.definitions import load_source
    from analysis_lib.sources.foreign import read

    reading = read(load_source("gdelt" if kind == "gdelt" else str(HERE / "ged_daily.yml")), [file])
    return reading.table["count"].astype(int).sum()


def duckdb_alone(file: Path, kind: str) -> int:
    import duckdb

    scan, day = f"'{file}'", "left(date_start::VARCHAR, 10)::DATE AS day"
    if kind == "ged":
        query = f"country, {day}, count(*) AS n FROM {scan} WHERE country IN {COUNTRIES}"
        return duckdb.sql(f"SELECT {query} GROUP BY ALL").df()["n"].sum()
    if file.suffix == ".csv":
        scan = (
            f"read_csv({scan}, header = false, delim = '\t', quote = '', names = {layout('gdelt')}, all_varchar = true)"
        )
    keys = "actiongeo_countrycode, actor1countrycode, eventcode, sqldate"
    query = f"""SELECT {keys}, count(*) AS n FROM {scan} WHERE actiongeo_countrycode IN {PLACES}
        AND eventcode IN {CODES} AND isrootevent::VARCHAR = '1'
        AND (actiongeo_countrycode != 'IS' OR actor1countrycode IN {SIDES}) GROUP BY ALL"""
    return duckdb.sql(query).df()["n"].sum()


def duckdb_account(file: Path, kind: str) -> int:
    """DuckDB alone, and it too tells of every row of GDELT why it does not count, so that no filter skips any."""
    import duckdb

    scan = f"'{file}'"
    if file.suffix == ".csv":
        scan = (
            f"read_csv({scan}, header = false, delim = '\t', quote = '', names = {layout('gdelt')}, all_varchar = true)"
        )
    keys = ("actiongeo_countrycode", "actor1countrycode", "eventcode", "sqldate")
    cells = ", ".join(f"CASE WHEN reason = '' THEN {key} ELSE '' END AS {key}" for key in keys)
    query = f"""SELECT reason, {cells}, count(*) AS n FROM (SELECT *, CASE
        WHEN actiongeo_countrycode NOT IN {PLACES} OR actiongeo_countrycode IS NULL THEN 'place'
        WHEN eventcode NOT IN {CODES} OR eventcode IS NULL THEN 'weapon'
        WHEN isrootevent::VARCHAR != '1' OR isrootevent IS NULL THEN 'root'
        WHEN actiongeo_countrycode = 'IS' AND (actor1countrycode NOT IN {SIDES} OR actor1countrycode IS NULL)
        THEN 'side' ELSE '' END AS reason FROM {scan}) GROUP BY ALL"""
    found = duckdb.sql(query).df()
    return found["n"][found["reason"] == ""].sum()


def pandas_natural(file: Path, kind: str) -> int:
    import pandas as pd

    if kind == "ged":
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
        table["day"] = pd.to_datetime(table["date_start"]).dt.normalize()
        return table[table["country"].isin(COUNTRIES)].groupby(["country", "day"]).size().sum()
    options = {
        "sep": "\t",
        "header": None,
        "names": layout("gdelt"),
        "quoting": 3,
        "dtype": "str",
        "keep_default_na": False,
    }
    table = pd.read_csv(file, **options) if file.suffix == ".csv" else pd.read_parquet(file)
    kept = table["actiongeo_countrycode"].isin(PLACES) & table["eventcode"].isin(CODES)
    kept &= table["isrootevent"].astype(str) == "1"
    kept &= (table["actiongeo_countrycode"] != "IS") | table["actor1countrycode"].isin(SIDES)
    return table[kept].groupby(["actiongeo_countrycode", "eventcode", "sqldate"]).size().sum()


WAYS = {"ours": ours, "duckdb": duckdb_alone, "account": duckdb_account, "pandas": pandas_natural}
IMPORTS = {"ours": "analysis_lib.sources.foreign", "duckdb": "duckdb", "account": "duckdb", "pandas": "pandas"}
COLUMNS = ("s clock", "s processors", "s clock of reading", "s processors of reading", "MB")


def measured(way: str, file: Path, kind: str) -> tuple[float, ...]:
    """The figures of `COLUMNS` for a process that reads the file, and the rows that it counts."""
    command = [sys.executable, __file__, "--way", way, "--file", str(file), "--kind", kind]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return tuple(map(float, done.stdout.split()))


def compare(file: Path, kind: str, ways: list[str], repeats: int) -> None:
    runs = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            runs[way].append(measured(way, file, kind))
    counts = {run[-1] for all_runs in runs.values() for run in all_runs}
    assert len(counts) == 1, f"the ways differ: {counts}"
    load = os.getloadavg()[0]
    print(f"{file.name}, {file.stat().st_size / 1e6:.0f} MB, {repeats} runs in turn, equal counts, load {load:.1f}")
    best = {way: [min(column) for column in zip(*all_runs, strict=True)][:-1] for way, all_runs in runs.items()}
    for way, figures in best.items():
        told = [f"{figure:.{0 if unit == 'MB' else 2}f} {unit}" for figure, unit in zip(figures, COLUMNS, strict=True)]
        print(f"  {way:8} {', '.join(told)}")
        if way != "ours":
            over = " ".join(f"{mine / theirs:.2f}" for mine, theirs in zip(best["ours"], figures, strict=True))
            print(f"           ours over it, in this order: {over}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000, help="of the table like GDELT's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("ged", "gdelt"), help="one of the two tables")
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--kind", choices=("ged", "gdelt"))
    given = parser.parse_args()
    if given.way:
        start = time.perf_counter(), time.process_time()
        for name in (IMPORTS[given.way], "pandas"):
            import_module(name)
        ready = time.perf_counter(), time.process_time()
        count = WAYS[given.way](given.file, given.kind)
        end, status = (time.perf_counter(), time.process_time()), Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024  # getrusage would count the parent's, too
        print(*(b - a for since in (start, ready) for a, b in zip(since, end, strict=True)), peak, count)
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        tables = {
            "ged": (layout("ucdp"), GED, GED_ROWS, "HEADER"),
            "gdelt": (layout("gdelt"), GDELT, given.rows, "HEADER false, DELIMITER '\t', QUOTE ''"),
        }
        for name in [given.only] if given.only else tables:
            path = Path(folder) / name
            write(path, *tables[name])
            for kind in ("csv", "parquet"):
                ways = ["ours", "duckdb"] + ["account"] * (name == "gdelt")
                ways += ["pandas"] * (name == "ged" or given.rows <= PANDAS_ROWS)
                compare(path.with_suffix(f".{kind}"), name, ways, given.repeats)
                path.with_suffix(f".{kind}").unlink()
