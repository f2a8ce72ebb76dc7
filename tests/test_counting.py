"""Totals and dated statements: the verdicts of the counts claims, the equivalence test beside its definition."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from worlds import YEAR, event_rows, steady_days, write

from analysis_lib import Window, evaluate, load_tables
from analysis_lib.completeness import ONE_SIDED, overlap_p, take_sample
from analysis_lib.errors import BadInput, InputMissing


@pytest.fixture(scope="module")
def studies(tables, registry):
    """The counts claims, evaluated once."""
    return {claim.id: evaluate(claim, tables, registry) for claim in registry.claims if claim.family == "counts"}


# ---- the claims on the bundled data ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "headline", "why"),
    [
        ("count-39", "contradicted", "stated about 39, coded 18"),
        ("three-in-two-months", "supported", "drone strikes in two months: stated at least 3, coded 3"),
        ("october-2023-counts", "contradicted", "interception at the first base: stated all, coded some"),
        ("tanf-five-drones", "contradicted", "number of drones (S0): stated 1, coded 5"),
        ("mercer-street", "supported", "number of drones (S1): stated more than 1, coded 3"),
        ("israel-drone-2021", "not testable", "launch site (S1): stated SY, coded IQ|SY"),
        ("kadhimi-residence", "contradicted", "number of drones (S0): stated 1, coded 3"),
    ],
)
def test_headline_now_and_at_publication(studies, claim, headline, why):
    study = studies[claim]
    assert (study.now.headline, study.publication.headline) == (headline, headline)
    assert why in study.now.literal.reason


def test_lists_that_share_sources_cannot_show_that_a_total_is_right(studies):
    study = studies["count-39"]
    primary = study.primary
    assert study.now.inferential.verdict == study.publication.inferential.verdict == "not testable"
    assert study.now.inferential.reason == f"primary test: {ONE_SIDED}"
    assert study.now.sample.sizes == (18, 9, 9)
    assert primary.estimate == pytest.approx(18 / 39)
    assert (primary.low, primary.high) == pytest.approx((18 / 39, 24 / 39))
    assert (primary.limit_low, primary.limit_high) == (pytest.approx(18 / 39), np.inf)
    assert (primary.p_value, primary.attainable_p, primary.power) == (None, 1, 0)
    assert study.finding("overlap_if_true").p_value == pytest.approx(2 * overlap_p(18, 9, 9, 39)[1])
    assert {o.verdict.verdict for o in (*study.variations, *study.replications)} == {"not testable"}


def test_steps_of_the_running_totals(studies):
    found = studies["count-39"].finding("count_increments")
    assert found.notes == ("rows [7, 2, 2] beside steps [14, 6, 10]",)
    assert found.estimate == pytest.approx(11 / 30)


def test_the_stated_total_as_a_draw_has_a_wide_interval(studies):
    found = studies["count-39"].finding("stated_total")
    assert (found.low, found.high) == pytest.approx((27.7, 53.3), rel=2e-3)


def test_convoys_are_not_in_the_second_list(studies):
    wider = next(o for o in studies["count-39"].variations if o.choice == "sites")
    assert wider.verdict.reason == (
        "input missing: the second list holds no incident on a convoy, so what is missing of them is unknown"
    )


# ---- samples ---------------------------------------------------------------------------------------------------------


def test_what_a_sample_needs(tables, registry):
    claim = registry["count-39"]
    with pytest.raises(InputMissing, match="the count ends on 2021-06-06, after 2021-05-01"):
        take_sample(claim.spec, tables, date(2021, 5, 1))
    with pytest.raises(BadInput, match="threshold"):
        take_sample(claim.spec.model_copy(update={"threshold": None}), tables)
    with pytest.raises(InputMissing, match=r"second_coding\.csv"):
        take_sample(claim.spec, replace(tables, second_coding=None))
    with pytest.raises(InputMissing, match="no attack"):
        take_sample(claim.with_knobs({"frame_start": date(2022, 11, 1), "frame_end": date(2022, 11, 9)}), tables)


def test_without_the_second_list_the_total_is_not_testable_and_the_sentence_still_is(tables, registry):
    study = evaluate(registry["count-39"], replace(tables, second_coding=None), registry)
    assert study.now.inferential.reason.startswith("input missing: second_coding.csv")
    assert study.now.literal.verdict == study.now.headline == "contradicted"


def test_more_attacks_in_the_lists_than_the_total_allows_contradict_it(tables, registry, tmp_path):
    """90 rows, all 30 incidents among them: the limits lie above 43. A total too high could never be shown false."""
    days = steady_days(Window(date(2021, 1, 1), date(2021, 3, 31)))
    listed = load_tables(write(tmp_path, event_rows(days, lat="33.8", lon="42.4")))
    incidents = tables.second_coding[tables.second_coding["incident_id"] == "R010"]
    second = incidents.loc[incidents.index.repeat(30)].assign(date=days[::3])
    made = replace(listed, second_coding=second, counts=tables.counts)
    claim = registry["count-39"]
    study = evaluate(claim, made, registry)
    assert study.now.sample.sizes == (90, 30, 30)
    assert study.now.inferential.verdict == "contradicted"
    high = evaluate(claim, made, registry, knobs={"threshold": 400})
    assert high.now.inferential.verdict != "contradicted"
    assert YEAR.start in claim.spec.frame
