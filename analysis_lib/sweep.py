"""Claims over a grid of knobs: each cell judged by the full rule, on all cores or a cluster, compared on one page."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import date
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import to_jsonable_python

from analysis_lib.claims import FAMILIES, SEED, Claim, knob_value, parsed
from analysis_lib.errors import BadInput, CannotRun, unknown
from analysis_lib.finding import Finding, tidy
from analysis_lib.generations import canonical, entry_sha256, locked, manifest, sha256, write_whole
from analysis_lib.paths import NOTEBOOKS, REPORTS, shown
from analysis_lib.registry import Registry
from analysis_lib.reports import parameter_names, shared_provenance
from analysis_lib.runner import ends_with_parent
from analysis_lib.site import SHARED
from analysis_lib.sources.bundled import Tables
from analysis_lib.study import judgement
from analysis_lib.suite import adjusted
from analysis_lib.tables import render

BACKENDS = {"loky": {"initializer": ends_with_parent}, "dask": {}}  # with what joblib's are set up
STATE = ("as_of", "seed", "data_sha256", "code_sha256", "definitions_sha256", "versions")  # what all numbers depend on


def axis(text: str) -> tuple[str, list[dict[str, Any]]]:
    """`NAME=V1,V2,…` as the name and the knobs that each value sets, read as after `--set`.

    A list stands in brackets; a window, frame or placebo period is START..END and sets two knobs.

    >>> axis("weapons=drone,[drone, rocket]")
    ('weapons', [{'weapons': ('drone',)}, {'weapons': ('drone', 'rocket')}])
    """
    (name, _, told), given = text.partition("="), []
    knobs = [f"{name}_start", f"{name}_end"] if (period := name in ("window", "frame", "placebo")) else [name]
    with suppress(yaml.YAMLError, ValueError):
        parts = [str(v).split("..") if period else [json.dumps(v, default=str)] for v in parsed(f"[{told}]")[1]]
        given = [[*zip(knobs, values, strict=True)] for values in parts]
    if not given:
        raise BadInput(f"--over {text}: not a list of values; allowed: NAME=V1,V2 as after --set, a window START..END")
    return name, [{knob: knob_value(knob, value, "--over") for knob, value in pairs} for pairs in given]


def cells(claims: Sequence[Claim], axes: Sequence, fixed: Mapping[str, Any], state: Mapping) -> dict[str, tuple]:
    """(claim, knobs, seed) of each place of the grid, by the hash of all that its numbers depend on.

    The seed comes from that of `state`, the claim and the knobs alone, so that a cell is the same in every grid. Raises
    BadInput for a claim without a test, for a knob that its test does not read or that comes twice, and for a
    specification that cannot be.
    """
    names, found = [*fixed, *(knob for _, options in axes for knob in options[0])], {}
    for claim in claims:
        if claim.rule is None:
            raise BadInput(f"claim '{claim.id}' has no test (kind {claim.kind}); allowed: one with a rule")
        known = parameter_names(NOTEBOOKS / f"{claim.notebook}.ipynb") | {"bloc", *claim.spec.model_fields_set}
        if wrong := [name for name in names if name not in known or names.count(name) > 1]:
            raise unknown(f"knob of {claim.id}, or one given twice,", wrong[0], known, "give each once")
        for place in product(*(options for _, options in axes)):
            knobs = dict(sorted((dict(fixed) | {k: v for change in place for k, v in change.items()}).items()))
            claim.with_knobs(knobs)
            own = int(sha256(canonical(what := [state["seed"], claim.id, to_jsonable_python(knobs)]))[:8], 16)
            found[sha256(canonical([entry_sha256(claim), what, state]))] = (claim, knobs, own)
    return found


def judged(key: str, claim: Claim, knobs: Mapping, seed: int, as_of: date | None, tables: Tables) -> dict[str, Any]:
    """One cell: the verdict by the full rule and the primary finding, or why the numbers `failed`."""
    cell = {"key": key, "claim": claim.id, "knobs": to_jsonable_python(knobs), "seed": seed, "failed": False}
    try:
        found = judgement(claim, claim.with_knobs(knobs), tables, as_of, seed, everything=False)
        return cell | found.inferential.row() | {"finding": found.findings[0].row()}
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        why = {"verdict": "not testable", "reason": f"failed: {type(error).__name__}: {error}", "failed": True}
        return cell | why | {"finding": Finding(claim.spec.test, "not computed", "primary").named(claim.id).row()}


def sweep(
    registry: Registry, ids: Sequence[str], over: Sequence[str], tables: Tables, *, family: str | None = None,
    out: Path | None = None, as_of: date | None = None, knobs: Mapping[str, Any] | None = None, seed: int | None = None,
    jobs: int | None = None, backend: str = "loky",
) -> tuple[list[dict[str, Any]], Path]:  # fmt: skip
    """Judge the cells that are not finished in `out`, write cells.json, cells.csv and index.html there: cells, page.

    Numbers depend neither on the order of the grid nor on the workers. A cell that failed is tried again next time.
    Raises BadInput before anything runs, CannotRun without what the backend needs.
    """
    from rich.progress import Console, track

    if family not in FAMILIES and (family or not ids):
        raise unknown("family", family or "", FAMILIES, "give one of these, or ids of claims")
    claims = [*map(registry.__getitem__, ids), *(c for c in registry.claims if c.family == family and c.rule)]
    out = out or REPORTS / "sweeps" / "-and-".join([*ids[:1], *filter(None, [family, ids[1:] and "more"])])
    if any("content_sha256" in manifest(folder, ".") for folder in (out, *out.resolve().parents)):
        raise BadInput(f"{shown(out)}: belongs to a generation of reports; allowed: a folder apart; give another --out")
    axes, seed = [axis(text) for text in over], SEED if seed is None else seed
    shared = shared_provenance(registry, tables.folder) | {"as_of": as_of and str(as_of), "seed": seed}
    grid = cells(claims, axes, knobs or {}, told := {name: shared[name] for name in STATE})
    try:
        joblib = import_module("joblib")
        cluster = import_module("dask.distributed").Client() if backend == "dask" else nullcontext()
    except (ImportError, OSError) as error:
        raise CannotRun(f"--backend {backend}: {error}; docs/sweeps.md says what it needs") from None
    with locked(out), cluster, joblib.parallel_config(backend, n_jobs=jobs or -1, **BACKENDS[backend]):
        (finished := out / "finished").mkdir(exist_ok=True)
        done = {key: manifest(finished, ".", f"{key}.json") for key in grid}
        todo = [joblib.delayed(judged)(key, *grid[key], as_of, tables) for key in grid if not done[key]]
        results, bar = joblib.Parallel(return_as="generator_unordered", batch_size=1), Console(stderr=True)
        for cell in track(results(todo), "cells", len(todo), console=bar, transient=True, disable=not bar.is_terminal):
            done[cell["key"]] = cell
            if not cell["failed"]:
                write_whole(finished / f"{cell['key']}.json", canonical(cell | {"sha256": sha256(canonical(cell))}))
        p = {key: cell["finding"]["p_value"] for key, cell in done.items() if cell["finding"]["p_value"] is not None}
        q = {"q_bh": adjusted(p, "fdr_bh"), "q_by": adjusted(p, "fdr_by")}
        rows = [cell | {name: tidy(values.get(key)) for name, values in q.items()} for key, cell in done.items()]
        rows.sort(key=lambda row: (row["key"] not in p, p.get(row["key"]), row["claim"], row["key"]))
        page = told | SHARED | {"cells": rows, "grid": grid, "axes": axes, "over": over, "fixed": knobs or {}}
        files = {name: render(f"sweep/{name}.j2", **page).encode() for name in ("cells.csv", "index.html")}
        for name, content in ({"cells.json": canonical(told | {"cells": rows})} | files).items():
            write_whole(out / name, content)
    return rows, out / "index.html"
