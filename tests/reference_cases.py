"""Cases with known answers, `tests/reference/*.json`: reading them, and comparing by their own tolerances.

A case is a record: id, method (definition and conventions), data, expected, tolerance, source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "reference"


@cache
def reference(name: str) -> dict[str, dict[str, Any]]:
    """The cases of `reference/{name}.json` by id."""
    cases = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in cases}


def close(got: Any, expected: Any, tolerance: Mapping[str, float]) -> bool:
    """Is every number in `got` within the tolerance of its counterpart in `expected`? See `differences`."""
    return not differences(got, expected, tolerance)


def differences(got: Any, expected: Any, tolerance: Mapping[str, float], key: str = "", se: bool = False) -> list[str]:
    """What differs, one line a number; empty when all agree. `key` is where in the case the numbers stand.

    A number passes when |got - expected| <= max(abs, rel * |expected|). Under the key `se`, `se_rel` takes
    the place of `rel`; for a key KEY, `KEY_abs` takes the place of both. `got` may leave out keys,
    not add any; a list of length one may be a bare number.
    """
    if isinstance(got, Mapping):
        if not isinstance(expected, Mapping):
            return [f"{key}: got keys {sorted(got)}, expected {expected!r}"]
        lines = [f"{key}/{name}: not in the case" for name in got if name not in expected]
        for name in got.keys() & expected.keys():
            lines += differences(got[name], expected[name], tolerance, f"{key}/{name}", se or name == "se")
        return sorted(lines)
    left, right = _as_list(got), _as_list(expected)
    if len(left) != len(right):
        return [f"{key}: got {len(left)} values, expected {len(right)}"]
    if any(isinstance(value, Mapping | list) for value in right):
        pairs = enumerate(zip(left, right, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, tolerance, f"{key}[{i}]", se)]
    absolute, relative = tolerance.get("abs", 0.0), tolerance.get("rel", 0.0)
    own = f"{key.rpartition('/')[2].partition('[')[0]}_abs"
    if own in tolerance:
        absolute, relative = tolerance[own], 0.0
    elif se:
        relative = tolerance.get("se_rel", relative)
    return [
        f"{key}[{i}]: got {a!r}, expected {b!r}"
        for i, (a, b) in enumerate(zip(left, right, strict=True))
        if not abs(a - b) <= max(absolute, relative * abs(b))
    ]


def _as_list(value: Any) -> list[Any]:
    value = value.tolist() if hasattr(value, "tolist") else value
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
