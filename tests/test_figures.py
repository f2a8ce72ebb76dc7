"""What the figures show: axes with units, one mark for each event, the p that the table has. Content, not pixels."""

from datetime import date

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from analysis_lib import evaluate, figures
from analysis_lib.finding import number
from analysis_lib.gaps import longest_gap_p

mpl.use("Agg")
FIGURES = {
    name: getattr(figures, name)
    for name in ("timeline", "gap_law", "null_distribution", "specification_strip", "power_curve")
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def study(tables, registry):
    """Studies by claim, each evaluated once."""
    done = {}

    def of(name: str):
        if name not in done:
            done[name] = evaluate(registry[name], tables, registry)
        return done[name]

    return of


def axes_of(figure):
    (axes,) = figure.axes
    return axes


def words(axes) -> str:
    legend = axes.get_legend()
    return "\n".join(t.get_text() for t in [*axes.texts, *(legend.get_texts() if legend else [])])


def dates_with(axes, markers: str) -> list[date]:
    lines = [line for line in axes.lines if line.get_marker() in tuple(markers)]
    return sorted(np.datetime64(day, "D").item() for line in lines for day in line.get_xdata())


@pytest.mark.parametrize("claim", ["pause-2021", "pause-truce-2023"])
def test_the_timeline_has_a_mark_for_each_event_counted_on_its_day(study, claim):
    """A row that lists two weapons has a mark in two lines; circles lie outside the window, diamonds inside."""
    now = study(claim).now
    rows = now.sample.rows[now.sample.frame.mask(now.sample.rows["date"].to_numpy().astype("datetime64[D]"))]
    drawn = [row.date.date() for row in rows.itertuples() for _ in row.weapons.split(";")]
    axes = axes_of(figures.timeline(study(claim)))
    assert len(rows) == study(claim).primary.n
    assert dates_with(axes, "oD") == sorted(drawn)
    assert dates_with(axes, "D") == [day for day in sorted(drawn) if day in now.sample.window]


def test_the_timeline_names_its_axes_its_wars_and_its_weapons(study):
    axes = axes_of(figures.timeline(study("pause-2021")))
    assert "date" in axes.get_xlabel()
    assert axes.get_ylabel() == "weapon"
    assert "drone" in [t.get_text() for t in axes.get_yticklabels()]
    assert "war, israel gaza" in words(axes)
    assert "window" in words(axes)


def test_the_gap_law_is_drawn_with_the_gap_observed_and_its_p(study):
    axes, found = axes_of(figures.gap_law(study("pause-2021"))), study("pause-2021").finding("longest_gap")
    x, y = axes.lines[0].get_data()
    assert y[::20] == pytest.approx([longest_gap_p(found.n, g, found.exposure) for g in x[::20]])
    assert f"observed 26 days: P = {number(found.p_value)}" in words(axes)
    assert "days" in axes.get_xlabel()
    assert axes.get_ylabel().startswith("P(")


def test_the_null_has_a_bar_for_every_placebo_window_and_the_p_of_the_table(study):
    axes, found = (
        axes_of(figures.null_distribution(study("pause-2021"))),
        study("pause-2021").finding("placebo_windows"),
    )
    assert sum(patch.get_height() for patch in axes.patches) == found.n
    assert f"p = {number(found.p_value)}" in words(axes)
    assert axes.lines[0].get_xdata()[0] == found.estimate
    assert axes.get_xlabel() == "attacks in a window of 12 days"
    assert str(found.n) in axes.get_ylabel()


@pytest.mark.parametrize("claim", ["pause-2021", "pause-truce-2023"])
def test_the_strip_has_a_line_for_every_specification_with_an_estimate(study, claim):
    outcome = study(claim)
    estimates = [outcome.primary.estimate, *(o.finding.estimate for o in outcome.variations)]
    estimates = sorted(e for e in estimates if e is not None)
    axes = axes_of(figures.specification_strip(outcome))
    labels = [t.get_text() for t in axes.get_yticklabels()]
    points = [
        line.get_xdata()[0]
        for line in axes.lines
        if line.get_marker() in ("o", "X", "s", "D") and len(line.get_xdata())
    ]
    assert len(labels) == len(estimates) == len(points)
    assert points == pytest.approx(np.clip(estimates, 0.01, 100))
    assert [t.get_text() for t in axes.get_yticklabels() if t.get_fontweight() == "bold"] == ["primary"]
    assert axes.get_xscale() == "log"
    assert "ratio" in axes.get_xlabel()
    assert outcome.now.inferential.verdict in words(axes)


def test_the_power_curve_starts_at_alpha_or_below_and_ends_at_the_power_of_the_table(study):
    outcome = study("pause-truce-2023")
    axes = axes_of(figures.power_curve(outcome))
    at = dict(zip(*(np.round(data, 9) for data in axes.lines[0].get_data()), strict=True))
    assert at[0.0] == pytest.approx(outcome.primary.power)
    assert at[1.0] <= outcome.claim.rule.alpha
    assert axes.get_ylabel() == "power at α = 0.05"
    assert "ratio" in axes.get_xlabel()


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_has_a_name(study, name):
    axes = axes_of(FIGURES[name](study("pause-2021")))
    assert axes.get_xlabel()
    assert axes.get_ylabel() or name == "specification_strip"  # there each line has its own


@pytest.mark.parametrize("name", FIGURES)
def test_without_a_sample_the_picture_says_why(tables, registry, name):
    alone = registry["pause-2021"].model_copy(update={"variations": (), "replications": (), "rivals": ()})
    early = evaluate(alone, tables, registry, as_of=date(2021, 5, 1))
    axes = axes_of(FIGURES[name](early))
    assert "Nothing to draw: not yet observed" in words(axes)
    assert not axes.lines


def test_the_curve_has_a_row_for_each_option_and_counts_every_estimate(study):
    curve = study("pause-truce-2023").curve
    top, below = figures.specification_curve(study("pause-truce-2023")).axes
    labels = [t.get_text() for t in below.get_yticklabels()]
    table = curve.table.dropna(subset="estimate")
    assert f"theatres: Iraq alone ({number(table['estimate'][table['theatres'] == 'Iraq alone'].median())})" in labels
    moved = table["window end"].str.startswith("-")
    assert f"window end: -1 to 3 days ({number(table['estimate'][moved].median())})" in labels
    assert len(labels) == sum(table[c].nunique() - 4 * table[c].str.contains("days$").any() for c in curve.choices)
    told = [t.get_text() for t in top.get_legend().get_texts()]
    for verdict, n in table["verdict"].value_counts().items():
        assert f"{verdict}: {n}" in told
    assert top.get_yscale() == "log"
    assert f"{len(table)} of {len(curve.table)}" in below.get_xlabel()


def test_a_claim_without_a_curve_says_why(study):
    top, _ = figures.specification_curve(study("mercer-street")).axes
    assert "Nothing to draw: a dated statement" in words(top)


def test_the_tipping_curve_runs_through_the_primary_p_and_alpha(study):
    now = study("pause-truce-2023")
    axes = axes_of(figures.tipping_curve(now))
    law = axes.lines[0]
    at = np.interp(np.log([1, now.finding("tipping_point").estimate]), np.log(law.get_xdata()), law.get_ydata())
    assert at == pytest.approx([now.primary.p_value, 0.05], rel=0.02)
    assert f"tipping point: {number(now.finding('tipping_point').estimate)}" in words(axes)
    assert "only claims on the rate in one window" in words(axes_of(figures.tipping_curve(study("gap-2021"))))
