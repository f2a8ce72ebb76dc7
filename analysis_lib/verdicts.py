"""A claim's rule applied to its findings and facts: inferential verdict, literal verdict, headline."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from analysis_lib.claims import Claim, Rule
from analysis_lib.facts import FactCheck
from analysis_lib.finding import Finding, Verdict, number

ROBUST_P = 0.10  # a robustness finding counts, and a deletion or date choice spoils, at this p
AGAINST_P = 0.05  # two-sided, of an effect against the claim


def judge(claim: Claim, findings: Iterable[Finding]) -> Verdict:
    """The inferential verdict: the first step of the rule that applies (see the README, "How to read a verdict").

    A pure function of the claim's rule and of its findings, looked up by role: primary, randomisation, robustness,
    leave_one_out, date_shift, rival, band_end, joint. What is shown only never enters.
    """
    by_role = defaultdict(list)
    for found in findings:
        by_role[found.role].append(found)
    return _judged(claim.rule, by_role)


def _judged(rule: Rule, by_role: dict[str, list[Finding]]) -> Verdict:
    for second in by_role.pop("joint", []):
        return _both(_judged(rule, by_role), second, rule)
    for end in by_role.pop("band_end", []):
        here, there = _judged(rule, by_role), _judged(rule, by_role | {"primary": [end]})
        if here.verdict in ("supported", "contradicted") and there.verdict != here.verdict:
            reason = f"{here.verdict} as counted, {there.verdict} where {end.sentence()} ({end.method})"
            return Verdict("not distinguishable", reason, 6)
    primary, randomisation = (next(iter(by_role[role]), None) for role in ("primary", "randomisation"))
    for name, found in (("primary test", primary), ("randomisation", randomisation)):
        if found is None or found.p_value is None:
            return Verdict("not testable", f"{name}: {found.reason if found else 'not computed'}", 1)
    attainable = max(f.attainable_p or 0.0 for f in (primary, randomisation))
    same = _equivalence(rule, primary) if rule.form == "equivalence" else None
    if attainable > rule.alpha and not (same and same.step == 5):  # an effect beyond the margin has decided it
        reach = f"the smallest p that this design can reach is {number(attainable)}, above {number(rule.alpha)}"
        return Verdict("not testable", f"no outcome could have supported it: {reach}", 1)
    if same:
        return same
    if all(_opposite(f) and f.p_two_sided is not None and f.p_two_sided <= AGAINST_P for f in (primary, randomisation)):
        return Verdict("contradicted", f"the effect is opposite to the claim: {primary.sentence()}", 2)
    if _weak(rule, primary):
        reason = f"power at the effect that the claim states is {number(primary.power)}, below {number(rule.power)}"
        return Verdict("not testable", reason, 3)
    missing = _missing(rule, primary, randomisation, by_role)
    rivals = [f for f in by_role["rival"] if f.p_value is None or f.p_value > ROBUST_P]
    if not missing and rivals:
        return Verdict("not distinguishable", f"from {rivals[0].method}: {rivals[0].sentence()}", 6)
    if not missing:
        return Verdict("supported", f"every condition of the rule holds: {primary.sentence()}", 4)
    limit = primary.limit_low if rule.direction == "less" else primary.limit_high
    if limit is not None and not _reaches_sesoi(rule, limit):
        what = f"the smallest effect of interest, {number(rule.sesoi)}"
        return Verdict("contradicted", f"the one-sided 95 % limit, {number(limit)}, excludes {what}", 5)
    return Verdict("not distinguishable", f"from chance: {'; '.join(missing)}", 6)


def alone(claim: Claim, primary: Finding) -> Verdict:
    """The rule with the primary test standing in for its other conditions: where it fails, the full rule fails too."""
    roles = {role: [primary] for role in ("primary", "randomisation", "leave_one_out", "date_shift")}
    return _judged(claim.rule, defaultdict(list, roles | {"robustness": [primary, primary]}))


def needs_robustness(rule: Rule, findings: Sequence[Finding]) -> bool:
    """Can robustness still change the verdict? Only where all other conditions for support hold."""
    primary, randomisation = findings[:2]
    if None in (primary.p_value, randomisation.p_value) or rule.form == "equivalence" or _weak(rule, primary):
        return False
    return not _missing(rule, primary, randomisation)


def _opposite(found: Finding) -> bool:
    return found.estimate is not None and found.estimate != found.null_value and not found.agrees


def _weak(rule: Rule, primary: Finding) -> bool:
    return primary.power is not None and primary.power < rule.power


def _reaches_sesoi(rule: Rule, value: float | None) -> bool:
    return value is not None and (value <= rule.sesoi if rule.direction == "less" else value >= rule.sesoi)


def _missing(rule: Rule, primary: Finding, randomisation: Finding, by_role: dict | None = None) -> list[str]:
    """The conditions of step 4 that fail, in words; those on robustness only where they are asked for and decide."""
    small = "smaller than the smallest effect of interest"
    short = f"estimate {number(primary.estimate)} does not reach {number(rule.sesoi)}"
    fails = {
        f"primary p = {number(primary.p_value)}": primary.p_value > rule.alpha,
        f"randomisation p = {number(randomisation.p_value)}": randomisation.p_value > rule.alpha,
        small if primary.p_value <= rule.alpha else short: not _reaches_sesoi(rule, primary.estimate),
    }
    if by_role is not None and not any(fails.values()):
        robust = by_role["robustness"] + [randomisation] * (randomisation.quantity in rule.robustness)
        others = [f.quantity for f in robust if not f.agrees]
        reached = sum(f.p_value is not None and f.p_value <= ROBUST_P for f in robust)
        fails[f"{', '.join(others)} does not point in the claim's direction"] = bool(others)
        fails[f"fewer than two robustness tests reach p = {number(ROBUST_P)}"] = reached < 2
        for role in ("leave_one_out", "date_shift"):
            p = next((f.p_value for f in by_role[role]), None)
            words = "not computed" if p is None else f"moves the primary p to {number(p)}"
            fails[f"{role.replace('_', ' ')} {words}"] = p is None or p > ROBUST_P
    return [words for words, fail in fails.items() if fail]


def _both(first: Verdict, second: Finding, rule: Rule) -> Verdict:
    """A joint statement: supported when both parts are, contradicted when either is; the second asserts no change."""
    same = _equivalence(rule, second, rule.margin)
    order = ("contradicted", "not testable", "not distinguishable", "supported")
    worst = min(first, same, key=lambda part: order.index(part.verdict))
    parts = (("the change is", first), (f"no change of the total is ({second.sentence()})", same))
    return replace(worst, reason="; ".join(f"{what} {part.verdict}, {part.reason}" for what, part in parts))


def _equivalence(rule: Rule, primary: Finding, margin: float | None = None) -> Verdict:
    """A claim of no effect: both one-sided 95 % limits inside the margin (`sesoi` if None) and its mirror image."""
    margin = margin or rule.sesoi
    low, high = sorted((margin, 1 / margin if primary.null_value == 1.0 else -margin))
    if primary.limit_low is None or primary.limit_high is None:
        return Verdict("not testable", f"no limits: {primary.reason}", 1)
    span = f"the margin {number(low)} to {number(high)}"
    if primary.limit_low > high or primary.limit_high < low:
        return Verdict("contradicted", f"the effect exceeds {span}", 5)
    if _weak(rule, primary):
        return Verdict("not testable", f"power to show equivalence is {number(primary.power)}", 3)
    if low < primary.limit_low and primary.limit_high < high:
        return Verdict("supported", f"both limits lie inside {span}", 4)
    return Verdict("not distinguishable", f"the limits cross {span}", 6)


def headline(claim: Claim, literal: Verdict, inferential: Verdict) -> str:
    """The one word of the board, by the claim's kind."""
    if claim.kind == "documentary":
        return "not testable"
    if claim.kind == "fact" or (claim.kind == "fact+test" and literal.verdict == "contradicted"):
        return literal.verdict
    return inferential.verdict


def literal_verdict(facts: Sequence[FactCheck]) -> Verdict:
    """Is the sentence true of the event list? A matter of counting, with no chance in it."""
    for word, agrees in (("contradicted", False), ("not testable", None), ("supported", True)):
        told = [f.sentence() for f in facts if f.fact.required and f.agrees is agrees]
        if told:
            return Verdict(word, "; ".join(told))
    return Verdict("not testable", "the claim states nothing that the event list could show")
