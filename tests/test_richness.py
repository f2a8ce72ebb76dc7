"""Names seen and unseen: reference values, and what the estimates may and may not say."""

import numpy as np
import pytest
from reference_cases import differences, reference

from analysis_lib.richness import chao1, coverage, first_appearances

CASES = {name: case for name, case in reference("richness_recapture").items() if "abundance" in case["data"]}


@pytest.mark.parametrize("name", CASES)
def test_chao1_and_coverage_are_those_of_the_reference(name):
    case = CASES[name]
    bound, seen = chao1(case["data"]["abundance"]), coverage(case["data"]["abundance"])
    got = {"chao1_bias_corrected": bound.estimate, "coverage_good": seen.estimate, "n": bound.n}
    assert len(CASES) == 2
    assert not differences(got, case["expected"], case["tolerance"])
    assert float(seen.notes[0].split()[0]) == pytest.approx(case["expected"]["coverage_chao_jost"], rel=1e-5)
    spread = case["expected"]["se_chao1_vegan"]
    assert bound.high - bound.estimate > spread  # the log-normal interval leans to the right
    assert case["expected"]["S_obs"] < bound.low < bound.estimate


def test_names_seen_once_each_leave_the_interval_wide():
    """Five claims, five names: nothing is covered, and the number of names is not known within a factor of three."""
    bound, seen = chao1([1] * 5), coverage([1] * 5)
    assert (bound.estimate, seen.estimate) == (15.0, 0.0)
    assert bound.high > 3 * bound.low


def test_no_singletons_means_nothing_unseen():
    bound = chao1([4, 2, 2])
    assert (bound.low, bound.estimate, bound.high) == (3, 3, 3)
    assert coverage([4, 2, 2]).estimate == 1


def test_a_single_claim():
    assert chao1([1]).estimate == 1
    assert coverage([1]).estimate == 0


def test_the_bound_grows_with_every_new_singleton():
    bounds = [chao1([3, *[1] * k]).estimate for k in range(1, 8)]
    assert (np.diff(bounds) > 0).all()


def test_first_appearances_never_fall_and_end_at_the_number_of_names():
    names = list("abacabad")
    curve = first_appearances(names)
    assert curve.tolist() == [1, 2, 2, 3, 3, 3, 3, 4]
    assert first_appearances(names[:1]).tolist() == [1]
