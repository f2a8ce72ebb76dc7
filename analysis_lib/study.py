"""One claim, evaluated: findings, verdicts now and as of publication, other specifications, replications, rivals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, partial
from typing import Any

from pydantic_core import to_jsonable_python

from analysis_lib.claims import FAMILIES, SEED, Claim, Spec
from analysis_lib.curve import Curve, specification_curve
from analysis_lib.errors import BadInput, CannotRun, ClaimsError, InputMissing
from analysis_lib.facts import FactCheck, check_facts
from analysis_lib.finding import Finding, Verdict
from analysis_lib.paths import data_dir, user_registry
from analysis_lib.registry import Registry, load_claims
from analysis_lib.series import select
from analysis_lib.sources.bundled import Tables, load_tables
from analysis_lib.specs import DESIGNS, core_findings, robustness_findings, shown_findings, take_sample
from analysis_lib.verdicts import headline, judge, literal_verdict, needs_robustness


@dataclass(frozen=True)
class Outcome:
    """One labelled specification: what was changed, the primary finding and the verdict by the full rule."""

    label: str
    choice: str
    finding: Finding
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        return {"choice": self.choice, "label": self.label} | self.verdict.row() | {"finding": self.finding.row()}


@dataclass(frozen=True)
class Judgement:
    """Everything decided at one date: findings, facts, both verdicts, the headline."""

    findings: tuple[Finding, ...]
    facts: tuple[FactCheck, ...]
    literal: Verdict
    inferential: Verdict
    headline: str
    sample: Any = None

    def row(self) -> dict[str, Any]:
        return {"literal": self.literal.row(), "inferential": self.inferential.row(), "headline": self.headline}


@dataclass(frozen=True)
class Study:
    """One claim, evaluated: what the notebook shows, the command line prints and the report publishes."""

    claim: Claim
    spec: Spec | None
    now: Judgement
    publication: Judgement
    variations: tuple[Outcome, ...]
    replications: tuple[Outcome, ...]
    rivals: tuple[tuple[str, str, Outcome | None], ...]
    tables: Tables = field(repr=False)
    as_of: date | None
    seed: int
    registry_sha256: str
    knobs: Mapping[str, Any]

    @property
    def robustness(self) -> dict[str, Any]:
        """Share of the specifications, the primary included, with the primary's verdict; the choices that flip it."""
        here = self.now.inferential.verdict
        flips = [f"{o.choice}: {o.label}" for o in self.variations if o.verdict.verdict != here]
        total = len(self.variations) + (self.spec is not None)
        share = round((total - len(flips)) / total, 4) if total else None
        return {"specifications": total, "share_same": share, "flips_on": flips}

    @property
    def primary(self) -> Finding | None:
        """The primary finding, as of now; None for a claim that is not tested."""
        return next((f for f in self.now.findings if f.role == "primary"), None)

    @property
    def counted(self) -> list[str]:
        """Ids of the rows of events.csv that count, now: for the primary test, its null period or a fact; sorted."""
        found = {row for fact in self.now.facts for row in fact.event_ids}
        if self.now.sample is not None:
            events, frame = self.tables.as_of(self.as_of).events, self.now.sample.frame
            null = self.spec.placebo_period if self.spec.placebo_start else frame
            days = events["date"].to_numpy()
            seen, groups = events[frame.mask(days) | null.mask(days)], filter(None, (self.spec, self.spec.against))
            # a day that is one unit counts by all its rows
            found.update(*(select(seen, g.model_copy(update={"unit": "attack"}))["event_id"] for g in groups))
        return sorted(found)

    @cached_property
    def curve(self) -> Curve | None:
        """Every combination of the registered choices, as of now; None where the claim itself could not be tested."""
        claim, known = self.claim.model_copy(update={"spec": self.spec}), {"seed": self.seed, "as_of": self.as_of}
        return specification_curve(claim, self.tables, **known) if self.now.sample is not None else None

    def finding(self, quantity: str) -> Finding:
        """The finding with this name, as of now."""
        return next(f for f in self.now.findings if f.quantity == quantity)

    def record(self) -> dict[str, Any]:
        """The published object: what `claims reproduce ID --json` prints."""
        return {
            "claim": self.claim.id,
            "as_of": self.as_of.isoformat() if self.as_of else None,
            "data_sha256": self.tables.data_sha256,
            "registry_sha256": self.registry_sha256,
            "seed": self.seed,
            "knobs": to_jsonable_python(dict(sorted(self.knobs.items()))),
            **self.now.row(),
            "publication": {"date": self.claim.published.isoformat(), **self.publication.row()},
            "robustness": self.robustness,
            "findings": [f.row() for f in self.now.findings],
            "facts": [f.row() for f in self.now.facts],
            "rows": self.counted,
            "variations": [o.row() for o in self.variations],
            "replications": [o.row() for o in self.replications],
        }


def evaluate(
    claim: Claim, tables: Tables, registry: Registry, *, as_of: date | None = None, seed: int = SEED,
    knobs: Mapping[str, Any] | None = None,
) -> Study:  # fmt: skip
    """All of one claim: findings, verdicts now and as of publication, variations, replications, rivals.

    `knobs` replaces fields of the registry's specification; with knobs, a window without data is bad input, without
    them it makes the claim not testable. Raises CannotRun for a claim whose test does not exist yet.
    """
    knobs = dict(knobs or {})
    spec = claim.with_knobs(knobs) if knobs or claim.spec else None
    if not runnable(claim):
        why = f"the {claim.family} family has no notebook yet; see `claims list`"
        raise CannotRun(f"claim '{claim.id}' is not yet run: {why}")
    if absent := sorted(set(spec.without if spec else ()) - set(tables.events["event_id"])):
        raise BadInput(f"without: events.csv has no row '{absent[0]}'; allowed: values of its event_id; mend the id")
    tried = partial(_outcome, claim, spec, tables, as_of, seed)
    return Study(
        claim=claim, spec=spec, now=judgement(claim, spec, tables, as_of, seed, strict=bool(knobs)),
        publication=judgement(claim, spec, tables, min(filter(None, (claim.published, as_of))), seed),
        variations=tuple(tried(change.label, change.set, change.choice) for change in claim.variations),
        replications=tuple(tried(change.label, change.set, "replication") for change in claim.replications),
        rivals=tuple((r.explanation, r.separated_by, tried(r.separated_by, r.set, "rival") if r.set else None)
                     for r in claim.rivals),
        tables=tables, as_of=as_of, seed=seed, registry_sha256=registry.sha256, knobs=knobs,
    )  # fmt: skip


def open_study(
    claim: str, *, data: str | None = None, claims: str | None = None, as_of: str | date | None = None,
    seed: int = SEED, **knobs: Any,
) -> Study:  # fmt: skip
    """`evaluate` for a notebook: loads data and registry; a knob that is None is as the registry says."""
    registry = load_claims(user_registry(claims))
    as_of = date.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    given = {name: value for name, value in knobs.items() if value is not None}
    return evaluate(registry[claim], load_tables(data_dir(data)), registry, as_of=as_of, seed=seed, knobs=given)


def runnable(claim: Claim) -> bool:
    """Is the claim's test here, and its family's notebook?"""
    return claim.family in FAMILIES and (claim.spec is None or claim.spec.test in DESIGNS)


def judgement(
    claim: Claim, spec: Spec | None, tables: Tables, as_of: date | None, seed: int, *, strict: bool = False,
    everything: bool = True,
) -> Judgement:  # fmt: skip
    """Findings and verdicts with what was known on a date; without `everything` only what decides the verdict."""
    facts, findings, sample = tuple(check_facts(claim, tables, as_of)), [], None
    if claim.rule is None:
        words = {"fact": "a dated statement: the literal verdict is the answer", "documentary": "recorded, not tested"}
        inferential = Verdict("not testable", words[claim.kind])
    else:
        try:
            sample = take_sample(spec, tables, as_of)
            findings = _findings(claim, spec, sample, seed, everything=everything)
            inferential = judge(claim, findings)
        except (InputMissing, BadInput) as error:
            if strict and isinstance(error, BadInput):
                raise
            told = _missing(error)
            findings = [Finding(spec.test, "not computed", "primary", alternative=claim.rule.direction, reason=told)]
            inferential = Verdict("not testable", told, 1)
    literal = literal_verdict(facts)
    named = tuple(f.named(claim.id) for f in findings)
    return Judgement(named, facts, literal, inferential, headline(claim, literal, inferential), sample)


def _outcome(
    claim: Claim, spec: Spec, tables: Tables, as_of: date | None, seed: int, label: str, knobs: Mapping, choice: str
) -> Outcome:
    """The full rule on one changed specification; robustness is computed only where it can still decide."""
    changed = claim.model_copy(update={"spec": spec}).with_knobs(knobs)
    try:
        findings = _findings(claim, changed, take_sample(changed, tables, as_of), seed, everything=False)
        return Outcome(label, choice, findings[0], judge(claim, findings))
    except ClaimsError as error:
        absent = Finding(changed.test, "not computed", "primary", reason=str(error))
        return Outcome(label, choice, absent, Verdict("not testable", _missing(error), 1))


def _findings(claim: Claim, spec: Spec, sample: Any, seed: int, *, everything: bool) -> list[Finding]:
    """Findings by role; robustness and what is shown only where asked for or where they can still decide."""
    core = core_findings(sample, spec, claim.rule, seed)
    if everything or needs_robustness(claim.rule, core):
        core += robustness_findings(sample, spec, claim.rule, seed, known=core[1])
    return core + (shown_findings(sample, spec, claim.rule, seed) if everything else [])


def _missing(error: ClaimsError) -> str:
    return str(error) if "not yet observed" in str(error) else f"input missing: {error}"
