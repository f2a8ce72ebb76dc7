"""Studies → matplotlib figures: colour-blind safe, units on the axes, readable in grey print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from analysis_lib.claims import ALL
from analysis_lib.events import WEAPONS
from analysis_lib.finding import number
from analysis_lib.gaps import longest_gap_p
from analysis_lib.pauses import windows_of
from analysis_lib.series import chosen_windows, select
from analysis_lib.specs import design_of
from analysis_lib.windows import Window

if TYPE_CHECKING:
    from analysis_lib.study import Study

COLOURS = sns.color_palette("colorblind")
VERDICT_STYLE = {
    "supported": (COLOURS[2], "o"),
    "contradicted": (COLOURS[3], "X"),
    "not distinguishable": (COLOURS[0], "s"),
    "not testable": ("0.55", "D"),
}


def _axes(height: float, width: float = 8.0) -> tuple[Figure, plt.Axes]:
    sns.set_theme(style="ticks", context="notebook", rc={"axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    return figure, axes


def _nothing(study: Study, why: str = "") -> Figure:
    """Where there is nothing to draw: the reason, in words."""
    figure, axes = _axes(1.2)
    axes.axis("off")
    axes.text(0, 0.5, f"Nothing to draw: {why or study.now.inferential.reason}", va="center", wrap=True)
    return figure


def timeline(study: Study, margin_days: int = 21) -> Figure:
    """Attacks on the same sites and convoys by weapon, those that the test counts filled, wars and truces shaded."""
    sample = study.now.sample
    if sample is None:
        return _nothing(study)
    shown = Window(sample.frame.shift(-margin_days).start, sample.frame.shift(margin_days).end)
    wider = {"weapons": ALL, "unit": "attack"} | ({"sites": "us_interests"} if study.spec.sites == "us_sites" else {})
    rows = select(study.tables.as_of(study.as_of).events, study.spec.model_copy(update=wider))
    rows = rows[shown.mask(rows["date"].to_numpy().astype("datetime64[D]"))]
    counted = set(sample.rows["event_id"][sample.frame.mask(sample.rows["date"].to_numpy().astype("datetime64[D]"))])
    weapons = [w for w in WEAPONS if any(w in cell.split(";") for cell in rows["weapons"].unique())] or ["none"]
    figure, axes = _axes(1.5 + 0.4 * len(weapons))
    for kind, colour, hatch in (("war", COLOURS[1], ""), ("truce", COLOURS[4], "//")):
        spec = study.spec.model_copy(update={"window_kind": kind})
        spans = [
            w.clip(shown) for w in windows_of(study.tables, spec) if study.spec.window_theatre and w.overlaps(shown)
        ]
        for i, span in enumerate(spans):
            label = f"{kind}, {study.spec.window_theatre.replace('_', ' ')}" if i == 0 else None
            axes.axvspan(span.start, span.shift(1).end, color=colour, alpha=0.18, hatch=hatch, lw=0, label=label)
    kind, where = study.spec.trigger_kind, (study.spec.trigger_theatres, study.spec.trigger_ids)
    marks = chosen_windows(study.tables.as_of(study.as_of), [kind], *where) if kind else []
    for i, mark in enumerate(w.clip(shown) for w in marks if w.overlaps(shown)):
        label = kind.replace("_", " ") if i == 0 else None
        axes.axvspan(mark.start, mark.shift(1).end, color=COLOURS[2], alpha=0.3, lw=0.8, label=label)
    if sample.window is not None:
        axes.axvspan(sample.window.start, sample.window.shift(1).end, fill=False, ec="black", lw=1.2, label="window")
    styles = (("counted, outside", COLOURS[0], "o"), ("counted, inside", COLOURS[3], "D"), ("not counted", "0.6", "|"))
    if sample.window is None:
        styles = (("counted", COLOURS[0], "o"), (None, COLOURS[3], "D"), styles[2])
    for row, weapon in enumerate(weapons):
        listed = rows[[weapon in cell.split(";") for cell in rows["weapons"]]]
        for place, (label, colour, marker) in enumerate(styles):
            pairs = zip(listed["date"], listed["event_id"], strict=True)
            dates = [day for day, event_id in pairs if _place(day, event_id, counted, sample.window) == place]
            axes.plot(dates, [row] * len(dates), marker, ms=7, color=colour, mec="black" if place < 2 else colour,
                      mew=0.6 if place < 2 else 1.6, alpha=0.9, label=label if row == 0 else None, ls="")  # fmt: skip
    axes.set_yticks(range(len(weapons)), [w.replace("_", " ") for w in weapons])
    axes.set_ylim(-0.6, len(weapons) - 0.4)
    axes.set_xlim(shown.start, shown.end)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set(xlabel=f"local date of the attack (frame {sample.frame})", ylabel="weapon")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, fontsize="x-small", frameon=False)
    return figure


def _place(day: Any, event_id: str, counted: set[str], window: Window | None) -> int:
    """0 counted outside the window, 1 counted inside it, 2 not counted by the test."""
    return 2 if event_id not in counted else int(window is not None and day.date() in window)


def gap_law(study: Study) -> Figure:
    """Probability that the longest gap of the frame is at least so long by chance, with the observed gap."""
    found = next((f for f in study.now.findings if f.quantity == "longest_gap" and f.estimate is not None), None)
    if found is None:
        return _nothing(study)
    figure, axes = _axes(3.2)
    gaps = np.linspace(1, found.exposure, 120)
    axes.plot(gaps, [longest_gap_p(found.n, g, found.exposure) for g in gaps], color=COLOURS[0], lw=2)
    axes.axvline(found.estimate, color=COLOURS[3], lw=1.5)
    p = longest_gap_p(found.n, found.estimate, found.exposure)
    axes.plot([found.estimate], [p], "o", color=COLOURS[3], mec="black")
    side = -1 if found.estimate > 0.6 * found.exposure else 1
    axes.annotate(f"observed {number(found.estimate)} days: P = {number(p)}", (found.estimate, p),
                  xytext=(8 * side, 10), textcoords="offset points", ha="left" if side > 0 else "right")  # fmt: skip
    axes.axvline(found.null_value, color="0.5", ls="--", lw=1)
    axes.annotate("expected longest", (found.null_value, 0.02), rotation=90, fontsize="small", color="0.35", ha="right")
    axes.set(xlabel=f"length of the longest gap in days ({found.n} events in {number(found.exposure)} watched days)",
             ylabel="P(longest gap ≥ length)", ylim=(0, 1.05))  # fmt: skip
    return figure


def null_distribution(study: Study) -> Figure:
    """Values of the statistic under the randomised null, with the observed one."""
    if study.now.sample is None:
        return _nothing(study)
    null = design_of(study.spec).null(study.now.sample, study.spec, study.claim.rule, study.seed)
    if null is None:
        return _nothing(study, "too few placebos for a picture; see the method of the randomisation")
    found = next(f for f in study.now.findings if f.role == "randomisation")
    whole = np.issubdtype(null.values.dtype, np.integer)
    bins = np.arange(-0.5, max(null.values.max(), null.observed) + 1.5) if whole else 40
    figure, axes = _axes(3.0)
    axes.hist(null.values, bins=bins, color=COLOURS[0], ec="white", alpha=0.85)
    axes.axvline(null.observed, color=COLOURS[3], lw=2)
    axes.annotate(f"observed: {number(float(null.observed))}\np = {number(found.p_value)}", (null.observed, 1),
                  xycoords=("data", "axes fraction"), xytext=(6, -4), textcoords="offset points", va="top")  # fmt: skip
    axes.set(xlabel=null.label, ylabel=f"placebos (of {null.values.size})")
    if whole:
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def specification_strip(study: Study) -> Figure:
    """Every registered specification: estimate, interval and verdict, sorted by estimate; the primary is marked."""
    primary = study.primary
    ratio = primary is not None and primary.null_value == 1.0
    rows = [("primary", primary, study.now.inferential.verdict)] if primary else []
    rows += [(f"{o.choice}: {o.label}", o.finding, o.verdict.verdict) for o in study.variations]
    drawn = [row for row in rows if row[1].estimate is not None]
    if not drawn:
        return _nothing(study)
    drawn.sort(key=lambda row: row[1].estimate)
    figure, axes = _axes(1.2 + 0.27 * len(drawn))
    far = min(3.0, max(1.0, *(abs(end or 0.0) for row in drawn for end in (row[1].low, row[1].estimate, row[1].high))))
    floor, ceiling = (0.01, 100.0) if ratio else (-far, far)
    for y, (_, found, verdict) in enumerate(drawn):
        colour, marker = VERDICT_STYLE[verdict]
        ends = (-np.inf if found.low is None else found.low, np.inf if found.high is None else found.high)
        low, middle, high = np.clip([ends[0], found.estimate, ends[1]], floor, ceiling)
        axes.plot([low, high], [y, y], color=colour, lw=1.4)
        axes.plot([middle], [y], marker, color=colour, mec="black", mew=0.5, ms=7)
    for verdict in dict.fromkeys(row[2] for row in drawn):
        colour, marker = VERDICT_STYLE[verdict]
        axes.plot([], [], marker, color=colour, mec="black", mew=0.5, label=verdict)
    axes.set_yticks(range(len(drawn)), [row[0] for row in drawn], fontsize="small")
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() == "primary" else "normal")
    axes.axvline(primary.null_value, color="0.4", lw=1)
    axes.axvline(study.claim.rule.sesoi, color="0.4", lw=1, ls=":")
    if ratio:
        axes.set_xscale("log")
        axes.set_xlim(floor * 0.9, ceiling * 1.1)
        axes.set_xticks([0.01, 0.1, 0.5, 1, 2, 10, 100], ["≤ 0.01", "0.1", "0.5", "1", "2", "10", "≥ 100"])
    axes.set_xlabel(f"{primary.quantity.replace('_', ' ')} (dotted: smallest effect of interest)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, fontsize="x-small", frameon=False)
    return figure


def power_curve(study: Study) -> Figure:
    """Power of the primary test over the true effect, from none to the one that the claim states and beyond."""
    sample, rule, primary = study.now.sample, study.claim.rule, study.primary
    if sample is None:
        return _nothing(study)
    falls = primary.alternative == "less"
    wanted = [e for e in (rule.claimed_effect, rule.sesoi) if e is not None]
    far = max((abs(e - primary.null_value) for e in wanted), default=1.0) * (1.0 if falls else 1.5)
    effects = np.linspace(primary.null_value, primary.null_value + (-far if falls else far), 31)
    power = design_of(study.spec).power(sample, study.spec, rule, effects)
    if power is None:
        return _nothing(study, "no power can be computed: the baseline is empty or the design has none")
    figure, axes = _axes(3.2)
    axes.plot(effects, power, color=COLOURS[0], lw=2, label=f"this design, n = {primary.n}")
    axes.axhline(0.8, color="0.6", lw=1)
    axes.axhline(rule.power, color=COLOURS[3], lw=1, ls="--", label="needed at the claimed effect")
    axes.axvline(rule.sesoi, color="0.4", lw=1, ls=":", label="smallest effect of interest")
    axes.set(
        xlabel=f"true {primary.quantity.replace('_', ' ')}",
        ylabel=f"power at α = {number(rule.alpha)}",
        ylim=(-0.02, 1.02),
    )
    axes.legend(fontsize="small", frameon=False)
    return figure
