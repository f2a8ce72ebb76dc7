"""Stated values beside coded ones: where a value comes from, when it was known, what is missing and what disagrees."""

from datetime import date

import pytest
from worlds import WAR, YEAR, coverage_row, event_row, write

from analysis_lib import Window, load_tables
from analysis_lib.claims import Fact
from analysis_lib.facts import check_facts, compare

MAY = {"start": date(2021, 5, 1), "end": date(2021, 5, 31)}
ROWS = [
    event_row("2021-05-03", event_id="first", killed="3", actor="hamas", weapons="drone;rocket", munitions="1"),
    event_row("2021-05-08", event_id="second", munitions="2", sources="https://example.org/a | https://example.org/b"),
    event_row("2021-05-20", event_id="late", first_reported="2021-06-04", munitions="2"),
    event_row("2021-05-21", event_id="doubtful", confidence="low", killed="1"),
    event_row("2021-05-22", event_id="a rocket", weapons="rocket", location="Erbil"),
]


@pytest.fixture
def check(tmp_path, registry):
    """A fact on the rows above, checked with the population of pause-2021 (drones on US sites in Iraq)."""

    def of(as_of=None, coverage=(), **fact):
        tables = load_tables(write(tmp_path, ROWS, coverage=coverage))
        claim = registry["pause-2021"].model_copy(update={"facts": (Fact(field="f", **fact),)})
        return check_facts(claim, tables, as_of and date.fromisoformat(as_of))[0]

    return of


# ---- comparison ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "word", "agreeing", "differing"),
    [
        (3, "equal", [3], [2, 4]),
        (3, "at_least", [3, 4], [2]),
        (3, "at_most", [3, 2], [4]),
        (3, "more_than", [4], [3]),
        (3, "less_than", [2], [3]),
        (100, "about", [90, 100, 110], [89, 111]),  # a tenth either way
        (date(2021, 5, 10), "more_than", [date(2021, 5, 11)], [date(2021, 5, 10)]),
        (date(2021, 5, 10), "equal", [date(2021, 5, 10)], [date(2021, 5, 9)]),
        ("Hamas", "equal", ["hamas"], ["hezbollah", "hamas;houthi"]),
        ("drone", "contains", ["drone", "rocket;Drone"], ["drones", "rocket"]),
        ("IQ|SY", "equal", ["SY|IQ"], ["IQ", "IR"]),  # in any order
    ],
)
def test_the_words_of_comparison(stated, word, agreeing, differing):
    fact = Fact(field="f", stated=stated, compare=word)
    assert [compare(fact, value) for value in agreeing] == [True] * len(agreeing)
    assert [compare(fact, value) for value in differing] == [False] * len(differing)
    assert compare(fact, None) is None


@pytest.mark.parametrize("word", ["equal", "contains"])
def test_one_of_several_alternatives_that_the_row_leaves_open_is_neither_right_nor_wrong(word):
    fact = Fact(field="launch site", stated="SY", compare=word)
    assert [compare(fact, coded) for coded in ("SY", "IQ|SY", "IQ|IR")] == [True, None, False]


def test_a_text_that_states_no_value_agrees_with_nothing_and_contradicts_nothing():
    assert compare(Fact(field="f", stated=None), 3) is None


# ---- counted over the population -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "coded", "rows"),
    [
        ("attacks", 3, ("first", "second", "late")),
        ("munitions", 5, ("first", "second", "late")),
        ("first_date", date(2021, 5, 3), ("first",)),
        ("last_date", date(2021, 5, 20), ("late",)),
        ("days_since_last", 11, ("late",)),
        ("longest_gap_days", 12, ("first", "second", "late")),
    ],
)
def test_measures(check, measure, coded, rows):
    """Gaps: 2 days to the first, 5, 12, then 12 from 20 May to the end of the 31st."""
    found = check(stated=coded, measure=measure, **MAY)
    assert (found.coded, found.agrees, found.event_ids) == (coded, True, rows)


def test_the_last_gap_runs_to_the_end_of_the_spans_last_day(check):
    """From 20 May to the end of 2 June: 14 days."""
    found = check(stated=14, measure="longest_gap_days", start=date(2021, 5, 1), end=date(2021, 6, 2))
    assert (found.coded, found.agrees) == (14, True)


def test_both_dates_of_the_span_are_included(check):
    assert check(stated=1, measure="attacks", start=date(2021, 5, 3), end=date(2021, 5, 3)).coded == 1
    assert check(stated=0, measure="attacks", start=date(2021, 5, 4), end=date(2021, 5, 7)).agrees is True


def test_a_fact_may_count_another_population(check):
    found = check(stated=1, measure="attacks", set={"weapons": ["rocket"]}, **MAY)
    assert (found.coded, found.event_ids) == (2, ("first", "a rocket"))
    assert found.agrees is False


def test_sources_come_from_the_rows_each_once(check):
    assert check(stated=3, measure="attacks", **MAY).sources == (
        "https://example.org/report", "https://example.org/a", "https://example.org/b",
    )  # fmt: skip


def test_a_sum_with_an_unknown_number_in_it_is_unknown(check):
    found = check(stated=5, measure="munitions", set={"confidence": "low"}, **MAY)
    assert (found.coded, found.agrees, found.reason) == (None, None, "a number fired is unknown")


def test_no_attack_is_zero_where_days_were_watched_and_unknown_where_none_was(check):
    quiet = {"start": date(2021, 7, 1), "end": date(2021, 7, 31)}
    assert check(stated=0, measure="attacks", **quiet).agrees is True
    assert check(stated=None, measure="first_date", **quiet).reason == "no attack in 2021-07-01…2021-07-31"
    blind = check(stated=0, measure="attacks", coverage=[coverage_row(Window(YEAR.start, WAR.end))], **quiet)
    assert (blind.agrees, blind.reason) == (None, "no day of 2021-07-01…2021-07-31 was watched")
    nothing = check(stated=0, measure="attacks", coverage=None, **quiet)
    assert nothing.agrees is None
    assert "coverage.csv" in nothing.reason


# ---- what was known when ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("as_of", "coded"), [("2021-06-03", 2), ("2021-06-04", 3)])
def test_a_strike_counts_from_the_day_it_became_public(check, as_of, coded):
    assert check(as_of, stated=3, measure="attacks", **MAY).coded == coded


def test_a_fact_is_open_before_its_value_became_public(check):
    early = check("2021-06-03", stated=3, measure="attacks", known_from=date(2021, 6, 4), **MAY)
    assert (early.agrees, early.reason) == (None, "public only from 2021-06-04")
    assert check("2021-06-04", stated=3, measure="attacks", known_from=date(2021, 6, 4), **MAY).agrees is True


def test_a_span_that_has_not_begun_is_not_yet_observed(check):
    found = check("2021-04-30", stated=0, measure="attacks", **MAY)
    assert (found.coded, found.agrees, found.reason) == (None, None, "not yet observed: it starts on 2021-05-01")


@pytest.mark.parametrize(
    ("word", "stated", "agrees"),
    [
        ("at_least", 2, True),  # counts only grow: already true
        ("at_least", 3, None),
        ("more_than", 1, True),
        ("more_than", 2, None),
        ("equal", 2, None),
        ("equal", 1, False),  # already too many
        ("at_most", 1, False),
        ("at_most", 2, None),
        ("less_than", 2, False),
        ("less_than", 3, None),
        ("about", 2, None),
    ],
)
def test_half_way_through_the_span_only_what_cannot_change_is_said(check, word, stated, agrees):
    found = check("2021-05-15", stated=stated, compare=word, measure="attacks", **MAY)
    assert (found.coded, found.agrees) == (2, agrees)
    assert found.reason == ("" if agrees is not None else "observed only to 2021-05-15")


def test_the_last_date_may_always_change_until_the_span_is_over(check):
    found = check("2021-05-15", stated=date(2021, 5, 8), measure="last_date", **MAY)
    assert (found.coded, found.agrees) == (date(2021, 5, 8), None)


# ---- from one row, or from the registry itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_id", "column", "stated", "coded", "agrees", "reason"),
    [
        ("first", "killed", 3, 3, True, ""),
        ("first", "actor", "Hamas", "hamas", True, ""),
        ("first", "date", date(2021, 5, 3), date(2021, 5, 3), True, ""),
        ("first", "killed", 4, 3, False, ""),
        ("second", "killed", 0, None, None, "killed is blank"),
        ("doubtful", "killed", 0, 1, None, "the row that disagrees has low confidence"),
        ("doubtful", "killed", 1, 1, True, ""),
        ("nowhere", "killed", 0, None, None, "row nowhere is not in events.csv"),
    ],
)
def test_a_value_from_a_row(check, event_id, column, stated, coded, agrees, reason):
    found = check(stated=stated, event_id=event_id, column=column)
    assert (found.coded, found.agrees, found.reason) == (coded, agrees, reason)


def test_a_row_not_yet_reported_is_not_there(check):
    assert check("2021-05-25", stated="drone", event_id="late", column="weapons").agrees is None


def test_a_value_that_the_registry_codes_itself(check):
    found = check(stated=6, coded=6, source="https://example.org/count")
    assert (found.agrees, found.sources) == (True, ("https://example.org/count",))
    assert check(stated=6).reason == "no value is coded"


# ---- in words and in JSON --------------------------------------------------------------------------------------------


def test_the_sentence_names_both_values_and_the_rows(check):
    found = check(stated=0, compare="at_most", measure="attacks", **MAY)
    assert found.sentence() == "f: stated at most 0, coded 3 (first, second, late)"
    many = check(stated=0, measure="attacks", set={"weapons": ["drone", "rocket"]}, **MAY)
    assert many.sentence() == "f: stated 0, coded 4 (first, second, late and 1 more)"
    assert check(stated=0, event_id="nowhere", column="killed").sentence() == (
        "f: stated 0, not known (row nowhere is not in events.csv)"
    )


def test_a_row_has_dates_as_text(check):
    row = check(stated=date(2021, 5, 3), measure="first_date", **MAY).row()
    assert (row["stated"], row["coded"], row["agrees"], row["event_id"]) == ("2021-05-03", "2021-05-03", True, "first")
