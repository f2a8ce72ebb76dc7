"""The two result nouns: a `Finding` is what a method measured, a `Verdict` is what a rule made of findings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, isnan
from typing import Any, Literal

Alternative = Literal["less", "greater", "two-sided"]
VERDICTS = ("supported", "contradicted", "not distinguishable", "not testable")


@dataclass(frozen=True)
class Finding:
    """One measured quantity, with everything a reader needs to judge it.

    `estimate`, `low`, `high` are in the units of `quantity`; `low`…`high` is the two-sided interval at `level`, and
    `limit_low`, `limit_high` are the one-sided 95 % limits that equivalence reads. `p_value` is for `alternative`,
    against `null_value`; `attainable_p` is the smallest p that any outcome of the design could give; `power` is at the
    effect the claim states; `mde` is the smallest effect found with 80 % power (None: none is). A value that could not
    be computed is None and `reason` says why. `exposure` is in observed days. `role` says what a rule reads it as:
    primary, randomisation, robustness, leave_one_out, date_shift, rival, band_end, joint; shown and check never enter.
    """

    quantity: str
    method: str
    role: str = "shown"
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    p_value: float | None = None
    p_two_sided: float | None = None
    attainable_p: float | None = None
    power: float | None = None
    mde: float | None = None
    alternative: Alternative = "two-sided"
    null_value: float = 1.0
    limit_low: float | None = None
    limit_high: float | None = None
    n: int | None = None
    exposure: float | None = None
    seed: int | None = None
    draws: int | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    claim: str = ""

    @property
    def id(self) -> str:
        """The number's name, unique in the suite: `claim/quantity`."""
        return f"{self.claim}/{self.quantity}"

    @property
    def agrees(self) -> bool:
        """Does the estimate lie on the side of `null_value` that `alternative` names?"""
        side = {"less": -1, "greater": 1, "two-sided": 0}[self.alternative]
        return self.estimate is not None and side * self.estimate > side * self.null_value

    def named(self, claim: str, role: str | None = None) -> Finding:
        """The same finding as part of a claim."""
        return replace(self, claim=claim, role=role or self.role)

    def row(self) -> dict[str, Any]:
        """Plain JSON values, floats at ten significant digits, so that equal inputs give equal bytes."""
        cells = {name: tidy(value) for name, value in vars(self).items() if name != "claim"}
        return {"id": self.id} | cells | {"notes": list(self.notes)}

    @property
    def interval(self) -> str | None:
        """The interval in words; None where there is none."""
        return None if self.low is self.high is None else f"{number(self.low)} to {number(self.high)}"

    def sentence(self) -> str:
        """The finding in words, from its own numbers.

        >>> Finding("rate_ratio", "exact", estimate=1.708, low=0.029, high=32.8, p_value=0.8694, n=3).sentence()
        'rate ratio 1.71 (95 % interval 0.029 to 32.8), p = 0.869, n = 3'
        """
        name = self.quantity.replace("_", " ")
        if self.estimate is None and self.p_value is None:
            return f"{name}: not computed ({self.reason})"
        parts = [name if self.estimate is None else f"{name} {number(self.estimate)}"]
        if self.interval:
            parts[0] += f" ({percent(self.level)} interval {self.interval})"
        if self.p_value is not None:
            parts.append(f"p = {number(self.p_value)}" if self.p_value >= 0.001 else "p < 0.001")
        if self.n is not None:
            parts.append(f"n = {self.n}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Verdict:
    """One of `VERDICTS`, with the sentence that says which step of the rule gave it."""

    verdict: str
    reason: str
    step: int = 0

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict {self.verdict!r}: allowed are {', '.join(VERDICTS)}")

    def row(self) -> dict[str, str]:
        return {"verdict": self.verdict, "reason": self.reason}


def tidy(value: Any) -> Any:
    """A JSON value: numpy scalars become Python's, floats keep ten significant digits, infinities become None."""
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, float):
        return value
    return float(f"{value:.10g}") if isfinite(value) else None


def number(value: float | None) -> str:
    """A number for readers: three significant digits, no exponent where none is needed, an infinity sign.

    >>> [number(v) for v in (0.8694, 32.84, 1234.5, 3e-7, None, float("inf"))]
    ['0.869', '32.8', '1234', '3e-07', 'unknown', '∞']
    """
    if value is None or isnan(value):
        return "unknown"
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(share: float) -> str:
    """A share for readers.

    >>> percent(0.95)
    '95 %'
    """
    return f"{100 * share:.0f} %"
