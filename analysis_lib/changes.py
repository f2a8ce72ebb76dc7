"""What changed between two generations: rows of the tables, estimates, verdicts, and which rows moved them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis_lib.errors import BadInput
from analysis_lib.events import TABLES
from analysis_lib.finding import VERDICTS
from analysis_lib.generations import LATEST, differences, sha256
from analysis_lib.paths import shown
from analysis_lib.sources.bundled import Tables

Rows = Mapping[str, Mapping[str, Mapping[str, str]]]  # table → key of a row → column → digest of its cell, or sources
KINDS = ("added", "removed", "changed")
JUDGED = ("headline", "literal", "inferential")


def row_digests(tables: Tables) -> dict[str, dict[str, dict[str, str]]]:
    """Every row of every table by its first column, each cell as a short digest: enough to tell what changed.

    Cells are not copied into the reports, since not every licence allows that; the sources of a row are.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name in TABLES:
        table = getattr(tables, name)
        if table is not None:
            cells = table.astype(str)
            rows = [{c: v if c == "sources" else sha256(v.encode())[:8] for c, v in row.items()}
                    for row in cells.to_dict("records")]  # fmt: skip
            repeat = cells.groupby(cells.columns[0]).cumcount().astype(str)
            keys = cells.iloc[:, 0] + repeat.where(repeat == "0", " #" + repeat).replace("0", "")
            found[name] = dict(zip(keys, rows, strict=True))
    return found


def changed_rows(old: Rows, new: Rows) -> list[dict[str, Any]]:
    """Rows added, removed and changed, each with its table, key, changed columns and sources."""
    found = []
    for table in old | new:
        was, now = old.get(table, {}), new.get(table, {})
        for key in was | now:
            a, b = was.get(key), now.get(key)
            if a != b:
                kind = "added" if a is None else "removed" if b is None else "changed"
                columns = [c for c in a if a.get(c) != b.get(c)] if kind == "changed" else []
                found.append({"table": table, "row": key, "kind": kind, "columns": columns,
                              "sources": (b or a).get("sources", "")})  # fmt: skip
    return sorted(found, key=lambda row: (row["table"], KINDS.index(row["kind"]), row["row"]))


def changed_claims(old: Mapping, new: Mapping, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each claim whose record changed: its estimates, its verdicts, and the changed rows that it counts or counted."""
    moved, found = {row["row"] for row in rows}, []
    for name in old | new:
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            found.append({"claim": name, "verdicts": [], "values": [], "rows": [], "only": "new" if now else "old"})
            continue
        values = [d for d in differences(was, now)[0] if not d.id.startswith(("rows", "data_sha256"))]
        if values:
            verdicts = [d for d in values if d.published in VERDICTS and d.id.split()[0] in JUDGED]
            mine = sorted(moved & {*was.get("rows", ()), *now.get("rows", ())})
            found.append({"claim": name, "verdicts": [d._asdict() for d in verdicts], "only": "",
                          "values": [d._asdict() for d in values if d.tolerance], "rows": mine})  # fmt: skip
    return found


def between(old: Path, new: Path) -> dict[str, Any]:
    """The changes from one generation's folder to another's."""
    rows = changed_rows(*(_read(folder, "rows.json") for folder in (old, new)))
    pages = (sorted((folder / "claims").glob("*.json")) for folder in (old, new))
    claims = changed_claims(*({page.stem: _read(page.parent, page.name) for page in there} for there in pages), rows)
    return {"old": old.resolve().name, "new": new.resolve().name, "rows": rows, "claims": claims}


def generation(out: Path, name: str | None, back: int) -> Path:
    """A generation by name, else the newest (`back` 0) or the one before it. Raises BadInput where there is none."""
    there = sorted(path for path in out.glob("*T*Z-*") if (path / "manifest.json").is_file())
    by_name = {path.name: path for path in there} | ({LATEST: out / LATEST} if there else {})
    if name is None and len(there) > back:
        return there[-1 - back]
    if name not in by_name:
        got = f"generation '{name}'" if name else f"only {len(there)} generations"
        known = ", ".join(by_name) or "none yet"
        raise BadInput(f"{shown(out)}: {got}; allowed: {known}; make one: claims report --all")
    return by_name[name]


def _read(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        return {}
