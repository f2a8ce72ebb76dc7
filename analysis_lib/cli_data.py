"""`claims data …`: tables checked, downloads fetched and added."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from analysis_lib.paths import data_dir, shown
from analysis_lib.terminal import PLAINLY, Data, say

data_app = typer.Typer(help="Data folders.", **PLAINLY)


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


@data_app.command("fetch")
def data_fetch(
    source: str, version: Annotated[str, typer.Option(metavar="N.N", help="release, for ucdp only")] = "",
    since: Annotated[str, typer.Option("--from", metavar="DATE", help="first day")] = "",
    until: Annotated[str, typer.Option("--to", metavar="DATE", help="last day")] = "",
    into: Annotated[Path | None, typer.Option(metavar="FOLDER", help="where to; default: pages-SOURCE")] = None,
) -> None:  # fmt: skip
    """Fetch what acled or ucdp have, with your token from the environment; again: go on where it stopped."""
    from analysis_lib.sources.fetch import fetch

    into, given = into or Path(f"pages-{source}"), {"version": version, "from": since, "to": until}
    say("fetched", told=fetch(source, into, given, lambda line: typer.echo(line, err=True)), into=shown(into))
