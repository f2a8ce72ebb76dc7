"""Whatever happens to a run, the last good generation stays whole, and the next run completes without a person.

The command runs in a small project of its own: three claims, a few events, a notebook of six cells. `make test` runs
a few of each fault, `make faults` (FAULTS=full) a hundred kills; the figures are printed at the end.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
import test_reports
import yaml
from test_reports import generations, wait_until

from analysis_lib.paths import DATA, ROOT, TEMPLATES

record, stub = test_reports.record, test_reports.stub  # fixtures
FULL = os.environ.get("FAULTS") == "full"
KILLS = 30 if FULL else 1  # of each of four kinds
CLAIMS = ["pause-2021", "gap-2021", "pause-2023"]
REGISTRY = """import analysis_lib.registry as registry
RECORD = json.dumps(json.loads(RECORD) | {"registry_sha256": registry.load_claims().sha256})"""
SLOW = 'import time\ntime.sleep(0.4)\nPath = __import__("pathlib").Path'


@pytest.fixture(scope="session")
def project(tmp_path_factory, stub):
    """A folder with the package, three claims of the registry and their notebook, with one generation made."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "analysis_lib", folder / "analysis_lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TEMPLATES, folder / "reports" / "templates")
    (folder / "data").mkdir()
    for name in ("tables.yml", "region.geojson", "windows.csv"):
        shutil.copy(DATA / name, folder / "data")
    with (DATA / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["possible_duplicate_of"]][:20]
    with (folder / "data" / "events.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    claims = yaml.safe_load((DATA / "claims.yml").read_text(encoding="utf-8"))["claims"]
    kept = {"claims": [claim for claim in claims if claim["id"] in CLAIMS]}
    (folder / "data" / "claims.yml").write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    notebook(folder, stub, SLOW)
    assert run(folder, seed=0).returncode == 0
    assert whole(folder / "reports") == set(CLAIMS)
    return folder


def notebook(folder: Path, stub, last: str) -> None:
    """The stub, with the hash of the project's own registry in its record and another last cell."""
    stub(folder / "notebooks", last)
    path = folder / "notebooks" / "01_pause.ipynb"
    told = json.loads(path.read_text(encoding="utf-8"))
    [study] = [cell for cell in told["cells"] if "RECORD = " in cell["source"][0]]
    study["source"] = [study["source"][0], "import json\n", *REGISTRY.splitlines(True), "\n", *study["source"][1:]]
    path.write_text(json.dumps(told), encoding="utf-8")


def command(folder: Path, seed: int, *more: object) -> tuple[list[str], dict]:
    jobs = str(1 + seed % 2)
    words = [
        sys.executable,
        "-m",
        "analysis_lib",
        "report",
        "--all",
        "--seed",
        str(seed),
        "--jobs",
        jobs,
        "--keep",
        "3",
    ]
    environment = os.environ | {"PYTHONPATH": str(folder), "FAULTS_RUN": str(folder)}
    silent = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [*words, *map(str, more)], {"cwd": folder, "env": environment} | silent


def run(folder: Path, seed: int, *more: object, timeout: float = 300) -> subprocess.CompletedProcess:
    words, how = command(folder, seed, *more)
    return subprocess.run(words, **how, timeout=timeout, check=False)


def whole(out: Path) -> set[str]:
    """The claims of the latest generation; every generation there holds what its manifest names, byte by byte."""
    assert os.readlink(out / "latest") in generations(out)
    for folder in (out / name for name in generations(out) if re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", name)):
        told = json.loads((folder / "manifest.json").read_bytes())
        files = {path: digest for entry in told["claims"].values() for path, digest in entry["files"].items()}
        for path, digest in (files | told["run"]["files"]).items():
            assert sha256((folder / path).read_bytes()).hexdigest() == digest, (folder.name, path)
        board = (folder / "index.html").read_text(encoding="utf-8")
        for link in re.findall(r'href="(claims/[^"#]+)"', board):
            assert (folder / link).is_file(), (folder.name, link)
    return set(json.loads((out / "latest" / "manifest.json").read_bytes())["claims"])


def lock_is_free(out: Path) -> bool:
    with (out / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def processes(folder: Path) -> dict[int, int]:
    """Processes of a run in this project and their parents."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z" and f"FAULTS_RUN={folder}\0".encode() in (path / "environ").read_bytes() + b"\0":
                found[int(path.name)] = int(parent)
    return found


def recovered(folder: Path, seed: int) -> None:
    """After a fault: nothing runs on, the lock is free, what is there is whole, and the next run completes."""
    out = folder / "reports"
    wait_until(lambda: not processes(folder), 20)
    assert lock_is_free(out)
    assert whole(out) == set(CLAIMS)
    done = run(folder, seed)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert whole(out) == set(CLAIMS)
    assert list(out.glob(".staging-*")) == []
    assert "failed since" not in (out / "latest" / "index.html").read_text(encoding="utf-8")


# ---- kills at random moments -----------------------------------------------------------------------------------------


def words_of(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def target(folder: Path, what: str, main: int) -> int | None:
    """The process to kill: the command, one of its workers, or a kernel, which is a worker's child."""
    tree = processes(folder)
    # not Python's own process that tracks semaphores, which is a child of the command, too
    workers = {pid for pid, parent in tree.items() if parent == main and b"spawn_main" in words_of(pid)}
    kernels = [pid for pid, parent in tree.items() if parent in workers]
    workers = [pid for pid in workers if any(tree[kernel] == pid for kernel in kernels)] or sorted(workers)
    found = {"command": [main], "worker": workers, "kernel": kernels}[what]
    return random.choice(sorted(found)) if found else None


@pytest.mark.parametrize("what", ["command", "while it publishes", "worker", "kernel"])
def test_kills_at_random_moments(project, tmp_path, what):
    """Of the command also within the few hundredths of a second in which it publishes."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    out, hit = folder / "reports", 0
    random.seed(what)
    begun = time.monotonic()
    recovered(folder, 1)
    lasts = time.monotonic() - begun
    for number in range(KILLS):
        words, how = command(folder, 1000 + number)
        before = os.readlink(out / "latest")
        with subprocess.Popen(words, **how) as process:
            if what == "while it publishes":
                while process.poll() is None and not any(out.glob(".staging-*")):
                    time.sleep(0.0005)
                time.sleep(random.uniform(0, 0.05))
            elif what == "command":
                time.sleep(random.uniform(0, lasts))
            else:
                while process.poll() is None and target(folder, what, process.pid) is None:
                    time.sleep(0.01)
                time.sleep(random.uniform(0, 2))
            victim = target(folder, what if what in ("worker", "kernel") else "command", process.pid)
            with suppress(ProcessLookupError, TypeError):
                os.kill(victim, signal.SIGKILL)
                hit += process.poll() is None
            _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors
        if process.returncode == 1:  # the command outlived the kill and says so
            assert re.search(r"error: (\S+|no worker could begin): ", errors), errors
        elif process.returncode == -signal.SIGKILL:
            assert os.readlink(out / "latest") in {before, *generations(out)}
        recovered(folder, 2000 + number)
    print(f"\n{what}: {KILLS} kills, {hit} of a process that still ran; 0 torn generations, 0 stale locks")
    assert hit >= KILLS // 2


# ---- other faults ----------------------------------------------------------------------------------------------------


def test_a_full_disk(project, tmp_path):
    folder, disk = tmp_path / "project", tmp_path / "project" / "reports"
    shutil.copytree(project, folder, symlinks=True, ignore=shutil.ignore_patterns("reports"))
    disk.mkdir()
    size = sum(path.stat().st_size for path in (project / "reports").rglob("*") if path.is_file())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mount of a small tmpfs is not allowed here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(project / "reports", disk, symlinks=True, dirs_exist_ok=True)
        for number, spare in enumerate([0, 1, size // 8, size // 4, size // 3] if FULL else [0, size // 4]):
            (disk / "fill").write_bytes(b"")
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            (disk / "fill").write_bytes(b"\0" * max(free - spare, 0))
            done = run(folder, 100 + number)
            assert (done.returncode, done.stderr.count("Traceback")) in {(0, 0), (1, 0)}
            if done.returncode:
                assert "reports: cannot be written (no space left on device); free it" in done.stderr
                assert list(disk.glob(".staging-*")) == []
            assert whole(disk) == set(CLAIMS)
            (disk / "fill").unlink()
            recovered(folder, 200 + number)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_folder_that_may_only_be_read(project, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    if os.geteuid() == 0:  # whom permissions do not stop
        mounted = subprocess.run(["mount", "--bind", folder / "reports", folder / "reports"], capture_output=True)
        if mounted.returncode:
            pytest.skip(f"mount of a folder to read only is not allowed here: {mounted.stderr.decode().strip()}")
        subprocess.run(["mount", "-o", "remount,ro,bind", folder / "reports"], check=True)
    else:
        (folder / "reports").chmod(0o500)
    try:
        done = run(folder, 1)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"error: reports\S*: [^\n]*(read-only|permission)[^\n]*\n", done.stderr), done.stderr
        assert whole(folder / "reports") == set(CLAIMS)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", folder / "reports"], check=True)
        (folder / "reports").chmod(0o700)
    recovered(folder, 2)


def test_two_runs_at_once(project, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    starts = [command(folder, 10 + number) for number in range(3)]
    runs = [subprocess.Popen(words, **how) for words, how in starts]
    said = [process.communicate(timeout=300)[1] for process in runs]
    codes = [process.returncode for process in runs]
    assert 0 in codes
    assert set(codes) <= {0, 75}
    for code, errors in zip(codes, said, strict=True):
        assert ("another run is writing to reports" in errors) == (code == 75)
    recovered(folder, 20)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("while True: pass", "cell 6: longer than 20 s"),
        ("import re; re.match('(a+)+b', 'a' * 99)", "cell 6: longer than 20 s"),  # holds the interpreter's lock
        ("os.kill(os.getpid(), 9)", "cell 6: the kernel died; see whether memory ran out"),
        ("os._exit(0)", "cell 6: the kernel died; see whether memory ran out"),
        ("os.killpg(0, 9)", "cell 6: the kernel died; see whether memory ran out"),
        ("import sys; sys.exit()", "cell 6: SystemExit: a cell may not end the notebook"),
        ("exit()", "cell 6: SystemExit: a cell may not end the notebook"),
        ("raise MemoryError('much')", "cell 6: MemoryError: much"),
        (
            "if os.fork(): os._exit(1)\n    import time; time.sleep(600)",
            "cell 6: the kernel died; see whether memory ran out",
        ),
    ][:: 1 if FULL else 4],
)
def test_a_cell_that_goes_wrong_stops_its_own_claim_only(project, tmp_path, stub, cell, told):
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    path = folder / "analysis_lib" / "reports.py"
    path.write_text(path.read_text().replace("timeout: int = 600", "timeout: int = 20"))
    notebook(folder, stub, f"if claim == 'gap-2021':\n    {cell}")
    begun = time.monotonic()
    done = run(folder, 3)
    assert time.monotonic() - begun < 150
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: gap-2021: notebooks/01_pause.ipynb, {told}"
    assert whole(folder / "reports") == set(CLAIMS)
    latest = folder / "reports" / "latest"
    claims = json.loads((latest / "manifest.json").read_bytes())["claims"]
    states = {name: entry["status"] for name, entry in claims.items()}
    assert states == {name: "failed" if name == "gap-2021" else "good" for name in CLAIMS}
    board = (latest / "index.html").read_text()
    assert f"showing the last good page: gap-2021: notebooks/01_pause.ipynb, {told}" in board
    notebook(folder, stub, SLOW)
    recovered(folder, 4)


@pytest.mark.parametrize("damage", ["cut", "edited", "empty", "other", "gone"][: 5 if FULL else 1])
def test_a_damaged_manifest(project, tmp_path, damage):
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    damaged = (folder / "reports" / "latest").resolve()
    path = damaged / "manifest.json"
    good = path.read_bytes()
    cut = {"cut": good[: len(good) // 2], "empty": b"", "other": b"[1]", "edited": good.replace(b'"files"', b'"flies"')}
    path.write_bytes(cut[damage]) if damage in cut else path.unlink()
    one = subprocess.run(
        [sys.executable, "-m", "analysis_lib", "report", "gap-2021"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (one.returncode, one.stdout) == (2, "")  # nothing is published without the pages of the others
    assert re.fullmatch(r"error: reports/\S*manifest\.json: missing or damaged: .*: claims report --all\n", one.stderr)
    done = run(folder, 0)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    shutil.rmtree(damaged)
    recovered(folder, 5)


# ---- isolation -------------------------------------------------------------------------------------------------------

SPOILS = """if claim == "pause-2021":
    import builtins, json, sys, pandas, numpy, matplotlib, analysis_lib.registry, analysis_lib.site
    os.environ.clear(); os.chdir("/"); sys.path[:] = []
    json.dumps = pandas.DataFrame = analysis_lib.registry.load_claims = analysis_lib.site.claim_page = None
    matplotlib.rcParams["font.size"] = 40
    numpy.random.seed(1)
    builtins.open = builtins.print = None
else:
    import random, numpy
    import sys, threading
    assert sys.platform != "linux" or "statsmodels.api" in sys.modules  # a copy of a process that had it
    print(os.getcwd().endswith("notebooks"), sorted(n for n in os.environ if n.startswith("CLAIMS")), open, print)
    drawn = [random.random(), float(numpy.random.rand())]
    (pathlib.Path(os.environ["FAULTS_RUN"]) / f"{claim}.drawn").write_text(repr(drawn))"""


def test_no_notebook_touches_another(project, tmp_path, stub):
    """Pages have the same bytes whatever runs beside them, before them, and how many at a time."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)
    notebook(folder, stub, SPOILS)
    pages = []
    for jobs in (1, 3):
        done = run(folder, 6, "--jobs", jobs, "--force", "--out", folder / f"out{jobs}")
        assert done.returncode == 1  # the one that spoils its own process fails alone
        assert list(json.loads((folder / f"out{jobs}/latest/manifest.json").read_bytes())["run"]["failures"]) == [
            "pause-2021"
        ]
        pages.append({p.name: p.read_bytes() for p in (folder / f"out{jobs}" / "latest" / "claims").iterdir()})
        drawn = [eval(path.read_text(), {}) for path in sorted(folder.glob("*.drawn"))]  # noqa: S307
        assert len(drawn) == 2
        assert all(a != b for a, b in zip(*drawn, strict=True))  # copies do not share their random numbers
    assert pages[0] == pages[1]
    assert len(pages[0]) == 6
