"""Words on the command line → calls below; text, JSON and exit codes out, without tracebacks."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from analysis_lib.errors import BadInput, CannotRun, ClaimsError, InputMissing, Mismatch, plain
from analysis_lib.paths import REPORTS, ROOT, data_dir, shown, user_registry


class Commands(TyperGroup):
    """Turns what may go wrong into lines and exit codes, for every command alike."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:  # the reader has gone: say nothing, and let nothing be said at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except ClaimsError as error:
            code = _told(error.exit_code, *error.lines)
        except OSError as error:
            name = shown(Path(os.fsdecode(error.filename))) if error.filename else type(error).__name__
            code = _told(1, f"{name}: {(error.strerror or 'cannot be used').lower()}")
        except KeyboardInterrupt:
            code = _told(130, "interrupted; nothing was published")
        raise typer.Exit(code)


def _told(code: int, *lines: str) -> int:
    for line in lines:
        typer.echo(f"error: {plain(line)}", err=True)
    return code


def _say(template: str, err: bool = False, **values: Any) -> None:
    """What a template makes of the values."""
    from analysis_lib.site import render

    typer.echo(render(f"{template}.txt.j2", **values).rstrip(), err=err)


def _json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, str], object]]:
    """A bar on a terminal, a line for each notebook elsewhere, nothing where quiet is asked for."""
    if quiet or not sys.stderr.isatty():
        yield lambda count, total, line: quiet or not count or typer.echo(f"{count} of {total}: {line}", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda count, total, line: bar.update(task, completed=count, total=total, description=line)


# ---- what the commands share -----------------------------------------------------------------------------------------


def _knob(text: str) -> tuple[str, Any]:
    from analysis_lib.claims import knob_value

    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"--set {text}: got no value; allowed: name=value, such as --set weapons=drone")
    return name, knob_value(name, value)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--as-of {text}: not a date; allowed: an ISO date such as 2021-06-05") from None


def _version(wanted: bool) -> None:
    if wanted:
        import tomllib

        typer.echo(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
        raise typer.Exit


Id = Annotated[str, typer.Argument(metavar="ID", help="id of the claim; `claims list` names them all")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON value and nothing else")]
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="folder with events.csv and windows.csv")]
Claims = Annotated[Path | None, typer.Option("--claims", metavar="FILE", help="your own registry, added to ours")]
AsOf = Annotated[date | None, typer.Option(metavar="DATE", parser=_day, help="only what was public on this ISO date")]
Knobs = Annotated[list[Any], typer.Option("--set", metavar="NAME=VALUE", parser=_knob, help="a knob; may come again")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="of every random draw; default: the registered one")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="folder of the reports", show_default="reports")]

plainly = {"no_args_is_help": True, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(cls=Commands, add_completion=False, **plainly)
data_app = typer.Typer(help="Data folders.", **plainly)
app.add_typer(data_app, name="data")


@app.callback()
def start(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    """Checks claims of security reporting against data."""


# ---- the commands ----------------------------------------------------------------------------------------------------


@app.command("list")
def list_claims(as_json: Json = False, claims: Claims = None, out: Out = REPORTS) -> None:
    """All claims with their latest verdicts."""
    from analysis_lib.generations import records
    from analysis_lib.registry import load_claims

    registry, known = load_claims(user_registry(claims)), records(out)
    fields = {"id", "text", "published", "origin", "kind", "family", "question"}
    parts = dict.fromkeys(("headline", "literal", "inferential", "publication"))
    rows = [claim.model_dump(mode="json", include=fields) | {part: known.get(claim.id, parts)[part] for part in parts}
            for claim in registry.claims]  # fmt: skip
    _json(rows) if as_json else _say("list", rows=rows)


@app.command()
def show(claim_id: Id, claims: Claims = None, out: Out = REPORTS) -> None:
    """One claim's card: what it says, how it is tested, the latest verdicts."""
    from analysis_lib.generations import records
    from analysis_lib.registry import load_claims

    claim = load_claims(user_registry(claims))[claim_id]
    _say("claim", claim=claim, record=records(out).get(claim_id))


@app.command()
def reproduce(
    claim_id: Id, as_json: Json = False, as_of: AsOf = None, data: Data = None, claims: Claims = None,
    knobs: Knobs = (), seed: Seed = None, out: Out = REPORTS,
) -> None:  # fmt: skip
    """Run one claim in process and compare every number with the published one."""
    from analysis_lib.generations import SEED, TOLERANCE, differences, entry_sha256, published_record
    from analysis_lib.registry import load_claims
    from analysis_lib.sources.bundled import load_tables
    from analysis_lib.study import evaluate

    registry = load_claims(user_registry(claims))
    claim, options = registry[claim_id], {"as_of": as_of, "seed": SEED if seed is None else seed, "knobs": dict(knobs)}
    tables = load_tables(data_dir(data))
    try:
        study = evaluate(claim, tables, registry, **options)
    except (CannotRun, InputMissing) as error:
        raise CannotRun(*(f"CANNOT RUN {claim_id}: {line}" for line in error.lines)) from None
    record = study.record()
    _json(record) if as_json else _say("study", study=study, record=record)
    published, where = published_record(out, record, entry_sha256(claim))
    if published is None:
        typer.echo(f"not compared: {where}", err=as_json)
        return
    found, compared = differences(published, record)
    if found:
        _say("mismatch", err=as_json, differences=found)
        typer.echo(f"MISMATCH: {len(found)} of {compared} values are not those of {where}", err=as_json)
        raise typer.Exit(Mismatch.exit_code)
    line = f"MATCH: {compared} values are those of {where} (numbers within {TOLERANCE:g} of their size)"
    typer.echo(line, err=as_json)


@app.command()
def report(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    every: Annotated[bool, typer.Option("--all", help="all claims")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="notebooks at a time; default: one a processor")] = None,
    force: Annotated[bool, typer.Option("--force", help="run those that are fresh, too")] = False,
    keep: Annotated[int, typer.Option(min=1, help="generations to keep")] = 5,
    quiet: Annotated[bool, typer.Option("--quiet", help="print errors only")] = False,
    out: Out = REPORTS, data: Data = None, claims: Claims = None, as_of: AsOf = None, knobs: Knobs = (),
    seed: Seed = None,
) -> None:  # fmt: skip
    """Regenerate the reports that are stale; publish all as one generation."""
    if bool(ids) == every:
        raise typer.BadParameter("give the ids of claims, or --all")
    from analysis_lib.reports import publish_reports

    with _progress(quiet) as progress:
        run = publish_reports(
            ids or None, out=out, data=data, claims=claims, as_of=as_of, seed=seed, knobs=dict(knobs), jobs=jobs,
            force=force, keep=keep, progress=progress,
        )  # fmt: skip
    code = _told(1 if run.failed else 0, *run.failed.values())
    if not quiet:
        typer.echo(run.summary())
    raise typer.Exit(code)


@app.command()
def publish(out: Out = REPORTS, claims: Claims = None) -> None:
    """Record the numbers of the latest reports in reports/published.json."""
    from analysis_lib import generations
    from analysis_lib.registry import load_claims

    path, count = generations.publish(out, load_claims(user_registry(claims)))
    typer.echo(f"{shown(path)}: {count} claims")


@data_app.command("check")
def data_check(folder: Annotated[Path | None, typer.Argument(metavar="[DIR]")] = None) -> None:
    """Validate the tables of a folder: every problem with file, line and column."""
    from analysis_lib.sources.bundled import load_tables

    tables = load_tables(data_dir(folder))
    for line in tables.warnings:
        typer.echo(f"warning: {line}")
    found = {name: getattr(tables, Path(name).stem, None) for name in tables.sha256}
    rows = ", ".join(f"{name} {len(table)}" for name, table in found.items() if table is not None)
    where, count = shown(data_dir(folder)), len(tables.warnings)
    typer.echo(f"{where}: no errors, {count} warnings; rows: {rows}; data {tables.data_sha256[:12]}")


@data_app.command("sources")
def data_sources() -> None:
    """What `claims data add` can read."""
    from analysis_lib.sources.definitions import load_source, names

    _say("sources", sources=[load_source(name) for name in names()])


@data_app.command("add")
def data_add(
    source: Annotated[str, typer.Argument(help="a name that `claims data sources` lists, or your own definition.yml")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    into: Annotated[Path | None, typer.Option(metavar="DIR", help="the new folder; default: data-SOURCE")] = None,
    keep: Annotated[list[str], typer.Option(metavar="ROW", help="add this row though it matches; may come again")] = (),
    version: Annotated[str, typer.Option(metavar="TEXT", help="version of the download, for its record")] = "",
    data: Data = None,
) -> None:
    """Make a new data folder: the tables of --data (default: the bundled ones) and the rows of a download."""
    from analysis_lib.additions import add

    into = into or Path(f"data-{Path(source).stem}")
    _say("added", record=add(source, files, into, data_dir(data), keep, version), into=shown(into))


def main() -> None:
    for stream in (sys.stdout, sys.stderr):  # a terminal without these letters still gets its lines
        stream.reconfigure(errors="backslashreplace")
    app(prog_name="claims")
