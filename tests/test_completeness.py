"""Two lists of the same attacks: reference cases, matching against its definition, what a band does to a verdict."""

from dataclasses import replace
from datetime import date
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from reference_cases import differences, reference
from worlds import YEAR, coverage_row, event_rows, steady_days, write

from analysis_lib import Population, Window, evaluate, load_tables
from analysis_lib.completeness import bands, chapman, contrast, incidents_of, link, overlap_p, total_limits
from analysis_lib.errors import InputMissing

CASES = {name: case for name, case in reference("richness_recapture").items() if "chapman" in name}
IRAQ = Population(theatres=("iraq",))


def incidents(days, weapon="drones", latitude=33.8, longitude=42.4, theatre="Iraq"):
    """A second list: an incident on a US base for each day given."""
    columns = {"date": pd.to_datetime(list(days)), "theatre": theatre, "weapon": weapon, "date_precision": "day",
               "target_type": "US/coalition base", "latitude": latitude, "longitude": longitude}  # fmt: skip
    return pd.DataFrame(columns).astype({"latitude": "Float64", "longitude": "Float64"})


def rows(days, weapons="drone", lat=33.8, lon=42.4, theatre="iraq"):
    """Rows of events.csv as far as matching looks at them."""
    columns = {"date": pd.to_datetime(list(days)), "theatre": theatre, "weapons": weapons, "lat": lat, "lon": lon}
    return pd.DataFrame(columns).astype({"lat": "Float64", "lon": "Float64"})


# ---- two lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_chapman_and_its_interval(name):
    case = CASES[name]
    n1, n2, m = (case["data"][key] for key in ("n1", "n2", "m"))
    found = chapman(n1, n2, m)
    got = {"chapman": found.estimate, "chao_log_low": found.low, "chao_log_high": found.high, "union": found.n,
           "completeness_list1": n1 / found.estimate, "completeness_union": found.n / found.estimate}  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []
    numbers = [float(note.rpartition(" ")[2]) for note in found.notes[1:]]
    assert numbers == pytest.approx([case["expected"]["lincoln_petersen"], case["expected"]["se"]], rel=5e-3)


def test_a_list_inside_the_other_leaves_no_variance_and_says_so():
    found = chapman(18, 9, 9)
    assert (found.estimate, found.low, found.high) == (18, None, None)
    assert found.reason == "all of one list is in the other: no variance, no interval"


def test_the_overlap_law_is_the_share_of_all_pairs_of_lists():
    n1, n2, total = 4, 3, 7
    overlaps = [len(set(range(n1)) & set(second)) for second in combinations(range(total), n2)]
    for m in range(n2 + 1):
        few, many = overlap_p(n1, n2, m, total)
        assert few == pytest.approx(np.mean([k <= m for k in overlaps]))
        assert many == pytest.approx(np.mean([k >= m for k in overlaps]))


def test_fewer_attacks_than_the_lists_hold_are_impossible():
    assert overlap_p(5, 3, 2, 4)[0] == 0  # a list of five among four
    assert overlap_p(5, 3, 2, 4)[1] == overlap_p(5, 3, 2, 6)[1]  # at least six attacks are seen


@pytest.mark.parametrize(("n1", "n2", "m"), [(18, 9, 9), (28, 20, 13), (6, 5, 1)])
def test_exact_limits_hold_the_totals_that_the_overlap_does_not_reject(n1, n2, m):
    low, high = total_limits(n1, n2, m)
    assert n1 + n2 - m <= low <= chapman(n1, n2, m).estimate + 1 <= high + 1
    if np.isfinite(high):
        assert overlap_p(n1, n2, m, high)[1] > 0.05 >= overlap_p(n1, n2, m, high + 1)[1]


def test_without_an_overlap_nothing_is_limited_from_above():
    assert total_limits(5, 4, 0)[1] == np.inf


def test_exact_limits_cover_the_truth_in_nine_of_ten_histories():
    """Two lists of 12 and 9 among 20 attacks, 500 histories: at least 90 %, by the law's coarseness more."""
    drawn = np.random.default_rng(1).hypergeometric(12, 8, 9, size=500)
    limits = {m: total_limits(12, 9, int(m)) for m in np.unique(drawn)}
    assert np.mean([limits[m][0] <= 20 <= limits[m][1] for m in drawn]) >= 0.9


# ---- matching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "found"), [(0, 43), (1, 49), (2, 50)])
def test_incidents_of_the_second_coding_found_in_the_event_list(tables, days, found):
    """49 of those dated to the day are found within a day and 0.35 degrees; seven of 56 are not, one of them dated
    to the month only, so that 55 are dated."""
    match = link(tables.second_coding, tables.events, days)
    assert (match >= 0).sum() == found
    if days == 1:
        missed = tables.second_coding[match < 0]
        assert set(missed["theatre"]) == {"Yemen/Red Sea", "Israel", "Syria", "Iraq"}
        assert missed["date_precision"].tolist().count("month") == 2
        iraq = missed[(missed["theatre"] == "Iraq") & (missed["date_precision"] != "month")]
        assert iraq.empty


@pytest.mark.parametrize("seed", range(5))
def test_as_many_as_can_be_are_matched_each_row_once(seed):
    """Against every assignment of incidents to rows, on lists of five."""
    rng = np.random.default_rng(seed)
    first, second = (np.datetime64("2021-05-01") + rng.integers(0, 6, 5).astype("timedelta64[D]") for _ in range(2))
    match = link(incidents(first), rows(second))
    best = max(
        sum(abs((first[i] - second[j]).astype(int)) <= 1 for i, j in enumerate(p)) for p in permutations(range(5))
    )
    used = match[match >= 0]
    assert len(used) == len(set(used)) == best


def test_the_nearest_day_is_taken():
    assert link(incidents(["2021-05-08"]), rows(["2021-05-07", "2021-05-08", "2021-05-09"])).tolist() == [1]


@pytest.mark.parametrize(
    ("incident", "row", "matched"),
    [
        ({}, {}, True),
        ({"latitude": 34.1}, {}, True),
        ({"latitude": 34.2}, {}, False),
        ({"longitude": 41.9}, {}, False),
        ({"latitude": None, "longitude": None}, {}, True),
        ({"latitude": None, "longitude": None}, {"theatre": "syria"}, False),
        ({"latitude": None, "longitude": None, "theatre": "Iraq/Syria"}, {"theatre": "syria"}, True),
        ({"weapon": "rockets"}, {}, False),
        ({"weapon": "rockets and drones"}, {}, True),
        ({"weapon": "missiles"}, {"weapons": "ballistic_missile"}, True),
    ],
)
def test_what_makes_a_match(incident, row, matched):
    assert (link(incidents(["2021-05-08"], **incident), rows(["2021-05-09"], **row)) >= 0).all() == matched


def test_moving_both_lists_in_time_changes_no_match(tables):
    later = pd.Timedelta(days=400)
    moved = [t.assign(date=t["date"] + later) for t in (tables.second_coding, tables.events)]
    assert (link(*moved) == link(tables.second_coding, tables.events)).all()


def test_an_empty_list_matches_nothing():
    assert link(incidents([]), rows(["2021-05-08"])).tolist() == []
    assert link(incidents(["2021-05-08"]), rows([])).tolist() == [-1]


def test_which_incidents_a_population_counts(tables):
    spring = Window(date(2021, 1, 1), date(2021, 6, 6))
    every = incidents_of(tables, IRAQ, spring)
    assert len(every) == 9
    assert set(incidents_of(tables, IRAQ.model_copy(update={"weapons": ("drone",)}), spring)["weapon"]) <= {
        "drone",
        "drones",
    }
    with pytest.raises(InputMissing, match="no incident on a convoy"):
        incidents_of(tables, IRAQ.model_copy(update={"sites": "us_interests"}), spring)
    with pytest.raises(InputMissing, match=r"second_coding.csv"):
        incidents_of(replace(tables, second_coding=None), IRAQ, spring)


# ---- bands -----------------------------------------------------------------------------------------------------------


def test_bands_of_the_bundled_list(tables):
    found = bands(tables)
    known = found[found["band"] != "unknown"].set_index("interval")
    assert {str(i): (b.found, b.incidents, b.band) for i, b in known.iterrows()} == {
        "2020-01-01…2021-12-31": (19, 20, "usable"),
        "2023-10-17…2024-02-05": (9, 9, "usable"),
    }
    assert (found["low"] <= found["high"]).all()
    wave = known.iloc[1]
    assert (wave.official, wave.listed) == (59, 56)
    assert wave.high == pytest.approx(56 / 59)  # a total above the list bounds its completeness
    assert (found[found["target_group"] == "convoys"]["band"] == "unknown").all()


def test_without_a_second_list_every_band_is_unknown(tables):
    found = bands(replace(tables, second_coding=None, counts=None))
    assert set(found["band"]) == {"unknown"}
    assert found["official"].isna().all()


@pytest.mark.parametrize(
    ("incidents_n", "missing", "band"),
    [(8, 0, "unknown"), (9, 0, "usable"), (30, 0, "complete"), (30, 2, "usable"), (20, 6, "weak")],
)
def test_the_band_follows_the_lower_limit(tmp_path, incidents_n, missing, band):
    days = steady_days(YEAR, every=10)[:incidents_n]
    tables = load_tables(write(tmp_path, event_rows(days[missing:], lat="33.8", lon="42.4")))
    found = bands(replace(tables, second_coding=incidents(days))).iloc[0]
    assert (found["incidents"], found["found"], found["band"]) == (incidents_n, incidents_n - missing, band)


# ---- window over baseline --------------------------------------------------------------------------------------------


def test_one_interval_holds_window_and_baseline(tables, registry):
    spec = registry["pause-2021"].spec
    found = contrast(tables, spec, spec.window, spec.frame)
    assert (found.estimate, found.low, found.high) == (1, 1, 1)


def test_an_interval_without_a_band_leaves_the_ratio_unknown(tables, registry):
    spec = registry["pause-2023"].spec
    found = contrast(tables, spec, spec.window, spec.frame)
    assert (found.estimate, found.low, found.high) == (None, None, None)
    assert found.reason.startswith("completeness unknown, fewer than 9 incidents of the second list: iraq 2022-10-27")


BEFORE, AFTER = Window(date(2021, 1, 1), date(2021, 5, 9)), Window(date(2021, 5, 10), date(2021, 12, 31))
DURING = Window(AFTER.start, date(2021, 8, 7))


@pytest.fixture
def two_intervals(tmp_path, registry):
    """Attacks every day of the window, every third day before; `found` of 20 incidents are listed before, all in it."""

    def of(found):
        days, place = np.concatenate([BEFORE.calendar()[::3], DURING.calendar()]), {"lat": "33.8", "lon": "42.4"}
        tables = load_tables(
            write(tmp_path, event_rows(days, **place), coverage=[coverage_row(BEFORE), coverage_row(AFTER)])
        )
        elsewhere = incidents(BEFORE.calendar()[: 20 - found], latitude=36.2, longitude=44.0)
        second = pd.concat([incidents(BEFORE.calendar()[::6][:found]), elsewhere, incidents(DURING.calendar()[:20])])
        dates = {
            "window": DURING,
            "frame": Window(BEFORE.start, DURING.end),
            "placebo": Window(BEFORE.start, DURING.end),
        }
        knobs = {f"{name}_{end}": getattr(span, end) for name, span in dates.items() for end in ("start", "end")}
        spec = registry["pause-2021"].spec.model_copy(update=knobs | {"window_kind": None, "window_theatre": None})
        claim = registry["pause-2021"].model_copy(
            update={"spec": spec, "variations": (), "replications": (), "rivals": ()}
        )
        return evaluate(claim, replace(tables, second_coding=second), registry)

    return of


def test_a_ratio_that_completeness_could_explain_is_not_distinguishable(two_intervals):
    """Six of twenty found before the window: three times as many attacks could be three times as many reports."""
    study = two_intervals(6)
    known, primary = study.finding("completeness_ratio"), study.finding("rate_ratio")
    assert known.low < primary.estimate == pytest.approx(3, rel=0.02)
    assert primary.estimate < known.high
    ends = [f.estimate for f in study.now.findings if f.role == "band_end"]
    assert ends == pytest.approx([primary.estimate / c for c in (known.low, known.high)])
    assert study.now.inferential.verdict == "not distinguishable"
    assert study.now.inferential.reason.startswith("contradicted as counted, ")


def test_a_list_as_complete_before_as_in_the_window_leaves_the_verdict(two_intervals):
    study = two_intervals(20)
    known = study.finding("completeness_ratio")
    assert (known.low, known.high) == pytest.approx((0.05 ** (1 / 20), 1 / 0.05 ** (1 / 20)))
    assert study.now.inferential.verdict == "contradicted"
