"""Reads the UCDP Georeferenced Event Dataset (GED): the days on which one side fought in one country."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.paths import shown
from analysis_lib.windows import Window

COLUMNS = ("id", "side_a", "side_b", "country", "date_prec", "date_start")
COUNTRY = {"iraq": "Iraq", "syria": "Syria"}
SIDE = {"islamic_state": "IS"}


@dataclass(frozen=True)
class Ged:
    """Days of the events that count (datetime64[D], in order), the span of the table, and every row accounted for."""

    dates: np.ndarray
    span: Window
    rows: int
    set_aside: dict[str, int]


def load_ged(path: Path, theatres: tuple[str, ...], bloc: str | None) -> Ged:
    """The events of `bloc` in `theatres`, from the CSV of GED: plain, or with the tag row of the HDX edition.

    An event counts when either side is the bloc's and its day is known; every other row is set aside under a reason, so
    that len(dates) + sum(set_aside) = rows. `span` reaches from the first to the last event of these countries, of any
    side. GED has no weapons and does not say who began; every event has at least one death. Sundberg and Melander 2013,
    doi 10.1177/0022343313484347. Raises InputMissing where there is no file, BadInput where it is not GED or holds no
    country or side of that name.
    """
    if not path.is_file():
        get = "download UCDP GED as CSV from https://ucdp.uu.se/downloads/, then"
        run = f"`cp GEDEvent.csv DIR/{path.name}` and `claims reproduce isis-distraction --data DIR`"
        raise InputMissing(f"no Islamic State events are in the data folder: {get} {run}")
    if bloc not in SIDE or not set(theatres) <= COUNTRY.keys():
        raise BadInput(f"{shown(path)}: got {bloc} in {theatres}; allowed: {[*SIDE]} in {[*COUNTRY]}; mend `against`")
    try:
        table = pd.read_csv(path, usecols=COLUMNS, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' parser errors and bad UTF-8 are ValueErrors
        raise BadInput(f"{shown(path)}: {error}; allowed: GED's CSV with {', '.join(COLUMNS)}") from None
    table = table[~table["id"].str.startswith("#")]
    days = pd.to_datetime(table["date_start"].str[:10], format="%Y-%m-%d", errors="coerce")
    here, side = table["country"].isin([COUNTRY[t] for t in theatres]), SIDE[bloc]
    reasons = {
        "the same id again": table["id"].duplicated(),
        "another country": ~here,
        "another side": (table["side_a"] != side) & (table["side_b"] != side),
        "the day is not known": (table["date_prec"] != "1") | days.isna(),
    }
    first = np.select([*reasons.values()], [*reasons], "")  # the first that applies to each row
    used, set_aside = days[first == ""], {reason: int((first == reason).sum()) for reason in reasons}
    if used.empty:
        raise BadInput(f"{shown(path)}: no row of {side} in {theatres} with a known day; set aside: {set_aside}")
    span = Window(days[here].min().date(), days[here].max().date())
    return Ged(np.sort(used.to_numpy().astype("datetime64[D]")), span, len(table), set_aside)
