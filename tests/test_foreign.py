"""Downloads as their definitions read them: what becomes of a row, and the account of all of them."""

import csv
from collections import Counter

import duckdb
import pytest
from conftest import SHARED, needs_shared
from downloads import ACLED, BOMB, FIGHT, GTD, ROCKETS, SHELLING, STRIKE, changed, page, save

from analysis_lib.errors import BadInput
from analysis_lib.events import TABLES, check_table
from analysis_lib.sources.definitions import load_source, names
from analysis_lib.sources.foreign import read

GED = load_source("ucdp").layout


def rows_of(source, *files):
    """Rows of the reading by their place, and its account, which is complete."""
    reading = read(load_source(source), files)
    rows = reading.table.to_dict("records")
    used = sum(int(row["count"]) for row in rows) if source in ("ucdp", "gdelt") else len(rows)
    assert reading.rows == used + sum(reading.set_aside.values())
    table = load_source(source).table
    assert check_table(table, reading.table, range(2, len(rows) + 2), "read")[1] == []
    return rows, reading.set_aside


def acled(folder, *changes, **options):
    return save(folder / "acled.csv", changed(ROCKETS, "event_id_cnty", *changes), ACLED, **options)


def one(folder, **cells):
    """The only event of an ACLED file with one row."""
    [row], aside = rows_of("acled", acled(folder, cells))
    assert aside == {}
    return row


# ---- ACLED -----------------------------------------------------------------------------------------------------------


def test_a_row_of_acled_becomes_an_event(tmp_path):
    assert one(tmp_path) == {
        "event_id": "ACLED-IRQ10", "date": "2021-05-08", "date_precision": "day", "theatre": "iraq", "country": "IQ",
        "location": "Al Baghdadi", "lat": "33.7855", "lon": "42.4412", "weapons": "rocket", "actor": "unknown",
        "bloc": "unknown", "attribution": "none", "target": "Military Forces of the United States (2021-2025)",
        "target_class": "us_military", "us_target": "yes", "intercepted": "unknown", "killed": "", "damage": "unknown",
        "confidence": "high", "sources": "https://acleddata.com/", "rights": "aggregates",
        "notes": 'Wire: On 8 May 2021, rockets, "two" of them,\nfell beside a base.',
    }  # fmt: skip


def upper(row):
    return {name.upper(): cell for name, cell in row.items()}


@pytest.mark.parametrize("form", ["plain", "upper", "semicolon", "packed", "bom", "json", "parquet", "old dates"])
def test_every_form_of_a_download_reads_alike(tmp_path, form):
    rows = changed(ROCKETS, "event_id_cnty", {}, {"fatalities": "3"}, {"country": "France"})
    expected, aside = rows_of("acled", save(tmp_path / "plain.csv", rows, ACLED))
    coded = [row | {"inter1": 3, "inter2": "8", "fatalities": int(row["fatalities"])} for row in rows]
    if form == "plain":
        file = tmp_path / "plain.csv"
    elif form == "upper":
        file = save(tmp_path / "upper.csv", [upper(row) for row in rows])
    elif form == "semicolon":
        file = save(tmp_path / "semicolon.csv", rows, ACLED, delimiter=";")
    elif form == "packed":
        file = save(tmp_path / "packed.csv.gz", rows, ACLED)
    elif form == "bom":
        file = save(tmp_path / "bom.csv", rows, ACLED, encoding="utf-8-sig")
    elif form == "json":
        file = page(tmp_path / "page.json", "data", coded)
    elif form == "parquet":
        file = tmp_path / "table.parquet"
        duckdb.sql(f"COPY (FROM read_csv('{tmp_path / 'plain.csv'}')) TO '{file}'")
    else:
        file = save(tmp_path / "old.csv", [row | {"event_date": "08 May 2021"} for row in rows], ACLED)
    assert rows_of("acled", file) == (expected, aside)
    assert aside == {"another place": 1}
    assert [row["killed"] for row in expected] == ["", "3"]


def test_pages_of_an_api_are_read_together_the_empty_last_one_too(tmp_path):
    rows = changed(ROCKETS, "event_id_cnty", {}, {}, {})
    pages = [page(tmp_path / f"{i}.json", "data", part) for i, part in enumerate((rows[:2], rows[2:], []))]
    assert [row["event_id"] for row in rows_of("acled", *pages)[0]] == ["ACLED-IRQ10", "ACLED-IRQ11", "ACLED-IRQ12"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"time_precision": "3"}, {"date_precision": "month", "confidence": "low"}),
        ({"time_precision": "2", "geo_precision": "2"}, {"date_precision": "week", "confidence": "medium"}),
        ({"notes": "A UAV and two Katyusha rockets hit a base"}, {"weapons": "drone;rocket"}),
        ({"notes": "three ballistic missiles"}, {"weapons": "ballistic_missile"}),
        ({"notes": "missiles of which some were cruise missiles"}, {"weapons": "cruise_missile"}),
        ({"notes": "a missile"}, {"weapons": "missile"}),
        ({"notes": "shells fell"}, {"weapons": "unknown"}),
        ({"notes": "An attack from the air", "sub_event_type": STRIKE}, {"weapons": "drone"}),
        ({"notes": "by mortars", "sub_event_type": STRIKE}, {"weapons": "mortar"}),
        ({"notes": "", "sub_event_type": "Suicide bomb"}, {"weapons": "ied"}),
        ({"notes": "A drone", "actor1": "Kata'ib Hezbollah"},
         {"actor": "kataib_hezbollah", "bloc": "iran_aligned", "attribution": "attributed"}),
        ({"actor1": "Islamic Resistance in Iraq", "notes": "The group claimed responsibility for a drone"},
         {"actor": "islamic_resistance_iraq", "attribution": "claimed"}),
        ({"actor2": "Civilians (Iraq)", "inter2": "Civilians"}, {"target_class": "civilian", "us_target": "unknown"}),
        ({"actor2": "Civilians (Iraq)", "inter2": "7"}, {"target_class": "civilian", "us_target": "unknown"}),
        ({"actor2": "", "notes": "rockets at Ain al-Asad base"}, {"target_class": "us_military", "us_target": "yes"}),
        ({"actor2": "", "notes": "an IED at a logistics convoy"},
         {"target_class": "logistics_convoy", "weapons": "ied", "us_target": "unknown"}),
        ({"actor2": "", "notes": "they told us forces were near"}, {"us_target": "unknown"}),
        ({"sub_event_type": "Disrupted weapons use", "event_type": "Strategic developments",
          "notes": "A drone was shot down", "actor1": "Global Coalition Against Daesh",
          "actor2": "Unidentified Shiite Muslim Militia (Iraq)"},
         {"intercepted": "all", "weapons": "drone", "bloc": "iran_aligned", "actor": "unidentified_militia"}),
        ({"country": "Red Sea", "actor1": "Houthi Movement", "notes": "a drone at a tanker", "actor2": ""},
         {"theatre": "red_sea", "country": "YE", "target_class": "shipping", "us_target": "no", "actor": "houthi"}),
        ({"country": "Yemen", "location": "Red Sea - South", "actor1": "Houthi Movement", "actor2": ""},
         {"theatre": "red_sea", "country": "YE"}),
        ({"country": "Arabian Sea", "actor1": "Houthi Movement"}, {"theatre": "red_sea", "country": "OM"}),
        ({"country": "Arabian Sea"}, {"theatre": "gulf_shipping", "country": "OM"}),
        ({"country": "Saudi Arabia", "actor2": "",
          "actor1": "Military Forces of Yemen (2016-) Supreme Political Council"},
         {"theatre": "yemen_gulf", "country": "SA", "target_class": "saudi", "us_target": "no", "actor": "houthi"}),
        ({"country": "Israel", "actor1": "Hamas Movement", "actor2": ""}, {"theatre": "israel_gaza", "actor": "hamas"}),
        ({"country": "Israel", "actor1": "Hezbollah", "actor2": ""},
         {"theatre": "israel_lebanon", "actor": "hezbollah"}),
        ({"country": "Israel", "actor1": "Islamic Resistance in Iraq", "actor2": ""},
         {"theatre": "israel_long_range"}),
        ({"location": "Baghdad - Karkh", "notes": "rockets in the Green Zone"}, {"location": "Baghdad Green Zone"}),
        ({"country": "Gulf of Oman", "location": ""}, {"location": "Gulf of Oman", "theatre": "gulf_shipping"}),
    ],
)  # fmt: skip
def test_what_acled_says_in_words_is_coded(tmp_path, cells, expected):
    row = one(tmp_path, **cells)
    assert {name: row[name] for name in expected} == expected


def test_rows_of_acled_are_set_aside_for_the_first_reason_that_applies(tmp_path):
    file = acled(
        tmp_path, {}, {"sub_event_type": "Peaceful protest", "country": "France"}, {"country": "Turkey"},
        {"country": "Yemen", "actor1": "Houthi Movement"}, {"actor1": "Islamic State (Iraq)"},
        {"country": "Israel"}, {"sub_event_type": "Disrupted weapons use", "notes": "a store of rockets was found"},
        {"event_date": "8.5.2021"}, {"event_date": "1999-05-08"}, {"latitude": "91"}, {"event_id_cnty": "IRQ10"},
    )  # fmt: skip
    rows, aside = rows_of("acled", file)
    assert [row["event_id"] for row in rows] == ["ACLED-IRQ10"]
    reasons = {reason.split(",")[0]: count for reason, count in aside.items()}
    assert reasons == {
        "no explosion or remote violence": 1, "another place": 1, "inside Yemen or Lebanon": 1,
        "by a side that is neither Iran-aligned nor unidentified": 1, "in Israel or Palestine": 1,
        "a weapon that was found or given up and hit nothing": 1, "lat: not degrees from -90 to 90": 1,
        "date: not a real date YYYY-MM-DD from 2000 to 2099": 2, "the same id again": 1,
    }  # fmt: skip


def test_of_two_versions_of_an_event_the_one_edited_last_stands(tmp_path):
    old = acled(tmp_path, {"fatalities": "1", "timestamp": "1620000009"}, {"fatalities": "7"})
    new = save(tmp_path / "new.csv", changed(ROCKETS, "event_id_cnty", {"fatalities": "2", "timestamp": "1700000000"}))
    for files in ((old, new), (new, old)):
        rows, aside = rows_of("acled", *files)
        assert [row["killed"] for row in rows] == ["2", "7"]
        assert aside == {"the same id again": 1}


def test_a_line_that_is_no_record_is_counted_not_lost(tmp_path):
    file = acled(tmp_path, {}, {})
    with file.open("ab") as out:
        out.write(b"one,two\r\n" + b"\xff" * 4 + b"," * (len(ACLED) - 1) + b"\r\n" + b"x," * 99 + b"\r\n")
    rows, aside = rows_of("acled", file)
    assert (len(rows), aside["a line that is no record"]) == (2, 3)


# ---- UCDP ------------------------------------------------------------------------------------------------------------


def ged(folder, *changes, name="ged.csv", **options):
    return save(folder / name, changed(FIGHT, "id", *changes), **{"names": GED} | options)


def series(rows):
    return {(row["date"], row["theatre"], row["bloc"]): row["count"] for row in rows}


def test_events_of_ged_become_counts_by_day_country_and_side(tmp_path):
    rows, aside = rows_of("ucdp", ged(
        tmp_path, {}, {}, {"side_a": "IS", "side_b": "Civilians", "date_start": "2021-02-03 00:00:00.000"},
        {"side_b": "PKK"}, {"side_b": "Islamic Front"}, {"country": "Syria"}, {"country": "Turkey", "date_prec": "4"},
        {"date_prec": "2"}, {"date_start": "some day"}, {"id": "10"},
    ))  # fmt: skip
    assert series(rows) == {
        ("2021-02-03", "iraq", "islamic_state"): "1", ("2021-03-01", "iraq", "islamic_state"): "2",
        ("2021-03-01", "iraq", "other"): "2", ("2021-03-01", "syria", "islamic_state"): "1",
    }  # fmt: skip
    assert aside == {"another country": 1, "the day is not known": 1, "the same id again": 1,
                     "date: not a real date YYYY-MM-DD from 2000 to 2099": 1}  # fmt: skip


def test_a_month_without_header_and_a_copy_with_a_row_of_tags_read_alike(tmp_path):
    whole = rows_of("ucdp", ged(tmp_path, {}, {"country": "Syria"}))
    assert rows_of("ucdp", ged(tmp_path, {}, {"country": "Syria"}, header=False)) == whole
    tags = {name: f"#{name}" for name in GED}
    rows, aside = rows_of("ucdp", ged(tmp_path, tags, {"id": "10"}, {"id": "11", "country": "Syria"}))
    assert (rows, aside) == (whole[0], {"the row of tags of the HDX edition": 1})
    upper_case = save(tmp_path / "upper.csv", [upper(row) for row in changed(FIGHT, "id", {}, {"country": "Syria"})])
    assert rows_of("ucdp", upper_case) == whole
    typed = [row | {"id": int(row["id"]), "date_prec": 1, "date_start": "2021-03-01T00:00:00", "gwnob": None}
             for row in changed(FIGHT, "id", {}, {"country": "Syria"})]  # fmt: skip
    assert rows_of("ucdp", page(tmp_path / "page.json", "Result", typed)) == whole


@needs_shared
@pytest.mark.parametrize("name", ["ged_iraq_2018", "ged_syria_2018_2019", "ged231_sample_region"])
def test_real_extracts_are_accounted_for(name):
    """Counted with the csv module: each id once, Iraq and Syria, the day known, from 2000 on."""
    path = SHARED / "data" / "ucdp_ged" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        known = {row["id"]: row for row in csv.DictReader(file)}
    theatres = {"Iraq": "iraq", "Syria": "syria"}
    counted = [row for row in known.values()
               if row["country"] in theatres and row["date_prec"] == "1" and row["date_start"] >= "2000"]  # fmt: skip
    sides = ["islamic_state" if "IS" in (row["side_a"], row["side_b"]) else "other" for row in counted]
    keys = [(row["date_start"][:10], theatres[row["country"]]) for row in counted]
    expected = Counter((*key, side) for key, side in zip(keys, sides, strict=True))
    rows, _ = rows_of("ucdp", path)
    found = {key: int(count) for key, count in series(rows).items() if key[1] in ("iraq", "syria")}
    assert found == expected


# ---- GTD, GDELT, alerts, spreadsheets --------------------------------------------------------------------------------


def gtd(folder, *changes):
    return save(folder / "gtd.csv", changed(BOMB, "eventid", *changes), GTD, encoding="latin-1")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, {"event_id": "GTD-2019030700010", "date": "2019-03-07", "date_precision": "day", "weapons": "ied",
              "killed": "1", "wounded": "", "us_killed": "0", "us_wounded": "", "damage": "unknown", "bloc": "unknown",
              "notes": "An explosive device went off at a café.", "rights": "aggregates", "us_target": "unknown"}),
        ({"iday": "0"}, {"date": "2019-03-15", "date_precision": "month", "confidence": "medium"}),
        ({"approxdate": "March 5-9, 2019"}, {"date_precision": "week"}),
        ({"nkill": "-99", "nwound": "12.0"}, {"killed": "", "wounded": "12"}),
        ({"propextent_txt": "Minor (likely < $1 million)"}, {"damage": "minor"}),
        ({"property": "0"}, {"damage": "none"}),
        ({"gname": "Houthi extremists (Ansar Allah)", "country_txt": "Saudi Arabia", "summary": "A drone fell."},
         {"theatre": "yemen_gulf", "country": "SA", "weapons": "drone", "actor": "houthi", "bloc": "iran_aligned"}),
        ({"natlty1_txt": "United States", "targtype1_txt": "Government (Diplomatic)", "summary": "Rockets"},
         {"us_target": "yes", "target_class": "us_diplomatic", "weapons": "rocket"}),
        ({"gname": "Kata'ib Hezbollah", "claimed": "1"}, {"actor": "kataib_hezbollah", "attribution": "claimed"}),
        ({"latitude": "", "longitude": ""}, {"lat": "", "lon": ""}),
    ],
)  # fmt: skip
def test_a_row_of_gtd_becomes_an_event(tmp_path, cells, expected):
    [row], aside = rows_of("gtd", gtd(tmp_path, cells))
    assert ({name: row[name] for name in expected}, aside) == (expected, {})


def test_rows_of_gtd_are_set_aside_with_their_reason(tmp_path):
    rows, aside = rows_of("gtd", gtd(
        tmp_path, {"imonth": "0", "iday": "0"}, {"iyear": "1998"}, {"country_txt": "India"}, {"country_txt": "Yemen"},
        {"weaptype1_txt": "Firearms"}, {"gname": "Islamic State of Iraq and the Levant (ISIL)"},
        {"iday": "31", "imonth": "2"},
    ))  # fmt: skip
    assert rows == []
    assert sorted(aside.values()) == [1] * 7


GDELT = {"globaleventid": "1", "sqldate": "20210510", "isrootevent": "1", "eventcode": "1952",
         "actor1countrycode": "", "actiongeo_countrycode": "IZ", "actor1name": 'a "name'}  # fmt: skip


def test_gdelt_without_header_becomes_daily_counts(tmp_path):
    israel = {"actiongeo_countrycode": "IS"}
    changes = ({}, {}, {"actiongeo_countrycode": "US"}, {"eventcode": "051"}, {"isrootevent": "0"},
               {"sqldate": "20210511"}, {"eventcode": "195"}, israel, israel | {"actor1countrycode": "PSE"},
               {"sqldate": "0"})  # fmt: skip
    names, path = load_source("gdelt").layout, tmp_path / "day.export.CSV"
    rows = [GDELT | {"globaleventid": str(number)} | change for number, change in enumerate(changes)]
    path.write_text("".join("\t".join(row.get(name, "") for name in names) + "\n" for row in rows), encoding="utf-8")
    rows, aside = rows_of("gdelt", path)
    assert [(row["date"], row["theatre"], row["weapon"], row["count"]) for row in rows] == [
        ("2021-05-10", "iraq", "airstrike", "1"), ("2021-05-10", "iraq", "drone", "2"),
        ("2021-05-10", "israel_gaza", "drone", "1"), ("2021-05-11", "iraq", "drone", "1"),
    ]  # fmt: skip
    assert sorted(aside.values()) == [1] * 5


@needs_shared
@pytest.mark.parametrize("name", ["daily_by_category_2018_20241012", "daily_waves_by_category_2019_20260307"])
def test_alerts_become_counts_by_day_front_and_weapon(name):
    path = SHARED / "data" / "oref_alerts" / f"{name}.csv"
    weapons = {"rockets_missiles": "rocket", "hostile_aircraft": "drone"}
    bands = {"n_locality_alerts_south": "israel_gaza", "n_locality_alerts_north": "israel_lebanon"}
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    expected = {(row["date"], bands[band], weapons[row["category_en"]]): row[band]
                for row in table if row["category_en"] in weapons for band in bands if row[band] != "0"}  # fmt: skip
    reading = read(load_source("oref"), [path])
    rows = reading.table.to_dict("records")
    assert {(row["date"], row["theatre"], row["weapon"]): row["count"] for row in rows} == expected
    assert reading.rows == 4 * len(table) == len(rows) + sum(reading.set_aside.values())


def test_a_spreadsheet_with_other_names_is_read_by_a_definition_of_ones_own(tmp_path):
    sheet = tmp_path / "my sheet.csv"
    sheet.write_text("Day;Order;Group;Dead\n14.04.2021;Erbil;UAV;0\n15.04.2021;Erbil;fire;-\n;;;\n", encoding="utf-8")
    own = tmp_path / "mine.yml"
    own.write_text(
        """
title: my sheet
publisher: me
url: null
licence: mine
rights: rows
table: events
needs: [day, order, group]
delimiters: [";"]
dates: ["%d.%m.%Y"]
words: {mine: [uav, drone]}
set_aside: [{then: no day, when: {day: ^$}}, {then: no weapon, unless: {group: <mine>|<rocket>}}]
columns:
  event_id: "{day} {order}"
  date: "{day}"
  date_precision: day
  theatre: iraq
  country: IQ
  location: "{order}"
  weapons: [{when: {group: <mine>}, then: drone}, rocket]
  actor: unknown
  bloc: unknown
  attribution: none
  target_class: other
  us_target: "yes"
  intercepted: unknown
  killed: [{when: {dead: '^\\d+$'}, then: "{dead}"}]
  damage: unknown
  confidence: medium
  sources: uncited
""",
        encoding="utf-8",
    )
    [row], aside = rows_of(str(own), sheet)
    assert (row["date"], row["weapons"], row["killed"]) == ("2021-04-14", "drone", "0")
    assert aside == {"no day": 1, "no weapon": 1}


# ---- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"id,country\n1,Iraq\n", "a.csv:1: got no column event_id_cnty, event_date, time_precision"),
        ("a.csv", b"", "a.csv:1: got no column event_id_cnty"),
        ("a.xlsx", b"PK", "a.xlsx: got a .xlsx file; allowed: csv, tsv, txt, json, parquet, also as .gz"),
        ("a.csv.gz", b"no gzip", "a.csv.gz:1: Not a gzipped file"),
        ("a.parquet", b"no parquet", "a.parquet: "),
        ("a.json", b'{"status": 401, "error": "no"}', "a.json:1: got no column event_id_cnty"),
        ("a.json", b"{", "a.json: "),
    ],
)  # fmt: skip
def test_a_file_that_is_not_the_sources_is_told_in_one_line(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as error:
        read(load_source("acled"), [tmp_path / name])
    [line] = error.value.lines
    assert told in line
    assert "\n" not in line
    assert str(tmp_path) not in line


def test_a_file_that_is_not_there_and_names_with_signs_of_patterns(tmp_path):
    with pytest.raises(BadInput, match=r"b\.csv: got no such file"):
        read(load_source("acled"), [tmp_path / "b.csv"])
    file = acled(tmp_path, {}).rename(tmp_path / "it's [1] *.csv")
    acled(tmp_path, {}, {}).rename(tmp_path / "it's 1 more.csv")
    assert len(rows_of("acled", file)[0]) == 1


@pytest.mark.parametrize("source", names())
def test_a_definition_fills_what_its_table_must_have_and_names_its_columns_once(source):
    definition = load_source(source)
    table = TABLES[definition.table]
    needed = {name for name, column in table.columns.items() if not column.blank and name != "count"}
    assert needed <= definition.columns.keys() <= table.columns.keys()
    assert not definition.layout or {*definition.needs} <= {*definition.layout}
    assert set(definition.used) <= {*definition.layout} or not definition.layout


@needs_shared
@pytest.mark.parametrize(
    ("source", "layout"), [("acled", "acled"), ("ucdp", "ucdp_ged"), ("gtd", "gtd"), ("gdelt", "gdelt2_events")]
)
def test_definitions_speak_of_columns_that_the_real_files_have(source, layout):
    with (SHARED / "data" / "layouts" / f"{layout}_columns.csv").open(encoding="utf-8", newline="") as file:
        columns = [row["name"].lower() for row in csv.DictReader(file)]
    assert set(load_source(source).used) <= set(columns)
    if definition := load_source(source).layout:
        assert list(definition) == columns


@needs_shared
def test_the_kinds_of_events_of_acled_are_those_that_it_has():
    with (SHARED / "data" / "layouts" / "acled_event_types.csv").open(encoding="utf-8", newline="") as file:
        kinds = {row["sub_event_type"] for row in csv.DictReader(file)}
    definition = load_source("acled")
    choices = [*definition.set_aside, *(choice for cell in definition.columns.values() for choice in cell)]
    named = {
        kind for choice in choices for part in (*choice.when, *choice.unless) for kind in part.get("sub_event_type", ())
    }
    assert SHELLING in named <= kinds


def test_what_looks_like_code_is_text(tmp_path):
    notes = "'; DROP TABLE events; -- <drone> {date} \"x"
    rows = changed(ROCKETS, "event_id_cnty", {"notes": notes})
    for file in (page(tmp_path / "p.json", "data", rows), save(tmp_path / "p.csv", rows)):
        [row], _ = rows_of("acled", file)
        assert row["notes"] == f"Wire: {notes}"
