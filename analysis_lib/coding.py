"""What an outcome word means in the coded rows: which attacks have it, which have not, which leave it open."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from analysis_lib.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

PARENTS = {"Kataib Hezbollah", "Asaib Ahl al-Haq", "Harakat al-Nujaba"}
STATES = ["irgc", "iran_navy"]  # Iran's own forces, which are no faction
MAIN_BASES = ["Erbil International Airport", "Ain al-Asad air base"]
OF_CLAIMS = ("unclaimed", "no_parent_claim", "untraced", "officially_attributed", "attributed_iran_aligned")
OF_CASUALTIES = ("any_casualty", "us_casualty", "serious_effect")


def answers(e: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series, pd.Series | bool]]:
    """For each outcome word: which rows have it, which surely have not, which it concerns.

    A blank count is unknown, but no US casualties are among no casualties.
    """
    dead, hurt, us_dead, us_hurt = (e[c].astype(float) for c in ("killed", "wounded", "us_killed", "us_wounded"))
    us_dead, us_hurt = us_dead.mask(dead == 0, 0), us_hurt.mask(hurt == 0, 0)
    shot, damage = e["intercepted"], e["damage"]
    harm, through = (dead > 0) | (hurt > 0), shot.isin(["some", "none"]) | damage.isin(["minor", "major"])
    unclaimed = (e["claimed_by"] == "") & (e["attribution"] != "claimed")
    parent = e["claimed_by"].map(lambda names: bool(PARENTS & set(names.split(";")))).astype(bool)
    official, bases = e["attribution"] == "attributed", e["location"].isin(MAIN_BASES)
    iran = (e["bloc"] == "iran_aligned") & (official | (e["attribution"] == "suspected"))
    from_iraq = e["launch_from"].map(lambda codes: "IQ" in codes.split("|")).astype(bool)
    return {
        "any_casualty": (harm, (dead == 0) & (hurt == 0), True),
        "us_casualty": ((us_dead > 0) | (us_hurt > 0), (us_dead == 0) & (us_hurt == 0), True),
        "serious_effect": ((us_dead > 0) | (damage == "major"), (us_dead == 0) & damage.isin(["none", "minor"]), True),
        "intercepted": (shot.isin(["all", "some"]), shot == "none", True),
        "reached_israel": (harm | through, shot == "all", from_iraq),
        "main_bases": (bases, ~bases, True),
        "unclaimed": (unclaimed, ~unclaimed, True),
        "no_parent_claim": (unclaimed | ((e["claimed_by"] != "") & ~parent), parent, ~e["actor"].isin(STATES)),
        "untraced": (unclaimed & ~official, ~unclaimed | official, True),
        "officially_attributed": (official, ~official, unclaimed),
        "attributed_iran_aligned": (iran, ~iran, unclaimed),
    }


def coded(events: pd.DataFrame, word: str | None, settled: date | None = None) -> pd.DataFrame:
    """The rows that an outcome concerns, with a column `outcome`: 1 yes, 0 no, ½ unknown.

    Outcomes that rest on claims are unknown for attacks after the day `settled`: a claim may still come. Raises
    BadInput for an unknown word.
    """
    words = answers(events)
    if word not in words:
        raise unknown("outcome", str(word), words, "set outcome to one of them")
    yes, no, concerned = words[word]
    late = events["date"] > np.datetime64(settled if settled and word in OF_CLAIMS else "NaT", "D")
    rows = events.assign(outcome=np.where(late | ~(yes | no), 0.5, yes))
    return rows if concerned is True else rows[concerned]


def toll(rows: pd.DataFrame) -> pd.Series:
    """Killed and wounded of each attack of which either number is known, by event_id; a blank counts as none."""
    return rows.set_index("event_id")[["killed", "wounded"]].sum(axis=1, min_count=1).dropna()
