"""`claims data add`: what is matched, what is written, what a licence keeps out of every report."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from downloads import ACLED, FIGHT, ROCKETS, changed, save
from typer.testing import CliRunner
from worlds import YEAR, coverage_row, event_row, write

from analysis_lib import evaluate, load_tables, tables
from analysis_lib.additions import add
from analysis_lib.cli import app
from analysis_lib.errors import BadInput, ReportFailed
from analysis_lib.events import TABLES
from analysis_lib.paths import DATA, ROOT
from analysis_lib.reports import publish_reports
from analysis_lib.sources.definitions import load_source

DRONE = {"notes": "A drone fell on a base hosting US troops", "actor1": "Unidentified Shiite Muslim Militia (Iraq)"}
BASE = {"location": "Ain al-Asad air base", "lat": "33.79", "lon": "42.44", "weapons": "drone"}


def claims(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def text_of(path):
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def known(folder, *rows):
    """A data folder with these events, one coverage interval, and nothing else."""
    rows = [event_row("2021-05-08", number) | BASE | row for number, row in enumerate(rows, 1)]
    return write(folder, rows, coverage=[coverage_row(YEAR)])


def acled(folder, *changes, name="acled.csv"):
    folder.mkdir(exist_ok=True)
    return save(folder / name, changed(ROCKETS | DRONE, "event_id_cnty", *changes), ACLED)


def added(tmp_path, *changes, rows=({},), **options):
    """The record of adding these rows of ACLED to a folder with these events."""
    base = known(tmp_path / "base", *rows)
    return add("acled", [acled(tmp_path / "in", *changes)], tmp_path / "out", base, **options)


# ---- matches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "row", "matches"),
    [
        ({}, {}, True),
        ({"event_date": "2021-05-09"}, {}, True),  # the next night
        ({"event_date": "2021-05-10"}, {}, False),
        ({"event_date": "2021-05-11", "time_precision": "2"}, {}, True),  # a week: three days either way
        ({"event_date": "2021-05-12", "time_precision": "2"}, {}, False),
        ({"event_date": "2021-05-12", "time_precision": "2"}, {"date_precision": "pm1"}, True),  # both may move
        ({"event_date": "2021-05-23"}, {"date_precision": "month"}, True),
        ({"latitude": "34.139", "longitude": "42.0901"}, {}, True),  # within 0.35 degrees both ways
        ({"latitude": "34.141"}, {}, False),
        ({"latitude": "34.141", "location": "Ain al-Asad"}, {}, True),  # another point of the same name
        ({"location": "ain al assad airbase"}, {"lat": "", "lon": ""}, True),
        ({}, {"lat": "", "lon": ""}, False),
        ({"notes": "A rocket"}, {}, False),
        ({"notes": "Rockets and a drone"}, {}, True),
        ({"notes": "A rocket"}, {"weapons": "unknown"}, True),
        ({"notes": "Something fell"}, {}, True),
        ({}, {"theatre": "syria"}, False),
    ],
)
def test_an_attack_is_matched_by_day_place_and_weapon(tmp_path, cells, row, matches):
    record = added(tmp_path, cells, rows=[row])
    assert (record["matched"], record["added"]) == (int(matches), int(not matches))
    assert [match["known"] for match in record["matches"]] == ["IQ-20210508-01"] * matches


def test_two_attacks_of_a_night_are_not_both_the_one_that_is_known(tmp_path):
    record = added(tmp_path, {}, {"event_date": "2021-05-09"}, {})
    assert (record["matched"], record["added"]) == (1, 2)
    assert record["matches"] == [{"new": "ACLED-IRQ10", "known": "IQ-20210508-01", "days_apart": 0,
                                  "degrees_apart": 0.005, "row": "left out"}]  # fmt: skip
    both = added(tmp_path / "two", {}, {"event_date": "2021-05-09"}, {}, rows=[{}, {}])
    assert {(match["new"], match["days_apart"]) for match in both["matches"]} == {
        ("ACLED-IRQ10", 0),
        ("ACLED-IRQ12", 0),
    }


def test_a_match_may_be_overruled(tmp_path):
    record = added(tmp_path, {}, {"event_date": "2021-08-01"}, keep=["ACLED-IRQ10"])
    assert (record["matched"], record["added"]) == (0, 2)
    assert list(text_of(tmp_path / "out" / "matches.csv")["row"]) == ["kept"]
    assert list(text_of(tmp_path / "out" / "events.csv")["event_id"]) == [
        "IQ-20210508-01",
        "ACLED-IRQ10",
        "ACLED-IRQ11",
    ]
    with pytest.raises(BadInput, match="--keep ACLED-IRQ11: no such row is left out"):
        added(tmp_path / "again", {}, {"event_date": "2021-08-01"}, keep=["ACLED-IRQ11"])


def test_a_second_download_brings_what_is_new_and_leaves_or_replaces_what_is_there(tmp_path):
    added(tmp_path, {"event_date": "2021-07-01"})
    newer = acled(
        tmp_path / "in", {"event_date": "2021-07-01", "fatalities": "5"}, {"event_date": "2021-08-01"}, name="b.csv"
    )
    record = add("acled", [newer], tmp_path / "left", tmp_path / "out")
    assert (record["added"], record["matched"]) == (1, 1)
    assert list(text_of(tmp_path / "left" / "events.csv")["killed"]) == ["", "", ""]
    add("acled", [newer], tmp_path / "replaced", tmp_path / "out", keep=["ACLED-IRQ10"])
    table = text_of(tmp_path / "replaced" / "events.csv")
    assert dict(zip(table["event_id"], table["killed"], strict=True)) == {
        "IQ-20210508-01": "", "ACLED-IRQ10": "5", "ACLED-IRQ11": ""}  # fmt: skip
    sources = yaml.safe_load((tmp_path / "left" / "sources.yml").read_text(encoding="utf-8"))["sources"]
    assert [entry["added"] for entry in sources] == [1, 1]
    assert load_tables(tmp_path / "left").warnings == ()


def test_every_row_of_the_bundled_list_matches_itself_and_no_other(tmp_path):
    renamed = text_of(DATA / "events.csv")
    renamed["event_id"] = "X" + renamed["event_id"]
    renamed.to_csv(tmp_path / "mine.csv", index=False)
    record = add("spreadsheet", [tmp_path / "mine.csv"], tmp_path / "out")
    assert (record["rows_read"], record["set_aside"], record["added"], record["matched"]) == (973, {}, 0, 973)
    alike = {(match["new"].removeprefix("X"), match["known"]) for match in record["matches"]}
    assert sum(new == old for new, old in alike) > 950  # some of one place and night stand for each other


# ---- the folder ------------------------------------------------------------------------------------------------------


def test_the_new_folder_holds_the_tables_of_the_old_the_additions_and_their_record(tmp_path):
    file = acled(tmp_path / "in", {}, {"country": "France"}, {"event_date": "2021-06-20"})
    record = add("acled", [file], tmp_path / "out", version="August 2026")
    for name in TABLES:
        old, new = DATA / f"{name}.csv", tmp_path / "out" / f"{name}.csv"
        assert old.exists() == new.exists()
        if name != "events" and old.exists():
            assert old.read_bytes() == new.read_bytes()
    before, after = text_of(DATA / "events.csv"), text_of(tmp_path / "out" / "events.csv")
    assert after.iloc[: len(before)].drop(columns="rights").equals(before)
    assert list(after["rights"].value_counts().items()) == [("", 973), ("aggregates", record["added"])]
    assert record["rows_read"] == record["rows_used"] + sum(record["set_aside"].values()) == 3
    assert record["rows_used"] == record["added"] + record["matched"]
    entries = yaml.safe_load((tmp_path / "out" / "sources.yml").read_text(encoding="utf-8"))["sources"]
    assert entries[:-1] == yaml.safe_load((DATA / "sources.yml").read_text(encoding="utf-8"))["sources"]
    last = entries[-1]
    assert (last["name"], last["version"], last["rights"], last["file"]) == (
        "acled",
        "August 2026",
        "aggregates",
        "events.csv",
    )
    assert last["files"] == [{"file": "acled.csv", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}]
    assert last["sha256"] == hashlib.sha256((tmp_path / "out" / "events.csv").read_bytes()).hexdigest()
    assert {"title", "publisher", "url", "licence", "date"} <= last.keys()
    [warning] = load_tables(tmp_path / "out").warnings  # none of rows and hashes: they are those of the record
    assert "got 'uncited'" in warning


def test_the_same_files_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        add("acled", [acled(tmp_path / "in", {}, {"event_date": "2021-06-20"})], tmp_path / name)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("into", [DATA, DATA / "mine"])
def test_the_bundled_data_are_never_touched(tmp_path, into):
    with pytest.raises(BadInput, match="--into data"):
        add("acled", [acled(tmp_path, {})], into)
    assert not (DATA / "mine").exists()


def test_what_is_there_is_never_overwritten_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    file = acled(tmp_path / "in", {})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="got what is there"):
        add("acled", [file], tmp_path / "out")
    (tmp_path / "in" / "blocked").write_text("a file in the way")
    with pytest.raises(ReportFailed, match="cannot be written"):
        add("acled", [file], tmp_path / "in" / "blocked" / "out")

    def full(*given, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ReportFailed, match="no space left"):
        add("acled", [file], tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_base_with_errors_is_refused_before_anything_is_read(tmp_path):
    base = known(tmp_path / "base", {"theatre": "irak"})
    with pytest.raises(BadInput, match=r"events\.csv:2:theatre"):
        add("acled", [tmp_path / "none.csv"], tmp_path / "out", base)


def test_without_duckdb_one_line_names_the_command_that_installs_it(tmp_path):
    code = "import sys; sys.modules['duckdb'] = None; from analysis_lib.cli import main; main()"
    words = ["data", "add", "acled", acled(tmp_path, {}), "--into", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (4, "")
    [line] = done.stderr.splitlines()
    assert "needs duckdb, which is not installed: run `python -m pip install -e '.[data]'`" in line


# ---- the commands ----------------------------------------------------------------------------------------------------


def test_the_command_prints_the_account_and_what_to_do_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = known(tmp_path / "base", {})
    done = claims(
        "data",
        "add",
        "acled",
        acled(tmp_path / "in", {}, {"country": "France"}, {"event_date": "2021-09-01"}),
        "--data",
        base,
    )
    assert done.exit_code == 0, done.output
    for words in ("3 rows read", "1  set aside: another place", "events.csv: 1 rows added, 1 left out",
                  "ACLED-IRQ10  =  IQ-20210508-01  (0 days apart, left out)", "--keep ROW", "never show them",
                  "data-acled is ready: claims report --all --data data-acled", "coverage.csv"):  # fmt: skip
        assert words in done.output
    kept = claims(
        "data", "add", "acled", tmp_path / "in" / "acled.csv", "--data", base, "--into", "kept", "--keep", "ACLED-IRQ10"
    )
    assert "events.csv: 2 rows added, 0 left out" in kept.output
    again = claims("data", "add", "acled", tmp_path / "in" / "acled.csv", "--data", base)
    assert (again.exit_code, again.output.count("\n")) == (2, 1)


def test_the_command_names_the_sources_with_table_and_licence():
    output = claims("data", "sources").output
    for name in ("acled", "gdelt", "gtd", "oref", "spreadsheet", "ucdp"):
        source = load_source(name)
        assert source.title in output
        assert source.licence in output
    assert output.count("reports show counts, never rows") == 2


# ---- licences --------------------------------------------------------------------------------------------------------

PLANTED = "Zqxplanted"
FAMILIES = ["pause-2021", "three-in-two-months", "drone-onset-april", "rare-casualties", "two-bases", "facade-brands"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """`planted(source)`: a folder with attacks, whose every free text is planted, added from ACLED or a spreadsheet."""
    folder = tmp_path_factory.mktemp("planted")
    words = {name: f"{PLANTED}{number}" for number, name in enumerate(("actor2", "source", "location"))}
    words |= DRONE | {
        "notes": f"{PLANTED} {DRONE['notes']}",
        "latitude": "30.1",
        "longitude": "47.1",
        "fatalities": "40",
    }
    days = [f"2021-{month}-{day}" for month in ("03", "04", "05") for day in ("03", "17", "27")]
    rows = [words | {"event_id_cnty": f"{PLANTED}{number}", "event_date": day} for number, day in enumerate(days)]
    add("acled", [acled(folder, *rows)], folder / "acled-data")
    shown = text_of(folder / "acled-data" / "events.csv").tail(len(rows)).drop(columns="rights")
    assert shown["event_id"].str.contains(PLANTED).all()
    shown.to_csv(folder / "sheet.csv", index=False)
    add("spreadsheet", [folder / "sheet.csv"], folder / "spreadsheet-data")
    return lambda source: folder / f"{source}-data"


def everything_shown(study):
    """What a page shows of a study in tables and sentences, and its record."""
    parts = [tables.event_table(study), tables.fact_table(study), tables.verdict_card(study), tables.summary(study),
             tables.findings_of(study, "primary", "robustness", "leave_one_out", "shown"), tables.rival_table(study),
             tables.outcome_table(study.variations), tables.change_of_mind(study)]  # fmt: skip
    shown = [form for part in parts for form in (repr(part), part._repr_html_())]
    return "\n".join([*shown, *(f.sentence() for f in study.now.facts), json.dumps(study.record(), default=str)])


@pytest.mark.parametrize("claim", FAMILIES)
def test_rows_of_restricted_sources_are_counted_and_never_shown(planted, registry, claim):
    closed, free = (evaluate(registry[claim], load_tables(planted(s)), registry) for s in ("acled", "spreadsheet"))
    assert PLANTED in everything_shown(free)
    assert PLANTED not in everything_shown(closed)
    assert "https://acleddata.com/" not in everything_shown(closed)
    numbers = [(f.estimate, f.p_value, f.n) for f in free.now.findings]
    assert [(f.estimate, f.p_value, f.n) for f in closed.now.findings] == numbers
    table, same = tables.event_table(closed), tables.event_table(free)
    hidden = len(same.rows) - len(table.rows)
    assert hidden > 0
    assert f"{hidden} more are counted and not shown" in table.caption


def test_no_byte_of_a_generation_holds_text_of_a_restricted_row(planted, tmp_path):
    for source, expected in (("acled", False), ("spreadsheet", True)):
        run = publish_reports(["pause-2021"], out=tmp_path / source, data=planted(source))
        assert run.failed == {}
        files = [path for path in run.generation.rglob("*") if path.is_file()]
        assert {path.suffix for path in files} == {".csv", ".html", ".ipynb", ".json", ".parquet", ".xml"}
        assert any(PLANTED.encode() in path.read_bytes() for path in files) is expected


def test_a_row_without_a_right_to_be_shown_has_lost_its_words_when_loaded(planted):
    events = load_tables(planted("acled")).events
    closed = events[events["rights"] == "aggregates"]
    assert list(closed["event_id"]) == [f"withheld-{number}" for number in range(1, 10)]
    assert set(closed["notes"]) == set(closed["sources"]) == set(closed["target"]) == {""}
    assert events["event_id"].is_unique


def test_a_word_that_is_no_right_is_an_error_and_so_is_a_misspelt_column(tmp_path):
    base = known(tmp_path / "base", {})
    path = Path(base) / "events.csv"
    for header, cell, told in (
        ("rights", "aggregate", "allowed one of aggregates"),
        ("right", "aggregates", "rename 'right'"),
    ):
        lines = path.read_text(encoding="utf-8").splitlines()
        changed_to = [f"{lines[0]},{header}", f"{lines[1]},{cell}"]
        (tmp_path / header).mkdir()
        shutil.copy(Path(base) / "windows.csv", tmp_path / header)
        (tmp_path / header / "events.csv").write_text("\n".join(changed_to) + "\n", encoding="utf-8")
        with pytest.raises(BadInput, match=told):
            load_tables(tmp_path / header)


def test_ged_is_added_month_by_month(tmp_path):
    base = known(tmp_path / "base", {})
    for month in ("03", "04"):
        file = save(tmp_path / f"{month}.csv", [FIGHT | {"date_start": f"2021-{month}-01"}] * 2)
        record = add("ucdp", [file], tmp_path / month, base)
        assert (record["rows_read"], record["rows_used"], record["set_aside"]) == (2, 1, {"the same id again": 1})
        base = tmp_path / month
    ged = load_tables(base).ged
    assert [(str(day.date()), count) for day, count in zip(ged["date"], ged["count"], strict=True)] == [
        ("2021-03-01", 1), ("2021-04-01", 1)]  # fmt: skip
