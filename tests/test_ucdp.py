"""UCDP GED as a daily series: every row is used or set aside for a stated reason."""

import csv

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from worlds import YEAR, event_rows, steady_days, write

from analysis_lib import load_tables
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.sources.ucdp import COLUMNS, load_ged

NAMES = [*COLUMNS, "source_headline"]
ROW = {"id": "1", "side_a": "Government of Iraq", "side_b": "IS", "country": "Iraq", "date_prec": "1",
       "date_start": "2021-03-01", "source_headline": "a, quoted \n line break"}  # fmt: skip


def ged_file(folder, *changes, names=NAMES):
    """A GED file with one row for each mapping of changed cells, numbered from 1."""
    path = folder / "ged.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(ROW | {"id": str(number)} | change for number, change in enumerate(changes, 1))
    return path


def test_each_row_is_used_or_set_aside_once(tmp_path):
    path = ged_file(
        tmp_path,
        {},
        {"side_a": "IS", "side_b": "Civilians", "date_start": "2021-02-03 00:00:00.000"},  # as version 23.1 writes it
        {"id": "1"},
        {"country": "Syria"},
        {"side_b": "PKK"},
        {"side_b": "Islamic Front"},  # a name that only resembles it
        {"date_prec": "2"},
        {"date_start": "some day"},
        {"country": "Turkey", "date_prec": "4"},  # the first reason that applies
    )
    ged = load_ged(path, ("iraq",), "islamic_state")
    assert ged.dates.astype(str).tolist() == ["2021-02-03", "2021-03-01"]
    assert ged.set_aside == {"the same id again": 1, "another country": 2, "another side": 2, "the day is not known": 2}
    assert ged.rows == len(ged.dates) + sum(ged.set_aside.values()) == 9
    assert len(load_ged(path, ("iraq", "syria"), "islamic_state").dates) == 3


def test_the_tag_row_of_the_hdx_edition_is_no_row(tmp_path):
    plain = load_ged(ged_file(tmp_path, {}), ("iraq",), "islamic_state")
    tags = {name: f"#{name}" for name in NAMES}
    tagged = load_ged(ged_file(tmp_path, tags, {}), ("iraq",), "islamic_state")
    assert (tagged.rows, tagged.set_aside) == (plain.rows, plain.set_aside)
    assert tagged.dates.tolist() == plain.dates.tolist()


def test_the_span_is_that_of_the_country_whatever_the_side(tmp_path):
    path = ged_file(tmp_path, {}, {"side_b": "PKK", "date_start": "2021-01-05"}, {"country": "Syria"})
    assert str(load_ged(path, ("iraq",), "islamic_state").span) == "2021-01-05…2021-03-01"


@pytest.mark.parametrize(
    ("text", "theatres", "bloc", "words"),
    [
        ("id,side_a\n1,IS\n", ("iraq",), "islamic_state", "allowed: GED's CSV with id, side_a, side_b, country"),
        ("", ("iraq",), "islamic_state", "No columns to parse"),
        ("\xff", ("iraq",), "islamic_state", "allowed: GED's CSV"),
        (",".join(NAMES) + "\n", ("iraq",), "islamic_state", "no row of IS in"),
        (",".join(NAMES) + "\n", ("jordan",), "islamic_state", "allowed: ['islamic_state'] in ['iraq', 'syria']"),
        (",".join(NAMES) + "\n", ("iraq",), "turkey", "mend `against`"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, text, theatres, bloc, words):
    path = tmp_path / "ged.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(BadInput) as error:
        load_ged(path, theatres, bloc)
    assert words in str(error.value)


def test_a_missing_file_names_the_download_and_the_command(tmp_path):
    with pytest.raises(InputMissing) as error:
        load_ged(tmp_path / "ged.csv", ("iraq",), "islamic_state")
    for words in ("https://ucdp.uu.se/downloads/", "cp GEDEvent.csv DIR/ged.csv", "claims reproduce isis-distraction"):
        assert words in str(error.value)


def test_the_data_hash_covers_the_added_file(tmp_path):
    write(tmp_path, event_rows(steady_days(YEAR, every=7)))
    without = load_tables(tmp_path)
    ged_file(tmp_path, {})
    added = load_tables(tmp_path)
    ged_file(tmp_path, {}, {})
    assert len({t.data_sha256 for t in (without, added, load_tables(tmp_path))}) == 3
    assert added.folder == tmp_path
    assert added.warnings == without.warnings


@needs_shared
@pytest.mark.parametrize(
    ("name", "rows", "used"),
    [("ged_iraq_2018", 254, 157), ("ged_syria_2018_2019", 4809, 1315), ("ged231_sample_region", 317, 65)],
)
def test_real_extracts_are_accounted_for(name, rows, used):
    """`used` counted with the csv module: either side IS, Iraq or Syria, date_prec 1, each id once."""
    path = SHARED / "data" / "ucdp_ged" / f"{name}.csv"
    ged = load_ged(path, ("iraq", "syria"), "islamic_state")
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    counted = {
        row["id"]: row["date_start"][:10]
        for row in table
        if row["country"] in ("Iraq", "Syria") and row["date_prec"] == "1" and "IS" in (row["side_a"], row["side_b"])
    }
    assert (ged.rows, len(ged.dates)) == (rows, used) == (len(table), len(counted))
    assert ged.dates.astype(str).tolist() == sorted(counted.values())
    assert ged.rows == used + sum(ged.set_aside.values())
    assert (np.diff(ged.dates.astype(int)) >= 0).all()
