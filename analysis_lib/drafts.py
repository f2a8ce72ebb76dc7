"""A user's own claim: an entry after one that is there, written to a registry of their own before its result is seen."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml
from pydantic import ValidationError

from analysis_lib.claims import Claim, parsed, problems
from analysis_lib.errors import BadInput
from analysis_lib.paths import shown
from analysis_lib.registry import load_claims
from analysis_lib.tables import cell_text

HEAD = "# Claims of your own, each with a rule that was written before its result was seen.\nclaims:\n"


def new_claim(
    name: str, source: str, file: Path, *, knobs: Mapping[str, Any] | None = None, rule: Mapping[str, Any] | None = None,
    question: str = "",
) -> Claim:  # fmt: skip
    """The claim `name`, added to the end of the registry `file`: the test of `source`, with other knobs and rule.

    Facts stay behind, since they are what another text states, and so do variations of a window, frame or placebo
    period that is another one here. The file is replaced whole or not at all, what it held stays as it was written.
    Raises BadInput for an id that is taken or unsafe, a source without a test, and a value that a registry refuses.
    """
    file, folder = file.resolve(), os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of two that write at once the second waits
        registry = load_claims(file if file.exists() else None)
        old = registry[source]
        if name in registry.by_id:
            raise BadInput(f"claim '{name}' is there already; allowed: an id that no claim has; choose another")
        if old.rule is None:
            raise BadInput(f"claim '{source}' has no test (kind {old.kind}); allowed: one with a rule; choose another")
        try:
            claim = Claim.model_validate(_entry(name, old, dict(knobs or {}), dict(rule or {}), question.strip()))
        except ValidationError as error:
            raise BadInput(*problems(error, f"{name}: ")) from None
        _append(file, claim, registry.by_id | {name: claim})
        return claim
    finally:
        os.close(folder)


def _entry(name: str, old: Claim, knobs: dict[str, Any], rule: dict[str, Any], question: str) -> dict[str, Any]:
    """What the registry is to hold: the old entry, with what is changed here said in words."""
    told = ", ".join(f"{key} = {cell_text(value)}" for key, value in (knobs | rule).items()) or "nothing changed"
    question = question or f"{old.question.rstrip('?')}, with {told}?"
    entry = old.model_dump(exclude_unset=True, exclude={"facts"}) | {"id": name, "origin": "ours", "kind": "test"}
    entry |= {"question": question, "statement": question, "estimand": f"{old.estimand}; here with {told}"}
    entry |= {"spec": entry["spec"] | knobs, "rule": entry["rule"] | rule, "notes": f"Written after {old.id}."}
    periods = ({f"{period}_start", f"{period}_end"} for period in ("window", "frame", "placebo"))
    moved = [edges for edges in periods if edges & knobs.keys()]
    for part, drop in {"variations": (1, 2), "replications": (1,), "rivals": (1,)}.items():
        here = entry.get(part, ())  # a whole other window replicates; one edge of the old one belongs to that alone
        entry[part] = [c for c in here if all(len(e & (c.get("set") or {}).keys()) not in drop for e in moved)]
    return entry


def _append(file: Path, claim: Claim, expected: Mapping[str, Claim]) -> None:
    """Put the claim behind the others of the file; the new file takes the old one's place where it reads as it should."""
    text, column, new = HEAD, 2, file.with_name(f".staging-{file.name}")
    if file.exists():
        text = file.read_text("utf-8").rstrip() + "\n\n"
        column = parsed(text)[0].value[0][1].start_mark.column
    block = yaml.safe_dump([claim.model_dump(exclude_unset=True)], sort_keys=False, allow_unicode=True, width=110)
    try:
        with new.open("w", encoding="utf-8") as out:
            out.write(text + indent(block, " " * column))
            out.flush()
            os.fsync(out.fileno())
        if load_claims(new).by_id != expected:
            raise BadInput("")
        os.replace(new, file)
    except BadInput:
        raise BadInput(f"{shown(file)}: nothing can be added at its end; allowed: a list of '- id: …' there") from None
    finally:
        new.unlink(missing_ok=True)
