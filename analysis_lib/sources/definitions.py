"""Sources as data: how a download is recognised, which of its rows count, what fills each column of a table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ValidationError

from analysis_lib.claims import Strict, parsed
from analysis_lib.errors import BadInput, unknown
from analysis_lib.paths import shown

FOLDER, COMMON = Path(__file__).parent, "words"

Condition = dict[str, str | tuple[str, ...]]
Conditions = Annotated[tuple[Condition, ...], BeforeValidator(lambda x: (x,) if isinstance(x, dict) else x)]


class Choice(Strict):
    """A template, each `{column}` in it filled, for rows where any of `when` holds and none of `unless`.

    A condition names a column, or several with spaces between, any of which will do. A text is a pattern that is found
    in the cell, in any case of letters, `<name>` in it a list of words; a list is of whole cells. All of it must hold.
    """

    when: Conditions = ()
    unless: Conditions = ()
    then: str


def _choices(given: Any) -> list[Any]:
    """A bare text as a choice that always applies, `{of: column, means: {word: cells}}` as one choice a word."""
    found = []
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, dict) and item.keys() == {"of", "means"} and isinstance(item["means"], dict):
            found += [{"when": {item["of"]: cells}, "then": word} for word, cells in item["means"].items()]
        else:
            found.append({"then": item} if isinstance(item, str) else item)
    return found


Choices = Annotated[tuple[Choice, ...], BeforeValidator(_choices)]


class Source(Strict):
    """One kind of download; docs/data.md says what each key means."""

    name: str
    title: str
    publisher: str
    url: str | None
    licence: str
    rights: Literal["rows", "aggregates"]
    table: Literal["events", "daily_counts", "ged"]
    needs: tuple[str, ...]
    layout: tuple[str, ...] = ()
    delimiters: tuple[str, ...] = (",",)
    quote: str = '"'
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    pages: str = ""
    unpivot: tuple[str, ...] = ()
    newest: str = ""
    once: str = ""
    count: str = ""
    dates: tuple[str, ...] = ("%Y-%m-%d",)
    words: dict[str, tuple[str, ...]]
    set_aside: Choices = ()
    columns: dict[str, Choices]

    @property
    def used(self) -> list[str]:
        """The columns of the source that the definition speaks of, in order of their names."""
        choices = [choice for choices in (self.set_aside, *self.columns.values()) for choice in choices]
        told = {name for choice in choices for name in re.findall(r"\{(\w+)\}", choice.then)}
        told |= {name for c in choices for part in (*c.when, *c.unless) for key in part for name in key.split()}
        made = {"", "column", "value"} if self.unpivot else {""}
        return sorted({*told, *self.needs, *self.unpivot, self.newest, self.once, self.count} - made)

    def pattern(self, text: str) -> str:
        """A condition's pattern with its lists of words written out: whole words, in any case of letters."""
        if strange := {*re.findall(r"<(\w+)>", text)} - self.words.keys():
            raise unknown("list of words", min(strange), self.words, f"mend {text!r} in the definition of {self.name}")
        return "(?i)" + re.sub(r"<(\w+)>", lambda name: rf"\b(?:{'|'.join(self.words[name[1]])})\b", text)


def names() -> list[str]:
    """The sources that come with the program."""
    return sorted({path.stem for path in FOLDER.glob("*.yml")} - {COMMON})


def load_source(name: str) -> Source:
    """The definition of a source by its name, or the user's own by the name of its YAML file.

    Raises BadInput with a line for every problem, each with its place in the file.
    """
    if name not in names() and not name.endswith((".yml", ".yaml")):
        raise unknown("source", name, names(), "see `claims data sources`, or name your own definition, a .yml file")
    path, errors = FOLDER / f"{name}.yml" if name in names() else Path(name), []
    common = {key: entry["words"] for key, entry in parsed((FOLDER / f"{COMMON}.yml").read_bytes())[1].items()}
    try:
        node, given = parsed(path.read_bytes())
        return Source.model_validate(given | {"name": path.stem, "words": common | (given.get("words") or {})})
    except ValidationError as error:
        errors = [(_line(node, e["loc"]), ".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
    except (OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        mark, told = getattr(error, "problem_mark", None), getattr(error, "strerror", getattr(error, "problem", None))
        errors = [(mark.line + 1 if mark else 1, "file", told or "not a definition in YAML")]
    raise BadInput(*(f"{shown(path)}:{line}: {key}: {told}; mend it, see docs/data.md" for line, key, told in errors))


def _line(node: yaml.Node, keys: tuple[int | str, ...]) -> int:
    """The line of a key in a YAML file, or of the innermost one above it that stands there."""
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else enumerate(node.value)
        node = next((part for name, part in pairs if getattr(name, "value", name) == key), node)
    return node.start_mark.line + 1
