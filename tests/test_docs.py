"""The examples in docstrings hold, and the notebooks keep their form."""

import ast
import doctest
import json
import pkgutil
import re
from importlib import import_module

import pytest
from conftest import ROOT

import analysis_lib
from analysis_lib import Spec
from analysis_lib.claims import NOTEBOOK, SEED

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(analysis_lib.__path__, "analysis_lib.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name):
    if name == "analysis_lib.sources.spark":
        pytest.importorskip("pyspark", reason="pyspark is not installed")
    module = import_module(name)
    assert module.__doc__ or hasattr(module, "__path__"), f"{name} does not say its one job"
    failed, _ = doctest.testmod(module)
    assert failed == 0


def test_the_face_of_the_library_is_documented_and_there():
    assert all(getattr(analysis_lib, name) is not None for name in analysis_lib.__all__)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'; it has .*load_tables"):
        _ = analysis_lib.nothing


# ---- notebooks -------------------------------------------------------------------------------------------------------

NOTEBOOKS = sorted(name for name in NOTEBOOK.values() if (ROOT / "notebooks" / f"{name}.ipynb").is_file())
ALWAYS = {"claim": "str", "data": "str", "as_of": "str", "seed": "int"}
TYPES = {"str", "int", "float", "bool", "list", "dict"}


def cells_of(name: str) -> list[dict]:
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_of(name: str, *, parameters: bool) -> list[str]:
    """Sources of the code cells: the parameters cell, or all the others."""
    cells = [cell for cell in cells_of(name) if cell["cell_type"] == "code"]
    return [source(c) for c in cells if ("parameters" in c["metadata"].get("tags", [])) is parameters]


def test_the_first_notebook_is_there():
    assert "01_pause" in NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_parameters_are_the_knobs_of_a_specification(name):
    """One typed line each, with a default of None (as the registry says) and a comment that helps."""
    (cell,) = code_of(name, parameters=True)
    for line, node in zip(cell.strip().splitlines(), ast.parse(cell).body, strict=True):
        assert isinstance(node, ast.AnnAssign), line
        knob, kind, default = node.target.id, ast.unparse(node.annotation), ast.literal_eval(node.value)
        assert knob in ALWAYS or knob in Spec.model_fields, line
        assert kind == ALWAYS.get(knob, kind), line
        assert kind in TYPES, line
        assert default == {"claim": default, "seed": SEED}.get(knob), line
        assert len(line.partition("  # ")[2].split()) >= 2, line
    assert ALWAYS.keys() <= {node.target.id for node in ast.parse(cell).body}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_parameter_reaches_the_study(name):
    """A knob that stands in the cell and is passed on nowhere would be silently ignored."""
    (cell,) = code_of(name, parameters=True)
    knobs = {node.target.id for node in ast.parse(cell).body}
    passed = {
        (keyword.arg, keyword.value.id)
        for text in code_of(name, parameters=False)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if isinstance(keyword.value, ast.Name)
    }
    assert {(knob, knob) for knob in knobs - {"claim"}} <= passed
    assert any(re.search(r"open_study\(claim\b", text) for text in code_of(name, parameters=False))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_default_claim_is_of_the_notebooks_family(registry, name):
    (cell,) = code_of(name, parameters=True)
    default = next(ast.literal_eval(n.value) for n in ast.parse(cell).body if n.target.id == "claim")
    assert registry[default].notebook == name


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_defines_anything_or_is_longer_than_ten_lines(name):
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for text in code_of(name, parameters=False):
        assert len(text.strip().splitlines()) <= 10, text
        assert not any(isinstance(node, defining) for node in ast.walk(ast.parse(text))), text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_prose_stands_before_each_code_cell_or_run_of_tables_and_figures(name):
    before = None
    for cell in cells_of(name):
        if cell["cell_type"] == "code" and before == "code":
            lines = [line for line in source(cell).splitlines() if not line.startswith("#")]
            assert len(lines) == 1, source(cell)
            assert re.search(r"^(\w+ = )?(tables|figures\w*)\.", lines[0]), source(cell)
        before = cell["cell_type"]
    assert cells_of(name)[0]["cell_type"] == "markdown"
    assert source(cells_of(name)[0]).startswith("# ")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_text_about_one_claim_stands_in_the_notebook(registry, name):
    everything = " ".join(" ".join(source(cell) for cell in cells_of(name)).split())
    for claim in registry.claims:
        for text in (claim.statement, claim.question, claim.estimand, *claim.limits):
            assert " ".join(text.split()) not in everything, claim.id


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_figures_say_in_words_what_they_show(name):
    for cell in cells_of(name):
        if cell["cell_type"] == "code" and "figures." in source(cell) and "import" not in source(cell):
            assert len(cell["metadata"]["alt"].split()) >= 5, source(cell)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_only_cells_that_nbval_compares_keep_their_output(name):
    for cell in cells_of(name):
        if cell["cell_type"] == "code":
            kept = "keep_output" in cell["metadata"].get("tags", [])
            assert kept == source(cell).startswith("# NBVAL_CHECK_OUTPUT"), source(cell)
            assert kept or not cell["outputs"], source(cell)


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_and_pictures_of_the_pages_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not link.startswith(("https://", "http://"))]
    made = ("reports/latest/",)  # by a run
    assert [link for link in targets if not link.startswith(made) and not ((ROOT / page).parent / link).exists()] == []
