"""What an enemy or an accident may write into a field of text, and a data folder and a registry that are full of it."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from pathlib import Path

import yaml

from analysis_lib.claims import Claim
from analysis_lib.events import TABLES
from analysis_lib.paths import DATA
from analysis_lib.registry import Registry

RUN = "document.title='ran'"
PAYLOADS = {
    "script": f"<script>{RUN}</script>",
    "handler": f'"><img src=x onerror="{RUN}">',
    "focus": f"' autofocus tabindex=1 onfocus=\"{RUN}\" onmouseover='{RUN}' x='",
    "svg": f'<svg onload="{RUN}"><script>{RUN}</script><a href="javascript:{RUN}">x</a></svg>',
    "closing": f'</style></title></textarea></pre></script><iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    "comment": f"--><script>{RUN}</script><!--",
    "link": f'<a href="javascript:{RUN}">x</a>[x](javascript:{RUN})![x](http://127.0.0.1:9/x.png)',
    "data link": "data:text/html,<script>opener.document.title='ran'</script>",
    "entity": f"&lt;script&gt;{RUN}&lt;/script&gt;&#60;b&#62;",
    "base": '<base href="http://127.0.0.1:9/"><meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">',
    "style": '<style>@import "http://127.0.0.1:9/x.css";</style><link rel=stylesheet href="http://127.0.0.1:9/y.css">',
    "template": "{{ 7 * 7 }}{% for x in ().__class__.__mro__ %}{{ x }}{% endfor %}${7*7}<%= 7*7 %>",
    "format": "{0.__class__} %s %(x)s {study.__init__.__globals__}",
    "yaml": "!!python/object/apply:os.system ['touch ran']",
    "query": "' or 1 == 1 or '`@__import__('os').system('touch ran')`",
    "formula": '=HYPERLINK("http://127.0.0.1:9","x")',
    "formula, command": "=cmd|'/C calc'!A0",
    "formula, sum": "@SUM(1+1)*cmd|' /C calc'!A0",
    "terminal": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b]8;;http://127.0.0.1:9\x07x\x1b]8;;\x07\x9b31m",
    "markup": "[red]x[/red] [link=http://127.0.0.1:9]x[/link]",
    "bidi": "abc\u202egnp.exe\u2066\u200f\u202c",
    "unseen": "a\u200bb\ufeffc\u00add\U000e0041",
    "path": "../../../../etc/passwd",
    "formula of a picture": r"$\frac{$ x $\undefined{y}$ _$^$",
    "lines": "first\r\nsecond\u2028third\x85fourth\x0cfifth",
    "long": "long" * 2500,
}
NUL = "a\x00b"  # a registry may hold it, escaped; a table that does is refused

KEPT = {"event_id", "window_id", "possible_duplicate_of", "scope", "theatre", "country"}
"""Columns that other rows or claims refer to: a payload there would only make the claim not testable."""

FREE = {name: [column for column, cell in table.columns.items() if column not in KEPT and cell.pattern in
               ('(?s)\\s*\\S.*', '(?s).*')] for name, table in TABLES.items()}  # fmt: skip
"""The columns of free text, by table."""


PROSE = {"variations": "label", "replications": "label", "rivals": "explanation separated_by"}
PROSE |= {"facts": "field note source"}  # the fields of prose in the parts of a claim


def write_tables(folder: Path) -> Path:
    """The bundled tables with a payload, another each time, behind every cell of free text, and hostile ids."""
    folder.mkdir(parents=True)
    for path in DATA.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            for place, column in enumerate(FREE.get(path.stem, ())):
                text = list(PAYLOADS.values())[(number + 5 * place) % len(PAYLOADS)]
                row[column] = f"{row[column]}{text}" if column != "claimed_by" else f"{text.replace(';', ',')}"
        if path.stem == "events":  # the first rows are early ones, to which no claim refers
            for row, text in zip([row for row in rows if row["us_target"] == "yes"], PAYLOADS.values(), strict=False):
                row["sources"] = "https://127.0.0.1:9/'onmouseover='x()'/javascript:x()/{{7*7}}/\u202e/$x$"
                if not row["possible_duplicate_of"] and "20210" not in row["event_id"]:
                    row["event_id"] += text
        with (folder / path.name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return folder


def write_registry(path: Path, registry: Registry) -> Path:
    """A user's registry: every bundled claim with a payload, another each time, behind every field of prose."""
    claims, payloads = [], defaultdict(lambda: itertools.cycle([*PAYLOADS.values(), NUL]))

    def spoilt(entry: dict, fields: str) -> dict[str, str]:
        return {field: entry.get(field, "") + next(payloads[field]) for field in fields.split()}

    for claim in registry.claims:
        entry = claim.model_dump(mode="json", exclude_defaults=True)
        entry |= spoilt(entry, "place statement question estimand notes")
        entry["limits"] = [*entry.get("limits", ()), next(payloads["limits"])]
        for part, fields in PROSE.items():
            for item in entry.get(part, ()):
                item |= spoilt(item, fields)
        claims.append(Claim.model_validate(entry).model_dump(mode="json", exclude_defaults=True))
    path.write_text(yaml.safe_dump({"claims": claims}, width=10**6), encoding="ascii")  # it escapes what is not ASCII
    return path
