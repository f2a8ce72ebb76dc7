"""Findings, events, facts and claims as tables that print as text and show as HTML; data is text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from analysis_lib.errors import plain
from analysis_lib.finding import Finding, number, percent
from analysis_lib.series import filters

if TYPE_CHECKING:
    from analysis_lib.registry import Registry

SYMBOL = {"supported": "✓", "contradicted": "✗", "not distinguishable": "≈", "not testable": "∅"}
STUDY_MIME = "application/vnd.analysis-lib.study+json"
LONG = 20  # rows above which an HTML table is folded


@dataclass(frozen=True)
class Link:
    """A source: shown as a link only where its address is a web page."""

    text: str
    url: str

    def __str__(self) -> str:
        return self.text

    def html(self) -> str:
        if not self.url.startswith(("https://", "http://")):
            return escape(plain(self.text))
        return (
            f'<a href="{escape(plain(self.url), quote=True)}" rel="noreferrer nofollow">{escape(plain(self.text))}</a>'
        )


@dataclass(frozen=True)
class Table:
    """Rows of cells under column names. A cell is text, a number, a Link or a list of Links."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    folded: bool = True  # where it is long

    def __repr__(self) -> str:
        if not self.rows:
            return f"{self.caption or 'Findings'}: none"
        cells = [self.columns, *[tuple(_text(c) for c in row) for row in self.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{escape(plain(self))}</p>"
        head = "".join(f'<th scope="col">{escape(c)}</th>' for c in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{_html(c)}</td>" for c in row) + "</tr>" for row in self.rows)
        caption = f"<caption>{escape(plain(self.caption))}</caption>" if self.caption else ""
        table = f'<table class="claims">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        label = escape(plain(self.caption or "table"), quote=True)
        box = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{table}</div>'
        if len(self.rows) <= LONG or not self.folded:
            return box
        return f"<details><summary>{len(self.rows)} rows</summary>{box}</details>"


@dataclass(frozen=True)
class Text:
    """Paragraphs computed from findings."""

    paragraphs: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(plain(p) for p in self.paragraphs)

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(plain(p))}</p>" for p in self.paragraphs)


@dataclass(frozen=True)
class Record:
    """A sentence for the reader and the published record for the machine, in one notebook output."""

    text: Text
    record: dict[str, Any]

    def __repr__(self) -> str:
        return repr(self.text)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self.text), "text/html": self.text._repr_html_(), STUDY_MIME: self.record}


def _text(cell: Any) -> str:
    if isinstance(cell, tuple | list):
        return ", ".join(_text(c) for c in cell)
    if isinstance(cell, float):
        return number(cell)
    return "–" if cell is None else plain(cell)


def _html(cell: Any) -> str:
    if isinstance(cell, tuple | list):
        return " ".join(_html(c) for c in cell)
    return cell.html() if isinstance(cell, Link) else escape(_text(cell))


# ---- one study -------------------------------------------------------------------------------------------------------


def verdict_card(study: Any) -> Table:
    """Both verdicts, now and as of the text's publication, with the step of the rule that gave each."""
    now, then = study.now, study.publication
    rows = (
        ("literal: is the sentence true of the event list?", badge(now.literal.verdict), badge(then.literal.verdict),
         now.literal.reason),
        ("inferential: does the pattern differ from chance?", badge(now.inferential.verdict),
         badge(then.inferential.verdict), now.inferential.reason),
        ("motive", "not testable", "not testable", "counts never reach a motive"),
    )  # fmt: skip
    when = f"as of {study.as_of}" if study.as_of else "with all data now"
    return Table(("question", when, f"as of publication, {study.claim.published}", "why"), rows)


def badge(verdict: str) -> str:
    """A verdict's symbol and word.

    >>> badge("supported")
    '✓ supported'
    """
    return f"{SYMBOL[verdict]} {verdict}"


def summary(study: Any) -> Text:
    """The claim and its headline in sentences."""
    claim, now = study.claim, study.now
    origin = {
        "stated": "The text states it.",
        "implied": "The text implies it.",
        "ours": "The text does not make it: it is our replication or wider form.",
    }
    counted = claim.kind == "fact" or now.headline != now.inferential.verdict
    why = "the literal verdict decides" if counted else now.inferential.reason
    return Text((
        f"The claim ({', '.join(claim.text)}, {claim.place}): {claim.statement} {origin[claim.origin]}",
        f"Headline: {badge(now.headline)}. {_sentence(why)}",
        f"The event list beside the sentence itself: {badge(now.literal.verdict)}. {_sentence(now.literal.reason)}",
    ))  # fmt: skip


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def fact_table(study: Any) -> Table:
    """What the text states beside what is coded, field by field."""
    words = {True: "yes", False: "no", None: "open"}
    rows = tuple(
        (f.named, _text(f.fact.stated), f.fact.compare.replace("_", " "), _text(f.coded), words[f.agrees],
         "yes" if f.fact.required else "shown only",
         ", ".join(f.event_ids[:3]) + (" …" if len(f.event_ids) > 3 else ""), f.reason or f.fact.note,
         _links(" | ".join(f.sources[:3])) if f.sources else None)
        for f in study.now.facts
    )  # fmt: skip
    columns = ("field", "stated", "compared as", "coded", "agrees", "counts for the literal verdict", "rows", "note")
    return Table((*columns, "sources"), rows, "Stated and coded values")


def event_table(study: Any) -> Table:
    """The events behind the number, with links to the pages they were read on."""
    sample = study.now.sample
    if sample is None and study.claim.rule is not None:
        return Table(("event", "why none"), (("–", study.now.inferential.reason),))
    if sample is None:
        named = [event for check in study.now.facts for event in check.event_ids]
        rows, groups, caption = study.tables.events, None, "Events that the facts name"
        rows = rows[rows["event_id"].isin(named)]
    else:
        rows = sample.rows[sample.frame.mask(sample.rows["date"].to_numpy().astype("datetime64[D]"))]
        groups, caption = getattr(sample, "labels", None), f"Events of the frame {sample.frame}: {filters(study.spec)}"
    groups = groups or [_where(day, sample and sample.window) for day in rows["date"]]
    if closed := int((rows["rights"] != "").sum()):
        caption += f"; {closed} more are counted and not shown: their licence allows aggregates only"
    cells = tuple(
        (_day(row.date), group, row.location,
         row.weapons.replace(";", ", "), row.intercepted, row.confidence, _day(row.first_reported),
         row.event_id, _links(row.sources))
        for row, group in zip(rows.itertuples(), groups, strict=True) if not row.rights
    )  # fmt: skip
    group = "outcome" if hasattr(sample, "labels") else "window"
    columns = ("date", group, "place", "weapons", "intercepted", "confidence", "first reported", "row", "sources")
    return Table(columns, cells, caption)


def _where(day: Any, window: Any) -> str | None:
    return None if window is None else "inside" if day.date() in window else "outside"


def _day(day: Any) -> str | None:
    return None if day != day else f"{day:%Y-%m-%d}"  # a blank date differs from itself


def _links(cell: str) -> tuple[Link, ...]:
    return tuple(Link(f"[{i}]", url.strip()) for i, url in enumerate(filter(None, cell.split(" | ")), 1))


def finding_table(findings: Iterable[Finding], caption: str = "") -> Table:
    """Findings as rows: quantity, estimate, interval, p, what p could be at best, n and method."""
    rows = tuple(
        (f.quantity.replace("_", " "), f.estimate, f.interval, f.p_value, f.attainable_p, f.n,
         f.reason or "; ".join((f.method, *f.notes)))
        for f in findings
    )  # fmt: skip
    return Table(("quantity", "estimate", "interval", "p", "smallest p", "n", "method and notes"), rows, caption)


def findings_of(study: Any, *roles: str) -> Table:
    """The study's findings with one of these roles."""
    return finding_table([f for f in study.now.findings if f.role in roles])


def outcome_table(outcomes: Sequence[Any], caption: str = "") -> Table:
    """Other specifications or windows: estimate, interval, p and the verdict of the full rule on each."""
    rows = tuple(
        (o.choice, o.label, o.finding.estimate, o.finding.interval, o.finding.p_value, o.finding.n,
         badge(o.verdict.verdict), o.verdict.reason)
        for o in outcomes
    )  # fmt: skip
    return Table(("choice", "value", "estimate", "interval", "p", "n", "verdict", "why"), rows, caption)


def rival_table(study: Any) -> Table:
    """Other explanations, what could separate them, and what it shows where it can."""
    rows = tuple(
        (why, how, o.finding.sentence() if o else None, badge(o.verdict.verdict) if o else None)
        for why, how, o in study.rivals
    )
    return Table(("explanation", "separated by", "finding", "verdict"), rows, "Rival explanations")


def robustness_line(study: Any) -> Text:
    """How many other specifications give the same verdict, and which single choices flip it."""
    r = study.robustness
    if not study.variations:
        return Text(("No other specification is registered for this claim.",))
    flips = (
        f"It changes with {'; '.join(r['flips_on'])}." if r["flips_on"] else "No single choice among them changes it."
    )
    share = f"{percent(r['share_same'])} of {r['specifications']} specifications, the primary among them,"
    return Text((f"{share} give the same inferential verdict. {flips} The share is no probability.",))


def change_of_mind(study: Any) -> Text:
    """What would change the verdict: the effect that could be found, the events it takes, the limits of the data."""
    primary, limits = study.primary, tuple(f"Known limit: {limit}" for limit in study.claim.limits)
    if primary is None:
        why = _sentence(study.now.inferential.reason)
        return Text((f"Another source that disagrees with a coded value. {why}", *limits))
    needed = [f for f in study.now.findings if f.quantity == "events_needed"]
    lines = [f"{_sentence(f.method)[:-1]}: {number(f.estimate)}; there are {f.n}." for f in needed]
    if primary.power is not None:
        lines.append(f"Power at the effect that the claim states: {number(primary.power)}.")
    if primary.mde is not None:
        lines.append(f"The smallest effect found with 80 % power: {number(primary.mde)}.")
    elif primary.power is not None:
        lines.append("No effect of any size would be found with 80 % power.")
    if primary.interval:
        lines.append(f"The data leave room for {primary.interval} ({percent(primary.level)} interval).")
    return Text((" ".join(lines), *limits))


def how_to_reproduce(study: Any) -> Record:
    """The command that yields these numbers, and the numbers themselves for the report to publish."""
    knobs = "".join(f" --set {name}={_knob(value)}" for name, value in sorted(study.knobs.items()))
    as_of = f" --as-of {study.as_of}" if study.as_of else ""
    text = Text((
        f"claims reproduce {study.claim.id}{as_of}{knobs} --seed {study.seed}",
        f"data {study.tables.data_sha256[:12]}, registry {study.registry_sha256[:12]}, seed {study.seed}",
    ))  # fmt: skip
    return Record(text, study.record())


def _knob(value: Any) -> str:
    if value is None:
        return "null"
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple | list) else str(value)


def claims_markdown(registry: Registry) -> str:
    """The registry as a Markdown table: the README's list of claims."""
    lines = ["| claim | text | question | kind | family |", "|---|---|---|---|---|"]
    lines += [f"| `{c.id}` | {', '.join(c.text)} | {c.question} | {c.kind} | {c.family} |" for c in registry.claims]
    return "\n".join(lines)
