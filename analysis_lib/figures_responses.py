"""Studies of what follows → matplotlib figures: before and after each response, the effect at each lag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from analysis_lib.answers import Sample, matched_days
from analysis_lib.figures import COLOURS, _axes, _nothing
from analysis_lib.series import sum_before

if TYPE_CHECKING:
    from analysis_lib.study import Study


def before_and_after(study: Study) -> Figure:
    """Attacks a day before and after each response, and at its matched peaks without one."""
    sample = study.now.sample
    if not isinstance(sample, Sample):
        return _nothing(study, "no responses are compared in this claim")
    figure, axes = _axes(1.6 + 0.34 * len(sample.responses))
    for y, ((before, _), pair) in enumerate(zip(sample.days, sample.pairs, strict=True)):
        k, peaks = max(1, before.size), matched_days(sample, y)
        total = sum_before(np.append(sample.series.counts, [0] * (k + 1)), k) / k
        drawn = [(pair / k, 0.0, COLOURS[3] if pair[1] > pair[0] else COLOURS[0], 7)]
        if peaks.size:
            drawn.append((np.array([total[peaks].mean(), total[peaks + k + 1].mean()]), 0.28, "0.6", 5))
        for (x0, x1), down, colour, size in drawn if before.size else ():
            axes.plot([x0, x1], [y + down] * 2, color=colour, lw=1.6)
            axes.plot(x0, y + down, "o", mfc="white", mec=colour, ms=size)
            axes.plot(x1, y + down, "D", color=colour, ms=size - 1)
    for label, style in {
        "before": {"marker": "o", "mfc": "white", "mec": "0.3"}, "after": {"marker": "D", "color": "0.3"},
        "rise": {"color": COLOURS[3]}, "fall, or no change": {"color": COLOURS[0]},
        "mean of its matched peaks": {"color": "0.6"},
    }.items():  # fmt: skip
        axes.plot([], [], ls="" if "marker" in style else "-", label=label, **style)
    labels = [f"{r.start} ({b.size} d)" for r, (b, _) in zip(sample.responses, sample.days, strict=True)]
    axes.set_yticks(range(len(labels)), labels, fontsize="small")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set(xlabel="attacks a day", ylabel="response (days compared on either side)", xlim=(-0.05, None))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, fontsize="x-small", frameon=False)
    return figure


def lag_profile(study: Study) -> Figure:
    """Rate ratio on each day before (lead) and after (lag) an attack, with its interval."""
    found = {f.quantity: f for f in study.now.findings if f.quantity.startswith(("lag_", "lead_")) and f.estimate}
    found.pop("lead_placebo", None)
    if not found:
        return _nothing(study)
    figure, axes = _axes(3.2)
    for name, f in found.items():
        day = int(name.rpartition("_")[2]) * (1 if name.startswith("lag") else -1)
        colour, marker = (COLOURS[3], "D") if day > 0 else ("0.5", "o")
        axes.plot([day, day], [f.low, f.high], color=colour, lw=1.6)
        axes.plot(day, f.estimate, marker, color=colour, mec="black", ms=7)
    for label, colour, marker in (("after the attack", COLOURS[3], "D"), ("before it: placebo", "0.5", "o")):
        axes.plot([], [], marker, color=colour, mec="black", label=label)
    axes.axhline(1, color="0.3", lw=1)
    axes.axvline(0, color="0.3", lw=1, ls=":")
    axes.set(xlabel="days from a militia attack", ylabel="rate of events, ratio", yscale="log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if value < 1 or value % 1 == 0 else "")
    axes.legend(fontsize="small", frameon=False)
    return figure
