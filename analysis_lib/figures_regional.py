"""Figures of claims on the region: daily attacks of every theatre, all pairs of theatres, the map of a frame."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from analysis_lib.coordination import FRONTS, SAMPLED, TARGETS, pairs, theatres
from analysis_lib.figures import COLOURS, _axes, _nothing
from analysis_lib.finding import number
from analysis_lib.paths import REGION
from analysis_lib.windows import Window

if TYPE_CHECKING:
    from analysis_lib.sources.bundled import Tables
    from analysis_lib.study import Study

NAMES = {  # in words, in short, marker
    "iraq": ("Iraq,\nUS sites", "Iq", "o"), "syria": ("Syria,\nUS sites", "Sy", "s"),
    "israel_long_range": ("Israel\nfrom afar", "Il", "D"), "yemen_gulf": ("Saudi Arabia,\nUAE", "SA", "^"),
    "gulf_shipping": ("Gulf\nshipping", "Gs", "v"), "red_sea": ("Red Sea", "RS", "P"),
    "israel_gaza": ("war days,\nGaza", "Gz", ""), "israel_lebanon": ("war days,\nLebanon", "Lb", ""),
}  # fmt: skip


def _scene(study: Study) -> tuple[Tables, Window]:
    """The tables as known, and the days to draw: the claim's frame, or all from 2021 on."""
    tables, sample = study.tables.as_of(study.as_of), study.now.sample
    return tables, Window(date(2021, 1, 1), tables.last_day) if sample is None else sample.frame


def theatre_series(study: Study) -> Figure:
    """Attacks a day by theatre of the target; war days over Gaza shaded, in Lebanon a bar, unwatched days grey."""
    tables, frame = _scene(study)
    known, days = theatres(tables, frame), frame.calendar()
    gaza, lebanon = (known[front][0].counts > 0 for front in FRONTS)
    plt.close(_axes(1)[0])  # for its theme
    figure, rows = plt.subplots(len(TARGETS), figsize=(8, 7), sharex=True, layout="constrained")
    for axes, name in zip(rows, TARGETS, strict=True):
        series, sampled = known[name]
        top = 1.1 * max(1, series.counts.max())
        bands = ((gaza, 0, 1, COLOURS[1], "war days over Gaza"), (~series.observed, 0, 1, "0.5", "not watched"),
                 (lebanon, 1, 1.12, COLOURS[4], "war days in Lebanon"))  # fmt: skip
        for where, low, high, colour, label in bands:
            axes.fill_between(
                days, low * top, high * top, where, step="mid", color=colour, alpha=0.4, lw=0, label=label
            )
        axes.vlines(days, 0, series.counts, color="black", lw=0.9)
        axes.set_ylim(0, 1.12 * top)
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=3)
        axes.set_ylabel(NAMES[name][0] + "\n(sample)" * sampled, rotation=0, ha="right", va="center", fontsize="small")
    rows[-1].xaxis.set_major_formatter(mdates.ConciseDateFormatter(rows[-1].xaxis.get_major_locator()))
    rows[-1].set(xlim=(frame.start, frame.end), xlabel=f"local date of the attack ({frame}); height: attacks a day")
    figure.legend(*rows[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize="x-small")
    return figure


def pair_matrix(study: Study) -> Figure:
    """Attacks in one theatre after another's over those under shifted dates, with the strongest lag; signs by year."""
    tables, frame = _scene(study)
    reach = (study.spec and study.spec.lag_days) or 3
    years = [Window(date(y, 1, 1), date(y, 12, 31)).clip(frame) for y in range(frame.start.year, frame.end.year + 1)]
    tested = {span: pairs(tables, span, reach, seed=study.seed, draws=999) for span in (frame, *years)}
    years = [span for span in years if tested[span] and span != frame]
    plt.close(_axes(1)[0])  # for its theme
    mosaic = [[frame] * max(1, len(years)), *([years] if years else [])]
    figure, cells = plt.subplot_mosaic(mosaic, figsize=(8, 4.3 + 2.2 * bool(years)), layout="constrained",
                                       height_ratios=[2, 1][: len(mosaic)])  # fmt: skip
    for span, axes in cells.items():
        big, values = span == frame, np.full((len(TARGETS), len(NAMES)), np.nan)
        for (after, before), (f, lag) in tested[span].items():
            row, column = TARGETS.index(after), list(NAMES).index(before)
            values[row, column] = shade = np.clip(np.log2(max(f.estimate, 1e-9)), -3, 3)
            star = "*" if f.p_value <= 0.05 else ""
            whole = f"{number(f.estimate)}{star}\n{lag} d{', s' * (SAMPLED in f.notes)}"
            axes.text(column, row, whole if big else ("+" if shade > 0 else "−") + star, ha="center", va="center",
                      fontsize=7.5, color="white" if abs(shade) > 2 else "black")  # fmt: skip
        image = axes.imshow(values, cmap="PuOr_r", vmin=-3, vmax=3, aspect="auto")
        labels = [name[0 if big else 1] for name in NAMES.values()]
        axes.set_xticks(range(len(NAMES)), labels, fontsize=7 if big else 6)
        axes.set_yticks(range(len(TARGETS)), labels[: len(TARGETS)], fontsize=7)
        axes.set_title(str(frame if big else span.start.year), fontsize="small")
        axes.set_facecolor("0.92")
        axes.tick_params(length=0)
    cells[frame].set(xlabel=f"on the same day or up to {reach} days after", ylabel="attacks on")
    bar = figure.colorbar(image, ax=cells[frame], ticks=[-3, -1, 0, 1, 3], label="over those\nunder shifted dates")
    bar.ax.set_yticklabels(["≤ ⅛", "½", "1", "2", "≥ 8"])
    return figure


def region_map(study: Study) -> Figure:
    """Where the attacks of the frame fell, by theatre of the target; those that the test counts have a black edge."""
    if not REGION.exists():
        return _nothing(study, "the outlines of the region are not in the data folder")
    tables, frame = _scene(study)
    rows = tables.events[(tables.events["bloc"] == "iran_aligned") & tables.events["lat"].notna()]
    rows = rows[frame.mask(rows["date"].to_numpy().astype("datetime64[D]")) & (rows["confidence"] != "low")]
    counted = [] if study.now.sample is None else study.now.sample.rows["event_id"]
    shapes = [feature["geometry"]["coordinates"] for feature in json.loads(REGION.read_text("utf-8"))["features"]]
    figure, axes = _axes(5.6)
    outlines = [polygon[0] for shape in shapes for polygon in shape]
    axes.add_collection(PolyCollection(outlines, facecolor="0.96", edgecolor="0.6", lw=0.5))
    for name, colour in zip(TARGETS, COLOURS, strict=False):
        here = rows[rows["theatre"] == name]
        sites = here.assign(used=here["event_id"].isin(counted)).groupby(["lon", "lat"])["used"].agg(["size", "sum"])
        if len(sites):
            lon, lat = np.array(sites.index.to_list(), dtype=float).T
            axes.scatter(lon, lat, 14 * np.sqrt(sites["size"]) + 8, color=colour, marker=NAMES[name][2], alpha=0.75,
                         edgecolor="black", lw=np.where(sites["sum"] > 0, 1.3, 0.0),
                         label=f"{NAMES[name][0].split(',')[0]} ({len(here)})".replace("\n", " "))  # fmt: skip
    axes.set(xlim=(30, 62), ylim=(11, 39), aspect=1.15, xlabel="degrees east", ylabel="degrees north")
    axes.set_title(f"{frame}; larger: more attacks, black edge: counted by the test", fontsize="small")
    axes.legend(loc="lower right", fontsize="x-small", framealpha=0.9)
    return figure
