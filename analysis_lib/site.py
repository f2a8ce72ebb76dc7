"""The pages: the board of all claims, and one claim's executed notebook as one file."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

from analysis_lib.errors import plain
from analysis_lib.finding import VERDICTS
from analysis_lib.paths import TEMPLATES
from analysis_lib.registry import Registry
from analysis_lib.suite import ABSENT, ALPHA, adjusted
from analysis_lib.tables import SYMBOL, render

SHARED = {"policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'", "symbol": SYMBOL}
Record = Mapping[str, Any]


def board(
    registry: Registry, records: Mapping[str, Record], notes: Mapping[str, Sequence[str]], provenance: Mapping[str, Any]
) -> bytes:
    """index.html: every claim of the registry with its verdicts now and as of publication, by family."""
    heads = [(c.origin == "ours", records[c.id]["headline"] if c.id in records else ABSENT) for c in registry.claims]
    told = {"records": records, "notes": notes, "provenance": provenance, "holm": holm_p(records), "alpha": ALPHA}
    words = {"counts": Counter(heads), "words": (*VERDICTS, ABSENT)}
    return render("index.html.j2", claims=registry.claims, **told, **words, **SHARED).encode()


def holm_p(records: Mapping[str, Record]) -> dict[str, float]:
    """Holm's adjusted p of each primary test that has a p, over all of them, by claim."""
    primary = ((name, f["p_value"]) for name, r in records.items() for f in r["findings"] if f["role"] == "primary")
    return adjusted({name: p for name, p in primary if p is not None})


def claim_page(executed: Any, record: Record, plan: Any) -> bytes:
    """One claim's page: verdict first, then the notebook with its code folded, then where it all comes from.

    The page has a title of its own, cells tagged `lead` come first, and every picture is said in words.
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
    notebook.cells.sort(key=lambda cell: "lead" not in cell.metadata.get("tags", ()))
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    exporter = HTMLExporter(template_name="claim", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True,
                            embed_images=True, filters={"plain": plain})  # fmt: skip
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    policy = f"{SHARED['policy']}; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    resources = SHARED | {"plan": plan, "record": record, "css": css, "script": script, "policy": policy}
    return exporter.from_notebook_node(notebook, resources=resources)[0].encode()
