"""Fixtures for all tests, and the rule about skipped ones."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import reference_cases

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
"""Material that may lie beside the project and is no part of it; no other file names this folder."""

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared/ does not lie beside the project")


class NoSkips:
    """With REQUIRE_ALL=1 a skip is a failure, unless it waits for what no clone has: `shared/…`, `mount…`.

    A plugin object, because hooks of this file would see only the items below tests/, not the notebooks.
    """

    MAY_BE_ABSENT = ("shared/", "mount")

    def refuse(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(self.MAY_BE_ABSENT):
            report.outcome = "failed"
            report.longrepr = f"REQUIRE_ALL=1, but this was skipped: {reason}"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        self.refuse(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self):
        report = yield
        self.refuse(report)
        return report


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("REQUIRE_ALL") == "1":
        config.pluginmanager.register(NoSkips(), "no-skips")
    if not find_spec("pyspark"):  # the examples of this module are not looked for; test_docs skips it and says why
        config.option.ignore = [*(config.option.ignore or ()), ROOT / "analysis_lib" / "sources" / "spark.py"]


@pytest.fixture(scope="session")
def tables():
    """The bundled tables."""
    from analysis_lib.sources.bundled import load_tables

    return load_tables()


@pytest.fixture(scope="session")
def registry():
    """The bundled registry of claims."""
    from analysis_lib.registry import load_claims

    return load_claims()


@pytest.fixture(scope="session")
def reference():
    """`reference("poisson")`: the cases of tests/reference/poisson.json by id."""
    return reference_cases.reference
