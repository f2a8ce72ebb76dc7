"""The registry file: all claims of `claims.yml`, and a user's own beside them, validated when loaded."""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from analysis_lib.claims import Claim, Strict, parsed, problems
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
