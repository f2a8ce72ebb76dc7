"""The registry file: all claims of `claims.yml`, and a user's own beside them, validated when loaded."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from functools import cached_property
from pathlib import Path

import yaml
from pydantic import ValidationError

from analysis_lib.claims import Claim, Strict, problems, shallow
from analysis_lib.errors import BadInput, unknown
from analysis_lib.paths import REGISTRY, shown


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
        raw = _read(path)
        digest.update(raw)
        claims |= {claim.id: claim for claim in _parse(raw, shown(path))}
    return Registry(claims=tuple(claims.values()), sha256=digest.hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{shown(path)}: cannot be read ({error.strerror}); give a YAML file of claims") from None


def _impossible_date(raw: bytes) -> int:
    """The line of the first date that no calendar has."""
    for number, line in enumerate(raw.decode(errors="replace").splitlines(), 1):
        for text in re.findall(r"\b\d{4}-\d\d?-\d\d?\b", line):
            try:
                date(*map(int, text.split("-")))
            except ValueError:
                return number
    return 1


def _parse(raw: bytes, name: str) -> list[Claim]:
    try:
        shallow(raw)
        node = yaml.compose(raw, Loader=yaml.CSafeLoader)
        data = yaml.load(raw, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise BadInput(f"{where}: not YAML: {error.problem}; mend the line") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: not YAML: {error}; save it as UTF-8 text") from None
    except ValueError as error:  # a date that no calendar has
        raise BadInput(f"{name}:{_impossible_date(raw)}: got a date with {error}; mend the date") from None
    if not isinstance(data, dict) or set(data) != {"claims"} or not isinstance(data["claims"], list):
        raise BadInput(f"{name}:1:1: got no list under the one key 'claims'; write 'claims:' and a list of entries")
    items = node.value[0][1].value
    found, errors, lines = [], [], {}
    for item, entry in zip(items, data["claims"], strict=True):
        try:
            found.append(Claim.model_validate(entry))
            first = lines.setdefault(found[-1].id, line := item.start_mark.line + 1)
            if first != line:
                errors.append(
                    f"{name}:{line}: id: got '{found[-1].id}' again, first on line {first}; give each its own"
                )
        except ValidationError as error:
            errors += problems(error, f"{name}:{item.start_mark.line + 1}: ")
        except BadInput as error:
            errors += [f"{name}:{item.start_mark.line + 1}: {line}" for line in error.lines]
    if errors:
        raise BadInput(*errors)
    return found
