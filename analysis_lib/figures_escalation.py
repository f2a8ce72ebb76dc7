"""Studies of escalation → matplotlib figures: attacks added up beside a constant rate, gaps in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure
from scipy.special import bdtrik

from analysis_lib.figures import COLOURS, _axes, _nothing
from analysis_lib.trends import exponent

if TYPE_CHECKING:
    from analysis_lib.study import Study


def added_up(study: Study) -> Figure:
    """Attacks of the frame added up, with the line and 95 % band of a constant rate; drones apart from the rest."""
    sample = study.now.sample
    if sample is None or not sample.series.event_days.size:
        return _nothing(study)
    watched, total = sample.series.days[sample.series.observed], sample.series.event_days.size
    dates = sample.rows["date"].to_numpy().astype("datetime64[D]")
    counted = np.isin(dates, watched)
    drone = np.array(["drone" in cell.split(";") for cell in sample.rows["weapons"]])
    share = np.arange(1, watched.size + 1) / watched.size
    figure, axes = _axes(3.6)
    axes.fill_between(watched, *(np.ceil(bdtrik(q, total, share)) for q in (0.025, 0.975)), color="0.88", lw=0,
                      label="constant rate, middle 95 %")  # fmt: skip
    axes.plot(watched, total * share, color="0.5", lw=1)
    groups = (("all counted", counted, COLOURS[0], "-"), ("with a drone", counted & drone, COLOURS[3], "--"),
              ("without a drone", counted & ~drone, COLOURS[1], ":"))  # fmt: skip
    for label, rows, colour, line in groups if 0 < drone[counted].mean() < 1 else groups[:1]:
        axes.step(watched, np.searchsorted(dates[rows], watched, "right"), line, where="post", color=colour, lw=2,
                  label=label)  # fmt: skip
    if sample.window is not None:
        axes.axvspan(
            sample.window.start, sample.window.shift(1).end, color=COLOURS[4], alpha=0.25, lw=0, label="window"
        )
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set(xlabel=f"local date of the attack (frame {sample.frame})", ylabel="attacks so far")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize="x-small", frameon=False, loc="upper left")
    return figure


def gaps_in_order(study: Study) -> Figure:
    """Days between attack days in their order, logarithmic axes, with the progress curve and a constant rate."""
    days = np.unique(study.now.sample.series.event_days) if study.now.sample else np.empty(0)
    if days.size < 4:
        return _nothing(study, "fewer than three gaps between attack days" if study.now.sample else "")
    gaps, n = np.diff(days), np.arange(1, days.size)
    b = float(exponent(gaps)[0])
    line = np.exp(np.log(gaps).mean() + b * np.log(n).mean()) * n**-b
    figure, axes = _axes(3.4)
    axes.fill_between(n, *(np.full(n.size, -gaps.mean() * np.log1p(-q)) for q in (0.025, 0.975)), color="0.88", lw=0,
                      label="constant rate, middle 95 %")  # fmt: skip
    axes.loglog(n, gaps, "o", color=COLOURS[0], mec="black", mew=0.5, label="gap before the next attack day")
    axes.loglog(n, line, color=COLOURS[3], lw=2, label=f"progress curve, b = {b:.2f}")
    axes.set(xlabel="number of the gap", ylabel="length in days", ylim=(0.7, None))
    for axis, last in ((axes.xaxis, n[-1]), (axes.yaxis, max(gaps.max(), 4 * gaps.mean()))):
        axis.set_ticks([tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if tick <= last])
        axis.set_major_formatter("{x:.0f}")
        axis.set_minor_formatter("")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, fontsize="x-small", frameon=False)
    return figure
