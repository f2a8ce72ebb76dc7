"""House rules: floors, sizes, one list of dependencies, documents that match the code, no foreign text."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SHARED, NoSkips, needs_shared
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = ROOT / "analysis_lib"
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
RANGES = PROJECT["dependencies"] + EXTRAS["dev"] + EXTRAS["data"]

# Module → floor, as ARCHITECTURE.md's table has it: rows `| 3 | `claims` | its one job |`.
FLOORS = {
    module.replace("/", "."): int(floor)
    for floor, module in re.findall(r"^\| (\d+) \| `([\w/]+)` \|", ARCHITECTURE, re.M)
}
FACE = max(FLOORS.values()) + 1  # analysis_lib itself and `python -m analysis_lib` see every floor

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
INNER = sorted(MODULES.keys() - {"__init__", "__main__", "sources"})


def imported(path: Path) -> Iterator[str]:
    """Every analysis_lib module that a file imports, anywhere in it; `__init__` for the face itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: write the import in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            head, *rest = name.split(".")
            if head == PACKAGE.name:
                longest = (".".join(rest[:n]) for n in range(len(rest), 0, -1))
                yield next((module for module in longest if module in MODULES), "__init__")


@pytest.mark.parametrize("module", INNER)
def test_imports_go_strictly_down_the_floors(module):
    assert module in FLOORS, f"{module} has no floor in ARCHITECTURE.md"
    up = [name for name in imported(MODULES[module]) if FLOORS.get(name, FACE) >= FLOORS[module]]
    assert not up, f"{module} (floor {FLOORS[module]}) imports {', '.join(up)}"


def test_architecture_names_the_modules_that_exist_and_no_others():
    assert set(FLOORS) == set(INNER)


def lines_of_code(source: str) -> int:
    """Lines that are not blank, comment or docstring."""
    told = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            told |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(number not in told and not re.match(r"\s*(#|$)", line) for number, line in lines)


def test_the_package_stays_small():
    sources = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    assert {name: len(text.splitlines()) for name, text in sources.items() if len(text.splitlines()) > 300} == {}
    # The ceiling is 4,000 lines of code, and the package stands above it: this number may only fall.
    assert sum(map(lines_of_code, sources.values())) <= 6315


def test_import_is_light():
    heavy = "import sys, analysis_lib; print(*{'pandas', 'numpy', 'scipy', 'statsmodels'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_conda_and_pip_read_the_same_list():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert [conda[0], *conda[-2:]] == ["python=3.12", "pip", {"pip": ["-e .[data,dev]"]}]
    by_pip = {*EXTRAS["data"], *(r for r in EXTRAS["dev"] if "playwright" in r)}
    assert sorted(conda[1:-2]) == sorted(set(RANGES) - by_pip)


def test_the_lock_pins_hashes_and_keeps_the_ranges():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = {}
    for line in lock.splitlines():
        pin, *hashes = line.split(" --hash=")
        assert hashes, f"no hash: {line}"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h.strip()) for h in hashes), line
        requirement = Requirement(pin.strip())
        [specifier] = requirement.specifier
        assert specifier.operator == "==", line
        pinned[canonicalize_name(requirement.name)] = specifier.version
    for wanted in map(Requirement, RANGES):
        version = pinned.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not locked"
        assert wanted.specifier.contains(version), f"{wanted}: {version} is locked"


def documented(program: str) -> Iterator[list[str]]:
    """The words of every `program …` command in the README, in fenced blocks and in backticks."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", README, re.M | re.S)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.M | re.S))
    for line in [*"".join(fenced).splitlines(), *inline]:
        words = shlex.split(line, comments=True)
        if words[:1] == [program]:
            yield words[1:]


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {*re.findall(r"^([a-z]+):.*## ", makefile, re.M)}
    used = {word for words in documented("make") for word in words if "=" not in word}
    assert {"report", "test"} <= used <= targets


def test_commands_in_the_readme_exist_and_every_command_is_in_it():
    import typer

    from analysis_lib.cli import app

    top = typer.main.get_command(app)
    seen = set()
    for words in documented("claims"):
        command, path = top, []
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            name, *words = words
            assert name in command.commands, f"README: claims {' '.join([*path, name])}"
            command, path = command.commands[name], [*path, name]
        seen.add(" ".join(path))
        options = {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
        unknown = {word for word in words if word.startswith("--")} - options
        assert not unknown, f"README: claims {' '.join(path)} has no {unknown}"
    leaves = {
        f"{name} {sub}".strip()
        for name, command in top.commands.items()
        for sub in (getattr(command, "commands", None) or [""])
    }
    assert leaves <= seen, f"not in README: {sorted(leaves - seen)}"


def test_the_readme_table_of_claims_is_the_generated_one(registry):
    from analysis_lib.tables import claims_markdown

    block = README.partition("<!-- claims:start -->")[2].partition("<!-- claims:end -->")[0]
    assert block.strip() == claims_markdown(registry).strip()


NOT_OURS = r"^(\.git|\.venv|build|dist|\.hypothesis)$|cache|checkpoints$|\.egg-info$"


def text_files() -> Iterator[tuple[str, str]]:
    """The project's own files: relative path and text, without what is generated or installed."""
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        if here.as_posix() == "reports":
            folders[:] = [f for f in folders if f == "templates"]
        folders[:] = sorted(f for f in folders if not re.search(NOT_OURS, f))
        for name in names:
            try:
                yield (here / name).as_posix(), (ROOT / here / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture


FOREIGN = {
    "a path of one machine": r"(?<![\w.~])/(?:root|work|farm|tmp|home/\w+|Users/\w+)(?![\w-])",
    "a package registry's host": r"pypi\.or[g]|pythonhoste[d]|npmj[s]\.|anaconda\.or[g]",
    "the folder beside the project": r"(?<![\w/])(?:\.\./)?share[d]/",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(what):
    found = [
        f"{name}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}"
        for name, text in text_files()
        if name != "tests/conftest.py"
        for hit in re.finditer(FOREIGN[what], text)
    ]
    assert found == []


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


@needs_shared
def test_no_sentence_of_the_source_texts_is_copied():
    run = 8  # words in a row
    known = set()
    for path in (SHARED / "texts").glob("*.txt"):
        words = words_of(path.read_text(encoding="utf-8", errors="ignore"))
        known |= {tuple(words[i : i + run]) for i in range(len(words) - run + 1)}
    assert known
    copied = {}
    for name, text in text_files():
        words = words_of(text)
        runs = (tuple(words[i : i + run]) for i in range(len(words) - run + 1))
        first = next((r for r in runs if r in known), None)
        if first:
            copied[name] = " ".join(first)
    assert copied == {}


@pytest.mark.parametrize(("reason", "code"), [("no network", 1), *((word, 0) for word in NoSkips.MAY_BE_ABSENT)])
def test_require_all_turns_a_skip_into_a_failure(tmp_path, reason, code):
    skipping = f"import pytest\n\ndef test_it():\n    pytest.skip({reason!r})\n"
    (tmp_path / "test_it.py").write_text(skipping, encoding="utf-8")
    here = {"PYTHONPATH": str(Path(__file__).parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "REQUIRE_ALL": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
