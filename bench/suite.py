"""All reports beside plain papermill, beside one process without any, and the small runs, on this machine.

`python bench/suite.py` prints ratios of wall-clock and of processor time (user + system, all processes). The parts are
run in turn, the claims of papermill between the other parts, so that what else the machine does meets all of them.
What each part does:

- papermill: its command once a claim, one after another, same notebooks and parameters;
- floor: one Python process that imports once and runs the code of every notebook, its pictures drawn, nothing written;
- claims report --all --force, to an empty folder; the same again after one claim was named; and with nothing to do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from analysis_lib.paths import NOTEBOOKS, ROOT
from analysis_lib.registry import load_claims
from analysis_lib.study import runnable

READY = "from analysis_lib.reports import ready; ready()"
FLOOR = """import io, json, sys, matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
for path, name in json.load(sys.stdin):
    names = {"display": print}
    for cell in json.load(open(path))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names["claim"] = name
            for number in plt.get_fignums():
                plt.figure(number).savefig(io.BytesIO(), bbox_inches="tight")
            plt.close("all")"""


def timed(*command: object, given: str = "") -> tuple[float, float]:
    """Wall-clock and processor seconds of a command and of all that it starts."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run([*map(str, command)], input=given, text=True, cwd=ROOT, env=environment, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(every: int, rounds: int) -> None:
    claims = [claim for claim in load_claims().claims if runnable(claim)][::every]
    python, ids = sys.executable, [claim.id for claim in claims]
    report = (python, "-m", "analysis_lib", "report")
    papers = [(NOTEBOOKS / f"{claim.notebook}.ipynb", claim.id) for claim in claims]
    told = json.dumps([(str(path), name) for path, name in papers])
    spent: dict[str, list[tuple[float, float]]] = {}

    def note(part: str, seconds: tuple[float, float]) -> None:
        spent.setdefault(part, []).append(seconds)
        print(f"{part}: {seconds[0]:.1f} s wall, {seconds[1]:.1f} s processor", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            out = Path(folder) / f"out{turn}"
            for path, name in papers[turn::rounds]:
                given = ("-p", "claim", name, "-k", "python3", "--cwd", path.parent, "--no-progress-bar")
                note("papermill", timed(python, "-m", "papermill", path, Path(folder) / "out.ipynb", *given))
            note("all", timed(*report, *ids, "--force", "--out", out))
            note("floor", timed(python, "-c", FLOOR, given=told))
            note("one", timed(*report, ids[0], "--force", "--seed", turn, "--out", out))
            note("start-up", timed(python, "-c", READY))
            timed(*report, ids[0], "--out", out)
            note("nothing", timed(*report, *ids, "--out", out))
    mean = {
        part: [sum(column) / len(column) for column in zip(*seconds, strict=True)] for part, seconds in spent.items()
    }
    mean["papermill"] = [sum(column) for column in zip(*spent["papermill"], strict=True)]
    print(f"{len(claims)} claims, {os.cpu_count()} processors, {rounds} rounds; load {os.getloadavg()[0]:.1f}")
    print(f"{'':44} {'wall':>8} {'processor':>10}")
    for words, over, under in (
        ("papermill, one after another / report", "papermill", "all"),
        ("report / one process without papermill", "all", "floor"),
        ("one claim / importing everything", "one", "start-up"),
    ):
        wall, processor = (a / b for a, b in zip(mean[over], mean[under], strict=True))
        print(f"{words:44} {wall:8.2f} {processor:10.2f}")
    for words, part in (("seconds with nothing changed", "nothing"), ("seconds of one claim", "one")):
        print(f"{words:44} {mean[part][0]:8.2f} {mean[part][1]:10.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take every so many claims")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    main(given.every, given.rounds)
