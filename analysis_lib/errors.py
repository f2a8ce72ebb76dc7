"""What may go wrong, each with its exit code. One line says what, where, what is allowed and what to do."""

import difflib
from collections.abc import Iterable


def plain(text: object) -> str:
    """`text` on one line, with control characters (line breaks, terminal escapes) shown, not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


class ClaimsError(Exception):
    """Base of the family. The command line prints `error: {message}` and ends with `exit_code`."""

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(plain(line) for line in self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The message, one entry a problem."""
        return tuple(str(a) for a in self.args)


class ReportFailed(ClaimsError):
    """A notebook raised, a kernel is missing or died, the output cannot be written."""


class BadInput(ClaimsError):
    """A table, registry entry, option or argument that cannot be used as given."""

    exit_code = 2


class Mismatch(ClaimsError):
    """A number differs from the published one by more than its tolerance."""

    exit_code = 3


class CannotRun(ClaimsError):
    """A reproduction that cannot start: an input it names is not here."""

    exit_code = 4


class InputMissing(ClaimsError):
    """A table that a claim needs is not in the data folder; a verdict then says so instead of failing."""

    exit_code = 4


class VerdictChanged(ClaimsError):
    """A verdict is not that of the generation before; told where the caller asked for it."""

    exit_code = 10


class RunLocked(ClaimsError):
    """Another run is writing to the same output folder."""

    exit_code = 75


def unknown(what: str, got: str, allowed: Iterable[str], do: str) -> BadInput:
    """The error for a name that is not on a list: offers the nearest ones.

    >>> print(unknown("claim", "pause2021", ["pause-2021", "gap-2021"], "see `claims list`"))
    unknown claim 'pause2021': did you mean pause-2021 or gap-2021? see `claims list`
    """
    allowed = sorted(allowed)
    near = difflib.get_close_matches(got, allowed, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"allowed: {', '.join(allowed)};"
    return BadInput(f"unknown {what} '{got}': {hint} {do}")
