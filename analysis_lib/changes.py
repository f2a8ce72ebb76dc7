"""Two generations compared: rows of the tables, estimates, verdicts, what moved them; the history of it."""

from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis_lib.errors import unknown
from analysis_lib.events import TABLES
from analysis_lib.generations import LATEST, differences, manifest, read_json, sha256, whole
from analysis_lib.sources.bundled import Tables

SOURCE, *SOURCES = ("", "source", "sources", "source_name", "source_url")
# what a record depends on besides the rows, as the manifest names it
CAUSES = ("parameters", "entry_sha256", "notebook_sha256", "code_sha256", "definitions_sha256", "versions")
PARTS = {"verdicts": ("headline", "literal", "inferential", "publication"), "estimates": ("findings", "facts"),
         "others": ("robustness", "variations", "replications")}  # fmt: skip
KEPT = 100  # changes of a verdict that the history holds

View = namedtuple("View", "name told files")  # a generation: its name, its manifest, its JSON files by path, parsed


def view(out: Path, name: str = LATEST) -> View:
    """A generation on disk. A file that is damaged counts as absent; without a manifest there is nothing."""
    told = manifest(out, name)
    files = {path: digest for part in (told.get("run", {}), *told.get("claims", {}).values())
             for path, digest in part.get("files", {}).items() if path.endswith(".json")}  # fmt: skip
    there = [path for path, digest in files.items() if whole(out, {path: digest}, name)]
    return View((out / name).resolve().name, told, {path: read_json(out / name / path) for path in there})


def of(out: Path, old: str | None = None, new: str | None = None) -> dict[str, Any]:
    """`between` two generations of a folder by name; by default the latest and the one it followed."""
    there = [path.parent.name for path in out.glob("*T*Z-*/manifest.json")]
    known, new = [*there, LATEST] if there else ["none yet"], new or LATEST
    for name in (new, old or new):
        if name not in known:
            raise unknown("generation", name, known, "make one: claims report --all")
    later = view(out, new)
    before = old or later.told["run"].get("before")
    return between(view(out, before) if before in known else None, later)


def between(old: View | None, new: View) -> dict[str, Any]:
    """What changed from one generation to another, as JSON values; `old` is None where there is none before it.

    `rows` is None where one of them does not hold the rows' digests. `failed`: claims that failed; `behind`: pages that
    were carried over and stand on other data. A claim's change has `verdicts`, `estimates` (findings and facts) and
    `others` (other specifications), each value with its id before and now, `rows`, the changed rows that it counts or
    counted, and `why`, a sentence on the cause.

    Misleads where rows and code changed together: which of the two moved a number is then not known, and `why` says so.
    """
    entries, data = new.told["claims"], new.told["data_sha256"]
    both = [_claim(name, old, new) for name in old.told["claims"] | entries] if old else []
    return {
        "old": old and old.name, "new": new.name, "claims": [change for change in both if change],
        "rows": _rows(old, new, old.told["data_sha256"], data) if old else [], "failed": new.told["run"]["failures"],
        "behind": [name for name, entry in entries.items() if entry["data_sha256"] != data],
    }  # fmt: skip


def row_digests(tables: Tables) -> dict[str, dict[str, dict[str, str]]]:
    """Table → key of a row → its sources, and column → digest of the cell, where it is not blank.

    Cells are not copied into the reports, since not every licence allows that; keys and sources are. A table without
    columns that tell its rows apart has the digest of the whole row in the key: a change there is a removal and an
    addition. Misleads who takes a digest for a secret: a word of a short list can be found by trying all.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, table in ((name, getattr(tables, name)) for name in TABLES if getattr(tables, name) is not None):
        rows, once = found.setdefault(name, {}), TABLES[name].rules.get("once", [[]])[0]
        for cells in table.astype("str").where(table.notna(), "").to_dict("records"):
            key = " · ".join(cells[c] for c in once) or f"{next(iter(cells.values()))} #{_digest(*cells.values())}"
            while key in rows:  # the same row once more
                key += " again"
            digests = {c: _digest(key, c, cell) for c, cell in cells.items() if c and cell}
            rows[key] = {SOURCE: " | ".join(cells[c] for c in SOURCES if cells.get(c))} | digests
    return found


def _digest(*cells: str) -> str:
    return sha256("\0".join(cells).encode())[:8]


def changed_rows(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows added, removed and changed between two `row_digests`, each with its changed columns and its sources.

    >>> one, two = ({"windows": {"war": {"": "https://a.org", "end": digest}}} for digest in ("1", "2"))
    >>> changed_rows(one, two)[0]["columns"], changed_rows(one, {})[0]["kind"]
    (['end'], 'removed')
    """
    found = []
    for table, key in dict.fromkeys((name, key) for side in (old, new) for name in side for key in side[name]):
        a, b = (side.get(table, {}).get(key, {}) for side in (old, new))
        if a != b:
            kind = "changed" if a and b else "added" if b else "removed"
            columns = [c for c in a | b if c and a.get(c) != b.get(c)] if a and b else []
            found.append({"table": table, "row": key, "kind": kind, "columns": columns, "sources": (b or a)[SOURCE]})
    return sorted(found, key=lambda row: (row["table"], row["kind"], row["row"]))


def _rows(old: View, new: View, was: str, now: str) -> list[dict[str, Any]] | None:
    """The rows that changed between two states of the data; None where one of them is not known."""
    if was == now:
        return []
    before, after = (side.files.get("rows.json", {}).get(state) for side, state in ((old, was), (new, now)))
    return None if before is None or after is None else changed_rows(before, after)


def _claim(name: str, old: View, new: View) -> dict[str, Any] | None:
    """What changed in one claim, None where nothing did. A page that was carried over stands on its own data."""
    from analysis_lib.tables import render

    was, now = (side.files.get(f"claims/{name}.json") for side in (old, new))
    if was is None or now is None:
        return {"claim": name, "only": "new" if now else "old"}
    values = [{"id": d.id, "before": d.published, "now": d.now} for d in differences(was, now)[0]]
    told = {part: [v for v in values if v["id"].startswith(names)] for part, names in PARTS.items()}
    if not any(told.values()):
        return None
    made = [side.told["claims"][name] for side in (old, new)]
    rows = _rows(old, new, *(entry["data_sha256"] for entry in made))
    counted = {*was.get("rows", ()), *now.get("rows", ())}
    mine = [row["row"] for row in rows or () if row["table"] == "events" and row["row"] in counted]
    because = [cause for cause in CAUSES if made[0].get(cause) != made[1].get(cause)]
    why = render("why.txt.j2", rows=mine, all=rows, because=because).strip()
    return {"claim": name, "only": ""} | told | {"rows": mine, "because": because, "why": why}


def history(past: Mapping[str, Any], found: Mapping[str, Any], when: str) -> dict[str, Any]:
    """What the run block carries on: first generation, last change of each claim, changed verdicts, newest first.

    `past` is the same of the generation before, empty for the first; `when` is the start of the run. A verdict as of
    publication that changed counts as numbers.
    """
    last, told = dict(past.get("last", {})), []
    for change in (c for c in found["claims"] if not c["only"]):
        name, turned = change["claim"], (v for v in change["verdicts"] if not v["id"].startswith("publication"))
        what = ", ".join(sorted(f"{v['id'].removesuffix(' verdict')} {v['before']} → {v['now']}" for v in turned))
        last[name] = last.get(name, {}) | {"numbers": when} | ({"verdict": when, "what": what} if what else {})
        if what:
            told.append({"claim": name, "generation": found["new"], "when": when, "what": what, "why": change["why"]})
    return {"first": past.get("first", found["new"]), "last": last, "feed": [*told, *past.get("feed", ())][:KEPT]}
