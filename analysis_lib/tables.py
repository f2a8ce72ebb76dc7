"""Findings, events, facts and claims as tables that print as text and show as HTML; data is text, never markup."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from analysis_lib.errors import plain
from analysis_lib.finding import Finding, number, percent
from analysis_lib.paths import TEMPLATES
from analysis_lib.registry import Registry
from analysis_lib.series import filters

SYMBOL = {"supported": "✓", "contradicted": "✗", "not distinguishable": "≈", "not testable": "∅"}
STUDY_MIME = "application/vnd.analysis-lib.study+json"
LONG = 20  # rows above which an HTML table is folded


def badge(verdict: str) -> str:
    """A verdict's symbol and word.

    >>> badge("supported")
    '✓ supported'
    """
    return f"{SYMBOL[verdict]} {verdict}"


def cell_text(cell: Any) -> str:
    """A cell as text: three digits for a number, a dash for nothing."""
    if isinstance(cell, tuple | list):
        return ", ".join(map(cell_text, cell))
    if isinstance(cell, float):
        return number(cell)
    return "–" if cell is None else plain(cell)


SETTINGS = {"loader": FileSystemLoader(TEMPLATES), "undefined": StrictUndefined, "trim_blocks": True}
TEMPLATED = Environment(autoescape=select_autoescape(["html.j2", "xml.j2"]), lstrip_blocks=True, **SETTINGS)
TEMPLATED.filters |= {f.__name__: f for f in (badge, cell_text, number, percent, plain, quote)}


def render(template: str, **values: Any) -> str:
    """A page or a text; in pages what comes from data is escaped."""
    return TEMPLATED.get_template(template).render(**values)


@dataclass(frozen=True)
class Link:
    """A source: shown as a link only where its address is a web page."""

    text: str
    url: str

    def __str__(self) -> str:
        return self.text

    def html(self) -> Markup:
        web = self.url.startswith(("https://", "http://"))
        form = Markup('<a href="{1}" rel="noreferrer nofollow">{0}</a>' if web else "{0}")
        return form.format(plain(self.text), plain(self.url))


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
        lines = [self.columns, *([cell_text(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        return render("table.html.j2", table=self, folded=self.folded and len(self.rows) > LONG)


@dataclass(frozen=True)
class Text:
    """Paragraphs computed from findings; the published record goes with them where the report reads it."""

    paragraphs: tuple[str, ...]
    record: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return "\n".join(map(plain, self.paragraphs))

    def _repr_html_(self) -> str:
        return Markup().join(Markup("<p>{}</p>").format(plain(p)) for p in self.paragraphs)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        forms = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return forms | ({STUDY_MIME: self.record} if self.record else {})


def _told(template: str, study: Any) -> Text:
    """What a template says of a study: an empty line ends a paragraph, any other line break is a space."""
    paragraphs = render(f"{template}.txt.j2", study=study).strip().split("\n\n")
    return Text(tuple(" ".join(paragraph.splitlines()) for paragraph in paragraphs))


def _table(columns: str, rows: Iterable[tuple[Any, ...]], caption: str = "") -> Table:
    return Table(tuple(columns.split(", ")), tuple(rows), caption)


# ---- one study -------------------------------------------------------------------------------------------------------


def verdict_card(study: Any) -> Table:
    """Both verdicts, now and as of the text's publication, with the step of the rule that gave each."""
    now, then = study.now, study.publication
    literal = ("literal: is the sentence true of the event list?", now.literal, then.literal)
    inferential = ("inferential: does the pattern differ from chance?", now.inferential, then.inferential)
    rows = ((asked, badge(new.verdict), badge(old.verdict), new.reason) for asked, new, old in (literal, inferential))
    motive = ("motive", "not testable", "not testable", "counts never reach a motive")
    when = f"as of {study.as_of}" if study.as_of else "with all data now"
    return Table(("question", when, f"as of publication, {study.claim.published}", "why"), (*rows, motive))


def summary(study: Any) -> Text:
    """The claim and its headline in sentences."""
    return _told("summary", study)


def fact_table(study: Any) -> Table:
    """What the text states beside what is coded, field by field."""
    words = {True: "yes", False: "no", None: "open"}
    rows = ((f.named, cell_text(f.fact.stated), f.fact.compare.replace("_", " "), cell_text(f.coded), words[f.agrees],
             "yes" if f.fact.required else "shown only", ", ".join(f.event_ids[:3]) + " …" * (len(f.event_ids) > 3),
             f.reason or f.fact.note, _links(f.sources[:3])) for f in study.now.facts)  # fmt: skip
    columns = "field, stated, compared as, coded, agrees, counts for the literal verdict, rows, note, sources"
    return _table(columns, rows, "Stated and coded values")


def event_table(study: Any) -> Table:
    """The events behind the number, with links to their sources; those on days that nobody watched are not in it."""
    sample, rows, facts = study.now.sample, study.tables.events, study.now.facts
    if sample is None and study.claim.rule is not None:
        return _table("event, why none", [("–", study.now.inferential.reason)])
    if sample is None:
        caption = "Events that the facts name"
        rows = rows[rows["event_id"].isin([event for fact in facts for event in fact.event_ids])]
    else:
        caption = f"Events of the frame {sample.frame}: {filters(study.spec)}"
        rows = sample.rows[sample.frame.mask(sample.rows["date"].to_numpy().astype("datetime64[D]"))]
    window, groups = getattr(sample, "window", None), getattr(sample, "labels", None)
    group = "window" if groups is None else "outcome"
    groups = groups or [window and ("inside" if day.date() in window else "outside") for day in rows["date"]]
    if series := getattr(sample, "series", None):
        watched = series.positions(rows["date"].to_numpy().astype("datetime64[D]"))[1]
        groups = [label if counts else "day not watched" for label, counts in zip(groups, watched, strict=True)]
    cells = ((_day(row.date), label, row.location, row.weapons.replace(";", ", "), row.intercepted, row.confidence,
              _day(row.first_reported), row.event_id, _links(row.sources.split(" | ")))
             for row, label in zip(rows.itertuples(), groups, strict=True) if not row.rights)  # fmt: skip
    if closed := int((rows["rights"] != "").sum()):
        caption += f"; {closed} more are counted and not shown: their licence allows aggregates only"
    columns = f"date, {group}, place, weapons, intercepted, confidence, first reported, row, sources"
    return _table(columns, cells, caption)


def _day(day: Any) -> str | None:
    return None if day != day else f"{day:%Y-%m-%d}"  # a blank date differs from itself


def _links(urls: Iterable[str]) -> tuple[Link, ...] | None:
    return tuple(Link(f"[{i}]", url.strip()) for i, url in enumerate(urls, 1)) or None


def finding_table(findings: Iterable[Finding], caption: str = "") -> Table:
    """Findings as rows: quantity, estimate, interval, p, what p could be at best, n and method."""
    rows = ((f.quantity.replace("_", " "), f.estimate, f.interval, f.p_value, f.attainable_p, f.n,
             f.reason or "; ".join((f.method, *f.notes))) for f in findings)  # fmt: skip
    return _table("quantity, estimate, interval, p, smallest p, n, method and notes", rows, caption)


def findings_of(study: Any, *roles: str) -> Table:
    """The study's findings with one of these roles."""
    return finding_table(f for f in study.now.findings if f.role in roles)


def outcome_table(outcomes: Sequence[Any], caption: str = "") -> Table:
    """Other specifications or windows: estimate, interval, p and the verdict of the full rule on each."""
    each = ((o, o.finding, o.verdict) for o in outcomes)
    rows = ((o.choice, o.label, f.estimate, f.interval, f.p_value, f.n, badge(v.verdict), v.reason) for o, f, v in each)
    return _table("choice, value, estimate, interval, p, n, verdict, why", rows, caption)


def rival_table(study: Any) -> Table:
    """Other explanations, what could separate them, and what it shows where it can."""
    rows = ((why, how, o and o.finding.sentence(), o and badge(o.verdict.verdict)) for why, how, o in study.rivals)
    return _table("explanation, separated by, finding, verdict", rows, "Rival explanations")


def robustness_line(study: Any) -> Text:
    """How many other specifications give the same verdict, and which single choices flip it."""
    return _told("robustness", study)


def curve_words(study: Any) -> Text:
    """What the specification curve varies, what its shares are not, and its joint test."""
    return _told("curve", study)


def curve_shares(study: Any) -> Table:
    """Share of the curve's specifications with each verdict, by what they ask."""
    if study.curve is None:
        return _table("estimand, why none", [("–", study.now.inferential.reason)])
    shares = study.curve.shares
    return Table(("estimand", *shares), tuple(shares.itertuples(name=None)), "Share with each verdict, by estimand")


def change_of_mind(study: Any) -> Text:
    """What would change the verdict: the effect that could be found, the events it takes, the limits of the data."""
    return _told("change_of_mind", study)


def how_to_reproduce(study: Any) -> Text:
    """The command that yields these numbers, and the numbers themselves for the report to publish."""
    return replace(_told("how_to_reproduce", study), record=study.record())


def claims_markdown(registry: Registry) -> str:
    """The registry as a Markdown table: the README's list of claims."""
    return render("claims.md.j2", claims=registry.claims).strip()
