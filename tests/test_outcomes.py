"""Shares of attacks: how outcomes are coded, what is left out, planted truths, and the claims on the bundled data."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from worlds import YEAR, event_row, write

from analysis_lib import Finding, evaluate, judge, load_tables
from analysis_lib.claims import Rule, Spec
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.outcomes import DESIGNS, SETTLED, coded, null_of, take_sample, toll
from analysis_lib.study import judgement

HURT = {"killed": "0", "wounded": "0"}


def frame(**cells):
    return {"frame_start": YEAR.start, "frame_end": YEAR.end, "test": "share", "threshold": 0.5} | cells


@pytest.fixture
def world(tmp_path):
    """Tables of a few rows: `world({...}, {...})`, one dict of cells an attack, a day apart."""

    def make(*rows):
        days = np.arange("2021-01-05", "2022-01-01", dtype="datetime64[D]")[: len(rows)]
        cells = [
            event_row(row.get("date", str(day)), i, **row) for i, (day, row) in enumerate(zip(days, rows, strict=True))
        ]
        return load_tables(write(tmp_path / "data", cells))

    return make


# ---- coding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "cells", "outcome"),
    [
        ("any_casualty", {"killed": "0", "wounded": "0"}, 0),
        ("any_casualty", {"killed": "0", "wounded": "2"}, 1),
        ("any_casualty", {"wounded": "2"}, 1),
        ("any_casualty", {"killed": "0"}, 0.5),
        ("any_casualty", {}, 0.5),
        ("us_casualty", {"killed": "0", "wounded": "0"}, 0),
        ("us_casualty", {"killed": "0", "wounded": "4"}, 0.5),
        ("us_casualty", {"killed": "0", "wounded": "4", "us_wounded": "0"}, 0),
        ("us_casualty", {"killed": "1", "us_killed": "1"}, 1),
        ("serious_effect", {"killed": "3", "us_killed": "3"}, 1),
        ("serious_effect", {"damage": "major"}, 1),
        ("serious_effect", {"killed": "0", "damage": "minor"}, 0),
        ("serious_effect", {"killed": "0"}, 0.5),
        ("serious_effect", {"damage": "none"}, 0.5),
        ("intercepted", {"intercepted": "some"}, 1),
        ("intercepted", {"intercepted": "none"}, 0),
        ("intercepted", {"intercepted": "unknown"}, 0.5),
        ("main_bases", {"location": "Ain al-Asad air base"}, 1),
        ("main_bases", {"location": "Balad air base"}, 0),
        ("unclaimed", {}, 1),
        ("unclaimed", {"attribution": "claimed"}, 0),
        ("unclaimed", {"attribution": "claimed", "claimed_by": "Ashab al-Kahf"}, 0),
        ("no_parent_claim", {}, 1),
        ("no_parent_claim", {"attribution": "claimed"}, 0.5),
        ("no_parent_claim", {"attribution": "claimed", "claimed_by": "Ashab al-Kahf"}, 1),
        ("no_parent_claim", {"attribution": "claimed", "claimed_by": "Ashab al-Kahf;Kataib Hezbollah"}, 0),
        ("no_parent_claim", {"actor": "irgc", "attribution": "claimed", "claimed_by": "IRGC"}, None),
        ("untraced", {"attribution": "suspected"}, 1),
        ("untraced", {"attribution": "attributed"}, 0),
        ("officially_attributed", {"attribution": "suspected"}, 0),
        ("officially_attributed", {"attribution": "attributed"}, 1),
        ("officially_attributed", {"attribution": "claimed"}, None),
        ("attributed_iran_aligned", {"attribution": "suspected"}, 1),
        ("attributed_iran_aligned", {"attribution": "none"}, 0),
        ("attributed_iran_aligned", {"attribution": "attributed", "bloc": "turkey"}, 0),
        ("reached_israel", {"intercepted": "all", "launch_from": "IQ|SY"}, 0),
        ("reached_israel", {"intercepted": "some", "launch_from": "IQ"}, 1),
        ("reached_israel", {"wounded": "1", "launch_from": "IQ"}, 1),
        ("reached_israel", {"intercepted": "all", "launch_from": "YE"}, None),
    ],
)
def test_an_outcome_word_means(world, word, cells, outcome):
    """1 yes, 0 no, ½ unknown, None: the word does not concern the row. A blank is never read as none."""
    rows = coded(world(cells).events, word)
    assert rows["outcome"].tolist() == ([] if outcome is None else [outcome])


def test_unknown_words_and_missing_knobs_say_what_to_do(world):
    tables = world(HURT)
    for cells, words in (
        ({"outcome": "casualty"}, "any_casualty"),
        ({"outcome": None}, "set outcome"),
        ({"outcome": "intercepted", "threshold": None}, "set threshold"),
        ({"outcome": "intercepted", "test": "share_difference"}, "set against"),
        ({"outcome": "unclaimed", "weapons": ["mortar"]}, "widen"),
    ):
        with pytest.raises(BadInput, match=words):
            take_sample(Spec(**frame(**cells)), tables)
    with pytest.raises(InputMissing, match="known outcome"):
        take_sample(Spec(**frame(outcome="intercepted")), tables)
    with pytest.raises(InputMissing, match="not yet observed"):
        take_sample(Spec(**frame(outcome="any_casualty")), tables, date(2020, 12, 31))


def test_a_claim_may_still_come_for_thirty_days(world):
    tables = world({"date": "2021-03-01"}, {"date": "2021-03-20"})
    spec = Spec(**frame(outcome="unclaimed"))
    settled = date(2021, 3, 1) + SETTLED
    assert take_sample(spec, tables, settled).labels == ["yes", "unknown"]
    assert take_sample(spec, tables).labels == ["yes", "yes"]
    with pytest.raises(InputMissing):
        take_sample(spec, tables, date(2021, 3, 25))
    assert take_sample(Spec(**frame(outcome="main_bases")), tables, date(2021, 3, 25)).labels == ["no", "no"]


def test_unknown_outcomes_are_left_out_or_set(world):
    tables = world({"intercepted": "all"}, {"intercepted": "unknown"}, {"intercepted": "none"})
    counts = {
        word: take_sample(Spec(**frame(outcome="intercepted", missing_as=word)), tables).counts()
        for word in ("left_out", "no", "yes")
    }
    assert counts == {"left_out": (1, 2), "no": (1, 3), "yes": (2, 3)}


def test_a_day_has_the_outcome_if_any_of_its_attacks_has(world):
    same = {"date": "2021-03-01"}
    rows = [same | {"intercepted": word, "location": place}
            for word, place in (("none", "A"), ("unknown", "A"), ("all", "B"), ("none", "B"))]  # fmt: skip
    tables = world(*rows)
    by = {
        unit: take_sample(Spec(**frame(outcome="intercepted", unit=unit)), tables)
        for unit in ("site_night", "attack_day")
    }
    assert by["site_night"].labels == ["unknown", "yes"]
    assert by["attack_day"].labels == ["yes"]


def test_a_row_of_both_groups_is_left_out_of_a_comparison(world):
    tables = world({"weapons": "drone"}, {"weapons": "rocket"}, {"weapons": "drone;rocket"})
    spec = Spec(
        **frame(test="share_difference", outcome="unclaimed", weapons=["drone"], against={"weapons": ["rocket"]})
    )
    sample = take_sample(spec, tables)
    assert sample.counts() == (1, 1, 1, 1)
    assert sample.rows["first"].tolist() == [True, False]


def test_the_toll_counts_what_is_known(world):
    events = world({"killed": "1"}, {"killed": "0", "wounded": "3"}, {}).events
    assert toll(events).tolist() == [1, 3]


# ---- the rule --------------------------------------------------------------------------------------------------------


RULE = Rule(form="equivalence", direction="greater", sesoi=0.15, claimed_effect=0.0)


def judged(registry, tables, rule=RULE, **cells):
    spec = Spec(**frame(threshold=0.0, outcome="intercepted") | cells)
    claim = registry["no-defence"].model_copy(update={"rule": rule, "spec": spec, "facts": ()})
    return judgement(claim, spec, tables, None, 1)


def attacks(**numbers):
    return [{"intercepted": word} for word, number in numbers.items() for _ in range(number)]


@pytest.mark.parametrize(
    ("numbers", "verdict", "step"),
    [
        ({"none": 19}, "supported", 4),
        ({"none": 18}, "not testable", 1),
        ({"none": 28, "all": 2}, "not distinguishable", 6),
        ({"none": 3, "all": 4}, "contradicted", 5),  # too few to support, enough to contradict
        ({"none": 40, "all": 25}, "contradicted", 5),
        ({"none": 40, "unknown": 1}, "supported", 4),
        ({"none": 40, "unknown": 30}, "not distinguishable", 6),  # the unknown ones decide
        ({"all": 8, "unknown": 40}, "not distinguishable", 6),
    ],
)
def test_equivalence_of_a_share_stays_below_its_margin(registry, world, numbers, verdict, step):
    found = judged(registry, world(*attacks(**numbers))).inferential
    assert (found.verdict, found.step) == (verdict, step)
    if numbers.get("unknown", 0) > 1:
        assert "unknown outcomes counted so that the estimate is" in found.reason


def test_equivalence_is_tested_against_its_margin(registry, world):
    primary, randomisation, *_ = judged(registry, world(*attacks(none=30))).findings
    assert null_of(Spec(**frame(threshold=0.1)), RULE) == (0.25, "less")
    assert (primary.null_value, primary.alternative, primary.power) == (0.15, "less", 1.0)
    assert primary.p_value == primary.attainable_p == pytest.approx(0.85**30)
    assert randomisation.p_value == pytest.approx(0.85**30)


def test_a_difference_of_shares_has_no_equivalence_form(registry, world):
    tables = world({"weapons": "drone"}, {"weapons": "rocket"})
    cells = {"test": "share_difference", "outcome": "unclaimed", "against": {"weapons": ["rocket"]}}
    with pytest.raises(BadInput, match="equivalence"):
        evaluate(registry["no-defence"], tables, registry, knobs=frame(**cells))


def test_equivalence_contradicts_before_it_asks_for_power_and_attainable_p(registry):
    """An effect beyond the margin has been found, whatever the design could have shown on the other side."""
    primary = Finding("share", "exact", role="primary", estimate=0.7, p_value=0.99, attainable_p=0.4, power=0.0,
                      null_value=0.15, alternative="less", limit_low=0.3, limit_high=0.9)  # fmt: skip
    claim = registry["no-defence"].model_copy(update={"rule": RULE})
    other = replace(primary, role="randomisation")
    assert judge(claim, [primary, other]).verdict == "contradicted"
    assert judge(claim, [replace(primary, limit_low=0.1), other]).step == 1
    within = replace(primary, limit_low=0.0, limit_high=0.1, attainable_p=0.01)
    assert judge(claim, [within, replace(other, attainable_p=0.01)]).step == 3


MOST = Rule(direction="greater", sesoi=0.65, claimed_effect=0.8,
            robustness=("jeffreys", "day_clusters", "cluster_bootstrap", "stratified"))  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({"all": 45, "none": 5}, "supported"),
        ({"all": 25, "none": 25}, "contradicted"),
        ({"all": 5, "none": 45}, "contradicted"),
        ({"all": 26, "none": 16}, "not distinguishable"),
        ({"all": 4}, "not testable"),
        ({"all": 45, "none": 5, "unknown": 60}, "not distinguishable"),
    ],
)
def test_planted_shares_get_the_verdict_that_is_true(registry, world, numbers, verdict):
    rows = attacks(**numbers)
    np.random.default_rng(4).shuffle(rows)
    assert judged(registry, world(*rows), MOST, threshold=0.5).inferential.verdict == verdict


def test_salvos_of_one_day_are_no_evidence_as_attacks(registry, world):
    """Forty intercepted drones on three days: days are drawn, and three days cannot reach 5 %."""
    rows = [{"date": f"2021-03-{1 + i % 3:02d}", "intercepted": "all"} for i in range(40)]
    found = judged(registry, world(*rows), MOST, threshold=0.5)
    assert (found.inferential.verdict, found.inferential.step) == ("not testable", 1)
    assert found.findings[0].p_value < 1e-10


def test_weapons_that_differ_and_weapons_that_do_not(registry, world):
    rule = Rule(
        direction="greater", sesoi=0.15, claimed_effect=0.5, robustness=tuple(DESIGNS["share_difference"].robustness)
    )
    claimed = {"attribution": "claimed", "claimed_by": "Ashab al-Kahf"}
    cells = {
        "test": "share_difference",
        "outcome": "unclaimed",
        "weapons": ["drone"],
        "against": {"weapons": ["rocket"]},
    }

    def verdict(drones, rockets):
        rows = [{"weapons": weapon} | (claimed if i % 10 >= tenths else {})
                for i in range(40) for weapon, tenths in (("drone", drones), ("rocket", rockets))]  # fmt: skip
        return judged(registry, world(*rows), rule, **cells).inferential.verdict

    assert verdict(9, 2) == "supported"
    assert verdict(5, 5) == "not distinguishable"
    assert verdict(2, 9) == "contradicted"


@pytest.mark.parametrize(
    ("new", "known", "verdict"),
    [(8, 0, "supported"), (0, 0, "not distinguishable"), (2, 0, "not distinguishable"), (3, 3, "not distinguishable")],
)
def test_silence_alone_is_no_facade(registry, world, new, known, verdict):
    rows = [{}] * 60 + [{"attribution": "claimed", "claimed_by": "Ashab al-Kahf"}] * new
    rows += [{"attribution": "claimed", "claimed_by": "Kataib Hezbollah"}] * known
    found = judged(registry, world(*rows), MOST, outcome="no_parent_claim", threshold=0.5).inferential
    assert found.verdict == verdict
    assert ("silence" in found.reason) == (verdict != "supported")


def test_a_list_of_one_side_cannot_show_who_is_blamed(registry, world):
    blamed = [{"attribution": "attributed"}] * 40
    one_sided = judged(registry, world(*blamed), MOST, outcome="attributed_iran_aligned", threshold=0.5)
    assert one_sided.inferential.verdict == "not distinguishable"
    assert "100 % of which is Iran-aligned" in one_sided.inferential.reason
    others = [{"bloc": "turkey", "theatre": "syria", "country": "SY"}] * 60
    mixed = judged(registry, world(*blamed, *others), MOST, outcome="attributed_iran_aligned", threshold=0.5)
    assert mixed.inferential.verdict == "supported"


def test_without_one_attack_the_p_is_that_of_the_rest(registry, world):
    rows = attacks(all=14, none=6)
    found = {f.role: f for f in judged(registry, world(*rows), MOST, threshold=0.5).findings}
    rest = [
        judged(registry, world(*rows[:i], *rows[i + 1 :]), MOST, threshold=0.5).findings[0].p_value for i in (0, -1)
    ]
    assert found["leave_one_out"].p_value == pytest.approx(max(rest))
    assert found["date_shift"].p_value == found["primary"].p_value


def test_only_dates_at_the_edge_of_the_frame_could_move_out(registry, world):
    rows = [{"date": day, "date_precision": "pm1", "intercepted": "all"} for day in ("2021-01-01", "2021-05-05")]
    found = judged(registry, world(*rows), MOST, threshold=0.5)
    [shift] = [f for f in found.findings if f.role == "date_shift"]
    assert shift.notes[0].startswith("1 attacks may lie outside")


# ---- the claims on the bundled data ----------------------------------------------------------------------------------

CLAIMS = {
    "facade-brands": ("supported", "every condition", "not distinguishable", "silence"),
    "drones-deniable": ("not testable", "smallest p that this design can reach is 0.169", "not testable", "0.333"),
    "iran-linked-pattern": ("not distinguishable", "the making of the list", "not distinguishable", "the making"),
    "rare-casualties": ("not testable", "power at the effect that the claim states is 0.184", "not testable", "0.15"),
    "no-us-casualties": ("not testable", "smallest p that this design can reach is 0.0874", "not testable", "0.0874"),
    "no-defence": ("not distinguishable", "5 unknown outcomes", "not testable", "0.85"),
    "two-bases": ("contradicted", "excludes the smallest effect of interest", "contradicted", "limit, 0.58"),
    "october-2023-harmless": ("not testable", "dated statement", "not testable", "dated statement"),
    "harassment-not-battle": ("not distinguishable", "limits cross the margin", "not testable", "0.722"),
}
HEADLINES = {"no-us-casualties": "contradicted", "october-2023-harmless": "contradicted"}


@pytest.fixture(scope="module")
def studies(tables, registry):
    return {name: evaluate(registry[name], tables, registry) for name in CLAIMS}


@pytest.mark.parametrize("name", CLAIMS)
def test_verdicts_now_and_as_of_publication(studies, name):
    verdict, why, then, why_then = CLAIMS[name]
    now, publication = studies[name].now, studies[name].publication
    assert (now.inferential.verdict, publication.inferential.verdict) == (verdict, then)
    assert why in now.inferential.reason
    assert why_then in publication.inferential.reason
    assert now.headline == HEADLINES.get(name, verdict)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("facade-brands", (88, 88)),
        ("drones-deniable", (20, 21, 36, 39)),
        ("rare-casualties", (7, 33)),
        ("no-us-casualties", (2, 15)),
        ("no-defence", (4, 6)),
        ("two-bases", (12, 33)),
        ("harassment-not-battle", (3, 49)),
    ],
)
def test_counts_behind_the_shares(studies, name, counts):
    assert studies[name].now.sample.counts() == counts


def test_injuries_were_reported_a_week_after_the_text(studies):
    """The text and the first reports had none; the official number became public on 24 October 2023."""
    study = studies["october-2023-harmless"]
    wounded = study.now.facts[0]
    assert (wounded.fact.stated, wounded.coded, wounded.agrees) == (0, 4, False)
    assert study.publication.facts[0].reason == "public only from 2023-10-24"
    assert study.publication.headline == "not testable"


def test_one_attack_carries_much_of_the_toll(studies):
    worst = studies["harassment-not-battle"].finding("largest_of_total")
    assert worst.estimate == pytest.approx(50 / 117)
    assert "JO-20240128-01" in worst.notes[0]


def test_five_claims_bear_five_names(studies):
    names = studies["facade-brands"].finding("names_at_least")
    assert (names.n, names.estimate) == (5, 15.0)
    assert studies["facade-brands"].finding("coverage").estimate == 0


def test_the_openly_claimed_campaign_turns_the_difference_round(studies):
    [campaign] = studies["drones-deniable"].replications
    assert campaign.verdict.verdict == "contradicted"
    assert campaign.finding.high < 0


def test_bounds_come_with_every_unknown_outcome_and_only_then(studies):
    for name, study in studies.items():
        ends = [f for f in study.now.findings if f.role == "band_end"]
        unknown = study.now.sample is not None and study.now.sample.rows["outcome"].isna().any()
        assert len(ends) == (2 if unknown else 0), name
        if ends:
            assert ends[0].estimate <= study.primary.estimate <= ends[1].estimate


def test_every_primary_says_all_that_a_reader_needs(studies):
    needed = (
        "estimate",
        "low",
        "high",
        "p_value",
        "p_two_sided",
        "attainable_p",
        "power",
        "limit_low",
        "limit_high",
        "n",
    )
    for name, study in studies.items():
        if study.spec is not None:
            assert [field for field in needed if getattr(study.primary, field) is None] == [], name
