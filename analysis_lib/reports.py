"""Claims → one generation of reports: what is stale is run, everything is published as a unit."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from analysis_lib import generations, paths
from analysis_lib.claims import Claim
from analysis_lib.errors import BadInput, CannotRun, ReportFailed, unknown
from analysis_lib.events import TABLES
from analysis_lib.generations import LATEST, SEED, as_registered, canonical, entry_sha256, last_good, manifest, sha256
from analysis_lib.paths import REPORTS, ROOT, shown, user_registry
from analysis_lib.registry import Registry, load_claims
from analysis_lib.runner import Task, Words, run_tasks
from analysis_lib.sources.bundled import Tables, load_tables

BASE = ("claim", "data", "as_of", "seed")
LIBRARIES = ("pandas", "numpy", "scipy", "statsmodels", "matplotlib", "seaborn", "papermill", "nbconvert")


# ---- what a page depends on ------------------------------------------------------------------------------------------


def _tree_sha256(folder: Path, pattern: str) -> str:
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return sha256(canonical([[path.relative_to(folder).as_posix(), sha256(path.read_bytes())] for path in files]))


def parameter_names(notebook: Path) -> set[str]:
    """The names that the cell tagged `parameters` sets. Raises ReportFailed where there is no such cell."""
    try:
        cells = json.loads(notebook.read_bytes())["cells"]
        lines = next(c["source"] for c in cells if "parameters" in c["metadata"].get("tags", []))
        names = set(re.findall(r"^(\w+)\s*(?::[^=\n]+)?=", "".join(lines), re.M))
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        raise ReportFailed(f"{shown(notebook)}: no cell is tagged 'parameters'; mend the notebook") from None
    if missing := [name for name in BASE if name not in names]:
        raise ReportFailed(f"{shown(notebook)}: the parameters lack {', '.join(missing)}; add them to the cell")
    return names


def checked(knobs: Mapping[str, Any], claim: Claim, notebook: Path) -> dict[str, Any]:
    """Knobs as plain JSON values; refuses what the notebook or the claim does not know, before anything runs."""
    allowed = parameter_names(notebook)
    for name, value in knobs.items():
        if name not in allowed:
            raise unknown(f"parameter of {shown(notebook)}", name, allowed - set(BASE), "give one of these")
        if value is None:
            raise BadInput(f"--set {name}=null: in a notebook null means as registered; allowed: a value; leave it out")
    if knobs:
        claim.with_knobs(knobs)
    return json.loads(json.dumps(dict(knobs), default=str))


@dataclass(frozen=True)
class Plan(Task):
    """One claim's run: everything that its page depends on."""

    claim: Claim
    provenance: dict[str, Any]
    templates: Path

    @property
    def hash(self) -> str:
        """Of the inputs; the registry counts by the claim's own entry."""
        own = {name: value for name, value in self.provenance.items() if name != "registry_sha256"}
        return sha256(canonical([self.parameters, own]))


@dataclass(frozen=True)
class Inputs:
    """What a run reads, the same for all claims: registry, data, notebooks, templates."""

    registry: Registry
    user_registry: Path | None
    data: Path
    notebooks: Path
    templates: Path

    def notebook(self, claim: Claim) -> Path:
        return self.notebooks / f"{claim.notebook}.ipynb"

    @cached_property
    def provenance(self) -> dict[str, Any]:
        files = [self.data / f"{table}.csv" for table in TABLES]
        digests = {path.name: sha256(path.read_bytes()) for path in files if path.is_file()}
        return {
            "data_sha256": Tables(None, None, sha256=digests).data_sha256,  # without reading the tables
            "registry_sha256": self.registry.sha256,
            "code_sha256": _tree_sha256(ROOT / "analysis_lib", "*.py"),
            "definitions_sha256": sha256(paths.DEFINITIONS.read_bytes()),
            "templates_sha256": _tree_sha256(self.templates, "*"),
            "versions": {"python": python_version()} | {name: version(name) for name in LIBRARIES},
        }

    @property
    def env(self) -> dict[str, str]:
        """How kernels find data and registry: by the environment, so that no path enters a notebook."""
        user = {paths.REGISTRY_ENV: str(self.user_registry.resolve())} if self.user_registry else {}
        return {paths.DATA_ENV: str(self.data)} | user

    @property
    def words(self) -> Words:
        """The folders of this machine, longest first, and the word for each that outputs may show."""
        words = {self.data: "data", self.notebooks.resolve(): "notebooks", ROOT: ".", Path(sys.prefix): "python"}
        words |= {Path.cwd(): ".", Path(tempfile.gettempdir()): "tmp", Path.home(): "~"}
        return tuple(sorted(((str(p), w) for p, w in words.items() if len(p.parts) > 1), key=lambda x: -len(x[0])))

    def plan(self, claim: Claim, parameters: dict[str, Any]) -> Plan:
        notebook = self.notebook(claim)
        own = {"entry_sha256": entry_sha256(claim), "notebook_sha256": sha256(notebook.read_bytes())}
        return Plan(claim.id, notebook, parameters, claim, self.provenance | own, self.templates)


# ---- a run -----------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What a call of `publish_reports` did. `failed` has a line for each claim that failed."""

    asked: tuple[str, ...]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    generation: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def summary(self) -> str:
        """The run in two lines."""
        counts = {"run": self.seconds, "fresh": self.fresh, "failed": self.failed, "not yet run": self.absent}
        page = os.path.relpath(self.generation.parent / LATEST / "index.html") if self.generation else None
        words = ", ".join(f"{len(names)} {word}" for word, names in counts.items() if names)
        return f"{words}\n{page or 'nothing changed: no new generation'}"


def publish_reports(
    ids: Sequence[str] | None = None, *, out: Path = REPORTS, data: Path | None = None, claims: Path | None = None,
    as_of: date | None = None, seed: int | None = None, knobs: Mapping[str, Any] | None = None,
    jobs: int | None = None, force: bool = False, keep: int = 5,
    progress: Callable[[int, int, str], object] = lambda count, total, line: None,
    notebooks: Path = paths.NOTEBOOKS, templates: Path = paths.TEMPLATES, timeout: int = 120,
    python: str = sys.executable,
) -> Run:  # fmt: skip
    """Run the claims that are stale (ids None: of all), carry the others over, publish one generation.

    Raises CannotRun for a claim named here that has no notebook yet, BadInput before anything runs, RunLocked, and
    ReportFailed where `out` cannot be written. A notebook that fails is told in `Run.failed` and on the board.
    """
    user = user_registry(claims)
    inputs = Inputs(load_claims(user), user, paths.data_dir(data).resolve(), notebooks, templates)
    asked = inputs.registry.claims if ids is None else [inputs.registry[name] for name in dict.fromkeys(ids)]
    day, seed = as_of and as_of.isoformat(), SEED if seed is None else seed
    run, plans = Run(tuple(claim.id for claim in asked)), []
    for claim in (claim for claim in asked if inputs.notebook(claim).is_file()):
        try:
            own = checked(knobs or {}, claim, inputs.notebook(claim))
            plans.append(inputs.plan(claim, {"claim": claim.id, "data": None, "as_of": day} | own | {"seed": seed}))
        except ReportFailed as error:
            run.failed[claim.id] = f"{claim.id}: {error}"
    plans = _that_can_run(plans, out)
    run.absent = tuple(name for name in run.asked if name not in {*run.failed, *(plan.name for plan in plans)})
    if ids is not None and run.absent:
        raise CannotRun(*(f"claim '{name}' is not yet run: no notebook; see `claims list`" for name in run.absent))
    with generations.locked(out):
        entries, made = last_good(out), {}
        stale = [plan for plan in plans if force or entries.get(plan.name, {}).get("hash") != plan.hash]
        run.fresh = tuple(plan.name for plan in plans if plan not in stale)
        if stale:
            load_tables(inputs.data)  # bad tables are told as such, before any kernel starts
            progress(0, len(stale), "starting kernels")
            done = run_tasks(stale, files_of, inputs.words, timeout=timeout, jobs=jobs or os.cpu_count() or 1,
                             env=inputs.env, python=python)  # fmt: skip
            for count, (plan, files, seconds, failed) in enumerate(done, 1):
                progress(count, len(stale), f"{plan.name} {'FAILED' if failed else f'done in {seconds:.1f} s'}")
                if failed:
                    run.failed[plan.name] = failed
                else:
                    run.seconds[plan.name], made = seconds, made | files
                    hashes = {path: sha256(content) for path, content in files.items()}
                    told = {"status": "good", "hash": plan.hash, "parameters": plan.parameters}
                    entries[plan.name] = told | plan.provenance | {"files": hashes}
        _publish(out, inputs, run, entries, made, keep)
    return run


def _that_can_run(plans: Sequence[Plan], out: Path) -> list[Plan]:
    """Those with a page of the same hash, so of the same code, and those of which the library says so.

    The library is asked last, because it loads every method.
    """
    known = {entry["hash"] for entry in manifest(out).get("claims", {}).values()}
    if all(plan.hash in known for plan in plans):
        return list(plans)
    from analysis_lib.study import runnable

    return [plan for plan in plans if runnable(plan.claim)]


def files_of(executed: Any, plan: Plan) -> dict[str, bytes]:
    """The page, the notebook and the record of one claim, from its executed notebook."""
    from analysis_lib.site import claim_page
    from analysis_lib.tables import STUDY_MIME

    outputs = [output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", ())]
    record = next((data[STUDY_MIME] for data in outputs if STUDY_MIME in data), None)
    if record is None:
        raise ReportFailed(f"{shown(plan.notebook)}: no cell shows the study; end with tables.how_to_reproduce(study)")
    for name in ("data_sha256", "registry_sha256"):
        if record[name] != plan.provenance[name]:
            raise ReportFailed(f"{name} changed while the notebook ran; run it again")
    page = claim_page(executed, record, plan)
    contents = {"html": page, "ipynb": canonical(executed), "json": canonical(record)}
    return {f"claims/{plan.name}.{kind}": content for kind, content in contents.items()}


def _publish(
    out: Path, inputs: Inputs, run: Run, entries: Mapping[str, Any], made: Mapping[str, bytes], keep: int
) -> None:
    """Board, manifest and pages as the next generation, where anything differs from the one before."""
    told, claims = manifest(out), inputs.registry.claims
    before = told.get("run", {}).get("failures", {})
    failures = {name: before[name] for name in before if name in inputs.registry.by_id and name not in run.asked}
    for name, line in run.failed.items():
        failures[name] = {"message": line, "since": before.get(name, {}).get("since", f"{run.started:%Y-%m-%d}")}
    entries = {c.id: entries[c.id] | {"status": "failed" if c.id in failures else "good"}
               for c in claims if c.id in entries}  # fmt: skip
    notes = {c.id: _notes(inputs, c, entries.get(c.id), failures.get(c.id)) for c in claims}
    content = sha256(canonical([inputs.provenance, entries, notes]))
    same = content == told.get("content_sha256") and last_good(out).keys() == entries.keys()
    if same and generations.whole(out, {"index.html": told["index_sha256"]}):
        return
    from analysis_lib.site import board

    names = [name for entry in entries.values() for name in entry["files"]]
    files = {name: made.get(name) or (out / LATEST / name).read_bytes() for name in names}
    found = {name: json.loads(files[f"claims/{name}.json"]) for name in entries}
    files["index.html"] = board(inputs.registry, found, notes, inputs.provenance, inputs.templates)
    start, end = (f"{moment:%Y%m%dT%H%M%SZ}" for moment in (run.started, datetime.now(UTC)))
    made_here = {"index_sha256": sha256(files["index.html"]), "claims": entries}
    times = {"run": {"started": start, "finished": end, "failures": failures}}
    files["manifest.json"] = canonical({"content_sha256": content} | inputs.provenance | made_here | times)
    run.generation = generations.place(out, f"{start}-{content[:8]}", files, keep)


def _notes(inputs: Inputs, claim: Claim, entry: Mapping[str, Any] | None, failure: Mapping | None) -> list[str]:
    """What the board says of a claim's page: nothing, where it is good and current."""
    page = "showing the last good page" if entry else "there is no earlier page"
    notes = [f"failed since {failure['since']}, {page}: {failure['message']}"] if failure else []
    if entry is None:
        return notes or ["not yet run"]
    default = as_registered(claim)
    own = {name: value for name, value in entry["parameters"].items() if default.get(name) != value}
    if own:
        notes.append(f"run with {', '.join(f'{name} = {value}' for name, value in own.items())}")
    if entry["data_sha256"] != inputs.provenance["data_sha256"]:
        notes.append("built on other data")
    return notes
