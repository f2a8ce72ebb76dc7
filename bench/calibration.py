"""How often each verdict rule says what, on simulated histories whose truth is known.

`make calibration` (python bench/calibration.py) writes reports/calibration.csv: one row for each rule, kind of history
and number of events. All cores are used; a stopped run goes on where it ended; the result does not depend on the number
of workers. Of hundreds of rows some are above a twentieth by chance: each of these is tried again on ten times as many
histories, and that row counts. `--claims pause-2021 --runs 4 --events 10 --out FILE` is a quick form.

A rule is tried in the design of one claim: its frame, windows, coverage and thresholds, with simulated attacks in place
of the real ones. "none" means that the claimed effect is absent: whatever is then called supported is a false verdict.
"claimed" plants the effect that the claim states, and "margin", for a claim of no effect, the smallest effect that
matters: there "supported" is false too.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from rich.progress import track

from analysis_lib import load_claims, load_tables
from analysis_lib.claims import Claim, Spec
from analysis_lib.coordination import within
from analysis_lib.errors import ClaimsError
from analysis_lib.finding import VERDICTS
from analysis_lib.paths import REPORTS
from analysis_lib.series import chosen_windows, daily_counts, select, sum_before
from analysis_lib.sources.bundled import Tables
from analysis_lib.specs import core_findings, robustness_findings, take_sample
from analysis_lib.verdicts import judge, needs_robustness
from analysis_lib.windows import Window

SEED, RUNS, DRAWS = 20210510, 60, 499
MORE = 10  # times as many histories for a row whose false verdicts are above their nominal share
EVENTS = (0, 10, 40, 200)
IN_TIME = (
    "pause-2021", "pause-2021-all-weapons", "resumption-2021", "gap-2021", "drones-rise-2021", "escalation-progress",
    "drone-onset-april", "drones-replace-rockets", "one-theatre", "regional-chain-2021", "one-theatre-sign",
    "scarce-coordination", "passivity", "palmyra-retaliation",
)  # fmt: skip
IN_MARKS = ("rare-casualties", "facade-brands", "no-defence", "drones-deniable")
HISTORIES = ("steady", "over-dispersed", "self-exciting", "bursty", "trend", "seasonal")
RISES = ("trend", "progress_curve", "change_point")  # to these rules a trend is the effect and no null
COLUMNS = ("claim", "rule", "truth", "history", "events", "runs", *VERDICTS, "seed", "draws")


# ---- histories -------------------------------------------------------------------------------------------------------


def history(kind: str, rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    """Daily counts with these mean rates: int, the shape of `rate` (days,)."""
    days, top = rate.size, rate.max()
    if top <= 0:
        return np.zeros(days, dtype=int)
    phase = np.arange(days) / days
    shape = {
        "trend": 0.25 + 1.5 * phase,
        "seasonal": 1 + 0.9 * np.sin(2 * np.pi * (np.arange(days) / 120 + rng.random())),
    }.get(kind, np.ones(days))
    draw = {"over-dispersed": _over_dispersed, "self-exciting": _self_exciting, "bursty": _bursty}
    counts = (draw | {"answered peaks": _self_exciting}).get(kind, lambda rng, days, mean: rng.poisson(mean, days))(
        rng, days, top * shape.max()
    )
    return rng.binomial(counts, rate * shape / (top * shape.max()))


def _over_dispersed(rng: np.random.Generator, days: int, mean: float) -> np.ndarray:
    """Negative binomial days, theta 0.3: most are empty, a few hold salvos."""
    return rng.poisson(rng.gamma(0.3, mean / 0.3, days))


def _self_exciting(rng: np.random.Generator, days: int, mean: float) -> np.ndarray:
    """Each attack draws 0.6 others on average (the branching ratio), within about four days."""
    early = 60
    counts = rng.poisson(0.4 * mean, days + early)
    latest = counts
    while latest.any():
        parents = np.repeat(np.arange(counts.size), latest)
        children = np.repeat(parents, rng.poisson(0.6, parents.size))
        born = children + rng.geometric(0.25, children.size)
        latest = np.bincount(born[born < counts.size], minlength=counts.size)
        counts = counts + latest
    return counts[early:]


def _bursty(rng: np.random.Generator, days: int, mean: float) -> np.ndarray:
    """Active spells of a fortnight on average between quiet ones of three weeks with a tenth of their rate."""
    spells = np.column_stack([rng.geometric(1 / 14, days), rng.geometric(1 / 21, days)]).ravel()
    active = np.repeat(np.arange(spells.size) % 2 == 0, spells)[rng.integers(35) :][:days]
    return rng.poisson(np.where(active, 1.0, 0.1) * mean / (14 / 35 + 0.1 * 21 / 35))


# ---- one simulated claim ---------------------------------------------------------------------------------------------


@cache
def bundled() -> tuple[Tables, dict[str, Claim]]:
    claims = {name: load_claims()[name] for name in (*IN_TIME, *IN_MARKS)}
    fewer = {"draws": DRAWS}
    return load_tables(), {
        name: claim.model_copy(update={"spec": claim.spec.model_copy(update=fewer)}) for name, claim in claims.items()
    }


def planted(claim: Claim, tables: Tables, days: np.ndarray) -> np.ndarray:
    """Rate at each day of `days` over the usual rate, where the effect that the claim states is there."""
    spec, ones = claim.spec, np.ones(days.size)
    effect = claim.rule.claimed_effect
    if spec.test in ("rate_ratio", "running_gap"):
        return np.where(spec.window.mask(days), effect, ones)
    if spec.test == "change_point":
        return np.where(days < np.datetime64(spec.window_start), 0.1, ones)
    if spec.test in RISES:
        return 2.0 ** ((days - days[-1]).astype(int) / 45)
    if spec.against is not None:
        other = daily_counts(tables, spec.against, Window(days[0].item(), days[-1].item()))
        return np.where(within(other.counts, spec.lag_days), effect, ones)
    triggers = chosen_windows(tables, [spec.trigger_kind], spec.trigger_theatres, spec.trigger_ids)
    reach = spec.lag_days if spec.lag_days is not None else spec.horizon_days or 14
    after = np.zeros(days.size, dtype=bool)
    for window in triggers:
        after |= Window(window.start, window.shift(reach).end).mask(days)
    return np.where(after, effect if effect is not None else 0.3, ones)


def in_time(claim: Claim, truth: str, kind: str, events: int, rng: np.random.Generator) -> str:
    """The verdict on one simulated history."""
    return verdict(claim, take_sample(claim.spec, simulated(claim, truth, kind, events, rng)))


def simulated(claim: Claim, truth: str, kind: str, events: int, rng: np.random.Generator) -> Tables:
    """Tables with simulated days of the attacks that the claim counts; all else in their rows is that of real ones."""
    tables, _ = bundled()
    spec, frame = claim.spec, claim.spec.frame
    span = frame
    if spec.placebo_start:
        span = Window(min(frame.start, spec.placebo_start), max(frame.end, spec.placebo_end))
    calendar = span.calendar()
    rate = np.full(calendar.size, events / frame.days)
    if truth == "claimed":
        rate = rate * planted(claim, tables, calendar)
    days = np.repeat(calendar, history(kind, rng, rate))
    real = select(tables.events, spec.model_copy(update={"unit": "attack"}))
    rows = real.iloc[rng.integers(len(real), size=days.size)].reset_index(drop=True)
    if truth == "margin":  # every other attack has a second one on the same day at another site
        twins = rows.assign(location=rows["location"].map(lambda site: f"beside {site}")).iloc[::2]
        rows, days = pd.concat([rows, twins], ignore_index=True), np.concatenate([days, days[::2]])
    stamps = pd.Series(days).astype(real["date"].dtype)
    rows = rows.assign(event_id=[f"S-{i}" for i in range(len(rows))], date=stamps, first_reported=stamps,
                       date_precision="day", possible_duplicate_of="")  # fmt: skip
    if kind == "answered peaks":
        tables = answered(spec, tables, days, rng)
    others = tables.events[~tables.events["event_id"].isin(real["event_id"])]
    return replace(tables, events=pd.concat([others, rows], ignore_index=True))


def answered(spec: Spec, tables: Tables, days: np.ndarray, rng: np.random.Generator) -> Tables:
    """Responses that follow peaks and do nothing: each on a day that has more attacks behind it than nine in ten.

    Only what lies behind a day decides, half of such days get no response, and four weeks at least lie between two.
    """
    calendar, rows = spec.frame.calendar(), tables.windows
    behind = sum_before(np.bincount((days - calendar[0]).astype(int), minlength=calendar.size), 14)
    high, drawn, peaks = behind >= max(np.quantile(behind, 0.9), 1), rng.random(calendar.size) < 0.5, [-28]
    for day in np.flatnonzero(high & drawn):
        if day - peaks[-1] >= 28:
            peaks.append(int(day))
    chosen = rows.index[rows["kind"] == spec.trigger_kind][: len(peaks) - 1]
    stamps = pd.Series(calendar[peaks[1 : chosen.size + 1]], index=chosen).astype(rows["start"].dtype)
    kept = rows[(rows["kind"] != spec.trigger_kind) | rows.index.isin(chosen)]
    moved = kept.assign(**{edge: stamps.reindex(kept.index).fillna(kept[edge]) for edge in ("start", "end")})
    theatre = moved["theatre"].where(moved["kind"] != spec.trigger_kind, spec.theatres[0])
    return replace(tables, windows=moved.assign(theatre=theatre))


def in_marks(claim: Claim, truth: str, kind: str, events: int, rng: np.random.Generator) -> str:
    """The verdict on attacks whose outcomes are drawn: each for itself, or alike on a day (`self-exciting`)."""
    tables, _ = bundled()
    sample, rule, spec = take_sample(claim.spec, tables), claim.rule, claim.spec
    if events == 0:
        return "not testable"
    rows = sample.rows.iloc[rng.integers(len(sample.rows), size=events)].reset_index(drop=True)
    share = spec.threshold if spec.threshold is not None else 0.3
    ahead = {"none": 0.0, "margin": rule.sesoi, "claimed": rule.claimed_effect or rule.sesoi}[truth]
    chance = np.full(events, share)
    if spec.test == "share_difference":
        rows = rows.assign(first=rng.random(events) < 0.5)
        chance = chance + np.where(rows["first"], ahead, 0.0) * (1 if rule.direction == "greater" else -1)
    elif truth == "claimed":
        chance[:] = rule.claimed_effect
    elif truth == "margin":
        chance[:] = share + rule.sesoi
    alike = {"self-exciting": 0.5}.get(kind, 0.0)  # share of the attacks that have the outcome of their day
    day = rows.groupby("date", sort=False).ngroup().to_numpy()
    own, common = rng.random(events), rng.random(events)[day]
    drawn = np.where(rng.random(events) < alike, common, own)
    rows = rows.assign(outcome=(drawn < np.clip(chance, 0, 1)).astype(float),
                       event_id=[f"S-{i}" for i in range(events)])  # fmt: skip
    return verdict(claim, replace(sample, rows=rows.sort_values(["date", "event_id"])))


def verdict(claim: Claim, sample: object) -> str:
    """The full rule; robustness only where it can still decide."""
    found = core_findings(sample, claim.spec, claim.rule, SEED)
    if needs_robustness(claim.rule, found):
        found += robustness_findings(sample, claim.spec, claim.rule, SEED, known=found[1])
    return judge(claim, found).verdict


def cell(name: str, truth: str, kind: str, events: int, runs: int) -> dict[str, object]:
    """One row of the result; its random numbers depend on what it is, not on who computes it."""
    claim = bundled()[1][name]
    seeds = np.random.SeedSequence([SEED, crc32(f"{name} {truth} {kind} {events}".encode())]).spawn(runs)
    simulate = in_time if name in IN_TIME else in_marks
    said = Counter[str]()
    for seed in seeds:
        try:
            said[simulate(claim, truth, kind, events, np.random.default_rng(seed))] += 1
        except ClaimsError:  # too few events or days for the design: what the suite reports as not testable
            said["not testable"] += 1
    rule = f"{claim.spec.test}, {claim.rule.form}, {claim.rule.direction}"
    shown = {"claim": name, "rule": rule, "truth": truth, "history": kind, "events": events, "runs": runs}
    return shown | {v: said[v] for v in VERDICTS} | {"seed": SEED, "draws": DRAWS}


def cells(events: tuple[int, ...]) -> list[tuple[str, str, str, int]]:
    """What is tried: every rule on every kind of history, and with its effect on two of them."""
    _, claims = bundled()
    tried = []
    for name, claim in claims.items():
        if name in IN_MARKS:
            truths = ("margin", "claimed") if claim.rule.form == "equivalence" else ("none", "claimed")
            tried += [(name, truth, kind) for truth in truths for kind in ("steady", "self-exciting")]
        elif claim.rule.form == "equivalence":
            tried += [(name, truth, kind) for truth in ("none", "margin") for kind in HISTORIES]
        else:
            kinds = [k for k in HISTORIES if k != "trend" or claim.spec.test not in RISES]
            tried += [(name, "none", kind) for kind in kinds]
            if claim.spec.test == "event_study":  # responses follow peaks: the central bias of such claims
                tried.append((name, "none", "answered peaks"))
            if claim.spec.test not in ("onset_shares", "joint_share_total"):
                tried += [(name, "claimed", kind) for kind in ("steady", "bursty")]
    return [(*what, n) for what in tried for n in events]


def suspected(row: dict) -> bool:
    """Was more than a twentieth of the histories of this row called supported though nothing was there?"""
    false = bundled()[1][row["claim"]].rule.form == "equivalence"
    return row["truth"] == ("margin" if false else "none") and int(row["supported"]) > int(row["runs"]) / 20


def main(runs: int, events: tuple[int, ...], out: Path, jobs: int | None, claims: tuple[str, ...] = ()) -> None:
    part, wanted = out.with_suffix(".part"), [what for what in cells(events) if not claims or what[0] in claims]
    rows = list(csv.DictReader(part.open(encoding="utf-8"))) if part.exists() else []
    done = {(*key(row), int(row["runs"])): row for row in rows if None not in row.values()}
    with part.open("a", encoding="utf-8", newline="") as file, ProcessPoolExecutor(jobs or os.cpu_count()) as pool:
        writer = csv.DictWriter(file, COLUMNS)
        if not done:
            file.truncate(0)
            writer.writeheader()

        def told(whats: list, runs: int, title: str) -> list[dict]:
            waiting = [pool.submit(cell, *what, runs) for what in whats if (*what, runs) not in done]
            for future in track(as_completed(waiting), title, total=len(waiting)):
                if future.exception():  # what is done stands in the file, and the rest need not be waited for
                    pool.shutdown(cancel_futures=True)
                row = future.result()
                done[(*key(row), runs)] = row
                writer.writerow(row)
                file.flush()
            return [done[(*what, runs)] for what in whats]

        found = {key(row): row for row in told(wanted, runs, "calibration")}
        again = [what for what, row in found.items() if suspected(row)]
        found |= {key(row): row for row in told(again, MORE * runs, "more histories")}
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found.values())
    part.unlink()


def key(row: dict) -> tuple[str, str, str, int]:
    return row["claim"], row["truth"], row["history"], int(row["events"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--events", type=int, nargs="+", default=EVENTS)
    parser.add_argument("--claims", nargs="+", default=(), choices=(*IN_TIME, *IN_MARKS), metavar="ID")
    parser.add_argument("--out", type=Path, default=REPORTS / "calibration.csv")
    parser.add_argument("--jobs", type=int, default=None)
    given = parser.parse_args()
    main(given.runs, tuple(given.events), given.out, given.jobs, tuple(given.claims))
