"""What a terminal gets: text from templates, JSON, and errors as lines with their exit codes."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from analysis_lib.errors import ClaimsError, plain
from analysis_lib.paths import shown

PLAINLY = {"no_args_is_help": True, "rich_markup_mode": None, "pretty_exceptions_enable": False}
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="folder with events.csv and windows.csv")]


class Commands(TyperGroup):
    """Turns what may go wrong into lines and exit codes, for every command alike."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:  # the reader has gone: say nothing, and let nothing be said at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code, lines = 1, ()
        except ClaimsError as error:
            code, lines = error.exit_code, error.lines
        except OSError as error:
            name = shown(Path(os.fsdecode(error.filename))) if error.filename else type(error).__name__
            code, lines = 1, (f"{name}: {(error.strerror or 'cannot be used').lower()}",)
        except KeyboardInterrupt:
            code, lines = 130, ("interrupted; nothing was published",)
        for line in lines:
            typer.echo(f"error: {plain(line)}", err=True)
        raise typer.Exit(code)


def say(template: str, err: bool = False, **values: Any) -> None:
    """What a template makes of the values."""
    from analysis_lib.tables import render

    typer.echo(render(f"{template}.txt.j2", **values).rstrip(), err=err)


def say_json(value: Any) -> None:
    """One JSON value."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
