"""The two result nouns: what they echo, how they read, what they become in JSON."""

import json
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from analysis_lib.finding import VERDICTS, Finding, Verdict, number, tidy

RATIO = Finding("rate_ratio", "exact", estimate=0.4, low=0.1, high=1.2, p_value=0.03, alternative="less", n=20)


def test_the_id_names_claim_and_quantity():
    assert RATIO.named("pause-2021", "primary").id == "pause-2021/rate_ratio"
    assert RATIO.named("pause-2021").role == "shown"  # kept where none is given
    assert RATIO.claim == ""  # the original is unchanged


def test_a_finding_does_not_change():
    with pytest.raises(FrozenInstanceError):
        RATIO.estimate = 1.0


@pytest.mark.parametrize(
    ("estimate", "null", "alternative", "agrees"),
    [
        (0.9, 1.0, "less", True),
        (1.0, 1.0, "less", False),
        (1.1, 1.0, "less", False),
        (1.1, 1.0, "greater", True),
        (1.0, 1.0, "greater", False),
        (-0.1, 0.0, "less", True),
        (float("inf"), 1.0, "greater", True),
        (None, 1.0, "less", False),
        (0.1, 1.0, "two-sided", False),  # no direction to agree with
    ],
)
def test_agreement_is_the_side_of_the_null_value(estimate, null, alternative, agrees):
    assert Finding("q", "m", estimate=estimate, null_value=null, alternative=alternative).agrees is agrees


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        (RATIO, "rate ratio 0.4 (95 % interval 0.1 to 1.2), p = 0.03, n = 20"),
        (Finding("q", "m", p_value=0.001), "q, p = 0.001"),
        (Finding("q", "m", p_value=0.00099), "q, p < 0.001"),
        (Finding("q", "m", estimate=2.0, low=1.0, high=float("inf"), level=0.9), "q 2 (90 % interval 1 to ∞)"),
        (Finding("q", "m", reason="no event in the frame"), "q: not computed (no event in the frame)"),
    ],
)
def test_the_sentence_is_made_of_the_findings_own_numbers(finding, sentence):
    assert finding.sentence() == sentence


def test_a_row_echoes_every_field_but_the_claim_which_is_in_the_id():
    row = RATIO.named("c").row()
    assert set(row) == {f.name for f in fields(Finding)} - {"claim"} | {"id"}
    assert (row["id"], row["estimate"], row["low"], row["n"]) == ("c/rate_ratio", 0.4, 0.1, 20)


def test_a_row_is_plain_json_whatever_it_was_made_of():
    found = Finding("q", "m", estimate=np.float64(1 / 3), high=np.inf, low=np.nan, n=np.int64(3), notes=("a", "b"))
    row = json.loads(json.dumps(found.row(), allow_nan=False))
    assert (row["estimate"], row["high"], row["low"], row["n"]) == (0.3333333333, None, None, 3)
    assert row["notes"] == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "plain"),
    [(True, True), (None, None), ("x", "x"), (np.bool_(True), True), (0.1 + 0.2, 0.3), (-np.inf, None)],
)
def test_tidy_values_are_equal_bytes_for_equal_inputs(value, plain):
    assert tidy(value) == plain
    assert type(tidy(value)) is type(plain)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.05, "0.05"), (0.86942, "0.869"), (32.84, "32.8"), (999.4, "999"), (999.6, "1000"),
        (1234.5, "1234"),
        (-2345.0, "-2345"), (180424.3, "180424"), (3e-7, "3e-07"), (float("inf"), "∞"), (-float("inf"), "−∞"),
        (float("nan"), "unknown"), (None, "unknown"),
    ],
)  # fmt: skip
def test_numbers_for_readers(value, text):
    assert number(value) == text


@pytest.mark.parametrize("word", VERDICTS)
def test_a_verdict_is_one_of_four_words(word):
    assert Verdict(word, "because").row() == {"verdict": word, "reason": "because"}


def test_another_word_is_refused_and_the_four_are_named():
    with pytest.raises(ValueError, match=r"'true'.*supported, contradicted, not distinguishable, not testable"):
        Verdict("true", "because")
