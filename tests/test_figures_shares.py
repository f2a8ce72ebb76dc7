"""What the pictures of shares show is what the findings say."""

from collections import Counter

import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from analysis_lib import evaluate
from analysis_lib.figures_families import heavy_tail, names_of_claims, outcomes_over_time, share_intervals
from analysis_lib.outcomes import toll
from analysis_lib.tables import event_table

NAMES = ("facade-brands", "drones-deniable", "no-defence", "harassment-not-battle", "october-2023-harmless")


@pytest.fixture(scope="module")
def studies(tables, registry):
    bare = {"variations": (), "replications": (), "rivals": ()}
    return {name: evaluate(registry[name].model_copy(update=bare), tables, registry) for name in NAMES}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", NAMES[:4])
def test_bars_add_up_to_the_attacks(studies, name):
    [axes] = outcomes_over_time(studies[name]).axes
    assert sum(bar.get_height() for bar in axes.patches) == len(studies[name].now.sample.rows)


@pytest.mark.parametrize("name", NAMES[:4])
def test_every_finding_with_an_interval_has_its_line(studies, name):
    [axes] = share_intervals(studies[name]).axes
    roles = ("primary", "band_end", "robustness")
    drawn = [f for f in studies[name].now.findings if f.low is not None and f.role in roles]
    segments = {tuple(line.get_xdata()) for line in axes.lines}
    assert {(f.low, f.high) for f in drawn} <= segments
    assert len(axes.get_yticks()) == len(drawn)


def test_the_curve_of_names_ends_at_their_number(studies):
    [axes] = names_of_claims(studies["facade-brands"]).axes
    assert max(axes.lines[0].get_ydata()) == 5
    assert [note.get_text() for note in axes.texts][:2] == ["Ashab al-Kahf", "Saraya Awliya al-Dam"]


def test_the_tail_is_the_share_at_or_above_each_toll(studies):
    study = studies["harassment-not-battle"]
    [axes] = heavy_tail(study).axes
    hurt = toll(study.now.sample.rows)
    x, y = axes.lines[0].get_data()
    assert y == pytest.approx([(hurt >= value).mean() for value in x])
    assert max(x) == 50
    assert axes.texts[0].get_text().startswith("JO-20240128-01: 43 %")


@pytest.mark.parametrize("draw", [share_intervals, outcomes_over_time, names_of_claims, heavy_tail])
def test_where_there_is_nothing_to_draw_the_picture_says_why(studies, draw):
    [axes] = draw(studies["october-2023-harmless"]).axes
    assert axes.texts[0].get_text().startswith("Nothing to draw: ")


def test_the_table_of_events_shows_each_outcome_and_the_name_of_a_claim(studies):
    table = event_table(studies["facade-brands"])
    outcomes = [row[table.columns.index("outcome")] for row in table.rows]
    assert len(outcomes) == 88
    assert sorted(set(outcomes))[-1] == "yes (Saraya Awliya al-Dam)"
    words = [row[1].split()[0] for row in event_table(studies["no-defence"]).rows]
    assert Counter(words) == {"no": 2, "unknown": 5, "yes": 4}
