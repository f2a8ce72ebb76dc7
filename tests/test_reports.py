"""Generations of reports: what is run, what is kept, what a failure may not touch. The notebooks here are stubs."""

from __future__ import annotations

import csv
import errno
import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace

import nbformat
import pytest
from papermill import execute_notebook
from test_site import external_references
from typer.testing import CliRunner

from analysis_lib import reports, study
from analysis_lib.cli import app
from analysis_lib.errors import BadInput, CannotRun, ReportFailed, RunLocked
from analysis_lib.finding import Finding
from analysis_lib.generations import (
    differences,
    entry_sha256,
    locked,
    manifest,
    place,
    publish,
    published_record,
)  # fmt: skip
from analysis_lib.paths import DATA, NOTEBOOKS, ROOT, TEMPLATES
from analysis_lib.reports import parameter_names, plan_of, publish_reports, shared_provenance
from analysis_lib.runner import _clean, run_tasks, workers
from analysis_lib.site import exports
from analysis_lib.study import open_study

PARAMETERS = """claim: str = "pause-2021"
data: str = None
as_of: str = None
seed: int = 20210510  # of every random draw
weapons: list = None"""
STUDY = """import json, os, pathlib, warnings
from hashlib import sha256
from IPython.display import display
from analysis_lib.events import TABLES
from analysis_lib.sources.bundled import Tables
found = [p for p in (pathlib.Path(os.environ["CLAIMS_DATA"]) / f"{n}.csv" for n in TABLES) if p.is_file()]
tables = Tables(None, None, sha256={p.name: sha256(p.read_bytes()).hexdigest() for p in found})
told = dict(claim=claim, as_of=as_of, seed=seed, data_sha256=tables.data_sha256)
display({"application/vnd.analysis-lib.study+json": json.loads(RECORD) | told, "text/plain": "the study"}, raw=True)
warnings.warn("a warning that names its file")
print(object(), os.getcwd(), pathlib.Path.home(), os.environ["CLAIMS_DATA"])"""
PIXEL = """import base64
dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
display({"image/png": dot, "text/plain": "a dot"}, raw=True)"""


@pytest.fixture(scope="session")
def record():
    return open_study("pause-2021").record()


@pytest.fixture(scope="session")
def stub(record):
    """`stub(folder, extra)`: a small notebook in place of 01_pause, `extra` its last cell."""

    def write(folder: Path, extra: str = "pass") -> Path:
        folder.mkdir(exist_ok=True)
        new = nbformat.v4
        cells = [
            new.new_markdown_cell("# A family of claims"),
            new.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new.new_code_cell(f"RECORD = {json.dumps(record)!r}\n{STUDY}"),
            new.new_markdown_cell("## A picture\n\n[source](https://example.org)"),
            new.new_code_cell(PIXEL),
            new.new_code_cell(extra),
        ]
        for number, cell in enumerate(cells):
            cell.id = f"stub-{number}"
        nbformat.write(new.new_notebook(cells=cells), folder / "01_pause.ipynb")
        return folder

    return write


def contents(out: Path) -> dict[str, bytes]:
    latest = (out / "latest").resolve()
    return {p.relative_to(latest).as_posix(): p.read_bytes() for p in latest.rglob("*") if p.is_file()}


def without_data_blocks(html: str) -> str:
    """A page without the JSON of its record and of its review, which no browser runs, and without its own script."""
    own = f"<script>{(TEMPLATES / 'page.js').read_text(encoding='utf-8')}</script>"
    return re.sub(r"<script type=\"application/(ld\+)?json\"[^>]*>.*?</script>", "", html.replace(own, ""), flags=re.S)


def generations(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.is_dir() and not path.is_symlink())


@pytest.fixture(scope="session")
def made(stub, tmp_path_factory):
    """One generation of two claims, made once: `out` and `notebooks`. Tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("canary-folder")
    notebooks, out = stub(folder / "notebooks"), folder / "out"
    run = publish_reports(["pause-2021", "gap-2021"], out=out, notebooks=notebooks, jobs=2)
    assert (run.failed, sorted(run.seconds)) == ({}, ["gap-2021", "pause-2021"])
    return folder


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made, tmp_path / "made", symlinks=True)
    return tmp_path / "made" / "out", tmp_path / "made" / "notebooks"


# ---- a generation ----------------------------------------------------------------------------------------------------


def test_a_generation_is_complete(made, registry):
    out = made / "out"
    files = contents(out)
    names = [f"claims/{name}.{kind}" for name in ("gap-2021", "pause-2021") for kind in ("html", "ipynb", "json")]
    beside = ["changes.html", "feed.xml", "findings.csv", "findings.parquet", "index.html", "manifest.json",
              "ro-crate-metadata.json", "rows.json"]  # fmt: skip
    assert sorted(files) == sorted([*names, *beside])
    told = json.loads(files["manifest.json"])
    [name] = generations(out)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", name)
    assert name.endswith(told["content_sha256"][:8])
    assert os.readlink(out / "latest") == name
    entry = told["claims"]["pause-2021"]
    assert entry["parameters"] == {"claim": "pause-2021", "data": None, "as_of": None, "seed": 20210510}
    assert entry["entry_sha256"] == entry_sha256(registry["pause-2021"])
    assert told["run"]["failures"] == {}
    without_run = json.dumps({key: value for key, value in told.items() if key != "run"})
    assert not re.search(r"\d{4}-\d\d-\d\dT|\d{8}T\d{6}", without_run)


def test_a_page_stands_alone_with_its_verdict_first(made, registry):
    html = contents(made / "out")["claims/pause-2021.html"].decode()
    assert external_references(without_data_blocks(html)) == []
    assert re.search(r"http-equiv=\"Content-Security-Policy\"", html)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert re.findall(r"<h1>(.*?)</h1>", html) == [registry["pause-2021"].question]
    assert html.index("∅</span> not testable") < html.index("A picture")
    assert '<a href="../index.html#pause-2021">The board</a>' in html  # Holm's correction stands there
    assert "A family of claims" not in html  # the notebook's own title: the page's is the claim's question
    assert re.findall(r"<img[^>]*alt=\"([^\"]*)\"", html) == ["Figure: A picture"]
    assert '<a href="https://example.org">source</a>' in html
    assert html.count("<details") == html.count("</details>") == 5  # four code cells and the parameters of the run
    assert open_study("pause-2021").tables.data_sha256 in html


def test_the_stored_notebook_opens_and_holds_no_times(made):
    text = contents(made / "out")["claims/gap-2021.ipynb"].decode()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells] == [
        "stub-0",
        "stub-1",
        "injected-parameters",
        *(f"stub-{n}" for n in range(2, 6)),
    ]
    assert 'claim = "gap-2021"' in notebook.cells[2].source
    assert not re.search(r"\d{4}-\d\d-\d\dT|papermill|duration", text)


def test_no_output_names_this_machine(made):
    for name, content in contents(made / "out").items():
        text = re.sub(r"base64,[^\"]*|\"image/png\": \"[^\"]*\"", "", content.decode(errors="replace"))
        for path in (made, Path.home(), Path.cwd(), ROOT, Path(sys.prefix)):
            assert not re.search(rf"(?<![\w.~]){re.escape(str(path))}(?![\w-])", text), (name, path)
        assert "canary" not in text
        assert not re.search(rf"{re.escape(gettempdir())}/|ipykernel_\d|0x[0-9a-f]{{6}}", text), name
    assert "a warning that names its file" in contents(made / "out")["claims/pause-2021.html"].decode()


ASYNC = """import asyncio, sys
await asyncio.sleep(0)
print("one"); display("shown"); print("two")
print("aside", file=sys.stderr)
{"a": [1.5, None]}"""
FRAME = """import matplotlib.pyplot as plt, pandas as pd
plt.figure(layout="constrained").subplots().set_title("a title")
said = !echo two
print(__name__, get_ipython() is not None, said)
pd.DataFrame({"b": [1]})"""
VALUES = "value = 6 * 7; value, _, In[-1]"


def kept(executed, task):
    return executed


def test_a_notebook_gets_what_a_kernel_would_give_it(stub, tmp_path):
    notebooks = stub(tmp_path / "notebooks", ASYNC)
    path = notebooks / "01_pause.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in (FRAME, VALUES)]
    notebook.cells[2].source = "claim, seed"  # not the study, which names folders
    nbformat.write(notebook, path)
    task = SimpleNamespace(name="a", notebook=path, parameters={"claim": "x", "seed": 7})
    with workers(1, os.getpid, {}) as pool:
        [(_, ours, _, failed)] = run_tasks(pool, [task], kept, (), 300)
    assert failed == ""
    plainly = {"kernel_name": "python3", "language": "python", "progress_bar": False, "coalesce_streams": True}
    theirs = execute_notebook(path, None, task.parameters, cwd=notebooks, **plainly)
    for mine, other in zip(ours.cells, _clean(theirs, task.parameters, ()).cells, strict=True):
        assert (mine.source, mine.get("execution_count")) == (other.source, other.get("execution_count"))
        assert mine.get("outputs") == other.get("outputs"), mine.source


def marked():
    sys.marked = True


def threaded():
    marked()
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


@pytest.mark.parametrize(("ready", "copied"), [(marked, sys.platform == "linux"), (threaded, False)])
def test_only_a_process_without_threads_is_copied(stub, tmp_path, ready, copied):
    path = stub(tmp_path / "notebooks") / "01_pause.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].source = "import sys; hasattr(sys, 'marked')"
    nbformat.write(notebook, path)
    task = SimpleNamespace(name="a", notebook=path, parameters={})
    with workers(1, ready, {}) as pool:
        [(_, executed, _, failed)] = run_tasks(pool, [task], kept, (), 300)
    assert failed == ""
    assert [cell.outputs[0].data["text/plain"] for cell in executed.cells if "marked" in cell.source] == [str(copied)]


def broken():
    raise ImportError("no package")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each notebook imports for itself")
def test_workers_that_cannot_begin_are_one_line(stub, tmp_path):
    task = SimpleNamespace(name="a", notebook=stub(tmp_path / "notebooks") / "01_pause.ipynb", parameters={})
    with workers(1, broken, {}) as pool:
        wait_until(lambda: pool._broken, 60)
        with pytest.raises(ReportFailed, match="no worker could begin"):
            list(run_tasks(pool, [task], kept, (), 300))


def test_a_rehearsal_that_fails_stops_no_worker(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(reports.paths, "NOTEBOOKS", tmp_path)  # where no notebook is
    reports._rehearse(registry, DATA)


def test_nothing_changed_makes_no_generation(made):
    out, before = made / "out", contents(made / "out")
    run = publish_reports(["pause-2021", "gap-2021"], out=out, notebooks=made / "notebooks")
    assert (run.generation, run.fresh, run.seconds) == (None, ("pause-2021", "gap-2021"), {})
    assert "nothing changed" in run.summary()
    again = publish_reports(["pause-2021"], out=out, notebooks=made / "notebooks", force=True)
    assert again.generation is None  # equal inputs gave equal bytes
    assert list(again.seconds) == ["pause-2021"]
    assert contents(out) == before


def test_a_run_with_nothing_to_do_loads_nothing_heavy(made):
    code = """import sys
from pathlib import Path
from analysis_lib.reports import publish_reports
publish_reports(["pause-2021", "gap-2021"], out=Path(sys.argv[1]), notebooks=Path(sys.argv[2]))
print(*sys.modules)"""
    command = [sys.executable, "-c", code, made / "out", made / "notebooks"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"pandas", "scipy", "statsmodels", "matplotlib", "papermill", "nbconvert", "jinja2", "rich"}
    assert not heavy & set(done.stdout.split())


def test_lead_cells_come_first_on_a_page_and_stay_where_they_are_in_the_notebook(made, tmp_path):
    shutil.copytree(made / "notebooks", tmp_path / "notebooks")
    path = tmp_path / "notebooks" / "01_pause.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells[3:5]:
        cell.metadata["tags"] = ["lead"]
    nbformat.write(notebook, path)
    publish_reports(["pause-2021"], out=tmp_path / "out", notebooks=path.parent)
    html = contents(tmp_path / "out")["claims/pause-2021.html"].decode()
    assert html.index("A picture") < html.index("<img ") < html.index("Parameters of this run")
    stored = nbformat.reads(contents(tmp_path / "out")["claims/pause-2021.ipynb"].decode(), as_version=4)
    assert [cell.id for cell in stored.cells][-3:] == ["stub-3", "stub-4", "stub-5"]


def test_only_what_is_stale_is_run_and_the_rest_is_carried_over(copied, registry):
    out, notebooks = copied
    before = contents(out)
    run = publish_reports(["gap-2021"], out=out, notebooks=notebooks, knobs={"weapons": ("rocket",)}, seed=7)
    assert (list(run.seconds), len(generations(out))) == (["gap-2021"], 2)
    after = contents(out)
    assert after["claims/pause-2021.html"] == before["claims/pause-2021.html"]
    assert manifest(out)["claims"]["gap-2021"]["parameters"] == {
        "claim": "gap-2021", "data": None, "as_of": None, "seed": 7, "weapons": ["rocket"]}  # fmt: skip
    assert "run with weapons = [&#39;rocket&#39;], seed = 7" in after["index.html"].decode()
    path, count = publish(out, registry, published=out / "published.json")
    assert (path.name, count) == ("published.json", 1)  # the run with another seed is not the registered one
    assert list(json.loads(path.read_text())["claims"]) == ["pause-2021"]


def test_a_page_that_was_damaged_is_made_again(copied):
    out, notebooks = copied
    (out / "latest" / "claims" / "gap-2021.html").unlink()
    run = publish_reports(["pause-2021", "gap-2021"], out=out, notebooks=notebooks)
    assert (run.fresh, list(run.seconds)) == (("pause-2021",), ["gap-2021"])
    assert "claims/gap-2021.html" in contents(out)


def test_pages_on_other_data_are_marked_and_not_published(copied, tmp_path, registry):
    out, notebooks = copied
    shutil.copytree(DATA, tmp_path / "data")
    with (tmp_path / "data" / "second_coding.csv").open("a") as file:
        file.write("\n")
    run = publish_reports(["gap-2021"], out=out, notebooks=notebooks, data=tmp_path / "data")
    assert run.failed == {}
    row = contents(out)["index.html"].decode().partition("pause-2021 ·")[2].partition("</tr>")[0]
    assert "built on other data" in row
    with pytest.raises(ReportFailed, match="pause-2021: its page is built on other data"):
        publish(out, registry, published=tmp_path / "published.json")
    assert not (tmp_path / "published.json").exists()


def test_text_of_the_data_is_shown_as_text(tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    path = tmp_path / "data" / "events.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["event_id"] == "IQ-20210511-03":
            row["location"] = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    run = publish_reports(["pause-2021"], out=tmp_path / "out", data=tmp_path / "data")
    assert run.failed == {}
    html = contents(tmp_path / "out")["claims/pause-2021.html"].decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<script" not in without_data_blocks(html)
    assert "<img src=x" not in without_data_blocks(html)
    assert len(re.findall(r"<img ", html)) >= 3
    assert all(len(alt) > 20 for alt in re.findall(r"<img[^>]*alt=\"([^\"]*)\"", html))


# ---- failures --------------------------------------------------------------------------------------------------------


def test_failures_touch_no_good_page_and_stop_nobody(copied, stub):
    out, notebooks = copied
    before = contents(out)
    stub(notebooks, """import time
if claim == "gap-2021": raise ValueError("no such thing\\nsecond line")
if claim == "pause-2023": os._exit(9)
if claim == "pause-truce-2023": time.sleep(600)""")  # fmt: skip
    claims = ["gap-2021", "pause-2023", "pause-truce-2023", "pause-2021"]
    run = publish_reports(claims, out=out, notebooks=notebooks, timeout=30)
    assert run.failed == {
        "gap-2021": "gap-2021: 01_pause.ipynb, cell 6: ValueError: no such thing",
        "pause-2023": "pause-2023: 01_pause.ipynb, cell 6: the kernel died; see whether memory ran out",
        "pause-truce-2023": "pause-truce-2023: 01_pause.ipynb, cell 6: longer than 30 s",
    }
    assert list(run.seconds) == ["pause-2021"]
    after, told = contents(out), manifest(out)
    assert after["claims/gap-2021.html"] == before["claims/gap-2021.html"]
    assert told["claims"]["gap-2021"]["status"] == "failed"
    since = told["run"]["failures"]["gap-2021"]["since"]
    board = after["index.html"].decode()
    assert f"failed since {since}, showing the last good page: gap-2021: 01_pause.ipynb, cell 6" in board
    assert f"failed since {since}, there is no earlier page: pause-2023" in board
    assert "claims/pause-2023.html" not in after
    # the same failure again is no news; what works again is
    assert publish_reports(["gap-2021"], out=out, notebooks=notebooks).generation is None
    stub(notebooks)
    mended = publish_reports(["gap-2021"], out=out, notebooks=notebooks)
    assert mended.fresh == ("gap-2021",)  # its inputs are those of the last good page
    assert "failed since" not in contents(out)["index.html"].decode().partition("gap-2021 ·")[2].partition("</tr>")[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("not json", "no cell is tagged 'parameters'"),
        ('{"cells": []}', "no cell is tagged 'parameters'"),
        (
            '{"cells": [{"metadata": {"tags": ["parameters"]}, "source": ["claim = 1"]}]}',
            "the parameters lack data, as_of, seed",
        ),
    ],
)
def test_a_notebook_that_cannot_be_parameterised_is_one_line(tmp_path, source, message):
    (tmp_path / "01_pause.ipynb").write_text(source)
    run = publish_reports(["pause-2021"], out=tmp_path / "out", notebooks=tmp_path)
    assert list(run.failed) == ["pause-2021"]
    assert message in run.failed["pause-2021"]


def test_what_cannot_run_is_refused_before_anything_runs(made, tmp_path, monkeypatch):
    notebooks = made / "notebooks"
    with pytest.raises(CannotRun, match="claim 'pause-2021' is not yet run"):
        publish_reports(["pause-2021"], out=tmp_path, notebooks=tmp_path)  # there is no notebook
    monkeypatch.setattr(study, "FAMILIES", ("another",))
    with pytest.raises(CannotRun, match="claim 'pause-2021' is not yet run"):
        publish_reports(["pause-2021"], out=tmp_path, notebooks=notebooks)
    monkeypatch.undo()
    with pytest.raises(BadInput, match=r"unknown parameter of 01_pause\.ipynb 'weapon': did you mean weapons"):
        publish_reports(["pause-2021"], out=tmp_path, notebooks=notebooks, knobs={"weapon": ("rocket",)})
    with pytest.raises(BadInput, match="null means as registered"):
        publish_reports(["pause-2021"], out=tmp_path, notebooks=notebooks, knobs={"weapons": None})
    with pytest.raises(BadInput, match=r"events\.csv"):
        publish_reports(["pause-2021"], out=tmp_path, notebooks=notebooks, data=tmp_path)
    assert generations(tmp_path) == []


def test_the_family_notebook_has_the_parameters_of_a_run():
    for path in sorted(NOTEBOOKS.glob("0[1-8]_*.ipynb")):
        assert {"claim", "data", "as_of", "seed"} <= parameter_names(path)


def test_an_output_that_is_a_file_is_one_line(made, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ReportFailed, match="out: cannot be written"):
        publish_reports(["pause-2021"], out=tmp_path / "out", notebooks=made / "notebooks")
    assert (tmp_path / "out").read_text() == "in the way"


@pytest.mark.parametrize(
    ("call", "code"), [("fsync", errno.ENOSPC), ("rename", errno.EROFS), ("symlink", errno.EACCES)]
)
def test_a_disk_that_refuses_leaves_the_latest_whole(copied, monkeypatch, call, code):
    out, _ = copied
    before = contents(out)

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(ReportFailed, match=re.escape(os.strerror(code).lower())):
        place(out, "20990101T000000Z-00000000", {"manifest.json": b"{}", "claims/a.html": b"a"}, keep=5)
    assert contents(out) == before
    assert [path.name for path in out.iterdir() if path.name.startswith(".staging")] == []


@pytest.mark.parametrize("call", ["fsync", "rename", "replace"])
def test_a_run_killed_while_it_publishes_leaves_the_latest_whole(copied, call):
    out, _ = copied
    before = contents(out)
    code = f"""import os, signal
from pathlib import Path
from analysis_lib.generations import locked, place
os.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with locked(Path({str(out)!r})):
    place(Path({str(out)!r}), "20990101T000000Z-00000000", {{"manifest.json": b"{{}}"}}, keep=5)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(out) == before
    with locked(out):
        assert list(out.glob(".staging-*")) == []


def test_a_second_run_is_told_to_wait(made, tmp_path):
    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RunLocked, match="another run is writing") as told:
            publish_reports(["pause-2021"], out=tmp_path, notebooks=made / "notebooks")
    assert told.value.exit_code == 75
    with locked(tmp_path):
        pass  # the lock is free as soon as its holder is gone


def test_killing_a_run_ends_its_kernels(stub, tmp_path):
    notebooks, begun = stub(tmp_path / "notebooks"), tmp_path / "begun"
    stub(notebooks, f"import time\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\ntime.sleep(600)")
    code = f"""from pathlib import Path
from analysis_lib.reports import publish_reports
if __name__ == "__main__":
    publish_reports(["pause-2021"], out=Path({str(tmp_path / "out")!r}), notebooks=Path({str(notebooks)!r}))"""
    (tmp_path / "run.py").write_text(code)
    (tmp_path / "t").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "t")}
    run = subprocess.Popen([sys.executable, tmp_path / "run.py"], cwd=ROOT, env=environment)
    try:
        wait_until(lambda: begun.is_file() and begun.read_text(), 60)
    finally:
        run.kill()
        run.wait()
    wait_until(lambda: not alive(int(begun.read_text())), 20)
    wait_until(lambda: not any((tmp_path / "t").iterdir()), 20)
    assert generations(tmp_path / "out") == []


def wait_until(true, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- the shelf of generations ----------------------------------------------------------------------------------------


def test_old_generations_go_and_the_latest_stays(tmp_path):
    for day in (1, 2, 3, 4):
        place(tmp_path, f"2026010{day}T000000Z-00000000", {"manifest.json": b"{}"}, keep=2)
    assert generations(tmp_path) == ["20260103T000000Z-00000000", "20260104T000000Z-00000000"]
    place(tmp_path, "20250101T000000Z-00000000", {"manifest.json": b"{}"}, keep=1)  # the clock went back
    assert os.readlink(tmp_path / "latest") == "20250101T000000Z-00000000"
    assert "20250101T000000Z-00000000" in generations(tmp_path)


def test_a_page_is_stale_when_any_of_its_inputs_changes(registry):
    shared = shared_provenance(registry, DATA)
    plan = plan_of(registry["pause-2021"], NOTEBOOKS / "01_pause.ipynb", {"claim": "pause-2021", "seed": 1}, shared)
    changed = [replace(plan, parameters={"claim": "pause-2021", "seed": 2})]
    inputs = ("data", "entry", "notebook", "code", "definitions", "templates")
    for name in (*(f"{part}_sha256" for part in inputs), "versions"):
        changed.append(replace(plan, provenance=plan.provenance | {name: "other"}))
    assert len({plan.hash, *(p.hash for p in changed)}) == 9
    # an entry of another claim changes the registry's hash and leaves this claim alone
    assert replace(plan, provenance=plan.provenance | {"registry_sha256": "other"}).hash == plan.hash


def test_the_data_hash_of_a_plan_is_that_of_the_tables(registry, tables):
    assert shared_provenance(registry, DATA)["data_sha256"] == tables.data_sha256


# ---- comparing with what was published -------------------------------------------------------------------------------


def test_numbers_are_compared_with_a_tolerance_and_words_exactly(record):
    now = json.loads(json.dumps(record))
    assert differences(record, now) == ([], differences(record, now)[1])
    now["findings"][0]["estimate"] *= 1 + 5e-7
    now["findings"][0]["reason"] = "other words"
    assert differences(record, now)[0] == []
    now["findings"][0]["estimate"] *= 1 + 5e-6
    now["headline"] = "supported"
    del now["findings"][1]
    found = {d.id: (d.published, d.now, d.tolerance) for d in differences(record, now)[0]}
    assert found["headline"] == (record["headline"], "supported", None)
    first = record["findings"][0]
    assert found[f"findings {first['id']} estimate"] == (first["estimate"], now["findings"][0]["estimate"], 1e-6)
    assert f"findings {record['findings'][1]['id']} estimate" in found


def test_only_runs_on_the_same_inputs_are_compared(tmp_path, record):
    published = tmp_path / "published.json"
    assert published_record(tmp_path, record, "", published)[0] is None
    published.write_text(json.dumps({"claims": {"pause-2021": record}}))
    assert published_record(tmp_path, record, "", published) == (record, "published.json")
    for change in ({"seed": 1}, {"as_of": "2021-06-05"}, {"knobs": {"weapons": ["rocket"]}}, {"data_sha256": "0" * 64}):
        [name] = change
        found, why = published_record(tmp_path, record | change, "", published)
        assert found is None
        assert why.startswith(f"{name} was ")


def test_another_entry_of_the_registry_does_not_prevent_a_comparison(tmp_path, record):
    files = {"claims/pause-2021.json": json.dumps(record | {"registry_sha256": "0" * 64}).encode()}
    files["manifest.json"] = json.dumps({"claims": {"pause-2021": {"entry_sha256": "same", "files": {}}}}).encode()
    place(tmp_path, "20260101T000000Z-00000000", files, keep=1)
    assert published_record(tmp_path, record, "same", tmp_path / "none.json")[0] is not None
    assert published_record(tmp_path, record, "other", tmp_path / "none.json")[0] is None


# ---- what machines read ----------------------------------------------------------------------------------------------


def data_blocks(html: str) -> dict[str, dict]:
    """Type of a script element → its JSON. None of these types is ever run."""
    found = re.findall(r"<script type=\"([\w/+]+)\"[^>]*>(.*?)</script>", html, re.S)
    assert html.count("<script") == len(found) + 1  # the page's own
    return {kind: json.loads(text) for kind, text in found}


def test_a_page_reproduces_itself(made):
    page = made / "out" / "latest" / "claims" / "pause-2021.html"
    done = CliRunner().invoke(app, ["reproduce", "--from", str(page)])
    assert done.exit_code == 0, done.output
    assert "\nMATCH: " in done.stdout


def test_a_page_carries_its_verdict_as_claim_review(made, registry):
    blocks = data_blocks(contents(made / "out")["claims/pause-2021.html"].decode())
    assert set(blocks) == {"application/ld+json", "application/json"}
    review, claim = blocks["application/ld+json"], registry["pause-2021"]
    assert (review["@context"], review["@type"]) == ("https://schema.org", "ClaimReview")
    assert review["claimReviewed"] == claim.statement
    assert review["itemReviewed"]["datePublished"] == "2021-06-05"
    rating = review["reviewRating"]
    assert rating["alternateName"] == "not testable"
    assert "Scale: 1 contradicted, 2 not distinguishable from chance, 3 supported" in rating["ratingExplanation"]
    assert "ratingValue" not in rating  # what cannot be tested has no place on the scale
    assert "author" not in json.dumps(review)


@pytest.mark.parametrize(("word", "value"), [("contradicted", 1), ("not distinguishable", 2), ("supported", 3)])
def test_a_verdict_has_its_place_on_the_scale(made, record, registry, word, value):
    from analysis_lib.site import claim_page

    executed = nbformat.reads(contents(made / "out")["claims/pause-2021.ipynb"].decode(), as_version=4)
    plan = plan_of(registry["pause-2021"], made / "notebooks" / "01_pause.ipynb", {},
                   shared_provenance(registry, DATA))  # fmt: skip
    hostile = "</script><script>alert(1)</script>"
    told = record | {"headline": word, "inferential": {"verdict": word, "reason": hostile}}
    html = claim_page(executed, told, plan).decode()
    rating = data_blocks(html)["application/ld+json"]["reviewRating"]
    assert [rating[key] for key in ("ratingValue", "worstRating", "bestRating")] == [value, 1, 3]
    assert hostile in rating["ratingExplanation"]


def test_the_findings_of_a_generation_are_one_table(made, record):
    import pandas as pd

    out = made / "out"
    with (out / "latest" / "findings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    records = [json.loads(contents(out)[f"claims/{name}.json"]) for name in ("gap-2021", "pause-2021")]
    assert len(rows) == sum(len(told["findings"]) for told in records) > 20
    assert {row["claim"] for row in rows} == {"gap-2021", "pause-2021"}
    assert {f.name for f in fields(Finding)} <= set(rows[0])
    [primary] = [row for row in rows if row["claim"] == "pause-2021" and row["role"] == "primary"]
    told = next(f for f in record["findings"] if f["role"] == "primary")
    for name, value in told.items():
        shown = "; ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        assert primary[name] == shown, name
    table = pd.read_parquet(out / "latest" / "findings.parquet")
    assert table["estimate"].dtype == table["mde"].dtype == "float64"
    assert table.shape == (len(rows), len(rows[0]))
    assert table["p_value"].isna().sum() == sum(row["p_value"] == "" for row in rows)


def test_a_formula_in_the_findings_is_text(record):
    found = {"notes": ["=1+1", 'a "quoted", cell'], "reason": " @SUM(A1)\n=2", "method": "\x1b[31m-1", "estimate": -0.5}
    text = exports({"a": record | {"findings": [record["findings"][0] | found]}}, {}, PROVENANCE, DATA)["findings.csv"]
    [row] = csv.DictReader(text.decode().splitlines())
    assert row["notes"] == '\'=1+1; a "quoted", cell'
    assert row["reason"] == "' @SUM(A1)\\n=2"
    assert row["method"] == "\\x1b[31m-1"
    assert float(row["estimate"]) == -0.5
    for start in "=+-@＝":
        note = record | {"findings": [record["findings"][0] | {"notes": [f"{start}cmd"]}]}
        [row] = csv.DictReader(exports({"a": note}, {}, PROVENANCE, DATA)["findings.csv"].decode().splitlines())
        assert row["notes"] == f"'{start}cmd"


PROVENANCE = dict.fromkeys(("data_sha256", "registry_sha256", "code_sha256"), "0" * 64) | {"versions": {"pandas": "3"}}


def test_the_crate_names_every_file_with_its_hash(made):
    files = contents(made / "out")
    crate = json.loads(files["ro-crate-metadata.json"])
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    head = entities["ro-crate-metadata.json"]
    assert (head["conformsTo"]["@id"], head["about"]["@id"]) == ("https://w3id.org/ro/crate/1.1", "./")
    root = entities["./"]
    assert root["@type"] == "Dataset"
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    listed = [part["@id"] for part in root["hasPart"]]
    timed = {"manifest.json", "changes.html", "feed.xml", "index.html"}  # what holds times
    assert sorted(listed) == sorted(set(files) - {"ro-crate-metadata.json"} - timed)
    for path in listed:
        assert entities[path]["sha256"] == sha256(files[path]).hexdigest()
        assert entities[path]["contentSize"] == str(len(files[path]))
    assert entities["#data/events.csv"]["license"] == "CC BY 4.0"
    assert entities["#software/pandas"]["softwareVersion"] == importlib.metadata.version("pandas")

    def references(value):
        if isinstance(value, dict):
            yield from [value["@id"]] if set(value) == {"@id"} else references(list(value.values()))
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    assert set(references(crate["@graph"])) - {"https://w3id.org/ro/crate/1.1"} <= set(entities)


def test_what_machines_read_has_the_same_bytes_again(made, tmp_path):
    run = publish_reports(["pause-2021", "gap-2021"], out=tmp_path, notebooks=made / "notebooks", jobs=1)
    assert run.failed == {}
    first, second = contents(made / "out"), contents(tmp_path)
    assert {name for name in first if first[name] != second[name]} <= {"manifest.json", "feed.xml"}


def test_no_policy_is_violated_in_a_browser(made, tmp_path):
    """The data blocks are read and not run; a script that is put into the page is refused, and that is logged."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not here")
    from playwright.sync_api import sync_playwright

    page_file = made / "out" / "latest" / "claims" / "pause-2021.html"
    worse = tmp_path / "worse.html"
    worse.write_text(page_file.read_text().replace("<main", "<script>document.title = 'run'</script><main"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        told = {}
        for path in (page_file, page_file.parent.parent / "index.html", worse):
            page, messages = browser.new_page(), []
            page.on("console", lambda message, messages=messages: messages.append(message.text))
            page.on("pageerror", lambda error, messages=messages: messages.append(str(error)))
            page.goto(path.resolve().as_uri())
            told[path.name] = messages, page.title(), page.locator("script").count()
        browser.close()
    assert told["pause-2021.html"][0] == told["index.html"][0] == []
    assert told["pause-2021.html"][2] == 3
    messages, title, _ = told["worse.html"]
    assert title != "run"
    assert any("Content Security Policy" in message for message in messages)
