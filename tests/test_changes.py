"""What changed between two generations: planted rows that turn a verdict, and what must not be blamed on rows."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path

import nbformat
import pytest
from test_site import external_references
from typer.testing import CliRunner
from worlds import WAR, YEAR, event_row, event_rows, moved, steady_days, window_row, write

from analysis_lib import changes, reports
from analysis_lib.changes import between, changed_rows, history, row_digests, view
from analysis_lib.cli import app
from analysis_lib.errors import BadInput
from analysis_lib.generations import manifest
from analysis_lib.reports import publish_reports
from analysis_lib.site import news
from analysis_lib.sources.bundled import load_tables
from analysis_lib.study import open_study

CLAIMS = ("pause-2021", "gap-2021")
CODE = """from analysis_lib import tables
from analysis_lib.study import open_study
study = open_study(claim, data=data, as_of=as_of, seed=seed)
tables.how_to_reproduce(study)"""
ATOM = "{http://www.w3.org/2005/Atom}"
ALL = event_rows(steady_days(YEAR, every=2))
INSIDE = [row for row in ALL if str(WAR.start) <= row["date"] <= str(WAR.end)]  # without them: a pause, truly
PAUSE = [row for row in ALL if row not in INSIDE]


def notebook(folder: Path, extra: str = "pass") -> Path:
    """A notebook that evaluates the claim on the data and shows the study, without pictures."""
    folder.mkdir(exist_ok=True)
    new = nbformat.v4
    parameters = 'claim: str = "pause-2021"\ndata: str = None\nas_of: str = None\nseed: int = 20210510'
    cells = [new.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [new.new_code_cell(text) for text in (CODE, extra)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    nbformat.write(new.new_notebook(cells=cells), folder / "01_pause.ipynb")
    return folder


def publish(root: Path, rows: list[dict], claims=CLAIMS, **options):
    """One run on a world of these events; the clock of the run stands at the day given."""
    data = write(root / "data", rows, options.pop("windows", ()))
    return publish_reports(claims, out=root / "out", data=data, notebooks=root / "notebooks", **options)


def files(out: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (out / "latest").iterdir() if path.is_file()}


def change_of(found: dict, claim: str = "pause-2021") -> dict:
    return next(change for change in found["claims"] if change["claim"] == claim)


def claims_cli(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="session")
def first(tmp_path_factory):
    """A first generation in which attacks go on through the war."""
    root = tmp_path_factory.mktemp("canary-folder")
    notebook(root / "notebooks")
    run = publish(root, ALL)
    assert (run.failed, run.changed) == ({}, [])
    return root


@pytest.fixture
def root(first, tmp_path):
    shutil.copytree(first, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


# ---- rows, verdicts, which rows --------------------------------------------------------------------------------------


def test_try(root):
    run = publish(root, PAUSE)
    print(run.changed, run.summary())
    print(claims_cli("diff", "--out", root / "out").output)
    print(files(root / "out")["feed.xml"])
    print(json.dumps(manifest(root / "out")["run"], indent=1))
    shutil.copytree(root, "/tmp/fd_gen", dirs_exist_ok=True, symlinks=True)
    assert 0
