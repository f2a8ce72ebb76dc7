"""The registry file: all claims of `claims.yml`, a user's own beside them, validated when loaded; a new claim."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from analysis_lib.claims import Claim, Strict, parsed, problems
from analysis_lib.errors import BadInput, unknown
from analysis_lib.paths import REGISTRY, shown

HEAD = "# Claims of your own, each with a rule that was written before its result was seen.\nclaims:\n"


class Registry(Strict):
    """All claims, in the registry's order, and the hash of the bytes they came from."""

    claims: tuple[Claim, ...]
    sha256: str

    @cached_property
    def by_id(self) -> dict[str, Claim]:
        return {claim.id: claim for claim in self.claims}

    def __getitem__(self, claim_id: str) -> Claim:
        if claim_id not in self.by_id:
            raise unknown("claim", claim_id, self.by_id, "see `claims list`")
        return self.by_id[claim_id]


def load_claims(user_file: Path | None = None, *, bundled: Path = REGISTRY) -> Registry:
    """The bundled registry, with the entries of `user_file` added or put in place of those with the same id.

    Raises `BadInput` with one line a problem, each `file:line: key: got …; allowed …`.
    """
    claims: dict[str, Claim] = {}
    digest = hashlib.sha256()
    for path in filter(None, (bundled, user_file)):
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{shown(path)}: cannot be read ({error.strerror}); give a YAML file of claims") from None
        digest.update(raw)
        claims |= _claims(raw, shown(path))
    return Registry(claims=tuple(claims.values()), sha256=digest.hexdigest())


@lru_cache(maxsize=2)
def _claims(raw: bytes, name: str) -> dict[str, Claim]:
    """The claims of one file by id. Raises BadInput with every problem of every entry."""
    try:
        node, data = parsed(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        why = f"{error.problem}; mend the line" if mark else f"{error}; save it as UTF-8 text"
        raise BadInput(f"{where}: not YAML: {why}") from None
    except ValueError as error:
        raise BadInput(f"{name}:{error}") from None
    if not isinstance(data, dict) or set(data) != {"claims"} or not isinstance(data["claims"], list):
        raise BadInput(f"{name}:1:1: got no list under the one key 'claims'; write 'claims:' and a list of entries")
    lines = [item.start_mark.line + 1 for item in node.value[0][1].value]
    found, first, errors = {}, {}, []
    for line, entry in zip(lines, data["claims"], strict=True):
        try:
            claim = Claim.model_validate(entry)
            if first.setdefault(claim.id, line) != line:
                told = f"got '{claim.id}' again, first on line {first[claim.id]}; give each its own"
                errors.append(f"{name}:{line}: id: {told}")
            found[claim.id] = claim
        except ValidationError as error:
            errors += problems(error, f"{name}:{line}: ")
        except BadInput as error:  # of a change that cannot be made
            errors += [f"{name}:{line}: {told}" for told in error.lines]
    if errors:
        raise BadInput(*errors)
    return found


# ---- a claim of one's own --------------------------------------------------------------------------------------------


def new_claim(
    name: str, source: str, file: Path, *, knobs: Mapping[str, Any], rule: Mapping[str, Any], question: str = ""
) -> Claim:
    """The claim `name`, added to the end of the registry `file`: the test of `source`, with other knobs and rule.

    Facts stay behind, since they are what another text states; where a date is moved, so do variations of dates. The
    file is replaced whole or not at all, and what it held stays as it was written. Raises BadInput for an id that is
    taken or unsafe, a source without a test, and a value that a registry refuses; the line is that of the new entry.
    """
    file, folder = file.resolve(), os.open(file.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of two that write at once the second waits
        registry = load_claims(file if file.exists() else None)
        old, changes = registry[source], to_jsonable_python(dict(knobs) | dict(rule))
        if name in registry.by_id:
            raise BadInput(f"claim '{name}' is there already; allowed: an id that no claim has; choose another")
        if old.rule is None:
            raise BadInput(f"claim '{source}' has no test (kind {old.kind}); allowed: one with a rule; choose another")
        told = re.sub('["{}]', "", json.dumps(changes)) or "nothing changed"
        question = question.strip() or f"{old.question.rstrip('?')}, with {told}?"
        entry = old.model_dump(exclude_unset=True, exclude={"facts"}) | {"id": name, "origin": "ours", "kind": "test"}
        entry |= {"question": question, "statement": question, "estimand": f"{old.estimand}; here with {told}"}
        for part, given in {"spec": knobs, "rule": rule}.items():
            entry[part] |= {key: changes[key] for key in given}
        if any(map(dated := re.compile("_(start|end)$").search, knobs)):
            entry["variations"] = [v for v in entry.get("variations", ()) if not any(map(dated, v["set"]))]
        text, column, new = HEAD, 2, file.with_name(f".staging-{file.name}")
        if file.exists():
            text = file.read_text("utf-8").rstrip() + "\n\n"
            column = parsed(text)[0].value[0][1].start_mark.column
        text += indent(yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=110), " " * column)
        claim = _claims(text.encode(), shown(file)).get(name)
        if claim is None:
            raise BadInput(f"{shown(file)}: nothing can be added at its end; allowed: a list of '- id: …' there")
        new.write_text(text, "utf-8")
        os.replace(new, file)
        return claim
    finally:
        os.close(folder)
