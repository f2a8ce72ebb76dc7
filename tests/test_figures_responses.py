"""Pictures of answers: what is drawn is what the findings say; without a sample there is a sentence."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from analysis_lib import evaluate
from analysis_lib.figures_families import before_and_after, lag_profile
from analysis_lib.finding import Finding


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def words(figure):
    return " ".join(text.get_text() for text in figure.axes[0].texts)


def test_each_response_has_its_row_and_its_rates(registry, tables):
    study = evaluate(registry["passivity"], tables, registry)
    axes = before_and_after(study).axes[0]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels[:2] == ["2021-02-25 (14 d)", "2021-06-27 (14 d)"]
    assert len(labels) == len(study.now.sample.responses)
    drawn = {(round(float(line.get_ydata()[0])), tuple(line.get_xdata())) for line in axes.lines[:4]}
    assert (0, (3 / 14, 1 / 14)) in drawn


@pytest.mark.parametrize("claim", ["truce-2020", "arrests-reversed"])
def test_a_claim_without_responses_has_a_sentence(registry, tables, claim):
    study = evaluate(registry[claim], tables, registry)
    assert "no responses are compared" in words(before_and_after(study))
    assert "Nothing to draw" in words(lag_profile(study))


def test_lags_lie_after_the_attack_and_leads_before_it(registry, tables):
    study = evaluate(registry["isis-distraction"], tables, registry)
    assert "input missing" in words(lag_profile(study))
    found = tuple(
        Finding(name, "", estimate=value, low=value / 2, high=value * 2)
        for name, value in (("lag_2", 1.5), ("lead_1", 0.9), ("lead_placebo", 1.7))
    )
    axes = lag_profile(replace(study, now=replace(study.now, findings=found))).axes[0]
    points = {tuple(np.ravel(line.get_xydata())) for line in axes.lines if line.get_marker() in "Do"}
    assert {(2.0, 1.5), (-1.0, 0.9)} <= points
    assert not any(1.7 in point for point in points)
