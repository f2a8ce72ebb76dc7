"""Words on the command line → calls below; text, JSON and exit codes out, without tracebacks."""

from __future__ import annotations

import os
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from analysis_lib import errors
from analysis_lib.errors import BadInput, CannotRun, InputMissing, Mismatch, ReportFailed, unknown
from analysis_lib.paths import DATA_ENV, OWN, REGISTRY_ENV, REPORTS, ROOT, TEMPLATES, data_dir, shown, user_registry
from analysis_lib.terminal import Commands, say, say_json


def _registry(claims: Path | None) -> Any:
    from analysis_lib.registry import load_claims

    return load_claims(user_registry(claims))


# ---- what the commands share -----------------------------------------------------------------------------------------


def _knob(text: str) -> tuple[str, Any]:
    from analysis_lib.claims import knob_value

    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"--set {text}: got no value; allowed: name=value, such as --set weapons=drone")
    return name, knob_value(name, value)


def _part(text: str) -> tuple[str, str]:
    return text.partition("=")[::2]  # the rule itself says what it allows


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

    registry, known = _registry(claims), records(out)
    fields = {"id", "text", "published", "origin", "kind", "family", "question"}
    parts = dict.fromkeys(("headline", "literal", "inferential", "publication"))
    rows = [claim.model_dump(mode="json", include=fields) | {part: known.get(claim.id, parts)[part] for part in parts}
            for claim in registry.claims]  # fmt: skip
    say_json(rows) if as_json else say("list", rows=rows)


@app.command()
def show(claim_id: Id, claims: Claims = None, out: Out = REPORTS) -> None:
    """One claim's card: what it says, how it is tested, the latest verdicts."""
    from analysis_lib.generations import records

    say("claim", claim=_registry(claims)[claim_id], record=records(out).get(claim_id))


@app.command()
def reproduce(
    claim_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="id of the claim; a page has its own")] = None,
    page: Annotated[Path | None, typer.Option("--from", metavar="PAGE", help="run what a page says; compare")] = None,
    bundle: Annotated[Path | None, typer.Option(metavar="FILE.zip", help="write rows, rule and numbers there")] = None,
    as_json: Json = False, as_of: AsOf = None, data: Data = None, claims: Claims = None, knobs: Knobs = (),
    seed: Seed = None, out: Out = REPORTS,
) -> None:  # fmt: skip
    """Run one claim in process and compare every number with the published one, or with that of a page."""
    from analysis_lib.bundle import read_page, write_bundle
    from analysis_lib.generations import SEED, TOLERANCE, differences, entry_sha256, published_record
    from analysis_lib.sources.bundled import load_tables
    from analysis_lib.study import evaluate

    if not (claim_id or page) or (page and (knobs or as_of or seed is not None)):
        raise typer.BadParameter("give an ID, or --from PAGE: the page then gives --as-of, --set and --seed")
    read = page and read_page(page, claim_id)
    options = {"as_of": as_of, "seed": SEED if seed is None else seed, "knobs": dict(knobs)}
    options = read.record.model_dump(include={*options}) if read else options
    registry, tables = _registry(claims), load_tables(data_dir(data))
    claim = registry[read.record.claim if read else claim_id]
    try:
        if read:
            read.refuse_other(claim, tables)
        study = evaluate(claim, tables, registry, **options)
    except (CannotRun, InputMissing) as error:
        raise CannotRun(*(f"CANNOT RUN {claim.id}: {line}" for line in error.lines)) from None
    record = study.record()
    say_json(record) if as_json else say("study", study=study, record=record)
    told = read and (read.record.model_dump(mode="json"), shown(page))
    published, where = told or published_record(out, record, entry_sha256(claim))
    found, compared = differences(published, record) if published else ([], 0)
    say("compared", err=as_json, differences=found, compared=compared, where=where, tolerance=TOLERANCE)
    if found:
        raise typer.Exit(Mismatch.exit_code)  # and nothing is handed on
    if bundle:
        write_bundle(bundle, study, record)


@app.command()
def report(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    every: Annotated[bool, typer.Option("--all", help="all claims")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="notebooks at a time; default: one a processor")] = None,
    force: Annotated[bool, typer.Option("--force", help="run those that are fresh, too")] = False,
    keep: Annotated[int, typer.Option(min=1, help="generations to keep")] = 5,
    pdf: Annotated[bool, typer.Option("--pdf", help="print them and the board as PDF, too (needs Chromium)")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print errors only")] = False,
    fail_on_change: Annotated[bool, typer.Option("--fail-on-change", help="exit 10 if a verdict changed")] = False,
    out: Out = REPORTS, data: Data = None, claims: Claims = None, as_of: AsOf = None, knobs: Knobs = (),
    seed: Seed = None,
) -> None:  # fmt: skip
    """Regenerate the reports that are stale; publish all as one generation."""
    if bool(ids) == every:
        raise typer.BadParameter("give the ids of claims, or --all")
    from rich.console import Console
    from rich.progress import Progress

    from analysis_lib.reports import publish_reports

    hidden = quiet or not sys.stderr.isatty()  # the bar, not the lines
    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=None)

        def progress(count: int, total: int, line: str) -> None:
            bar.update(task, completed=count, total=total, description=line)
            if count and not quiet:
                typer.echo(f"{count} of {total}: {line}", err=True)

        run = publish_reports(
            ids or None, out=out, data=data, claims=claims, as_of=as_of, seed=seed, knobs=dict(knobs), jobs=jobs,
            force=force, keep=keep, progress=progress,
        )  # fmt: skip
        problems = list(run.failed.values())
        if pdf:
            from analysis_lib.pdf import print_pages

            problems += print_pages(out, run.asked, progress, jobs)
    if not quiet:
        typer.echo(run.summary())
    if problems:
        raise ReportFailed(*problems)
    if fail_on_change and run.changed:
        raise errors.VerdictChanged(*run.changed)


@app.command()
def diff(
    old: Annotated[str | None, typer.Argument(metavar="[OLD]", help="default: the one before the latest")] = None,
    new: Annotated[str | None, typer.Argument(metavar="[NEW]", help="default: the latest generation")] = None,
    as_json: Json = False, out: Out = REPORTS,
) -> None:  # fmt: skip
    """What changed between two generations: rows, estimates, verdicts, and which rows moved them."""
    from analysis_lib import changes

    found = changes.of(out, old, new)
    say_json(found) if as_json else say("changes", changes=found)


@app.command()
def publish(out: Out = REPORTS, claims: Claims = None) -> None:
    """Record the numbers of the latest reports in reports/published.json."""
    from analysis_lib import generations

    path, count = generations.publish(out, _registry(claims))
    typer.echo(f"{shown(path)}: {count} claims")


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def schedule(context: typer.Context, kind: Annotated[str, typer.Argument(metavar="systemd|cron|github")]) -> None:
    """Print what runs `claims report --all` every day and tells of failures; options of `report` go with it."""
    words, kinds = ["report", "--all", *context.args], ("systemd", "cron", "github")
    given = typer.main.get_command(app).commands["report"].make_context("claims report", words[1:]).params
    if kind not in kinds or given["ids"]:
        raise unknown("scheduler", " ".join((kind, *given["ids"])), kinds, "give one, and options of `claims report`")
    script, here = Path(sys.executable).with_name("claims"), str(Path.cwd())
    program = [str(script)] if script.is_file() else [sys.executable, "-m", "analysis_lib"]
    for word in (*words, *program, here):
        if not word.isprintable() or word.endswith("\\") or "${{" in word:
            raise BadInput(f"{word!r}: cannot be scheduled; allowed: printable text, no ${{{{, no backslash at its end")
    out = "reports" if given["out"] == REPORTS else str(given["out"])
    say(f"schedule/{kind}", words=words, program=program, here=here, out=out)


@app.command()
def new(
    claim_id: Annotated[str, typer.Argument(metavar="ID", help="its id: small letters, digits, hyphens")],
    source: Annotated[str, typer.Option("--from", metavar="ID", help="the claim whose test it takes")],
    rule: Annotated[list[Any], typer.Option(metavar="NAME=VALUE", parser=_part, help="as --set, of its rule")] = (),
    question: Annotated[str, typer.Option(help="the title of its report")] = "",
    claims: Claims = None, knobs: Knobs = (),
) -> None:  # fmt: skip
    """Write a claim of your own, its rule first, to your registry (--claims FILE, or my-claims.yml)."""
    from analysis_lib.registry import new_claim

    file = user_registry(claims) or OWN
    new_claim(claim_id, source, file, knobs=dict(knobs), rule=dict(rule), question=question)
    typer.echo(f"{shown(file)}: {claim_id} is written; its report: claims report {claim_id} --claims {shown(file)}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def explore(context: typer.Context, data: Data = None, claims: Claims = None) -> None:
    """Open JupyterLab on the overview, for this machine only; other options (--no-browser, --port N) go to it."""
    _registry(claims)  # what cannot be read is told here
    own, words = user_registry(claims), [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    env = {"JUPYTER_PATH": TEMPLATES, "JUPYTER_CONFIG_PATH": TEMPLATES / "lab", "PYTHONPATH": ROOT}
    env |= {DATA_ENV: data_dir(data)} | ({REGISTRY_ENV: own} if own else {})
    os.environ |= {name: str(path.resolve()) for name, path in env.items()}
    os.execv(sys.executable, [*words, *context.args])


@data_app.command("check")
def data_check(folder: Annotated[Path | None, typer.Argument(metavar="[DIR]")] = None) -> None:
    """Validate the tables of a folder: every problem with file, line and column."""
    from analysis_lib.sources.bundled import load_tables

    say("data", tables=load_tables(data_dir(folder)), where=shown(data_dir(folder)))


@data_app.command("sources")
def data_sources() -> None:
    """What `claims data add` can read."""
    from analysis_lib.sources.definitions import load_source, names

    say("sources", sources=[load_source(name) for name in names()])


@data_app.command("add")
def data_add(
    source: Annotated[str, typer.Argument(help="a name that `claims data sources` lists, or your own definition.yml")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    into: Annotated[Path | None, typer.Option(metavar="DIR", help="the new folder; default: data-SOURCE")] = None,
    keep: Annotated[list[str], typer.Option(metavar="ROW", help="add this row though it matches; may come again")] = (),
    version: Annotated[str, typer.Option(metavar="TEXT", help="version of the download, for its record")] = "",
    engine: Annotated[Literal["duckdb", "spark"], typer.Option(help="what reads the files")] = "duckdb",
    data: Data = None,
) -> None:
    """Make a new data folder: the tables of --data (default: the bundled ones) and the rows of a download."""
    from analysis_lib.additions import add

    into = into or Path(f"data-{Path(source).stem}")
    say("added", record=add(source, files, into, data_dir(data), keep, version, engine), into=shown(into))


def main() -> None:
    for stream in (sys.stdout, sys.stderr):  # a terminal without these letters still gets its lines
        stream.reconfigure(errors="backslashreplace")
    app(prog_name="claims")
