"""Panels, pages and JupyterLab as a reader uses them: what a control moves is the number that the library gives."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from analysis_lib import explore, run_spec
from analysis_lib.cli import app
from analysis_lib.finding import number
from analysis_lib.reports import publish_reports
from analysis_lib.study import open_study

CHROMIUM = "/usr/bin/chromium"
needs_chromium = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed")
START, SOON = "explore", 60_000  # milliseconds for a busy machine


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


# ---- JupyterLab ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of JupyterLab, token and all, started on a copy of the project as `claims explore` starts it."""
    copy = tmp_path_factory.mktemp("lab") / "project"
    ours = shutil.ignore_patterns(".git", ".venv", "__pycache__", "2*Z-*", "latest", "tests", "bench")
    shutil.copytree(ROOT, copy, ignore=ours)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "CLAIMS"))}
    environment |= {"PYTHONPATH": str(copy), "HOME": str(copy.parent), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "analysis_lib", "explore", "--no-browser", "--port-retries=50"]
    with subprocess.Popen(words, cwd=copy, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            told = ""
            for line in server.stderr:
                told += line
                if found := re.search(r"http://127\.0\.0\.1:\d+/lab\S*\?token=\w{20,}", line):
                    break
            else:
                pytest.fail(f"JupyterLab did not start: {told}")
            yield found[0]
        finally:
            server.terminate()


def opened(browser, address):
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=SOON)
    page.wait_for_selector("[data-status=idle], .jp-NotebookPanel-toolbar [title*='Idle']", timeout=SOON)
    return page


def run_all(page):
    page.click("li.lm-MenuBar-item:has-text('Run')")
    page.click("li[data-command='runmenu:run-all']")


if __name__ == "__main__":
    pass
