"""Hawkes processes: reference cases, the recursion against its definition, fits of simulated truths."""

import numpy as np
import pytest
from reference_cases import differences, reference

from analysis_lib.hawkes import cross_excitation, excitement, fit, log_likelihood, parts, simulate

CASES = reference("events")


def test_the_univariate_reference_case():
    case = CASES["sh-hawkes"]
    d = case["data"]
    t, theta = np.array(d["t"], dtype=float), np.array([d["mu"], d["alpha"]])
    rate, past = parts(t, [t], d["beta"])
    _, end = parts(np.array([float(d["T"])]), [t], d["beta"])
    got = {
        "loglik": log_likelihood(t, [t], d["T"], theta, d["beta"]), "intensity_at_events": rate @ theta,
        "compensator_T": end[0] @ theta, "compensator_at_events": past @ theta, "branching": d["alpha"] / d["beta"],
    }  # fmt: skip
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_the_bivariate_reference_case():
    case = CASES["sh-hawkes-bivariate"]
    d = case["data"]
    series = [np.array(d["t1"], dtype=float), np.array(d["t2"], dtype=float)]
    each = [
        log_likelihood(t, series, d["T"], np.array([mu, *alpha]), d["beta"])
        for t, mu, alpha in zip(series, d["mu"], d["alpha"], strict=True)
    ]
    got = {"loglik": sum(each), "loglik_by_component": each}
    assert differences(got, case["expected"], case["tolerance"]) == []


@pytest.mark.parametrize("beta", [0.05, 1.0, 8.0])
def test_the_recursion_is_the_sum_over_all_pairs(beta):
    rng = np.random.default_rng(1)
    at, source = np.sort(rng.uniform(0, 50, 40)), np.sort(rng.uniform(0, 50, 30))
    behind = np.subtract.outer(at, source)
    expected = np.where(behind > 0, np.exp(-beta * np.maximum(behind, 0)), 0).sum(axis=1)
    assert excitement(at, source, beta) == pytest.approx(expected)
    assert excitement(at, source[:0], beta).tolist() == [0.0] * 40


def test_a_long_history_does_not_overflow():
    source = np.arange(0, 5000, 0.5)
    assert excitement(np.array([5000.0]), source, 4.0)[0] == pytest.approx(np.exp(-2) / (1 - np.exp(-2)))


def test_simulated_rate_and_fit_are_those_of_the_truth():
    rng = np.random.default_rng(2)
    alpha = np.array([[0.4, 0.3], [0.0, 0.2]])
    a, b = simulate(np.array([0.05, 0.1]), alpha, 1.0, 20_000, rng)
    rate = np.linalg.solve(np.eye(2) - alpha, [0.05, 0.1])  # of a stationary process
    assert [a.size / 20_000, b.size / 20_000] == pytest.approx(rate, rel=0.1)
    assert np.all(np.diff(a) >= 0)
    theta, ll = fit(a, [a, b], 20_000, 1.0)
    assert theta == pytest.approx([0.05, 0.4, 0.3], abs=0.05)
    assert ll == pytest.approx(log_likelihood(a, [a, b], 20_000, theta, 1.0))
    assert ll > log_likelihood(a, [a, b], 20_000, np.array([0.05, 0.4, 0.3]), 1.0)
    rates, total = parts(a, [a, b], 1.0)[0], parts(np.array([20_000.0]), [a, b], 1.0)[1][0]
    assert (1 / (rates @ theta)) @ rates == pytest.approx(total, rel=1e-3)  # the score is 0 at the maximum


@pytest.mark.parametrize(("cross", "linked"), [(0.0, False), (0.4, True)])
def test_cross_excitation_finds_what_is_there(cross, linked):
    alpha = np.array([[0.3, cross], [0.0, 0.0]])
    a, b = simulate(np.array([0.05, 0.15]), alpha, 1.0, 1000, np.random.default_rng(5))
    found = cross_excitation(a, b, 1000, seed=1, draws=99)
    assert (found.p_value == 0.01) is linked
    assert found.p_value >= 1 / (1 + found.draws)
    assert found.estimate == pytest.approx(cross, abs=0.15)
    assert found == cross_excitation(a, b, 1000, seed=1, draws=99)
    fits = float(found.notes[1].split()[-1])
    assert fits > 0.05  # the right model passes the test of its residuals


def test_a_wrong_model_fails_the_test_of_residuals():
    """A rate that jumps from one event a month to three a day is no process with one constant background."""
    rng = np.random.default_rng(3)
    bursts = np.sort(np.concatenate([rng.uniform(0, 900, 30), rng.uniform(900, 1000, 300)]))
    found = cross_excitation(np.unique(np.round(bursts, 1)) + 0.01, np.arange(5.0, 1000, 40), 1000, seed=1, draws=19)
    assert float(found.notes[1].split()[-1]) < 0.05


@pytest.mark.parametrize(("n", "m", "why"), [(9, 20, "fewer than 10 events"), (20, 0, "no event")])
def test_too_few_events_are_said(n, m, why):
    found = cross_excitation(np.arange(n) + 0.5, np.arange(m) + 0.2, 100, seed=1)
    assert (found.p_value, why in found.reason) == (None, True)
