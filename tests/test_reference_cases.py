"""The comparison that every reference test rests on."""

import json

import numpy as np
import pytest
from conftest import SHARED, needs_shared
from reference_cases import FOLDER, close, differences

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize(
    ("got", "expected", "tolerance", "agrees"),
    [
        (1.0009, 1.0, {"rel": 1e-3, "abs": 0}, True),
        (1.0011, 1.0, {"rel": 1e-3, "abs": 0}, False),
        (0.005, 0.0, {"rel": 1e-3, "abs": 1e-2}, True),  # the larger of the two counts
        (float("nan"), 1.0, {"rel": 1, "abs": 1}, False),
        ([1.0, 2.0], [1.0, 2.0], {"abs": 0}, True),
        ([1.0], [1.0, 2.0], {"abs": 0}, False),
        (np.array([3.0]), 3, {"abs": 0}, True),  # a list of one, a bare number
        ({"a": 1}, {"a": 1, "b": 2}, {"abs": 0}, True),  # a test need not use every key
        ({"c": 1}, {"a": 1}, {"abs": 0}, False),
        ({"a": 1}, 1, {"abs": 0}, False),
        ({"m": [{"a": 1}, {"a": 3}]}, {"m": [{"a": 1}, {"a": 2}]}, {"abs": 0}, False),
        ({"se": {"x": 1.04}}, {"se": {"x": 1.0}}, {"rel": 1e-3, "abs": 0, "se_rel": 0.05}, True),
        ({"coef": {"x": 1.04}}, {"coef": {"x": 1.0}}, {"rel": 1e-3, "abs": 0, "se_rel": 0.05}, False),
        ({"p": 0.101}, {"p": 0.1}, {"rel": 1e-6, "abs": 0, "p_abs": 0.002}, True),
        ({"p": 10.1}, {"p": 10.0}, {"rel": 1, "abs": 1, "p_abs": 0.002}, False),  # KEY_abs replaces the pair
    ],
)
def test_close_follows_the_conventions_of_the_cases(got, expected, tolerance, agrees):
    assert close(got, expected, tolerance) is agrees


def test_a_difference_names_its_place_and_both_numbers():
    assert differences({"se": {"x": 2.0}}, {"se": {"x": 1.0}}, {"abs": 0}) == ["/se/x[0]: got 2.0, expected 1.0"]


@pytest.mark.parametrize("name", NAMES)
def test_each_case_agrees_with_itself_and_is_complete(reference, name):
    for case in reference(name).values():
        assert case.keys() >= {"id", "method", "data", "expected", "tolerance", "source"}
        assert close(case["expected"], case["expected"], case["tolerance"])


@needs_shared
@pytest.mark.parametrize("name", NAMES)
def test_the_cases_are_unchanged_copies(name):
    original = (SHARED / "references" / f"{name}.json").read_text(encoding="utf-8")
    assert json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) == json.loads(original)
