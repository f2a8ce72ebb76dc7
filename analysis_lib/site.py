"""The pages: the board of all claims, one claim's executed notebook as one file; what machines read beside them."""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from analysis_lib.bundle import sealed
from analysis_lib.errors import plain
from analysis_lib.finding import VERDICTS, Finding
from analysis_lib.generations import sha256
from analysis_lib.paths import TEMPLATES
from analysis_lib.registry import Registry
from analysis_lib.runner import INJECTED
from analysis_lib.sources.bundled import sources_of
from analysis_lib.suite import ABSENT, ALPHA, adjusted
from analysis_lib.tables import SYMBOL, render

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SHARED = {"policy": POLICY, "symbol": SYMBOL}
Record = Mapping[str, Any]


def board(
    registry: Registry, records: Mapping[str, Record], notes: Mapping[str, Sequence[str]],
    provenance: Mapping[str, Any], last: Mapping[str, Any] | None = None,
) -> bytes:  # fmt: skip
    """index.html: every claim of the registry with its verdicts now and as of publication, its last change, by family.

    `last` is that of `changes.history`.
    """
    heads = [(c.origin == "ours", records[c.id]["headline"] if c.id in records else ABSENT) for c in registry.claims]
    told = {"records": records, "notes": notes, "provenance": provenance, "holm": holm_p(records), "alpha": ALPHA}
    words = {"counts": Counter(heads), "words": (*VERDICTS, ABSENT), "last": last or {}}
    return render("index.html.j2", claims=registry.claims, **told, **words, **SHARED).encode()


def news(registry: Registry, found: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, bytes]:
    """changes.html and feed.xml: what `changes.between` found, and the changes of verdicts so far (Atom, RFC 4287)."""
    told = {"claims": registry.by_id, "changes": found, "history": history, "uuid": uuid5, "space": NAMESPACE_OID}
    return {name: render(f"{name}.j2", **told, **SHARED).encode() for name in ("changes.html", "feed.xml")}


def holm_p(records: Mapping[str, Record]) -> dict[str, float]:
    """Holm's adjusted p of each primary test that has a p, over all of them, by claim."""
    primary = ((name, f["p_value"]) for name, r in records.items() for f in r["findings"] if f["role"] == "primary")
    return adjusted({name: p for name, p in primary if p is not None})


def claim_page(executed: Any, record: Record, plan: Any) -> bytes:
    """One claim's page: verdict first, then the notebook with its code folded, then where it all comes from.

    The page has a title of its own; cells tagged `lead` come first where anything was computed, those tagged `last` and
    the parameters come last; every picture is said in words.
    """
    from nbconvert import HTMLExporter

    notebook, heading = deepcopy(executed), "the study"
    if notebook.cells[0].source.startswith("# "):
        del notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(reversed(re.findall(r"^#+ +(.+)$", cell.source, re.M)), heading)
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata["alt"] = cell.metadata.get("alt") or f"Figure: {heading}"
    places = {"lead": 0 if record["findings"] else 1, "last": 2, "parameters": 2, INJECTED: 2}
    notebook.cells.sort(key=lambda cell: next((places[t] for t in cell.metadata.get("tags", ()) if t in places), 1))
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    exporter = HTMLExporter(template_name="claim", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True,
                            embed_images=True, filters={"plain": plain})  # fmt: skip
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    seal = b64encode(bytes.fromhex(sha256(script.encode()))).decode()
    policy = f"{SHARED['policy']}; script-src 'sha256-{seal}'"
    resources = SHARED | {"plan": plan, "record": record, "css": css, "script": script, "policy": policy}
    page = exporter.from_notebook_node(notebook, resources=resources)[0]
    return sealed(page, plan.provenance["entry_sha256"], record).encode()


def exports(
    records: Mapping[str, Record], files: Mapping[str, bytes], provenance: Mapping[str, Any], data: Path
) -> dict[str, bytes]:
    """All findings as CSV and, with pyarrow, as Parquet; the RO-Crate of a generation that holds `files` and these."""
    made = {"findings.csv": render("findings.csv.j2", records=records).encode()}
    with suppress(ImportError):  # the extra [data] may not be installed
        from pyarrow import BufferOutputStream, BufferReader, csv, parquet

        kinds = {f.name: "float64" if "float" in f.type else "int64" for f in fields(Finding) if "None" in f.type}
        typed = csv.ConvertOptions(column_types=kinds | {"as_of": "string"})
        table = csv.read_csv(BufferReader(made["findings.csv"]), convert_options=typed)
        parquet.write_table(table, written := BufferOutputStream())
        made["findings.parquet"] = written.getvalue().to_pybytes()
    told = {"files": [(path, len(content), sha256(content)) for path, content in sorted((files | made).items())],
            "sources": sources_of(data), "records": records, "provenance": provenance}  # fmt: skip
    return made | {"ro-crate-metadata.json": render("ro-crate.json.j2", **told).encode()}
