"""Made-up downloads in the layouts of the sources: no row is anybody's, the columns are those of the real files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

# as the export and the API name them, in their order
ACLED = [
    "event_id_cnty", "event_date", "year", "time_precision", "disorder_type", "event_type", "sub_event_type", "actor1",
    "assoc_actor_1", "inter1", "actor2", "assoc_actor_2", "inter2", "interaction", "civilian_targeting", "iso",
    "region", "country", "admin1", "admin2", "admin3", "location", "latitude", "longitude", "geo_precision", "source",
    "source_scale", "notes", "fatalities", "tags", "timestamp",
]  # fmt: skip
GTD = [
    "eventid", "iyear", "imonth", "iday", "approxdate", "country", "country_txt", "city", "latitude", "longitude",
    "specificity", "location", "summary", "doubtterr", "success", "attacktype1_txt", "targtype1_txt", "corp1",
    "target1", "natlty1_txt", "gname", "guncertain1", "claimed", "weaptype1_txt", "weapsubtype1_txt", "weaptype2_txt",
    "weapdetail", "nkill", "nkillus", "nwound", "nwoundus", "property", "propextent_txt",
]  # fmt: skip

SHELLING, STRIKE = "Shelling/artillery/missile attack", "Air/drone strike"
ROCKETS = {
    "event_id_cnty": "IRQ1", "event_date": "2021-05-08", "year": "2021", "time_precision": "1",
    "disorder_type": "Political violence", "event_type": "Explosions/Remote violence", "sub_event_type": SHELLING,
    "actor1": "Unidentified Armed Group (Iraq)", "inter1": "Political militia", "country": "Iraq",
    "actor2": "Military Forces of the United States (2021-2025)", "inter2": "External/Other forces",
    "location": "Al Baghdadi", "latitude": "33.7855", "longitude": "42.4412", "geo_precision": "1",
    "source": "Wire", "notes": "On 8 May 2021, rockets, \"two\" of them,\nfell beside a base.", "fatalities": "0",
    "timestamp": "1620000000",
}  # fmt: skip
BOMB = {
    "eventid": "201903070001", "iyear": "2019", "imonth": "3", "iday": "7", "country_txt": "Iraq", "city": "Kirkuk",
    "latitude": "35.467", "longitude": "44.4", "specificity": "1", "summary": "An explosive device went off at a café.",
    "doubtterr": "0", "success": "1", "attacktype1_txt": "Bombing/Explosion", "targtype1_txt": "Business",
    "natlty1_txt": "Iraq", "gname": "Unknown", "guncertain1": "0", "claimed": "0", "weaptype1_txt": "Explosives",
    "weapsubtype1_txt": "Unknown Explosive Type", "nkill": "1", "nwound": "-9", "nkillus": "0", "nwoundus": "",
    "property": "-9", "propextent_txt": "",
}  # fmt: skip
FIGHT = {"id": "1", "side_a": "Government of Iraq", "side_b": "IS", "country": "Iraq", "date_prec": "1",
         "date_start": "2021-03-01", "source_headline": "a, quoted \n line break"}  # fmt: skip


def changed(row: Mapping[str, str], key: str, *changes: Mapping[str, str]) -> list[dict[str, str]]:
    """One row for each mapping of changed cells, the column `key` numbered where no change names it."""
    return [row | {key: f"{row[key]}{number}"} | change for number, change in enumerate(changes)]


def save(
    path: Path, rows: Sequence[Mapping[str, str]], names: Sequence[str] = (), *, header: bool = True,
    delimiter: str = ",", encoding: str = "utf-8", quoting: int = csv.QUOTE_MINIMAL,
) -> Path:  # fmt: skip
    """A CSV of these rows; a name that ends in .gz is packed."""
    opened = gzip.open if path.suffix == ".gz" else open
    names = names or list(rows[0])
    with opened(path, "wt", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, names, restval="", extrasaction="ignore", delimiter=delimiter, quoting=quoting)
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return path


def page(path: Path, key: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """A page of an API: the rows as JSON in a list under `key`, beside what else such a page tells."""
    path.write_text(json.dumps({"status": 200, "success": True, "count": len(rows), key: rows}), encoding="utf-8")
    return path
