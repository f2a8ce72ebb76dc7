"""The pages: the board of all claims, and one claim's executed notebook as one file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from analysis_lib.errors import plain
from analysis_lib.finding import VERDICTS, number
from analysis_lib.paths import TEMPLATES
from analysis_lib.registry import Registry
from analysis_lib.tables import SYMBOL

ALPHA, ABSENT = 0.05, "not yet run"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
FILTERS = {"number": number, "plain": plain}
Record = Mapping[str, Any]


def board(
    registry: Registry, records: Mapping[str, Record], notes: Mapping[str, Sequence[str]],
    provenance: Mapping[str, Any], templates: Path,
) -> bytes:  # fmt: skip
    """index.html: every claim of the registry with its verdicts now and as of publication, by family."""
    heads = [(c.origin == "ours", records[c.id]["headline"] if c.id in records else ABSENT) for c in registry.claims]
    return render(
        "index.html.j2", templates, claims=registry.claims, records=records, notes=notes, provenance=provenance,
        counts=Counter(heads), words=(*VERDICTS, ABSENT), holm=holm_p(records), alpha=ALPHA, symbol=SYMBOL,
        policy=POLICY,
    ).encode()  # fmt: skip


def render(template: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """A page or a text; in pages what comes from data is escaped."""
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=FileSystemLoader(folder), autoescape=select_autoescape(["html.j2"]), **options)
    environment.filters |= FILTERS
    return environment.get_template(template).render(**values)


def holm_p(records: Mapping[str, Record]) -> dict[str, float]:
    """Holm's adjusted p of each primary test that has a p, over all of them, by claim."""
    from analysis_lib.suite import adjusted

    primary = [(name, f["p_value"]) for name, r in records.items() for f in r["findings"] if f["role"] == "primary"]
    return adjusted({name: p for name, p in primary if p is not None})


def claim_page(executed: Any, record: Record, plan: Any) -> bytes:
    """One claim's page: verdict first, then the notebook with its code folded, then where it all comes from."""
    from nbconvert import HTMLExporter

    resources = {"plan": plan, "record": record, "policy": POLICY, "symbol": SYMBOL}
    resources["css"] = (plan.templates / "style.css").read_text(encoding="utf-8")
    folders = [str(plan.templates)]
    exporter = HTMLExporter(template_name="claim", extra_template_basedirs=folders, exclude_anchor_links=True,
                            embed_images=True, filters=FILTERS)  # fmt: skip
    return exporter.from_notebook_node(_for_reading(executed), resources=resources)[0].encode()


def _for_reading(executed: Any) -> Any:
    """The notebook as the page shows it: no title of its own, `lead` cells first, every picture said in words."""
    from copy import deepcopy

    notebook, heading = deepcopy(executed), "the study"
    notebook.metadata["title"] = ""
    if notebook.cells and notebook.cells[0].source.startswith("# "):
        del notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(reversed(re.findall(r"^#+ +(.+)$", cell.source, re.M)), heading)
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata["alt"] = cell.metadata.get("alt") or f"Figure: {heading}"
    notebook.cells.sort(key=lambda cell: "lead" not in cell.metadata.get("tags", ()))
    return notebook
