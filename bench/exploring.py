"""What a reader waits for, beside doing it the plain way: a control that is moved, a specification curve.

Run `python bench/exploring.py`. Seconds of the processor, medians; a ratio is the plain way over ours:

- move: one move of a control, beside the whole claim evaluated anew, which the command it shows would do;
- curve: 5,000 specifications of a claim on two rates, beside `run_spec` for as many, timed on fifty of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from time import process_time

from analysis_lib import explore, load_claims, load_tables, run_spec
from analysis_lib.curve import specification_curve
from analysis_lib.study import evaluate

MOVED = ("pause-2021", "surge-2023", "one-theatre")
FIFTY = 50


def seconds(work: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        begun = process_time()
        work()
        taken.append(process_time() - begun)
    return median(taken)


def told(what: str, ours: float, plain: float) -> None:
    print(f"{what:40} {1000 * ours:9.1f} ms   plain way {plain / ours:6.1f} x", flush=True)


def moved(panel: explore.Panel, day: object) -> None:
    async def move() -> None:  # in a loop, as a kernel has
        panel.controls["frame_start"].value = day
        panel.timer.cancel()

    asyncio.run(move())


def main() -> None:
    registry, tables = load_claims(), load_tables()
    for name in MOVED:
        study = evaluate(registry[name], tables, registry)
        panel, days = explore.what_if(study), iter(range(1, 99))
        ours = seconds(lambda p=panel, s=study, d=days: moved(p, s.spec.frame_start - timedelta(next(d))), 15)
        told(f"move, {name}", ours, seconds(lambda name=name: evaluate(registry[name], tables, registry)))
    for claim in (c for c in registry.claims if c.rule and c.spec.test == "rate_ratio"):
        ours = seconds(lambda claim=claim: specification_curve(claim, tables, seed=1), 3)
        size = len(specification_curve(claim, tables, seed=1).table)
        specs = [claim.with_knobs({"frame_start": claim.spec.frame_start - timedelta(k)}) for k in range(FIFTY)]
        each = seconds(lambda specs=specs, rule=claim.rule: [run_spec(spec, tables, rule) for spec in specs], 1) / FIFTY
        told(f"curve of {size}, {claim.id}", ours, size * each)


if __name__ == "__main__":
    main()
