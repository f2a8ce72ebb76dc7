"""Claims → one generation of reports: what is stale is run, everything is published as a unit."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from analysis_lib import changes, generations, paths
from analysis_lib.claims import Claim
from analysis_lib.errors import BadInput, CannotRun, ReportFailed, unknown
from analysis_lib.events import TABLES
from analysis_lib.generations import LATEST, SEED, as_registered, canonical, entry_sha256, last_good, manifest, sha256
from analysis_lib.paths import shown
from analysis_lib.registry import Registry, load_claims
from analysis_lib.runner import Words, run_tasks, workers
from analysis_lib.sources.bundled import Tables, load_tables

STACK = ("analysis_lib.kernel", "analysis_lib.study", "analysis_lib.figures_families", "analysis_lib.site", "seaborn",
         "statsmodels.api", "statsmodels.discrete.conditional_models", "matplotlib.backends.backend_agg",
         "matplotlib_inline.backend_inline", "nbconvert.filters.markdown_mistune", "mistune.plugins.formatting",
         "IPython.lib.lexers", "pygments.lexers.python", "pygments.styles.default", "jinja2.ext")  # fmt: skip
LIBRARIES = ("pandas", "numpy", "scipy", "statsmodels", "matplotlib", "seaborn", "papermill", "nbconvert")


# ---- what a page depends on ------------------------------------------------------------------------------------------


def _files_sha256(files: Iterable[Path]) -> str:
    there = sorted(path for path in files if path.is_file())
    return sha256(canonical([[f"{path.parent.name}/{path.name}", sha256(path.read_bytes())] for path in there]))


def parameter_names(notebook: Path) -> set[str]:
    """The names that the cell tagged `parameters` sets. Raises ReportFailed where there is no such cell."""
    try:
        cells = json.loads(notebook.read_bytes())["cells"]
        lines = next(c["source"] for c in cells if "parameters" in c["metadata"].get("tags", []))
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        raise ReportFailed(f"{shown(notebook)}: no cell is tagged 'parameters'; mend the notebook") from None
    names = re.findall(r"^(\w+)\s*(?::[^=\n]+)?=", "".join(lines), re.M)
    if missing := [name for name in ("claim", "data", "as_of", "seed") if name not in names]:
        raise ReportFailed(f"{shown(notebook)}: the parameters lack {', '.join(missing)}; add them to the cell")
    return set(names)


def checked(knobs: Mapping[str, Any], claim: Claim, notebook: Path) -> dict[str, Any]:
    """Knobs as plain JSON values; refuses what the notebook or the claim does not know, before anything runs."""
    allowed = parameter_names(notebook) - as_registered(claim).keys()
    for name, value in knobs.items():
        if name not in allowed:
            raise unknown(f"parameter of {shown(notebook)}", name, allowed, "give one of these")
        if value is None:
            raise BadInput(f"--set {name}=null: in a notebook null means as registered; allowed: a value; leave it out")
    if knobs:
        claim.with_knobs(knobs)
    return json.loads(json.dumps(dict(knobs), default=str))


@dataclass(frozen=True)
class Plan:
    """One claim's run: its notebook, what that is given, and everything else that the page depends on."""

    name: str
    claim: Claim
    notebook: Path
    parameters: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def hash(self) -> str:
        """Of the inputs; the registry counts by the claim's own entry."""
        own = {name: value for name, value in self.provenance.items() if name != "registry_sha256"}
        return sha256(canonical([self.parameters, own]))


def plan_of(claim: Claim, notebook: Path, parameters: dict[str, Any], shared: Mapping[str, Any]) -> Plan:
    """The plan of one claim; `shared` is the provenance of all pages."""
    own = {"entry_sha256": entry_sha256(claim), "notebook_sha256": sha256(notebook.read_bytes())}
    return Plan(claim.id, claim, notebook, parameters, shared | own)


def shared_provenance(registry: Registry, data: Path) -> dict[str, Any]:
    """What every page depends on: hashes of data, registry, code, definitions and templates, versions of libraries."""
    files = [data / f"{table}.csv" for table in TABLES]
    digests = {path.name: sha256(path.read_bytes()) for path in files if path.is_file()}
    return {
        "data_sha256": Tables(None, None, sha256=digests).data_sha256,  # without reading the tables
        "registry_sha256": registry.sha256,
        "code_sha256": _files_sha256((paths.ROOT / "analysis_lib").rglob("*.py")),
        "definitions_sha256": _files_sha256({*paths.DATA.glob("*.yml"), paths.REGION} - {paths.REGISTRY}),
        "templates_sha256": _files_sha256(paths.TEMPLATES.rglob("*")),
        "versions": {"python": python_version()} | {name: version(name) for name in LIBRARIES},
    }


# ---- a run -----------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What a call of `publish_reports` did. `failed` and `changed` have a line for each claim with that fate."""

    asked: tuple[str, ...]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    generation: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    fresh: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def summary(self) -> str:
        """The run in two lines."""
        counts = {"run": self.seconds, "fresh": self.fresh, "failed": self.failed, "not yet run": self.absent}
        counts |= {"with a changed verdict": self.changed}
        page = os.path.relpath(self.generation.parent / LATEST / "index.html") if self.generation else None
        words = ", ".join(f"{len(names)} {word}" for word, names in counts.items() if names)
        return f"{words}\n{page or 'nothing changed: no new generation'}"


def publish_reports(
    ids: Sequence[str] | None = None, *, out: Path = paths.REPORTS, data: Path | None = None,
    claims: Path | None = None, as_of: date | None = None, seed: int | None = None,
    knobs: Mapping[str, Any] | None = None, jobs: int | None = None, force: bool = False, keep: int = 5,
    progress: Callable[[int, int, str], object] = lambda *_: None, notebooks: Path = paths.NOTEBOOKS,
    timeout: int = 600,
) -> Run:  # fmt: skip
    """Run the claims that are stale (ids None: of all), carry the others over, publish one generation.

    Raises CannotRun for a claim named here that has no notebook yet, BadInput before anything runs, RunLocked, and
    ReportFailed where `out` cannot be written. A notebook that fails, or takes longer than `timeout` seconds, is told
    in `Run.failed` and on the board.
    """
    user, data = paths.user_registry(claims), paths.data_dir(data).resolve()
    registry = load_claims(user)
    asked = registry.claims if ids is None else [registry[name] for name in dict.fromkeys(ids)]
    run, plans, shared = Run(tuple(claim.id for claim in asked)), [], shared_provenance(registry, data)
    for claim in asked:
        notebook = notebooks / f"{claim.notebook}.ipynb"
        try:
            if notebook.is_file():
                given = {"claim": claim.id, "data": None, "as_of": as_of and as_of.isoformat()}
                given |= checked(knobs or {}, claim, notebook) | {"seed": SEED if seed is None else seed}
                plans.append(plan_of(claim, notebook, given, shared))
        except ReportFailed as error:
            run.failed[claim.id] = f"{claim.id}: {error}"
    with generations.locked(out), ExitStack() as open_workers:
        if ids is not None and (out / LATEST).exists() and not manifest(out):
            again = "its other pages cannot be carried over; make all again: claims report --all"
            raise BadInput(f"{shown(out / LATEST / 'manifest.json')}: missing or damaged: {again}")
        entries, made, tables = last_good(out), {}, None
        stale = [plan for plan in plans if force or entries.get(plan.name, {}).get("hash") != plan.hash]
        if stale:
            progress(0, len(stale), "starting kernels")
            # notebooks find data and registry by the environment, so that no path enters them
            env = {paths.DATA_ENV: str(data)} | ({paths.REGISTRY_ENV: str(user.resolve())} if user else {})
            jobs = min(jobs or os.cpu_count() or 1, len(stale))
            pool = open_workers.enter_context(workers(jobs, ready, env))  # they import while this process checks
            from analysis_lib.study import runnable  # it loads every method, so it is asked only where a page is new

            plans, stale = ([plan for plan in some if runnable(plan.claim)] for some in (plans, stale))
        run.fresh = tuple(plan.name for plan in plans if plan not in stale)
        run.absent = tuple(name for name in run.asked if name not in {*run.failed, *(plan.name for plan in plans)})
        if ids is not None and run.absent:
            raise CannotRun(*(f"claim '{name}' is not yet run: no notebook; see `claims list`" for name in run.absent))
        if stale:
            tables = load_tables(data)  # bad tables are told as such, before any notebook runs
            done = run_tasks(pool, stale, files_of, _words(data, notebooks), timeout)
            for count, (plan, files, seconds, failed) in enumerate(done, 1):
                progress(count, len(stale), f"{plan.name} {'FAILED' if failed else f'done in {seconds:.1f} s'}")
                if failed:
                    run.failed[plan.name] = failed
                    continue
                run.seconds[plan.name], made = seconds, made | files
                told = {"hash": plan.hash, "parameters": plan.parameters} | plan.provenance
                entries[plan.name] = told | {"files": {path: sha256(content) for path, content in files.items()}}
        _publish(out, registry, shared, run, entries, made, keep, data, lambda: tables or load_tables(data))
    return run


def ready() -> None:
    """Import and read what every notebook and page needs."""
    sys.modules["rfc3987_syntax"] = None  # a grammar that takes a second to build and that jsonschema can do without
    for name in STACK:
        import_module(name)
    del sys.modules["rfc3987_syntax"]
    _rehearse(load_claims(paths.user_registry()), paths.data_dir().resolve())


def _rehearse(registry: Registry, data: Path) -> None:
    """Make a page that nobody sees: templates and patterns are then compiled, once for all notebooks."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    from analysis_lib.study import evaluate
    from analysis_lib.tables import STUDY_MIME

    claim = min(registry.claims, key=lambda claim: claim.kind)  # documentary ones are the quickest
    with suppress(Exception):  # whatever fails here fails again, and is told, in the notebook that it concerns
        told = {STUDY_MIME: evaluate(claim, load_tables(data), registry).record(), "text/plain": ""}
        cells = [new_markdown_cell("# *A* page"), new_code_cell("a", outputs=[new_output("display_data", told)])]
        plan = plan_of(claim, paths.NOTEBOOKS / f"{claim.notebook}.ipynb", {}, shared_provenance(registry, data))
        files_of(new_notebook(cells=cells), plan)


def _words(data: Path, notebooks: Path) -> Words:
    """The folders of this machine, longest first, and the word for each that outputs may show."""
    words = {data: "data", notebooks.resolve(): "notebooks", paths.ROOT: ".", Path(sys.prefix): "python"}
    words |= {Path.cwd(): ".", Path(tempfile.gettempdir()): "tmp", Path.home(): "~"}
    return sorted(((str(p), w) for p, w in words.items() if len(p.parts) > 1), key=lambda x: -len(x[0]))


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
    contents = {"html": claim_page(executed, record, plan), "ipynb": canonical(executed), "json": canonical(record)}
    return {f"claims/{plan.name}.{kind}": content for kind, content in contents.items()}


def _publish(
    out: Path, registry: Registry, shared: Mapping[str, Any], run: Run, entries: Mapping[str, Any],
    made: Mapping[str, bytes], keep: int, data: Path, tables: Callable[[], Tables],
) -> None:  # fmt: skip
    """Board, manifest and pages as the next generation, where anything differs from the one before."""
    told, known = manifest(out), registry.by_id
    before = told.get("run", {}).get("failures", {})
    failures = {name: before[name] for name in before if name in known and name not in run.asked}
    for name, line in run.failed.items():
        failures[name] = {"message": line, "since": before.get(name, {}).get("since", f"{run.started:%Y-%m-%d}")}
    states = {name: {"status": "failed" if name in failures else "good"} for name in known if name in entries}
    entries = {name: entries[name] | state for name, state in states.items()}
    notes = {name: _notes(claim, entries.get(name), failures.get(name), shared) for name, claim in known.items()}
    content = sha256(canonical([shared, entries, notes]))
    same = content == told.get("content_sha256") and last_good(out).keys() == entries.keys()
    if same and generations.whole(out, told["run"].get("files", {"index.html": ""})):
        return
    from analysis_lib.site import board, exports, news

    files = {path: made.get(path) or (out / LATEST / path).read_bytes()
             for entry in entries.values() for path in entry["files"]}  # fmt: skip
    found = {name: json.loads(files[f"claims/{name}.json"]) for name in entries}
    start, end = (f"{moment:%Y%m%dT%H%M%SZ}" for moment in (run.started, datetime.now(UTC)))
    name, before = f"{start}-{content[:8]}", changes.view(out)
    states = {entry["data_sha256"] for entry in (shared, *entries.values())}
    rows = {state: there for state, there in before.files.get("rows.json", {}).items() if state in states}
    if shared["data_sha256"] not in rows:
        rows |= {(read := tables()).data_sha256: changes.row_digests(read)}
    files["rows.json"] = canonical(rows)
    files |= exports(found, files, shared, data)  # what comes after holds times
    told = {"content_sha256": content} | shared | {"claims": entries, "run": {"failures": failures}}
    now = changes.View(name, told, {f"claims/{n}.json": record for n, record in found.items()} | {"rows.json": rows})
    changed = changes.between(before if before.told else None, now)
    past = changes.history(before.told.get("run", {}).get("changes", {}), changed, start)
    files |= news(registry, changed, past) | {"index.html": board(registry, found, notes, shared, past["last"])}
    run.changed = [f"{entry['claim']}: {entry['what']}" for entry in past["feed"] if entry["generation"] == name]
    digests = {path: sha256(content) for path, content in files.items() if not path.startswith("claims/")}
    told["run"] |= {"started": start, "finished": end, "before": changed["old"], "files": digests, "changes": past}
    files["manifest.json"] = canonical(told | {"sha256": sha256(canonical(told))})
    run.generation = generations.place(out, name, files, keep)


def _notes(claim: Claim, entry: Mapping | None, failure: Mapping | None, shared: Mapping[str, Any]) -> list[str]:
    """What the board says of a claim's page: nothing, where it is good and current."""
    page = "showing the last good page" if entry else "there is no earlier page"
    notes = [f"failed since {failure['since']}, {page}: {failure['message']}"] if failure else []
    if entry is None:
        return notes or ["not yet run"]
    default = as_registered(claim)
    if own := [f"{name} = {value}" for name, value in entry["parameters"].items() if default.get(name) != value]:
        notes.append(f"run with {', '.join(own)}")
    if entry["data_sha256"] != shared["data_sha256"]:
        notes.append("built on other data")
    return notes
