"""All claims at once: corrected p-values, the board, what the texts say against each other."""

from collections import Counter

import numpy as np
import pytest
from reference_cases import differences, reference

from analysis_lib import evaluate, suite
from analysis_lib.claims import TEXTS, Fact
from analysis_lib.finding import VERDICTS
from analysis_lib.study import runnable
from analysis_lib.tables import badge

FEW = ("pause-2021", "pause-truce-2023", "count-39", "tanf-five-drones")
[CASE] = reference("multiplicity").values()


@pytest.fixture(scope="module")
def records(tables, registry):
    """Full records of a few claims."""
    return {name: evaluate(registry[name], tables, registry).record() for name in FEW}


# ---- corrected p-values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "key"), [("holm", "holm"), ("fdr_bh", "bh"), ("fdr_by", "by")])
def test_correction_for_many_tests(method, key):
    p = {str(place): value for place, value in enumerate(CASE["data"]["p"])}
    got = suite.adjusted(p, method)
    assert list(got) == list(p)
    assert differences({key: list(got.values())}, CASE["expected"], CASE["tolerance"]) == []


def test_no_test_needs_no_correction():
    assert suite.adjusted({}) == {}


def test_holm_is_the_boards_alone(records, registry):
    """The p of a claim's record is its own; the board's correction changes no verdict."""
    board = suite.board(registry, records)
    rows = {row[0]: dict(zip(board.columns, row, strict=True)) for row in board.rows}
    primary = suite.p_values(records, "primary")
    order = sorted(primary, key=primary.get)
    by_hand = np.minimum(1, np.maximum.accumulate([(len(order) - i) * primary[name] for i, name in enumerate(order)]))
    for name, p in zip(order, by_hand, strict=True):
        row = rows[name.partition("/")[0]]
        assert row["p"] == primary[name]
        assert row["Holm"] == pytest.approx(p)
        assert row["holds after Holm"] == ("yes" if p <= 0.05 else "no")
    for name, record in records.items():
        assert rows[name]["headline now"] == badge(record["headline"])
        assert rows[name]["at publication"] == badge(record["publication"]["headline"])
    assert rows["tanf-five-drones"]["p"] is None


# ---- board and scorecard ---------------------------------------------------------------------------------------------


def test_every_claim_has_a_row_and_absent_ones_say_so(records, registry):
    board = suite.board(registry, records)
    assert [row[0] for row in board.rows] == [claim.id for claim in registry.claims]
    assert Counter(row[3] for row in board.rows)["not yet run"] == len(registry.claims) - len(FEW)


def test_the_scorecard_counts_every_claim_of_a_text_once(records, registry):
    card = suite.scorecard(registry, records)
    assert card.columns == ("text", "claims", *VERDICTS, "not yet run")
    for name, total, *cells in card.rows:
        now, then = zip(*((int(part) for part in cell.rstrip(")").split(" (")) for cell in cells), strict=True)
        assert sum(now) == sum(then) == total, name
    assert [row[0] for row in card.rows] == [*TEXTS, "all texts", "ours"]
    everyone = {name: total for name, total, *_ in card.rows}
    assert everyone["all texts"] + everyone["ours"] == len(registry.claims)


def test_what_was_overtaken_and_by_which_rows(records, registry, tables):
    card = suite.overtaken(registry, records, tables)
    rows = {row[1]: dict(zip(card.columns, row, strict=True)) for row in card.rows}
    assert set(rows) == set(FEW)
    assert card.caption == f"{sum(row[0] == 'held' for row in card.rows)} of {len(FEW)} headlines held"
    assert rows["pause-2021"]["verdict"] == "held"
    assert "IQ-20210606-01" in rows["pause-2021"]["the first of the new rows and values"]  # the next strike
    assert (card.rows[0][0], card.rows[0][1]) == ("overtaken", "pause-truce-2023")
    assert "not yet observed" in rows["pause-truce-2023"]["why then"]
    later = tables.events[tables.events["first_reported"] > "2023-10-19"]["event_id"]
    new = [row for row in suite.counted(registry["pause-truce-2023"], tables) if row in set(later)]
    assert rows["pause-truce-2023"]["new"] == len(new) > 50


def test_a_fresh_record_is_taken_and_a_stale_one_judged_anew(records, registry, tables, capsys):
    only = registry.model_copy(update={"claims": tuple(registry[name] for name in FEW)})
    assert suite.judged(only, tables, records) == records
    assert capsys.readouterr().out == ""
    stale = {name: record | {"data_sha256": "other"} for name, record in records.items()}
    anew = suite.judged(only, tables, stale)
    assert f"judging 4 of 4: {FEW[-1]}" in capsys.readouterr().out
    for name, record in records.items():
        for part in ("literal", "inferential", "headline"):
            assert anew[name][part] == record[part]
        assert anew[name]["publication"]["headline"] == record["publication"]["headline"]
    assert suite.p_values(anew, "primary") == suite.p_values(records, "primary")


def test_a_claim_without_a_notebook_is_not_judged(registry, tables):
    absent = tuple(claim for claim in registry.claims if not runnable(claim))
    assert suite.judged(registry.model_copy(update={"claims": absent}), tables, {}) == {}


# ---- contradictions --------------------------------------------------------------------------------------------------


def test_contradictions_between_and_inside_the_texts(registry, tables):
    found = {
        (where, claim, relation) for where, claim, *_, relation in suite.contradictions(registry.claims, tables).rows
    }
    assert {
        ("S0 and S1", "tanf-five-drones", "exclude each other"),
        ("S0 and S1", "mercer-street", "exclude each other"),
        ("S0 and S1", "israel-drone-2021", "differ, both can hold"),
        ("inside S2", "pause-2021", "exclude each other"),
    } <= found
    assert not any(claim in ("count-39", "pause-2023") for _, claim, _ in found)


def test_the_text_that_denies_a_strike_names_it(registry, tables):
    [row] = suite.contradictions([registry["pause-2021"], registry["three-in-two-months"]], tables).rows
    assert "stated 0, coded 1 (IQ-20210511-03)" in row[2]
    assert row[3].startswith("third strike: stated 2021-05-11")


def test_a_claim_without_contradictions_says_so(registry, tables):
    assert suite.contradictions([registry["count-39"]], tables).rows[0][0] == "nowhere"


@pytest.mark.parametrize(
    ("one", "other", "relation"),
    [
        (("equal", 1), ("equal", 5), "exclude each other"),
        (("equal", 1), ("more_than", 1), "exclude each other"),
        (("more_than", 1), ("less_than", 5), "differ, both can hold"),
        (("at_least", 3), ("at_most", 3), "differ, both can hold"),
        (("equal", "IQ|SY"), ("contains", "SY"), "differ, both can hold"),
        (("equal", "IQ"), ("equal", "SY"), "differ in words"),
    ],
)
def test_can_both_statements_hold(one, other, relation):
    facts = [Fact(field="f", compare=compare, stated=stated) for compare, stated in (one, other)]
    assert suite.relation(*facts) == suite.relation(*facts[::-1]) == relation


@pytest.mark.parametrize(
    ("claim", "verdicts"),
    [
        ("tanf-five-drones", {"S0": "contradicted", "S1": "not testable"}),
        ("israel-drone-2021", {"S0": "supported", "S1": "not testable"}),
        ("mercer-street", {"S0": "supported", "S1": "supported"}),
        ("kadhimi-residence", {"S0": "contradicted", "S1": "supported"}),
        ("count-39", {"S4": "contradicted"}),
    ],
)
def test_each_text_by_itself(registry, tables, claim, verdicts):
    rows = suite.by_text(evaluate(registry[claim], tables, registry)).rows
    assert {text: word for text, word, _ in rows} == {text: badge(word) for text, word in verdicts.items()}
