"""One specification: which design a test word means, and the findings of a rule by role."""

from dataclasses import replace
from datetime import date
from typing import Any

from analysis_lib import completeness, coordination, distraction, escalation, onsets, outcomes, pauses, responses
from analysis_lib.claims import SEED, Rule, Spec
from analysis_lib.design import Design
from analysis_lib.errors import unknown
from analysis_lib.finding import Finding
from analysis_lib.sources.bundled import Tables

FAMILIES = (pauses, escalation, completeness, outcomes, coordination, onsets, responses, distraction)
DESIGNS: dict[str, Design] = {word: design for family in FAMILIES for word, design in family.DESIGNS.items()}


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Any:
    """The sample of a specification, everything later than `as_of` unknown; see `design.Design` for what it raises."""
    return design_of(spec).sample(spec, tables, as_of)


def run_spec(spec: Spec, tables: Tables, rule: Rule, *, as_of: date | None = None, seed: int = SEED) -> Finding:
    """The primary test of one specification.

    >>> from analysis_lib import load_claims, load_tables
    >>> claim = load_claims()["pause-2021"]
    >>> round(run_spec(claim.spec, load_tables(), claim.rule).p_value, 3)
    0.869
    """
    return design_of(spec).primary(take_sample(spec, tables, as_of), spec, rule, seed)


def core_findings(sample: Any, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Primary, randomisation, completeness: with these alone most verdicts are decided."""
    design = design_of(spec)
    tests = {"primary": design.primary, "randomisation": design.randomisation}
    found = [replace(test(sample, spec, rule, seed), role=role) for role, test in tests.items()]
    return [*found, *design.ends(sample, spec, rule, seed)]


def robustness_findings(sample: Any, spec: Spec, rule: Rule, seed: int, *, known: Finding) -> list[Finding]:
    """The rule's robustness set, without the randomisation that is `known` already, then single events and dates."""
    design = design_of(spec)
    names = [name for name in rule.robustness if name != known.quantity]
    for name in set(names) - design.robustness.keys():
        raise unknown("robustness test", name, design.robustness, f"mend the rule of a {spec.test} claim")
    found = [replace(design.robustness[name](sample, spec, rule, seed), role="robustness") for name in names]
    return [*found, *design.sensitivity(sample, spec, rule, seed)]


def shown_findings(sample: Any, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """What is shown and not counted."""
    return design_of(spec).shown(sample, spec, rule, seed)


def design_of(spec: Spec) -> Design:
    """The design that the specification's test word means."""
    if spec.test not in DESIGNS:
        raise unknown("test", spec.test, DESIGNS, "see specs.DESIGNS")
    return DESIGNS[spec.test]
