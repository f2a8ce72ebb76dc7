"""A claim's numbers outside the repository: a page that carries them, read with suspicion; an archive to check them."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, JsonValue

from analysis_lib.claims import Claim, Spec
from analysis_lib.completeness import incidents_of
from analysis_lib.errors import BadInput, CannotRun
from analysis_lib.events import WORDS
from analysis_lib.generations import canonical, entry_sha256, sha256, write_whole
from analysis_lib.paths import ROOT, TEMPLATES, shown
from analysis_lib.series import select
from analysis_lib.sources.bundled import Tables, sources_of
from analysis_lib.study import Study
from analysis_lib.tables import render

START, END = '<script type="application/json" id="record">', "</script>"  # a type that no browser runs
LARGEST = 32 << 20  # bytes of a page
OPEN = r"(CC0|CC BY|CC BY-SA|ODC-BY|ODbL|PDDL|public domain)( \d\.\d)?"  # licences that let rows be passed on
CHECKED = ("rate_ratio", "share", "share_difference", "onset_shares", "multi_site_days")  # by templates/bundle/check.py
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel, frozen=True, extra="allow"):
    """A record of unknown origin: what it says of its run is checked as a command line is, the rest compared."""

    claim: Annotated[str, Field(max_length=60)]
    as_of: date | None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)]
    knobs: dict[str, JsonValue]
    data_sha256: Digest


class Page(BaseModel, frozen=True, extra="forbid"):
    """The block of a page; `page_sha256` is the hash of all that stands around it."""

    page_sha256: Digest
    entry_sha256: Digest
    record: Record

    def refuse_other(self, claim: Claim, tables: Tables) -> None:
        """Raises CannotRun that names each input which is not the one that the page was made from."""
        pairs = (("data_sha256", self.record.data_sha256, tables.data_sha256, "--data DIR"),
                 ("registry entry", self.entry_sha256, entry_sha256(claim), "--claims FILE"))  # fmt: skip
        other = [f"{what} was {was[:12]}, is {now[:12]}; give that of the page: {option}"
                 for what, was, now, option in pairs if was != now]  # fmt: skip
        if other:
            raise CannotRun(*other)


def sealed(page: str, entry: str, record: Mapping[str, Any]) -> str:
    """A page with its record, and the hash of everything else in it, in a block before its end."""
    head, body, tail = page.replace("\r\n", "\n").rpartition("</body>")
    told = {"page_sha256": sha256((head + body + tail).encode()), "entry_sha256": entry, "record": record}
    block = json.dumps(told).replace("<", "\\u003c")  # so that no text of the data ends the block
    return f"{head}{START}{block}{END}{body}{tail}"


def read_page(path: Path, claim: str | None) -> Page:
    """A page's block. Raises BadInput for no page of ours, one too large, altered around it or of another `claim`."""
    do, raw = "give claims/ID.html as `claims report` wrote it", b""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        head, _, rest = raw.decode().replace("\r\n", "\n").partition(START)
        block, _, tail = rest.partition(END)
        page = Page.model_validate_json(block)
    except OSError as error:
        raise BadInput(f"{shown(path)}: cannot be read ({error.strerror}); {do}") from None
    except ValueError:
        raise BadInput(f"{shown(path)}: holds no record of a claim, or a damaged one; {do}") from None
    if len(raw) > LARGEST or sha256((head + tail).encode()) != page.page_sha256:
        raise BadInput(f"{shown(path)}: altered since it was written, outside its record; {do}")
    if claim not in (None, page.record.claim):
        raise BadInput(f"{claim}: {shown(path)} is about '{page.record.claim}'; leave the id out or give that one")
    return page


# ---- the archive -----------------------------------------------------------------------------------------------------


def rows_used(study: Study, counted: list[Spec]) -> dict[str, bytes]:
    """The rows that the test and the facts read, cell for cell as in the tables, by file name.

    Of events those that pass the filters of a population `counted`, at any date, and those that a fact names; of
    windows the kinds named; of coverage the theatres. Raises BadInput for a table whose licence keeps its rows.
    """
    known, spec, found = study.tables.as_of(study.as_of), study.spec or Spec(), {}
    each = (select(known.events, who.model_copy(update={"unit": "attack"}))["event_id"] for who in counted)
    kept = {"events": ("event_id", {fact.event_id for fact in study.claim.facts}.union(*each)),
            "windows": ("kind", {spec.window_kind, spec.trigger_kind}),
            "coverage": ("theatre", {theatre for who in counted for theatre in who.theatres})}  # fmt: skip
    if spec.test == "recapture" and study.now.sample:
        second = {*incidents_of(known, spec, spec.frame)["incident_id"]}
        kept |= {"counts": ("scope", {*spec.theatres}), "second_coding": ("incident_id", second)}
    for name in (name for name in kept if getattr(known, name) is not None):
        file, (column, values) = f"{name}.csv", kept[name]
        head, *rows = csv.reader(io.StringIO((known.folder / file).read_text("utf-8-sig"), newline=""))
        rows = [row for row in rows if row and row[head.index(column)] in values]
        licence = str(sources_of(known.folder).get(file, {}).get("licence", "not stated"))
        kept_back = "rights" in head and any(row[head.index("rights")] for row in rows)
        if kept_back or (rows and not re.fullmatch(OPEN, licence, re.I)):
            allowed = "allowed: CC0, CC BY, CC BY-SA, ODbL, public domain; leave --bundle out"
            raise BadInput(f"{file}: its licence in sources.yml ({licence}) does not let rows be passed on; {allowed}")
        csv.writer(text := io.StringIO(), lineterminator="\n").writerows([head, *rows])
        found |= {f"data/{file}": text.getvalue().encode()} if rows else {}
    return found


def write_bundle(path: Path, study: Study, record: Mapping[str, Any]) -> None:
    """Writes a zip of the rows used, the registry entry, the lock file, the numbers of `record`, and what checks them.

    Equal inputs give equal bytes: files are sorted, stored and carry no time. Raises BadInput for a name without .zip.
    """
    if path.suffix != ".zip":
        raise BadInput(f"--bundle {shown(path)}: not an archive; allowed: a name that ends in .zip; mend it")
    claim, spec = study.claim, study.spec
    facts = [claim.with_knobs(fact.set) if fact.set else claim.spec or Spec() for fact in claim.facts]
    counted = [who for who, fact in zip(facts, claim.facts, strict=True) if fact.measure]
    rows = rows_used(study, [*counted, *([spec, spec.against or spec] if spec else [])])
    told = {"study": study, "record": record, "populations": facts, "sources": sources_of(study.tables.folder),
            "files": {name: sha256(content) for name, content in rows.items()}, "checked": CHECKED,
            "open_kinds": WORDS["open_kinds"], "last": study.tables.as_of(study.as_of).last_day}  # fmt: skip
    told["expected"] = render("bundle/expected.json.j2", **told)
    files = rows | {"claim.json": canonical(claim.model_dump(mode="json")), "record.json": canonical(record),
                    "requirements.lock": (ROOT / "requirements.lock").read_bytes(),
                    "README.txt": render("bundle/README.txt.j2", **told), "expected.json": told["expected"],
                    "check.py": told["expected"] and (TEMPLATES / "bundle" / "check.py").read_bytes()}  # fmt: skip
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as zipped:
        for name in sorted(name for name in files if files[name]):
            entry = zipfile.ZipInfo(name)  # of 1980
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            zipped.writestr(entry, files[name])
    write_whole(path, archive.getvalue())
