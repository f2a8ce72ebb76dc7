"""Pictures of single families: attacks added up, gaps in order, theatres, pairs, the map, answers, shares, totals."""

import json
import re
from datetime import date

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.pyplot import Axes
from scipy.stats import binom

from analysis_lib.answers import Sample, matched_days
from analysis_lib.coordination import FRONTS, SAMPLED, TARGETS, pairs, theatres
from analysis_lib.figures import LOOKS, STYLE, add_up, intervals, lines, need, note, picture, shade
from analysis_lib.finding import number, percent
from analysis_lib.outcomes import toll
from analysis_lib.paths import REGION
from analysis_lib.richness import first_appearances
from analysis_lib.series import select, sum_before
from analysis_lib.sources.bundled import Tables
from analysis_lib.study import Study
from analysis_lib.windows import Window

NAMES = STYLE["theatres"]
SHARES = {"primary": "known outcomes", "band_end": "unknown outcomes", "robustness": "another method"}  # role → look


@picture(3.6)
def added_up(axes: Axes, study: Study) -> None:
    """Attacks of the frame added up, with the line and 95 % band of a constant rate; drones apart from the rest."""
    sample = need(study.now.sample)
    days, total = sample.series.days[sample.series.observed], need(sample.series.event_days.size)
    share = np.arange(1, days.size + 1) / days.size
    axes.fill_between(days, *binom.ppf([[0.025], [0.975]], total, share), **LOOKS["constant rate"])
    axes.plot(days, total * share, **LOOKS["expected"])
    rows = sample.rows[sample.rows["date"].isin(days)]
    drone = np.array(["drone" in cell.split(";") for cell in rows["weapons"]])
    add_up(axes, days, rows["date"], "all counted")
    if 0 < drone.mean() < 1:
        add_up(axes, days, rows["date"][drone], "with a drone")
        add_up(axes, days, rows["date"][~drone], "without a drone")
    shade(axes, filter(None, [sample.window]), "window")
    axes.set(xlabel=f"local date of the attack (frame {sample.frame})", ylabel="attacks so far")


@picture(3.4)
def gaps_in_order(axes: Axes, study: Study) -> None:
    """Days between attack days in their order, logarithmic axes, with the progress curve and a constant rate."""
    days = np.unique(need(study.now.sample).series.event_days)
    need(days.size > 3, "fewer than three gaps between attack days")
    gaps, n = np.diff(days), np.arange(1, days.size)
    slope, level = np.polyfit(np.log(n), np.log(gaps), 1)
    axes.axhspan(*-gaps.mean() * np.log([0.975, 0.025]), **LOOKS["constant rate"])
    axes.loglog(n, gaps, label="gap before the next attack day", **LOOKS["counted"])
    axes.loglog(n, np.exp(level) * n**slope, label=f"progress curve, b = {-slope:.2f}", **LOOKS["fitted"])
    axes.set(xlabel="number of the gap", ylabel="length in days", ylim=(0.7, None))


def scene(study: Study) -> tuple[Tables, Window]:
    """The tables as known, and the days to draw: the claim's frame, or all from 2021 on."""
    tables, sample = study.tables.as_of(study.as_of), study.now.sample
    return tables, Window(date(2021, 1, 1), tables.last_day) if sample is None else sample.frame


@picture(7.0, rows=len(TARGETS))
def theatre_series(grid: np.ndarray, study: Study) -> None:
    """Attacks a day by theatre of the target; war days over Gaza shaded, in Lebanon a bar, unwatched days grey."""
    tables, frame = scene(study)
    known, days = theatres(tables, frame), frame.calendar()
    gaza, lebanon = (known[front][0].counts > 0 for front in FRONTS)
    for axes, name in zip(grid, TARGETS, strict=True):
        series, sampled = known[name]
        spans = {"war days over Gaza": gaza, "war days in Lebanon": lebanon, "not watched": ~series.observed}
        for look, where in spans.items():
            foot, whole = 0.9 * (where is lebanon), axes.get_xaxis_transform()  # 0 is the foot, 1 the top
            axes.fill_between(days, foot, 1, where, step="mid", transform=whole, label=look, **LOOKS[look])
        axes.vlines(days, 0, series.counts, color="black", lw=0.9)
        axes.locator_params(axis="y", integer=True, nbins=3)
        axes.set(ylim=(0, 1.25 * max(1, series.counts.max())), xlim=(frame.start, frame.end))
        axes.set_ylabel(NAMES[name] + "\n(sample)" * sampled, rotation=0, ha="right", va="center", fontsize="small")
    axes.set_xlabel(f"local date of the attack ({frame}); height: attacks a day", loc="left")


@picture(5.4)
def pair_matrix(axes: Axes, study: Study) -> None:
    """Rate in one theatre after another's attacks over that on other days, with the strongest lag; signs by year."""
    tables, frame = scene(study)
    reach, years = (study.spec and study.spec.lag_days) or 3, range(frame.start.year, frame.end.year + 1)
    spans = [frame, *(Window(date(year, 1, 1), date(year, 12, 31)).clip(frame) for year in years)]
    whole, *tested = (pairs(tables, span, reach, seed=study.seed, draws=999) for span in spans)
    need(whole, "no two theatres have enough attacks and watched days in common in this frame")
    ratios, words = (pd.DataFrame(index=TARGETS, columns=NAMES) for _ in range(2))
    for place, (found, lag) in whole.items():
        known = {year % 100: by_year[place][0] for year, by_year in zip(years, tested, strict=True) if place in by_year}
        signs = [f"{year}{'−+'[f.estimate > 1]}{'*' * (f.p_value <= 0.05)}" for year, f in known.items()]
        value = f"{number(found.estimate)}{'*' * (found.p_value <= 0.05)}, {lag} d{', s' * (SAMPLED in found.notes)}"
        words.loc[place] = "\n".join(filter(None, [value, " ".join(signs[:2]), " ".join(signs[2:])]))
        ratios.loc[place] = np.log2(max(found.estimate, 1e-9))
    sns.heatmap(ratios.astype(float), annot=words, fmt="", vmin=-3, vmax=3, cmap="PuOr_r", annot_kws={"size": 6.5},
                cbar_kws={"label": "rate ratio, beside shifted dates", "format": lambda x, _: f"{2.0**x:g}"},
                xticklabels=NAMES.values(), yticklabels=[NAMES[name] for name in TARGETS], ax=axes)  # fmt: skip
    axes.tick_params(labelsize=7, length=0, rotation=0)
    axes.set(xlabel=f"on the same day or up to {reach} days after ({frame})", ylabel="attacks on")


@picture(5.6)
def region_map(axes: Axes, study: Study) -> None:
    """Where the attacks of the frame fell, by theatre of the target; those that the test counts have a black edge."""
    need(REGION.exists(), "the outlines of the region are not in the data folder")
    tables, frame = scene(study)
    rows = tables.events.query("bloc == 'iran_aligned' and confidence != 'low' and theatre in @TARGETS and lat.notna()")
    rows = rows[frame.mask(rows["date"])]
    used = rows["event_id"].isin([] if study.now.sample is None else study.now.sample.rows["event_id"])
    sites = rows.assign(used=used).groupby(["theatre", "lon", "lat"])["used"].agg(["size", "any"]).reset_index()
    for feature in json.loads(REGION.read_text("utf-8"))["features"]:
        for outline, *_ in feature["geometry"]["coordinates"]:
            axes.fill(*np.transpose(outline), **LOOKS["outline"])
    for name, here in sites.groupby("theatre"):
        label = f"{NAMES[name]} ({here['size'].sum()})".replace("\n", " ")
        edge, area = 1.3 * here["any"], 14 * here["size"] ** 0.5 + 8
        axes.scatter(here["lon"], here["lat"], area, lw=edge, ec="black", alpha=0.75, label=label, **LOOKS[name])
    axes.set(xlim=(30, 62), ylim=(11, 39), aspect=1.15, ylabel="degrees north")
    axes.set_xlabel(f"degrees east; {frame}; larger: more attacks,\nblack edge: counted by the test")


@picture()
def before_and_after(axes: Axes, study: Study) -> None:
    """Attacks a day before each response (bare end) and after it (mark), and at its matched peaks without one."""
    sample = study.now.sample
    need(isinstance(sample, Sample), "no responses are compared in this claim")
    lines(axes, [f"{r.start} ({days.size} d)" for r, (days, _) in zip(sample.responses, sample.days, strict=True)])
    for y, ((days, _), (before, after)) in enumerate(zip(sample.days, sample.pairs, strict=True)):
        k, peaks = max(1, days.size), matched_days(sample, y)
        total, look = sum_before(np.append(sample.series.counts, [0] * (k + 1)), k) / k, "mean of its matched peaks"
        if peaks.size:
            axes.plot([total[peaks].mean(), total[peaks + k + 1].mean()], [y + 0.3] * 2, label=look, **LOOKS[look])
        if days.size:
            look = "rise" if after > before else "fall, or no change"
            axes.plot([before / k, after / k], [y, y], label=look, **LOOKS[look])
    axes.set(xlabel="attacks a day, from before to after (mark)", ylabel="response (days compared on either side)")


@picture()
def lag_profile(axes: Axes, study: Study) -> None:
    """Rate ratio on each day before (lead) and after (lag) an attack, with its interval."""
    found = [(f, *f.quantity.split("_")) for f in study.now.findings if re.fullmatch(r"(lag|lead)_\d+", f.quantity)]
    for f, word, day in need([row for row in found if row[0].estimate]):
        at = int(day) * (1 if word == "lag" else -1)
        axes.plot([at, at], [f.low, f.high], color=LOOKS[word]["color"])
        axes.plot(at, f.estimate, **LOOKS[word])
    axes.axhline(1, **LOOKS["tested against"])
    axes.set(xlabel="days from a militia attack", ylabel="rate of events, ratio", yscale="log")


@picture()
def share_intervals(axes: Axes, study: Study) -> None:
    """The estimate with its interval: as known, at both bounds of the unknown outcomes, by the robustness methods."""
    found = need([f for f in study.now.findings if f.role in SHARES and f.low is not None])
    intervals(axes, study, [(f.quantity, f, SHARES[f.role]) for f in found])
    axes.set_xlabel(f"{axes.get_xlabel()} of attacks: {study.spec.outcome.replace('_', ' ')}")


@picture()
def outcomes_over_time(axes: Axes, study: Study) -> None:
    """Attacks a month (a quarter in a long frame) with the outcome, without it, and with an unknown outcome."""
    sample = need(study.now.sample)
    period = sample.rows["date"].dt.to_period("M" if sample.frame.days <= 550 else "Q")
    outcome = sample.rows["outcome"].map({1.0: "yes", 0.0: "no"}).fillna("unknown")
    for group in range(sample.groups):
        table = pd.crosstab(period, outcome, sample.rows["first"] == (group == 0), aggfunc="sum")
        table = table.reindex(index=pd.period_range(period.min(), period.max()), columns=["yes", "no", "unknown"])
        table.add_prefix("comparison, " * group).plot.bar(
            stacked=True, ax=axes, color=["C3", "C0", "0.8"], ec="white", hatch="///" * group,
            width=0.8 / sample.groups, position=sample.groups / 2 - group, fontsize=8)  # fmt: skip
    axes.set(ylabel="attacks", xlabel=f"month or quarter of the attack; {study.spec.outcome.replace('_', ' ')}?")


@picture()
def names_of_claims(axes: Axes, study: Study) -> None:
    """Names seen so far over time, each written where it first appears, with the lower bound for all names."""
    bound = next((f for f in study.now.findings if f.quantity == "names_at_least"), None)
    need(bound, "no attack of this study was claimed under a name, or the test is not about claims")
    claims = study.now.sample.rows.query("claimed_by != ''")
    claims = claims.assign(name=claims["claimed_by"].str.split(";")).explode("name")
    claims["seen"], look = first_appearances(claims["name"]), "names so far, a dot a claim"
    axes.step(claims["date"], claims["seen"], where="post", label=look, **LOOKS[look])
    for row in claims.drop_duplicates("name").itertuples():
        note(axes, row.name, row.date, row.seen)
    axes.plot([], [], " ", label=f"Chao1, a lower bound for all names: {number(bound.estimate)} ({bound.interval})")
    axes.set(xlabel="local date of the attack", ylabel="different names", xmargin=0.25, ymargin=0.2)


@picture()
def heavy_tail(axes: Axes, study: Study) -> None:
    """Share of attacks with at least so many killed and wounded, both axes logarithmic; the worst one is named."""
    hurt = toll(need(study.now.sample).rows)
    need(hurt.sum(), "nobody was hurt in an attack of this study")
    values = np.unique(hurt[hurt > 0])
    above = [(hurt >= value).mean() for value in values]
    axes.loglog(values, above, **LOOKS["counted"])
    note(axes, f"{hurt.idxmax()}: {percent(hurt.max() / hurt.sum())} of all killed and wounded", values[-1], above[-1])
    axes.set_xlabel(f"killed and wounded in one attack ({hurt.size} attacks with a known toll)")
    axes.set(ylabel="share of attacks with\nat least so many", ylim=(0.7 / hurt.size, 1))


@picture(4.0)
def running_totals(axes: Axes, study: Study) -> None:
    """The list added up over the frame, beside the running totals that start with it and the total that is claimed."""
    sample, spec, known = need(study.now.sample), study.spec, study.tables.as_of(study.as_of)
    days = spec.frame.calendar()
    for sites, look in {"us_sites": "list, US sites", "us_interests": "list, US sites and coalition convoys"}.items():
        rows = select(known.events, spec.model_copy(update={"sites": sites}))
        add_up(axes, days, rows["date"][spec.frame.mask(rows["date"])], look)
    totals = sample.counts.query("scope in @spec.theatres and kind == 'cumulative' and weapon in ('any', 'rocket')")
    totals = totals[(totals["period_start"] == days[0]) & (totals["as_of"] <= days[-1])]
    for (weapon, day, count), told in totals.groupby(["weapon", "as_of", "count"])["issuer"]:
        look = "running total, rockets" if weapon == "rocket" else "running total, all attacks"
        axes.plot(day, float(count), label=look, **LOOKS[look])
        note(axes, ", ".join(told), day, count)
    axes.axhline(spec.threshold, label=f"claimed, {spec.threshold:g}", **LOOKS["smallest effect of interest"])
    axes.set(xlabel="local date", ylabel=f"attacks since {days[0]}")
