"""Studies of shares → matplotlib figures: intervals and bounds, outcomes over time, names of claims, the heavy tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure

from analysis_lib.figures import COLOURS, _axes, _nothing
from analysis_lib.finding import number, percent
from analysis_lib.outcomes import toll
from analysis_lib.richness import first_appearances

if TYPE_CHECKING:
    from analysis_lib.study import Study

STYLES = {"primary": (COLOURS[3], "D"), "band_end": (COLOURS[1], "s"), "robustness": (COLOURS[0], "o")}
OUTCOMES = {1: ("yes", COLOURS[3]), 0: ("no", COLOURS[0]), -1: ("unknown", "0.8")}


def share_intervals(study: Study) -> Figure:
    """The estimate with its interval: as known, at both bounds of the unknown outcomes, by the robustness methods."""
    primary, rule = study.primary, study.claim.rule
    found = [f for f in study.now.findings if f.role in STYLES and f.low is not None][::-1]
    if not found:
        return _nothing(study)
    figure, axes = _axes(1.5 + 0.33 * len(found))
    for y, f in enumerate(found):
        colour, marker = STYLES[f.role]
        axes.plot([f.low, f.high], [y, y], color=colour, lw=2)
        axes.plot(f.estimate, y, marker, color=colour, mec="black", ms=7)
    words = {"primary": "known outcomes", "band_end": "unknown outcomes", "robustness": "robustness"}
    labels = [f"{words[f.role]}: {f.quantity.replace('_', ' ')}" for f in found]
    axes.set_yticks(range(len(found)), labels, fontsize="small")
    axes.axvline(primary.null_value, color="0.3", lw=1, label=f"tested against: {number(primary.null_value)}")
    axes.axvline(rule.sesoi, color="0.3", lw=1, ls=":", label=f"smallest effect of interest: {number(rule.sesoi)}")
    axes.set(xlabel=f"{primary.quantity.replace('_', ' ')} of attacks: {study.spec.outcome.replace('_', ' ')}")
    axes.set_xlim(-0.02 if primary.quantity == "share" else -1.02, 1.02)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize="x-small", frameon=False)
    return figure


def outcomes_over_time(study: Study) -> Figure:
    """Attacks a month (a quarter in a long frame) with the outcome, without it, and with an unknown outcome."""
    sample = study.now.sample
    if sample is None:
        return _nothing(study)
    rows, span = sample.rows, 1 if sample.frame.days <= 550 else 3
    period = (rows["date"].dt.year * 12 + rows["date"].dt.month - 1) // span
    axis = np.arange(period.min(), period.max() + 1)
    figure, axes = _axes(3.2)
    for group in range(sample.groups):
        base, width = np.zeros(axis.size), 0.8 / sample.groups
        for value, (label, colour) in OUTCOMES.items():
            mine = (rows["first"] == (group == 0)) & (rows["outcome"].fillna(-1) == value)
            height = np.bincount(period[mine] - axis[0], minlength=axis.size)
            axes.bar(axis + (group - (sample.groups - 1) / 2) * width, height, width, base, color=colour, ec="white",
                     hatch="///" * group, label=f"{'comparison, ' * group}{label}")  # fmt: skip
            base += height
    ticks = axis[:: max(1, axis.size // 12)]
    axes.set_xticks(ticks, [f"{t * span // 12}-{t * span % 12 + 1:02d}" for t in ticks], rotation=45, fontsize="small")
    axes.set(ylabel="attacks", xlabel=f"{'month' if span == 1 else 'quarter, first month'} of the attack")
    axes.legend(title=study.spec.outcome.replace("_", " "), fontsize="x-small", title_fontsize="x-small", frameon=False,
                loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)  # fmt: skip
    return figure


def names_of_claims(study: Study) -> Figure:
    """Names seen so far over time, each written where it first appears, with the lower bound for all names."""
    bound = next((f for f in study.now.findings if f.quantity == "names_at_least"), None)
    if bound is None:
        return _nothing(study, "no attack of this study was claimed under a name, or the test is not about claims")
    rows = study.now.sample.rows
    claims = [(day, name) for day, cell in zip(rows["date"], rows["claimed_by"], strict=True) if cell
              for name in cell.split(";")]  # fmt: skip
    days, names = zip(*claims, strict=True)
    seen = first_appearances(names)
    figure, axes = _axes(1.6 + 0.26 * seen[-1])
    axes.step(days, seen, where="post", color=COLOURS[0], marker="o", ms=4, label="names seen so far, a dot a claim")
    for at in np.flatnonzero(np.diff(seen, prepend=0)):
        axes.annotate(names[at], (days[at], seen[at]), xytext=(-6, 3), textcoords="offset points", ha="right",
                      fontsize="x-small")  # fmt: skip
    axes.plot([], [], " ", label=f"Chao1, a lower bound for all names: {number(bound.estimate)} ({bound.interval})")
    axes.set(xlabel="local date of the attack", ylabel="different names", ylim=(0, seen[-1] + 1))
    first, last = rows["date"].min(), rows["date"].max()
    axes.set_xlim(first - 0.25 * (last - first), last)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize="x-small", frameon=False)
    return figure


def heavy_tail(study: Study) -> Figure:
    """Share of attacks with at least so many killed and wounded, both axes logarithmic; the worst one is named."""
    hurt = toll(study.now.sample.rows) if study.now.sample else np.zeros(1)
    if not hurt.sum():
        return _nothing(study, "" if study.now.sample is None else "nobody was hurt in an attack of this study")
    values = np.unique(hurt[hurt > 0])
    figure, axes = _axes(3.2)
    above = [(hurt >= value).mean() for value in values]
    axes.loglog(values, above, "o", color=COLOURS[0], mec="black")
    worst = f"{hurt.idxmax()}: {percent(hurt.max() / hurt.sum())} of all killed and wounded"
    axes.annotate(worst, (values[-1], above[-1]), xytext=(0, 8), textcoords="offset points", ha="right")
    for axis, ticks, form in ((axes.xaxis, (1, 10, 100), "{x:g}"), (axes.yaxis, (0.01, 0.1, 1), "{x:.0%}")):
        axis.set_ticks(np.outer(ticks, (1, 2, 5)).ravel())
        axis.set_major_formatter(form)
        axis.set_minor_formatter("")
    axes.set(xlim=(0.9, values[-1] * 1.3), ylim=(0.7 / hurt.size, 1))
    axes.set(xlabel=f"killed and wounded in one attack ({hurt.size} attacks with a known toll)",
             ylabel="share of attacks with\nat least so many")  # fmt: skip
    return figure
