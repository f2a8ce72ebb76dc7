"""Studies → matplotlib figures: the parts that all pictures share, and the pictures of every family.

Colour-blind safe, units on the axes, readable in grey print: the looks stand in `reports/templates/pictures.yml`, each
under the words that the legend has for it. A picture is a function that draws a study on axes; `picture` gives it the
theme, the legend above, and the sentence that stands where there is nothing to draw.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import yaml

from analysis_lib.claims import ALL
from analysis_lib.curve import REGISTERED
from analysis_lib.errors import plain
from analysis_lib.events import WEAPONS
from analysis_lib.finding import Finding, number
from analysis_lib.gaps import longest_gap_p
from analysis_lib.paths import TEMPLATES
from analysis_lib.rates import rate_ratio
from analysis_lib.series import chosen_windows, select
from analysis_lib.specs import design_of
from analysis_lib.study import Study
from analysis_lib.windows import Window

STYLE = yaml.safe_load((TEMPLATES / "pictures.yml").read_text("utf-8"))
LOOKS = STYLE["looks"]
RATIOS = {0.01: "≤ 0.01", 0.1: "0.1", 0.5: "0.5", 1: "1", 2: "2", 10: "10", 100: "≥ 100"}  # the marks of their axis
LONGEST = 64  # characters of a label
CUT = {True: (0.01, 100.0), False: (-3.0, 3.0)}  # where estimates are cut: ratios, others


class NothingToDraw(Exception):
    """Why there is no picture."""


def need(value: Any, why: str = "") -> Any:
    """`value` where there is one; else the picture is the sentence `why`, by default the verdict's reason."""
    if not value:
        raise NothingToDraw(why)
    return value


def picture(height: float = 3.2, rows: int = 1) -> Callable[[Callable], Callable[[Study], plt.Figure]]:
    """Make a picture, study → Figure, of a function that draws a study on axes, `rows` of them one above the other.

    A label that several marks share stands once in the legend.
    """

    def picture_of(draw: Callable[[Any, Study], None]) -> Callable[[Study], plt.Figure]:
        @wraps(draw)
        def drawn(study: Study) -> plt.Figure:
            sns.set_theme(style="ticks", palette="colorblind", rc=STYLE["theme"])
            figure, axes = plt.subplots(rows, figsize=(8, height), sharex=True, layout="constrained")
            try:
                draw(axes, study)
            except NothingToDraw as why:
                figure.set_figheight(1.2)
                for panel in figure.axes:
                    panel.axis("off")
                words = f"Nothing to draw: {str(why) or study.now.inferential.reason}"
                figure.axes[0].text(0, 0.5, words, wrap=True, parse_math=False)
            handles, labels = figure.axes[0].get_legend_handles_labels()
            if labels:
                entries = dict(zip(labels, handles, strict=True))
                figure.axes[0].legend(entries.values(), entries, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
            return figure

        del drawn.__wrapped__  # it takes a study, not axes and a study
        return drawn

    return picture_of


def lines(axes: plt.Axes, labels: list[str]) -> None:
    """A line of the picture for each label, from the top down; the picture grows with them."""
    name_lines(axes, range(len(labels)), (label.replace("_", " ") for label in labels), "small")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.figure.set_figheight(1.6 + 0.3 * len(labels))


def name_lines(axes: plt.Axes, places: Any, labels: Iterable[str], size: str) -> None:
    """Labels on the left, cut where they would leave the picture no room; a $ is a $."""
    words = [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in map(plain, labels)]
    axes.set_yticks(places, words, fontsize=size, parse_math=False)


def shade(axes: plt.Axes, spans: Iterable[Window], look: str, label: str = "") -> None:
    """Shade the days of each window."""
    for span in spans:
        axes.axvspan(span.start, span.shift(1).end, label=(label or look).replace("_", " "), **LOOKS[look])


def add_up(axes: plt.Axes, days: np.ndarray, dates: Any, look: str) -> None:
    """How many of `dates`, a Series in order, lie on or before each of `days`, datetime64[D]."""
    axes.step(days, dates.searchsorted(days, "right"), where="post", label=look, **LOOKS[look])


def note(axes: plt.Axes, words: str, x: Any, y: float) -> None:
    """Words to the left of a point and below it."""
    where = {"textcoords": "offset points", "ha": "right", "va": "top", "fontsize": "x-small", "parse_math": False}
    axes.annotate(plain(words), (x, y), (-8, -3), **where)


def held_against(line: Callable, study: Study) -> None:
    """A line, by an axes' `axvline` or `axhline`, at each value that an estimate is held against."""
    against = {"tested against": study.primary.null_value, "smallest effect of interest": study.claim.rule.sesoi}
    for look, value in against.items():
        line(value, label=f"{look}: {number(value)}", **LOOKS[look])


def intervals(axes: plt.Axes, study: Study, rows: list[tuple[str, Finding, str]]) -> None:
    """A line for each (label, finding, look): its interval and estimate, beside what it is tested against.

    Ratios are cut at 0.01 and 100, on a logarithmic scale, others at -3 and 3. Without an interval there is no line.
    """
    ratio, ends = study.primary.null_value == 1.0, np.array([[f.low, f.estimate, f.high] for _, f, _ in rows], float)
    ends = np.clip(ends, *CUT[ratio])
    lines(axes, [label for label, _, _ in rows])
    for y, ((low, middle, high), (_, found, look)) in enumerate(zip(ends, rows, strict=True)):
        axes.plot([low, high], [y, y], color=LOOKS[look]["color"])
        axes.plot(middle, y, label=look, **LOOKS[look])
        axes.get_yticklabels()[y].set_fontweight("bold" if found is study.primary else "normal")
    held_against(axes.axvline, study)
    if ratio:
        axes.set(xscale="log", xlim=(0.009, 110))
        axes.set_xticks([*RATIOS], RATIOS.values())
    axes.set_xlabel(study.primary.quantity.replace("_", " "))


@picture()
def timeline(axes: plt.Axes, study: Study) -> None:
    """Attacks on the same sites and convoys by weapon, those that the test counts filled, wars and truces shaded."""
    sample, spec, known = need(study.now.sample), study.spec, study.tables.as_of(study.as_of)
    shown = Window(sample.frame.shift(-21).start, sample.frame.shift(21).end)
    wider = {"weapons": ALL, "unit": "attack"} | ({"sites": "us_interests"} if spec.sites == "us_sites" else {})
    rows = select(known.events, spec.model_copy(update=wider))
    rows = rows[shown.mask(rows["date"])].assign(weapon=rows["weapons"].str.split(";")).explode("weapon")
    weapons = [word for word in WEAPONS if word in set(rows["weapon"])]
    lines(axes, weapons)
    where, triggers = [spec.window_theatre], (spec.trigger_kind, spec.trigger_theatres, spec.trigger_ids)
    for kind, places, ids in (("war", where, None), ("truce", where, None), triggers):
        spans = [span for span in chosen_windows(known, [kind], places, ids) if span.overlaps(shown)]
        shade(axes, spans, kind if kind in LOOKS else "trigger", ", ".join(map(str, [kind, *(places or ())])))
    shade(axes, filter(None, [sample.window]), "window")
    counted = rows["event_id"].isin(sample.rows["event_id"]) & sample.frame.mask(rows["date"])
    inside = counted & sample.window.mask(rows["date"]) if sample.window else False
    looks = np.select([~counted, inside], ["not counted", "counted, inside"], "counted")
    for look, group in rows.groupby(looks):
        axes.plot(group["date"], group["weapon"].map(weapons.index), label=look, **LOOKS[look])
    axes.set(xlim=(shown.start, shown.end), xlabel=f"local date of the attack (frame {sample.frame})", ylabel="weapon")


@picture()
def gap_law(axes: plt.Axes, study: Study) -> None:
    """Probability that the longest gap of the frame is at least so long by chance, with the observed gap."""
    found = need(next((f for f in study.now.findings if f.quantity == "longest_gap" and f.estimate is not None), None))
    gaps, p = np.linspace(1, found.exposure, 120), longest_gap_p(found.n, found.estimate, found.exposure)
    axes.plot(gaps, [longest_gap_p(found.n, gap, found.exposure) for gap in gaps], **LOOKS["law"])
    axes.axvline(found.estimate, label=f"observed {number(found.estimate)} days: P = {number(p)}", **LOOKS["observed"])
    axes.axvline(found.null_value, label=f"expected {number(found.null_value)} days", **LOOKS["expected"])
    days = f"{found.n} events in {number(found.exposure)} watched days"
    axes.set(xlabel=f"length of the longest gap in days ({days})", ylabel="P(longest gap ≥ length)", ylim=(0, 1.05))


@picture()
def null_distribution(axes: plt.Axes, study: Study) -> None:
    """Values of the statistic under the randomised null, with the observed one."""
    sample = need(study.now.sample)
    null = design_of(study.spec).null(sample, study.spec, study.claim.rule, study.seed)
    need(null, "too few placebos for a picture; see the method of the randomisation")
    p, whole = next(f.p_value for f in study.now.findings if f.role == "randomisation"), null.values.dtype.kind == "i"
    sns.histplot(null.values, bins=40, discrete=whole, color="C0", ax=axes)
    axes.axvline(null.observed, label=f"observed: {number(null.observed)}, p = {number(p)}", **LOOKS["observed"])
    axes.locator_params(axis="x", integer=whole)
    axes.set(xlabel=null.label, ylabel=f"placebos (of {null.values.size})")


@picture()
def specification_strip(axes: plt.Axes, study: Study) -> None:
    """Every registered specification: estimate, interval and verdict, sorted by estimate; the primary is bold."""
    rows = [("primary", study.primary, study.now.inferential.verdict)] if study.primary else []
    rows += [(f"{o.choice}: {o.label}", o.finding, o.verdict.verdict) for o in study.variations]
    drawn = need([row for row in rows if row[1].estimate is not None])
    intervals(axes, study, sorted(drawn, key=lambda row: row[1].estimate))


@picture(rows=2)
def specification_curve(axes: np.ndarray, study: Study) -> None:
    """Every specification of the curve in order of its estimate; below, the options that it takes, a row each.

    Below, neighbours share a column where they are many, darker where more of them take the option; in brackets the
    median estimate with it. Days by which an edge moves to one side share a row. Estimates are cut as in `intervals`.
    """
    (top, below), curve = axes, need(study.curve)
    table, ratio = curve.table.dropna(subset="estimate"), study.primary.null_value == 1.0
    size, registered = need(len(table), "no specification has an estimate"), table[[*curve.choices]] == REGISTERED
    cut = table[["low", "estimate", "high"]].clip(*CUT[ratio])
    top.vlines(table.index, cut["low"], cut["high"], color="0.8", lw=min(2.0, 400 / size))
    for verdict, n in table["verdict"].value_counts().items():  # the rare ones last, on top
        small = {"ms": 5 if size < 200 else 2.5, "mew": 0, "label": f"{verdict}: {n}"}
        top.plot(cut["estimate"].where(table["verdict"] == verdict), **LOOKS[verdict] | small)
    held_against(top.axhline, study)
    edges, rows = table.replace(r"^([+-])\d days$", r"\g<1>1 to 3 days", regex=True), {}
    for choice in curve.choices:
        for option, group in sorted(edges.groupby(choice), key=lambda pair: pair[0] != REGISTERED):
            rows[f"{choice}: {option} ({number(group['estimate'].median())})"] = table.index.isin(group.index)
    starts = np.unique(np.linspace(0, size, 200, endpoint=False, dtype=int))
    share = np.add.reduceat(np.array([*rows.values()], dtype=float), starts, axis=1)
    share /= share.max(axis=1, keepdims=True)
    below.pcolormesh(np.array([*starts, size]) - 0.5, range(len(rows) + 1), share, cmap="Greys")
    name_lines(below, np.arange(len(rows)) + 0.5, rows, "xx-small")
    below.set(ylim=(len(rows), 0), xlabel=f"specifications in order of their estimate, {size} of {len(curve.table)}")
    for panel, place in product(axes, table.index[registered.all(axis=1)]):
        panel.axvline(place, label=REGISTERED, **LOOKS["observed"])
    if ratio:
        top.set(yscale="log", ylim=(0.009, 110))
        top.set_yticks([*RATIOS], RATIOS.values(), fontsize="x-small")
    top.set_ylabel(study.primary.quantity.replace("_", " "))
    top.get_gridspec().set_height_ratios([2.4, 0.14 * len(rows)])
    top.figure.set_figheight(3.2 + 0.14 * len(rows))


@picture()
def tipping_curve(axes: plt.Axes, study: Study) -> None:
    """p of the primary over how completely the window is seen beside the baseline, with the point where it is alpha."""
    found, sample = {f.quantity: f for f in study.now.findings}.get("tipping_point"), study.now.sample
    point = need(found, "completeness beside a baseline enters only claims on the rate in one window").estimate
    seen = np.geomspace(min(0.1, need(point, found.reason) / 2), max(10, 2 * point), 301)
    x1, t1, x0, t0 = sample.series.split(sample.window)
    p = [rate_ratio(x1, t1 * times, x0, t0, found.alternative).p_value for times in seen]
    axes.plot(seen, p, **LOOKS["law"])
    axes.axhline(study.claim.rule.alpha, label=f"alpha: {number(study.claim.rule.alpha)}", **LOOKS["needed"])
    axes.axvline(1, label="as completely as the baseline", **LOOKS["tested against"])
    axes.axvline(point, label=f"tipping point: {number(point)}", **LOOKS["observed"])
    axes.set(xscale="log", yscale="log", xlim=seen[[0, -1]], ylim=(1e-4, 1.2), ylabel="primary p")
    axes.set_xlabel("completeness of the window relative to the baseline")
    axes.xaxis.set_major_formatter("{x:g}")


@picture()
def power_curve(axes: plt.Axes, study: Study) -> None:
    """Power of the primary test over the true effect, from none to the one that the claim states and beyond."""
    rule, primary, sample = study.claim.rule, study.primary, need(study.now.sample)
    far = max(abs(e - primary.null_value) for e in (rule.claimed_effect, rule.sesoi) if e is not None)
    effects = primary.null_value + far * np.linspace(0, -1 if primary.alternative == "less" else 1.5, 31)
    power = design_of(study.spec).power(sample, study.spec, rule, effects)
    need(power is not None, "no power can be computed: the baseline is empty or the design has none")
    axes.plot(effects, power, label=f"this design, n = {primary.n}", **LOOKS["law"])
    axes.axhline(0.8, **LOOKS["80 %"])
    axes.axhline(rule.power, label="needed at the claimed effect", **LOOKS["needed"])
    axes.axvline(rule.sesoi, label="smallest effect of interest", **LOOKS["smallest effect of interest"])
    axes.set(xlabel=f"true {primary.quantity.replace('_', ' ')}", ylabel=f"power at α = {number(rule.alpha)}")
    axes.set_ylim(-0.02, 1.02)
