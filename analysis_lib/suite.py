"""All claims at once: the board, its corrected p-values, the scorecard, what the texts say against each other."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import combinations
from typing import Any

from analysis_lib.claims import SEED, TEXTS, Claim, Fact
from analysis_lib.errors import ClaimsError
from analysis_lib.facts import check_facts, compare
from analysis_lib.finding import VERDICTS
from analysis_lib.registry import Registry
from analysis_lib.sources.bundled import Tables
from analysis_lib.specs import take_sample
from analysis_lib.study import Study, judgement, runnable
from analysis_lib.tables import Table, badge
from analysis_lib.verdicts import literal_verdict

Records = Mapping[str, Mapping[str, Any]]
ALPHA, ABSENT = 0.05, "not yet run"


def judged(registry: Registry, tables: Tables, known: Records, seed: int = SEED) -> dict[str, Any]:
    """The record of every claim that can be run: the `known` one of the same data and rules, else judged here.

    What is judged here has the verdicts and the findings that decide them, and tells how far it is.
    """
    state = {"data_sha256": tables.data_sha256, "registry_sha256": registry.sha256, "seed": seed}
    claims, found = [claim for claim in registry.claims if runnable(claim)], {}
    for place, claim in enumerate(claims, 1):
        record = known.get(claim.id, {})
        if not (state | {"as_of": None, "knobs": {}}).items() <= record.items():
            print(f"\rjudging {place} of {len(claims)}: {claim.id:<30}", end="", flush=True)
            now, then = (judgement(claim, claim.spec, tables, day, seed, everything=False)
                         for day in (None, claim.published))  # fmt: skip
            record = now.row() | {"publication": then.row(), "findings": [f.row() for f in now.findings]}
        found[claim.id] = record
    return found


def adjusted(p: Mapping[str, float], method: str = "holm") -> dict[str, float]:
    """p-values corrected for their number: `holm` (Holm 1979), `fdr_bh`, `fdr_by`; names kept, empty stays empty.

    Holm holds under any dependence; BH under independence or positive dependence, BY under any. It is the board's
    alone and changes no verdict.

    >>> adjusted({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}
    """
    from statsmodels.stats.multitest import multipletests

    return dict(zip(p, multipletests(list(p.values()), method=method)[1].tolist(), strict=True)) if p else {}


def p_values(records: Records, *roles: str) -> dict[str, float]:
    """Every p of the findings with these roles, by the finding's id."""
    found = (f for record in records.values() for f in record["findings"] if f["role"] in roles)
    return {f["id"]: f["p_value"] for f in found if f["p_value"] is not None}


def board(registry: Registry, records: Records) -> Table:
    """Every claim: headline now and as of publication, both verdicts, the primary p and Holm's correction of it."""
    primary = p_values(records, "primary")
    holm = {name.partition("/")[0]: (primary[name], p) for name, p in adjusted(primary).items()}
    rows = []
    for claim in registry.claims:
        (p, p_holm), words = holm.get(claim.id, (None, None)), (ABSENT, None, None, None)
        if record := records.get(claim.id):
            verdicts = (record[form]["verdict"] for form in ("literal", "inferential"))
            words = map(badge, (*headlines(record), *verdicts))
        holds = None if p is None else "yes" if p_holm <= ALPHA else "no"
        rows.append((claim.id, ", ".join(claim.text), claim.origin, *words, p, p_holm, holds))
    columns = "claim, text, origin, headline now, at publication, literal, inferential, p, Holm, holds after Holm"
    return Table(tuple(columns.split(", ")), tuple(rows), "All claims", folded=False)


def headlines(record: Mapping[str, Any] | None) -> tuple[str, str]:
    """The headline now and as of publication."""
    return (record["headline"], record["publication"]["headline"]) if record else (ABSENT, ABSENT)


def scorecard(registry: Registry, records: Records) -> Table:
    """How many claims of each text have which headline, now and as of publication; our own stand apart."""
    words, rows = (*VERDICTS, ABSENT), []
    own, theirs = ([c for c in registry.claims if (c.origin == "ours") is ours] for ours in (True, False))
    groups = {text: [claim for claim in theirs if text in claim.text] for text in TEXTS}
    for name, claims in (groups | {"all texts": theirs, "ours": own}).items():
        said = [headlines(records.get(claim.id)) for claim in claims]
        now, then = (Counter(pair[i] for pair in said) for i in (0, 1))
        rows.append((name, len(claims), *(f"{now[word]} ({then[word]})" for word in words)))
    return Table(("text", "claims", *words), tuple(rows), "Headlines now, in brackets as of publication")


def overtaken(registry: Registry, records: Records, tables: Tables) -> Table:
    """Did the headline of the publication date hold, why, and what became public since that the claim counts?

    Those that were overtaken come first. A headline changes also with days that nobody had watched yet.
    """
    rows = []
    for claim in (claim for claim in registry.claims if claim.id in records):
        now, then = headlines(record := records[claim.id])
        part = "literal" if claim.kind == "fact" or now != record["inferential"]["verdict"] else "inferential"
        why = (record["publication"][part]["reason"], record[part]["reason"])
        known = set(tables.as_of(claim.published).events["event_id"])
        new = [row for row in counted(claim, tables) if row not in known]
        new += [fact.field for fact in claim.facts if fact.known_from and fact.known_from > claim.published]
        held = "held" if now == then else "overtaken"
        rows.append((held, claim.id, badge(then), badge(now), len(new), ", ".join(new[:5]), *why))
    columns = "verdict, claim, at publication, now, new, the first of the new rows and values, why then, why now"
    rows.sort(key=lambda row: row[0], reverse=True)
    held = sum(row[0] == "held" for row in rows)
    return Table(tuple(columns.split(", ")), tuple(rows), f"{held} of {len(rows)} headlines held", folded=False)


def counted(claim: Claim, tables: Tables) -> list[str]:
    """event_id of every row that decides a claim: those that its facts name, and those in the frame of its sample."""
    ids = {row: None for check in check_facts(claim, tables) for row in check.event_ids}
    with suppress(ClaimsError):  # without a sample no row counts
        sample = claim.spec and take_sample(claim.spec, tables)
        ids |= dict.fromkeys(sample.rows["event_id"][sample.frame.mask(sample.rows["date"])] if sample else ())
    return list(ids)


def by_text(study: Study) -> Table:
    """The literal verdict on each text of a claim by itself: its own values and those that all texts share."""
    facts = {text: [f for f in study.now.facts if f.fact.text in (None, text)] for text in study.claim.text}
    rows = ((text, badge(v.verdict), v.reason) for text, v in ((t, literal_verdict(f)) for t, f in facts.items()))
    return Table(("text", "literal verdict", "why"), tuple(rows), "Each text by itself")


def contradictions(claims: Iterable[Claim], tables: Tables) -> Table:
    """Where two texts state different values for one field, and where a text itself names more attacks than it allows.

    Computed from the facts, nothing is typed. Claims of our own are no text's.
    """
    said = [(claim.id, text, check) for claim in claims if claim.origin != "ours"
            for check in check_facts(claim, tables) if check.fact.stated is not None
            for text in ((check.fact.text,) if check.fact.text else claim.text)]  # fmt: skip
    rows = []
    for (claim, one, a), (other, two, b) in combinations(said, 2):
        f, g = a.fact, b.fact
        if (claim, f.field) == (other, g.field) and one != two and (f.compare, f.stated) != (g.compare, g.stated):
            rows.append((f"{one} and {two}", claim, a.sentence(), b.sentence(), relation(f, g)))
    for claim, text, a in said:
        dated = (b for _, two, b in said if two == text and b.fact.column == "date" and b.agrees)
        named = {b.fact.event_id: b.sentence() for b in dated if b.fact.event_id in a.event_ids}
        if a.agrees is False and a.fact.measure == "attacks" and len(named) > a.fact.stated:
            rows.append((f"inside {text}", claim, a.sentence(), "; ".join(named.values()), "exclude each other"))
    rows = rows or [("nowhere", None, None, None, None)]
    return Table(("where", "claim", "one sentence", "the other", "relation"), tuple(rows), "Contradictions")


def relation(one: Fact, other: Fact) -> str:
    """Can a value agree with both? For words, whether they are the same."""
    values, in_words = [one.stated, other.stated], any(isinstance(fact.stated, str) for fact in (one, other))
    if not in_words:
        values.append(one.stated + (other.stated - one.stated) / 2)
    if any(compare(one, value) is not False and compare(other, value) is not False for value in values):
        return "differ, both can hold"
    return "differ in words" if in_words else "exclude each other"
