"""Pictures of counting: running totals beside the list, and all theatres on one line of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure

from analysis_lib.figures import COLOURS, _axes, _nothing
from analysis_lib.series import select

if TYPE_CHECKING:
    from analysis_lib.sources.bundled import Tables
    from analysis_lib.study import Study

LINES = {"us_sites": ("US sites", "-"), "us_interests": ("US sites and coalition convoys", "--")}
ROWS = {"drone": (COLOURS[0], 0.26), "rocket": (COLOURS[1], 0.0), "other weapon": ("0.35", -0.26)}


def running_totals(study: Study) -> Figure:
    """The list added up over the frame, beside the running totals that start with it and the total that is claimed."""
    sample, spec = study.now.sample, study.spec
    if sample is None or spec.threshold is None:
        return _nothing(study, "the claim states no running total that could be followed over time")
    figure, axes = _axes(4.0)
    first, last = (np.datetime64(day) for day in (spec.frame_start, spec.frame_end))
    for (sites, (label, line)), colour in zip(LINES.items(), COLOURS, strict=False):
        rows = select(study.tables.as_of(study.as_of).events, spec.model_copy(update={"sites": sites}))
        dates = rows["date"][rows["date"].between(first, last)]
        counts = [0, *range(1, len(dates) + 1), len(dates)]
        axes.step([first, *dates, last], counts, line, where="post", color=colour, lw=2, label=f"list, {label}")
    totals = sample.counts.query("scope in @spec.theatres and kind == 'cumulative' and weapon in ('any', 'rocket')")
    totals = totals[(totals["period_start"] == first) & (totals["as_of"] <= last)]
    below = {"xytext": (-8, -3), "textcoords": "offset points", "fontsize": "x-small", "ha": "right", "va": "top"}
    for weapon, marker, colour, label in (("any", "o", COLOURS[3], "all attacks"), ("rocket", "^", "white", "rockets")):
        told = totals[totals["weapon"] == weapon].groupby(["as_of", "count"])["issuer"].agg(", ".join).reset_index()
        axes.plot(told["as_of"], told["count"].astype(float), marker, color=colour, mec="black", ms=8, ls="",
                  label=f"running total, {label}")  # fmt: skip
        for day, count, issuers in zip(*(told[name] for name in ("as_of", "count", "issuer")), strict=True):
            axes.annotate(issuers, (day, count), **below)
    axes.axhline(spec.threshold, color="0.4", lw=1, ls=":", label=f"claimed, {spec.threshold:g}")
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set(xlabel="local date", ylabel=f"attacks since {first}")
    axes.legend(fontsize="x-small", frameon=False, loc="upper left")
    return figure


def theatres(tables: Tables) -> Figure:
    """Every attack by theatre and weapon, low confidence left out; grey days were watched, hatched ones sampled."""
    events = tables.events[tables.events["confidence"] != "low"]
    weapon = [next((w for w in ROWS if w in cell.split(";")), "other weapon") for cell in events["weapons"]]
    names = list(dict.fromkeys(events["theatre"]))
    figure, axes = _axes(1.2 + 0.55 * len(names), 9.0)
    for span in () if tables.coverage is None else tables.coverage.itertuples():
        y, sample = names.index(span.theatre) if span.theatre in names else np.nan, span.level == "sample"
        axes.fill_between([span.start, span.end], y - 0.42, y + 0.42, facecolor="none" if sample else "0.9",
                          edgecolor="0.75", hatch="////" if sample else "", lw=0)  # fmt: skip
    for name, (colour, offset) in ROWS.items():
        rows = events[np.array(weapon) == name]
        axes.plot(rows["date"], rows["theatre"].map(names.index) + offset, "|", color=colour, ms=8, mew=0.9, label=name)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set(xlabel="local date (grey: watched, hatched: sample only)", ylabel="theatre of the target")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, fontsize="small", frameon=False, markerscale=1.5)
    return figure
