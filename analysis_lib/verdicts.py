"""A claim's rule applied to its findings and facts: inferential verdict, literal verdict, headline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from analysis_lib.claims import Claim, Rule
from analysis_lib.facts import FactCheck
from analysis_lib.finding import Finding, Verdict, number

ROBUST_P = 0.10  # a robustness finding counts, and a deletion or date choice spoils, at this p
RANDOM_P = 0.05


def judge(claim: Claim, findings: Iterable[Finding]) -> Verdict:
    """The inferential verdict: the first step of the rule that applies (see the README, "How to read a verdict").

    A pure function of the claim's rule and of its findings, looked up by role: primary, randomisation, robustness,
    leave_one_out, date_shift, rival, band_end, joint. What is shown only never enters.
    """
    rule, by_role = claim.rule, {}
    for found in findings:
        by_role.setdefault(found.role, []).append(found)
    for second in by_role.pop("joint", []):
        return _both(judge(claim, [f for found in by_role.values() for f in found]), second, rule)
    for end in by_role.pop("band_end", []):
        others = [f for role, found in by_role.items() if role != "primary" for f in found]
        verdict, there = (judge(claim, [p, *others]) for p in (by_role["primary"][0], replace(end, role="primary")))
        if verdict.verdict in ("supported", "contradicted") and there.verdict != verdict.verdict:
            reason = f"{verdict.verdict} as counted, {there.verdict} where {end.sentence()} ({end.method})"
            return Verdict("not distinguishable", reason, 6)
    primary, randomisation = (by_role.get(role, [None])[0] for role in ("primary", "randomisation"))
    for name, found in (("primary test", primary), ("randomisation", randomisation)):
        if found is None or found.p_value is None:
            return Verdict("not testable", f"{name}: {found.reason if found else 'not computed'}", 1)
    attainable = max(f.attainable_p or 0.0 for f in (primary, randomisation))
    exceeds = rule.form == "equivalence" and _equivalence(rule, primary).step == 5  # then an outcome has decided it
    if attainable > rule.alpha and not exceeds:
        return Verdict(
            "not testable",
            f"no outcome could have supported it: the smallest p that this design can reach is {number(attainable)}, "
            f"above {number(rule.alpha)}", 1)  # fmt: skip
    if rule.form == "equivalence":
        return _equivalence(rule, primary)
    if all(_opposite(f) and f.p_two_sided is not None and f.p_two_sided <= RANDOM_P for f in (primary, randomisation)):
        return Verdict("contradicted", f"the effect is opposite to the claim: {primary.sentence()}", 2)
    if primary.power is not None and primary.power < rule.power:
        reason = f"power at the effect that the claim states is {number(primary.power)}, below {number(rule.power)}"
        return Verdict("not testable", reason, 3)
    missing = _missing_for_support(rule, primary, randomisation, by_role)
    rivals = [f for f in by_role.get("rival", []) if f.p_value is None or f.p_value > ROBUST_P]
    if not missing and rivals:
        return Verdict("not distinguishable", f"from {rivals[0].method}: {rivals[0].sentence()}", 6)
    if not missing:
        return Verdict("supported", f"every condition of the rule holds: {primary.sentence()}", 4)
    if _excludes_sesoi(rule, primary):
        limit = primary.limit_low if rule.direction == "less" else primary.limit_high
        what = f"the smallest effect of interest, {number(rule.sesoi)}"
        return Verdict("contradicted", f"the one-sided 95 % limit, {number(limit)}, excludes {what}", 5)
    return Verdict("not distinguishable", f"from chance: {'; '.join(missing)}", 6)


def alone(claim: Claim, primary: Finding) -> Verdict:
    """The rule with the primary test standing in for its other conditions: where it fails, the full rule fails too."""
    roles = ("primary", "randomisation", "robustness", "robustness", "leave_one_out", "date_shift")
    return judge(claim, [replace(primary, role=role) for role in roles])


def needs_robustness(rule: Rule, findings: Sequence[Finding]) -> bool:
    """Can robustness still change the verdict? Only where all other conditions for support hold."""
    primary, randomisation = findings[:2]
    if primary.p_value is None or randomisation.p_value is None or rule.form == "equivalence":
        return False
    if primary.power is not None and primary.power < rule.power:
        return False
    return primary.p_value <= rule.alpha and randomisation.p_value <= RANDOM_P and _reaches_sesoi(rule, primary)


def _opposite(found: Finding) -> bool:
    return found.estimate is not None and found.estimate != found.null_value and not found.agrees


def _reaches_sesoi(rule: Rule, primary: Finding) -> bool:
    if primary.estimate is None:
        return False
    return primary.estimate <= rule.sesoi if rule.direction == "less" else primary.estimate >= rule.sesoi


def _excludes_sesoi(rule: Rule, primary: Finding) -> bool:
    if rule.direction == "less":
        return primary.limit_low is not None and primary.limit_low > rule.sesoi
    return primary.limit_high is not None and primary.limit_high < rule.sesoi


def _missing_for_support(
    rule: Rule, primary: Finding, randomisation: Finding, by_role: Mapping[str, list[Finding]]
) -> list[str]:
    """The conditions of step 4 that fail, in words."""
    missing = []
    if primary.p_value > rule.alpha:
        missing.append(f"primary p = {number(primary.p_value)}")
    if randomisation.p_value > RANDOM_P:
        missing.append(f"randomisation p = {number(randomisation.p_value)}")
    if not _reaches_sesoi(rule, primary):
        small = primary.p_value <= rule.alpha
        missing.append(
            "smaller than the smallest effect of interest"
            if small
            else f"estimate {number(primary.estimate)} does not reach {number(rule.sesoi)}"
        )
    if missing:
        return missing
    robust = [*by_role.get("robustness", []), *([randomisation] if randomisation.quantity in rule.robustness else [])]
    disagree = [f.quantity for f in robust if not f.agrees]
    if disagree:
        missing.append(f"{', '.join(disagree)} does not point in the claim's direction")
    if sum(f.p_value is not None and f.p_value <= ROBUST_P for f in robust) < 2:
        missing.append(f"fewer than two robustness tests reach p = {number(ROBUST_P)}")
    for role in ("leave_one_out", "date_shift"):
        found = by_role.get(role, [None])[0]
        if found is None or found.p_value is None:
            missing.append(f"{role.replace('_', ' ')} not computed")
        elif found.p_value > ROBUST_P:
            missing.append(f"{role.replace('_', ' ')} moves the primary p to {number(found.p_value)}")
    return missing


def _both(first: Verdict, second: Finding, rule: Rule) -> Verdict:
    """A joint statement: supported when both parts are, contradicted when either is; the second asserts no change."""
    same = _equivalence(rule, second, rule.margin)
    order = ("contradicted", "not testable", "not distinguishable", "supported")
    worst = min(first, same, key=lambda part: order.index(part.verdict))
    parts = (("the change is", first), (f"no change of the total is ({second.sentence()})", same))
    return replace(worst, reason="; ".join(f"{what} {part.verdict}, {part.reason}" for what, part in parts))


def _equivalence(rule: Rule, primary: Finding, margin: float | None = None) -> Verdict:
    """A claim of no effect: both one-sided 95 % limits inside the margin (`sesoi` if None) and its mirror image."""
    ratio, margin = primary.null_value == 1.0, margin or rule.sesoi
    low, high = sorted((margin, 1 / margin if ratio else -margin))
    if primary.limit_low is None or primary.limit_high is None:
        return Verdict("not testable", f"no limits: {primary.reason}", 1)
    if primary.limit_low > high or primary.limit_high < low:
        return Verdict("contradicted", f"the effect exceeds the margin {number(low)} to {number(high)}", 5)
    if primary.power is not None and primary.power < rule.power:
        return Verdict("not testable", f"power to show equivalence is {number(primary.power)}", 3)
    if low < primary.limit_low and primary.limit_high < high:
        return Verdict("supported", f"both limits lie inside the margin {number(low)} to {number(high)}", 4)
    return Verdict("not distinguishable", f"the limits cross the margin {number(low)} to {number(high)}", 6)


def headline(claim: Claim, literal: Verdict, inferential: Verdict) -> str:
    """The one word of the board, by the claim's kind."""
    if claim.kind == "documentary":
        return "not testable"
    if claim.kind == "fact" or (claim.kind == "fact+test" and literal.verdict == "contradicted"):
        return literal.verdict
    return inferential.verdict


def literal_verdict(facts: Sequence[FactCheck]) -> Verdict:
    """Is the sentence true of the event list? A matter of counting, with no chance in it."""
    required = [f for f in facts if f.fact.required]
    wrong = [f for f in required if f.agrees is False]
    unknown_values = [f for f in required if f.agrees is None]
    if wrong:
        return Verdict("contradicted", "; ".join(f.sentence() for f in wrong))
    if not required or unknown_values:
        told = "; ".join(f.sentence() for f in unknown_values)
        return Verdict("not testable", told or "the claim states nothing that the event list could show")
    return Verdict("supported", "; ".join(f.sentence() for f in required))
