"""Reading a data folder: what the project carries, and folders with something wrong in them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_rows import ROWS

from analysis_lib.errors import BadInput
from analysis_lib.paths import DATA, REGION
from analysis_lib.sources.bundled import check, load_events, load_tables

EVENT, WINDOW = ROWS["events"], ROWS["windows"]


def as_csv(rows, end="\n"):
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def folder_of(tmp_path, **tables):
    """A data folder with a valid events.csv and windows.csv, and these tables (rows, text or bytes) besides."""
    for name, content in ({"events": [EVENT], "windows": [WINDOW]} | tables).items():
        text = as_csv(content) if isinstance(content, list) else content
        raw = text.encode() if isinstance(text, str) else text
        (tmp_path / f"{name}.csv").write_bytes(raw)
    return tmp_path


def errors_of(folder):
    errors, _ = check(folder)
    with pytest.raises(BadInput) as caught:
        load_tables(folder)
    assert list(caught.value.lines) == errors
    assert caught.value.exit_code == 2
    return errors


# ---- the tables that the project carries


def test_the_bundled_tables_have_no_errors(tables):
    errors, warnings = check()
    assert errors == []
    assert warnings == [
        "data/events.csv:769:sources: got 'uncited', allowed http or https addresses joined by ' | ', "
        "do name the pages it was read on"
    ]
    assert list(tables.warnings) == warnings


def test_no_row_of_the_bundled_tables_is_dropped(tables):
    for name in ("events", "windows", "counts", "daily_counts", "coverage", "second_coding"):
        with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert len(getattr(tables, name)) == sum(1 for _ in csv.DictReader(file))
    assert len(tables.events) == len(load_events()) == 973


def test_the_hashes_are_those_of_the_files(tables):
    assert tables.sha256["events.csv"] == hashlib.sha256((DATA / "events.csv").read_bytes()).hexdigest()
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(tables.sha256.items()))
    assert tables.data_sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert len(tables.sha256) == 6


def test_the_last_day_is_the_end_of_coverage(tables):
    assert tables.last_day == date(2025, 5, 31)


def test_sources_yml_matches_the_files(tables):
    records = yaml.safe_load((DATA / "sources.yml").read_text(encoding="utf-8"))["sources"]
    by_file = {record["file"]: record for record in records}
    assert set(by_file) == {*tables.sha256, "region.geojson"}
    keys = {"file", "title", "compiled_by", "from", "to", "licence", "rows", "sha256", "url"}
    for name, record in by_file.items():
        assert set(record) == keys
        assert record["sha256"] == hashlib.sha256((DATA / name).read_bytes()).hexdigest()
    for name in tables.sha256:
        assert by_file[name]["rows"] == len(getattr(tables, name.removesuffix(".csv")))
    assert by_file["events.csv"]["from"] == tables.events["date"].min().date()
    assert by_file["events.csv"]["to"] == tables.events["date"].max().date()


def test_the_codebook_names_every_column_and_the_number_of_rows(tables):
    text = (DATA / "CODEBOOK.md").read_text(encoding="utf-8")
    for name in tables.sha256:
        table = getattr(tables, name.removesuffix(".csv"))
        assert f"| {name} | {len(table)} |" in text
        assert [column for column in table if column not in text] == []


def test_the_codebook_names_every_word_of_the_vocabularies():
    from analysis_lib.events import ACTORS, TABLES, TARGET_CLASSES, WEAPONS

    text = (DATA / "CODEBOOK.md").read_text(encoding="utf-8")
    closed = {word for table in TABLES.values() for column in table.columns.values() for word in column.words}
    assert sorted(word for word in closed | {*ACTORS, *TARGET_CLASSES, *WEAPONS} if f"`{word}`" not in text) == []


def test_the_region_is_a_small_map_with_bahrain():
    raw = REGION.read_bytes()
    features = json.loads(raw)["features"]
    names = {feature["properties"]["name"] for feature in features}
    assert {"Bahrain", "Iraq", "Syria", "Israel", "Palestine", "Yemen", "Jordan"} <= names
    assert len(features) == 37
    assert len(raw) < 400_000
    assert {key for feature in features for key in feature["properties"]} == {"name", "iso_n3"}
    points = [p for f in features for polygon in f["geometry"]["coordinates"] for ring in polygon for p in ring]
    assert all(25 <= lon <= 65 and 10 <= lat <= 43 for lon, lat in points)


# ---- as of a day -----------------------------------------------------------------------------------------------------


def test_the_drone_at_harir_is_not_known_before_it_was_revealed(tables):
    def knows_harir(day):
        return "IQ-20210511-03" in set(tables.as_of(day).events["event_id"])

    assert not knows_harir(date(2021, 6, 3))
    assert knows_harir(date(2021, 6, 4))


def test_as_of_cuts_every_table_and_leaves_the_original_alone(tmp_path):
    later = EVENT | {"event_id": "E2", "date": "2021-05-01", "first_reported": "2021-07-01"}
    twice = EVENT | {"event_id": "E3", "first_reported": "", "possible_duplicate_of": "E2"}
    folder = folder_of(
        tmp_path,
        events=[EVENT, later, twice],
        windows=[WINDOW, WINDOW | {"window_id": "next", "start": "2021-05-16"}],
        coverage=[ROWS["coverage"], ROWS["coverage"] | {"start": "2022-01-01", "end": "2022-02-01"}],
        counts=[ROWS["counts"] | {"as_of": "2021-05-15"}, ROWS["counts"] | {"as_of": "2021-05-16"}],
        daily_counts=[ROWS["daily_counts"], ROWS["daily_counts"] | {"date": "2021-05-16"}],
        second_coding=[ROWS["second_coding"], ROWS["second_coding"] | {"incident_id": "R2", "date": "2021-06"}],
    )
    everything = load_tables(folder)
    cut = everything.as_of(date(2021, 5, 15))
    assert cut.events["event_id"].tolist() == ["IQ-20210414-01", "E3"]
    assert cut.events["possible_duplicate_of"].tolist() == ["", ""]  # E2 is not yet known
    assert cut.windows[["window_id", "end"]].to_numpy().tolist() == [["first", pd.Timestamp(2021, 5, 15)]]
    assert cut.coverage["end"].tolist() == [pd.Timestamp(2021, 5, 15)]
    assert [len(t) for t in (cut.counts, cut.daily_counts, cut.second_coding)] == [1, 1, 1]
    assert cut.last_day == date(2021, 5, 15)
    assert cut.data_sha256 == everything.data_sha256
    assert everything.events["possible_duplicate_of"].tolist() == ["", "", "E2"]
    assert everything.coverage["end"].max() == pd.Timestamp(2022, 2, 1)
    assert everything.as_of(None) is everything


def test_an_open_window_stays_open_and_a_day_before_all_data_gives_empty_tables(tmp_path):
    tables = load_tables(folder_of(tmp_path, windows=[WINDOW | {"end": ""}]))
    assert tables.as_of(date(2021, 5, 15)).windows["end"].isna().all()
    assert tables.last_day == date(2021, 4, 14)  # no coverage: the last event
    early = tables.as_of(date(2010, 1, 1))
    assert (len(early.events), len(early.windows), early.coverage, early.last_day) == (0, 0, None, None)


# ---- folders with something wrong


def test_optional_tables_may_be_absent(tmp_path):
    tables = load_tables(folder_of(tmp_path))
    assert (tables.counts, tables.daily_counts, tables.coverage, tables.second_coding) == (None,) * 4
    assert set(tables.sha256) == {"events.csv", "windows.csv"}


def test_events_and_windows_must_be_there(tmp_path):
    tail = "got no such file or directory, allowed a file that can be read, do put one there"
    assert errors_of(tmp_path / "nowhere") == [f"events.csv:1:file: {tail}", f"windows.csv:1:file: {tail}"]


def test_a_folder_in_place_of_a_file(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "counts.csv").mkdir()
    assert errors_of(folder)[0].startswith("counts.csv:1:file: got is a directory, allowed a file")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(tmp_path, end, mark):
    raw = mark + as_csv([EVENT | {"notes": "nötig"}], end).encode()
    tables = load_tables(folder_of(tmp_path, events=raw))
    assert tables.events[["event_id", "notes"]].to_numpy().tolist() == [["IQ-20210414-01", "nötig"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=repr)
def test_the_line_of_a_record_after_quoted_line_breaks_and_blank_lines(tmp_path, end):
    rows = [EVENT | {"notes": "two\nlines"}, EVENT | {"event_id": "E2", "theatre": "moon", "notes": "x\ny\nz"}]
    header, first, second = as_csv([rows[0]]), "\n\n", as_csv([rows[1]]).partition("\n")[2]
    third = as_csv([EVENT | {"event_id": "E3", "bloc": "moon"}]).partition("\n")[2]
    text = (header + first + second + third).replace("\n", end)
    where = [error.partition(": ")[0] for error in errors_of(folder_of(tmp_path, events=text))]
    assert where == ["events.csv:6:theatre", "events.csv:9:bloc"]


BAD_FILES = [
    ("windows", b"", "windows.csv:1:file: got an empty file, allowed a line of column names and rows, do fill it in"),
    ("counts", b"\n\n", "counts.csv:1:file: got an empty file, allowed a line of column names and rows, do"),
    ("events", as_csv([EVENT]).partition("\n")[0], "events.csv:1:file: got no rows, allowed at least one, do add"),
    ("events", as_csv([EVENT]).encode("utf-16"), "events.csv:1:file: got byte 0xff, allowed UTF-8 text, do save it"),
    (
        "events",
        as_csv([EVENT | {"notes": "é"}]).encode("latin-1"),
        "events.csv:2:file: got byte 0xe9, allowed UTF-8 text",
    ),
    ("events", as_csv([EVENT | {"notes": "a\0b"}]), "events.csv:2:file: got byte 0x00, allowed UTF-8 text, do save"),
    (
        "events",
        as_csv([EVENT]) + '"open,\nstill open\n',
        "events.csv:3:row: got unexpected end of data, allowed fields in closed quotes, do mend the quotes",
    ),
    ("events", as_csv([EVENT]) + '"a"b,c\n', "events.csv:3:row: got ',' expected after '\"', allowed fields in closed"),
    (
        "events",
        as_csv([EVENT]) + "E2,2021-05-01\n",
        "events.csv:3:row: got 2 fields, allowed 29 as in the header, do mend commas and quotes",
    ),
    ("events", as_csv([EVENT]).rstrip() + ",extra\n", "events.csv:2:row: got 30 fields, allowed 29 as in the header"),
    (
        "windows",
        as_csv([WINDOW]).replace("label", "kind", 1),
        "windows.csv:1:kind: got this column twice, allowed each column once, do remove or rename one",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_a_file_that_is_no_table(tmp_path, name, content, message):
    errors = errors_of(folder_of(tmp_path, **{name: content}))
    assert any(error.startswith(message) for error in errors), errors
    assert {error.split(":")[0] for error in errors} == {f"{name}.csv"}


def test_a_row_of_the_wrong_length_gives_one_error_and_others_may_point_at_it(tmp_path):
    pointing = EVENT | {"event_id": "E2", "possible_duplicate_of": EVENT["event_id"]}
    lines = as_csv([EVENT, pointing]).splitlines()
    lines[1] = lines[1].replace("2021-04-14,", "", 1)  # every later cell is one to the left
    errors = errors_of(folder_of(tmp_path, events="\n".join(lines)))
    assert [error.partition(", allowed")[0] for error in errors] == ["events.csv:2:row: got 28 fields"]


def test_all_errors_of_all_files_come_at_once(tmp_path):
    folder = folder_of(
        tmp_path,
        events=[EVENT | {"theatre": "moon"}, EVENT | {"event_id": "E2", "damage": "heavy"}],
        windows=b"\xff",
        counts=[ROWS["counts"] | {"kind": "total"}],
    )
    (folder / "sources.yml").write_text("sources: [", encoding="utf-8")
    where = [error.partition(": ")[0] for error in errors_of(folder)]
    assert where == [
        "events.csv:2:theatre",
        "events.csv:3:damage",
        "windows.csv:1:file",
        "counts.csv:2:kind",
        "sources.yml:1:sources",
    ]


def test_a_quoted_cell_keeps_its_line_breaks(tmp_path):
    tables = load_tables(folder_of(tmp_path, events=[EVENT | {"notes": "one\r\ntwo\rthree\n"}]))
    assert tables.events["notes"].tolist() == ["one\r\ntwo\rthree\n"]


def test_a_very_long_cell_is_read(tmp_path):
    tables = load_tables(folder_of(tmp_path, events=[EVENT | {"notes": "x" * 300_000}]))
    assert len(tables.events["notes"][0]) == 300_000


def test_control_characters_in_names_and_cells_are_shown_not_obeyed(tmp_path):
    row = {"\x1b[31m" if name == "notes" else name: cell for name, cell in EVENT.items()}
    _, warnings = check(folder_of(tmp_path, events=[row]))
    assert "\\x1b[31m" in "".join(warnings)
    assert all(warning.isprintable() for warning in warnings)


# ---- sources.yml


def record(folder, **changes):
    rows = {"file": "events.csv", "rows": 1} | changes
    rows.setdefault("sha256", hashlib.sha256((folder / "events.csv").read_bytes()).hexdigest())
    (folder / "sources.yml").write_text(yaml.safe_dump({"sources": [rows]}), encoding="utf-8")
    return check(folder)


def test_a_table_that_differs_from_its_record_is_only_a_warning(tmp_path):
    folder = folder_of(tmp_path)
    assert record(folder) == ([], [])
    assert record(folder, rows=2) == (
        [],
        ["sources.yml:1:rows: got '2', allowed 1 as events.csv has it, do nothing if rows were changed"],
    )
    _, warnings = record(folder, sha256="0" * 64)
    assert warnings[0].startswith(f"sources.yml:1:sha256: got '{'0' * 64}', allowed ")
    assert record(folder, file="elsewhere.csv", rows=7) == ([], [])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("a: 1", 1),
        ("sources:\n- {file: a}", 1),
        ("sources:\n- events.csv", 1),
        ("sources:\n  - file: a\n file: b", 3),
        ("\t", 1),
        ("[" * 5000, 1),
        ("sources: [{file: a, rows: 1, sha256: x}", 1),
    ],
    ids=range(8),
)
def test_a_malformed_sources_yml_is_an_error_line(tmp_path, text, line):
    folder = folder_of(tmp_path)
    (folder / "sources.yml").write_text(text, encoding="utf-8")
    [error] = errors_of(folder)
    assert error.startswith(f"sources.yml:{line}:sources: got ")
    assert "allowed a list under the key sources, each entry with file, rows and sha256, do mend it" in error


# ---- whatever the bytes are: tables with all rows, or an error with its exit code

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
CELLS = (
    ["", " ", "\0", '"', "\n", "\r", ",", ";", "|", "nan", "NaT", "None", "inf", "-1", "1e400", "9" * 400, "٣", "²"],
    ["2021-02-29", "2021-W01-1", "0000-00-00", "2021-05-10T00:00", "http://", "IQ-20210414-01", "=1+1", "\u2028"],
)
HOSTILE = st.one_of(map(st.sampled_from, CELLS)) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def loads_whole_or_is_refused(folder: Path):
    try:
        tables = load_tables(folder)
    except BadInput:
        return
    for name in ("events", "windows", "coverage"):
        text = (folder / f"{name}.csv").read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        assert len(getattr(tables, name)) == len(rows) - 1


@QUICK
@given(st.sampled_from(["events", "windows", "coverage"]), st.data())
def test_any_cell_may_hold_anything(tmp_path, name, data):
    rows = [dict(ROWS[name]), dict(ROWS[name])]
    for _ in range(data.draw(st.integers(1, 3))):
        row, column = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(list(ROWS[name])))
        row[column] = data.draw(HOSTILE)
    loads_whole_or_is_refused(folder_of(tmp_path, **({"coverage": [ROWS["coverage"]]} | {name: rows})))


@QUICK
@given(st.sampled_from(["events.csv", "windows.csv", "coverage.csv", "sources.yml"]), st.data())
def test_any_bytes_may_be_lost_or_put_in(tmp_path, file, data):
    folder = folder_of(tmp_path, coverage=[ROWS["coverage"]])
    record(folder)
    raw = (folder / file).read_bytes()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(start + 40, len(raw))))
    marks = st.sampled_from([b"\0", b'"', b"\n", b",", b"\xff", b"\xef\xbb\xbf", b"[", b": ", b"&a *a", b"!!int"])
    (folder / file).write_bytes(raw[:start] + data.draw(marks | st.binary(max_size=6)) + raw[end:])
    loads_whole_or_is_refused(folder)
