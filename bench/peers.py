"""The pause rule beside two interrupted time series, on the same simulated histories and on the pause claims.

`make peers` (python bench/peers.py) prints two tables and writes docs/peers.md: how often each method sees a pause that
is not there, and one that is. It needs the extra `[bench]`. What each method is asked: did the rate of attacks fall
when the window opened? Peers see the days up to the end of the window; "yes" is

- CausalPy: posterior probability of a negative cumulative effect of at least 0.95, straight line through the days
  before (its `InterruptedTimeSeries` with its linear model, 500 draws, two chains, the seed below);
- statsmodels: one-sided p <= 0.05 of the step in a Poisson regression on step and trend, Newey-West errors, 7 days;
- this suite: verdict "supported" of the full rule.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import statsmodels.api as sm
from calibration import SEED, bundled, simulated, verdict
from scipy.stats import norm

from analysis_lib.claims import Claim
from analysis_lib.series import Series
from analysis_lib.specs import take_sample

HISTORIES = ("steady", "over-dispersed", "self-exciting", "bursty", "seasonal")
METHODS = ("this suite", "statsmodels", "CausalPy")
CLAIM, EVENTS, RUNS = "pause-2021", 30, 300
SLOW = 40  # histories for CausalPy, the first of them: an answer takes it seconds


def by_causalpy(y: np.ndarray, step: np.ndarray) -> bool:
    import causalpy

    frame = pd.DataFrame({"y": y, "t": np.arange(y.size)}, index=pd.date_range("2021-01-01", periods=y.size))
    settings = {"random_seed": SEED, "progressbar": False, "draws": 500, "tune": 500, "chains": 2, "cores": 1}
    fit = causalpy.InterruptedTimeSeries(
        frame, treatment_time=frame.index[int(step.argmax())], formula="y ~ 1 + t",
        model=causalpy.pymc_models.LinearRegression(sample_kwargs=settings),
    )  # fmt: skip
    return float(fit.effect_summary(direction="decrease").table.loc["cumulative", "p_lt_0"]) >= 0.95


def by_statsmodels(y: np.ndarray, step: np.ndarray) -> bool:
    if not y.any():  # nothing to fit
        return False
    design = sm.add_constant(np.column_stack([step, np.arange(y.size)]), has_constant="add")
    fit = sm.GLM(y, design, family=sm.families.Poisson()).fit(cov_type="HAC", cov_kwds={"maxlags": 7})
    return bool(norm.cdf(fit.params[1] / fit.bse[1]) <= 0.05)


def answers(claim: Claim, tables: object, slow: bool = True) -> tuple[dict[str, bool], str, dict[str, float]]:
    """What each method says of one history, the suite's verdict in words, and the seconds each took."""
    sample, seconds = take_sample(claim.spec, tables), {}
    series: Series = sample.series
    days = series.days <= np.datetime64(sample.window.end)
    y, step = series.counts[days], sample.window.mask(series.days[days]).astype(float)
    said: dict[str, bool] = {}
    start = perf_counter()
    word = verdict(claim, sample)
    said["this suite"], seconds["this suite"] = word == "supported", perf_counter() - start
    for name, method in (("statsmodels", by_statsmodels), ("CausalPy", by_causalpy))[: 1 + slow]:
        start = perf_counter()
        said[name], seconds[name] = method(y, step), perf_counter() - start
    return said, word, seconds


def main(runs: int, out: Path) -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    tables, claims = bundled()
    claim, rows, cost = claims[CLAIM], [], []
    for truth, kinds in (("none", HISTORIES), ("claimed", ("steady", "bursty"))):
        for kind in kinds:
            seeds = np.random.SeedSequence([SEED, len(rows)]).spawn(runs)
            histories = (simulated(claim, truth, kind, EVENTS, np.random.default_rng(seed)) for seed in seeds)
            found = [answers(claim, made, i < SLOW) for i, made in enumerate(histories)]
            cost += [seconds for _, _, seconds in found]
            share = pd.DataFrame([said for said, _, _ in found], dtype=float).mean()
            rows.append({"truth": "no pause" if truth == "none" else "full pause", "history": kind} | share.to_dict())
            print(pd.DataFrame(rows).tail(1).to_string(index=False, header=len(rows) == 1), flush=True)
    simulations = pd.DataFrame(rows)
    real = []
    for name in ("pause-2021", "pause-2021-all-weapons"):
        said, word, _ = answers(claims[name], tables)
        words = {m: "a fall" if said[m] else "no fall" for m in METHODS[1:]}
        real.append({"claim": name, "this suite": word} | words)
    print(pd.DataFrame(real).to_string(index=False))
    seconds = pd.DataFrame(cost).median()
    out.write_text(page(simulations, pd.DataFrame(real), seconds, runs), encoding="utf-8")


def page(simulations: pd.DataFrame, real: pd.DataFrame, seconds: pd.Series, runs: int) -> str:
    """The two tables and how they were made, as Markdown."""
    shown = simulations.assign(**{m: (100 * simulations[m]).map("{:.0f} %".format) for m in METHODS})
    slower = ", ".join(f"{name} {seconds[name] / seconds['this suite']:.3g}" for name in METHODS[1:])
    return "\n".join([
        "# Beside interrupted time series", "",
        __doc__.split("\n\n", 1)[1],
        "## Simulated histories: how often a pause is seen", "",
        f"{runs} of each kind, {EVENTS} attacks in the frame of {CLAIM}; CausalPy, which is slow, had {SLOW}.", "",
        _table(shown), "",
        "A method with a level of 5 % may see a pause that is not there in 5 % of histories, on each kind of them.", "",
        "## The pause claims", "", _table(real), "",
        f"Median time of one answer over that of the full rule of this suite: {slower}.", "",
    ])  # fmt: skip


def _table(frame: pd.DataFrame) -> str:
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "peers.md")
    given = parser.parse_args()
    main(given.runs, given.out)
