"""The calibration in its quick form: reproduced, resumed, independent of the number of workers."""

import csv
import subprocess
import sys

import pytest
from conftest import ROOT

BENCH = ROOT / "bench" / "calibration.py"


def calibrate(out, *words):
    command = [sys.executable, BENCH, "--out", out, *words]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    words = ("--claims", "gap-2021", "no-defence", "--runs", "5", "--events", "0", "10")
    return words, calibrate(tmp_path_factory.mktemp("calibration") / "quick.csv", *words, "--jobs", "2")


def test_workers_change_nothing(quick, tmp_path):
    words, expected = quick
    assert calibrate(tmp_path / "one.csv", *words, "--jobs", "1") == expected


def test_a_stopped_run_goes_on(quick, tmp_path):
    words, expected = quick
    lines = expected.decode().splitlines(keepends=True)
    marked = lines[1].replace(",5,0,0,0,5,", ",5,0,0,5,0,")  # so that a row computed anew would be seen
    assert marked != lines[1]
    (tmp_path / "out.part").write_text("".join([lines[0], marked, *lines[2:9], lines[9][:20]]))
    assert calibrate(tmp_path / "out.csv", *words) == "".join([lines[0], marked, *lines[2:]]).encode()
    assert not (tmp_path / "out.part").exists()


def test_stored_rows_are_those_of_the_command(tmp_path):
    """Rows of gap-2021 in reports/calibration.csv, with their seed and their number of histories."""
    with (ROOT / "reports" / "calibration.csv").open(encoding="utf-8", newline="") as file:
        stored = [row for row in csv.DictReader(file) if (row["claim"], row["events"]) == ("gap-2021", "10")]
    runs = min(int(row["runs"]) for row in stored)
    text = calibrate(tmp_path / "again.csv", "--claims", "gap-2021", "--events", "10", "--runs", str(runs)).decode()
    assert list(csv.DictReader(text.splitlines())) == stored
    assert any(int(row["runs"]) > runs for row in stored)  # one was above its level and was tried again


def test_no_rule_is_above_its_level_where_nothing_is_there():
    """At most a twentieth is called supported; of a row that was tried again, two standard errors more."""
    with (ROOT / "reports" / "calibration.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["truth"] == "none" and "equivalence" not in row["rule"]]
    first = min(int(row["runs"]) for row in rows)
    for row in rows:
        runs, alpha = int(row["runs"]), 0.05
        chance = 2 * (alpha * (1 - alpha) * runs) ** 0.5 if runs > first else 0
        assert int(row["supported"]) <= alpha * runs + chance, row
