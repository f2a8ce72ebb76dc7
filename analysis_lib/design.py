"""What a test word stands for: the sample it is run on, its primary test, its null and its robustness set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis_lib.finding import Alternative, Finding
from analysis_lib.shares import both_tails

Test = Callable[..., Finding]  # (sample, spec, rule, seed) → Finding
Tests = Callable[..., list[Finding]]


@dataclass(frozen=True)
class Null:
    """The randomised null, for its picture and its p: the statistic's values, the observed one, what it is."""

    values: np.ndarray
    observed: float
    label: str

    def finding(self, quantity: str, method: str, alternative: Alternative = "greater", own=1, **cells) -> Finding:
        """The observed value beside the others; `cells` replace what is said here of n, null value, attainable p.

        Of values that were drawn p is add-one (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585); with `own` 0 it is
        exact: the values are all there are, the observed one among them.
        """
        size = self.values.size + own
        tails = ((own + (side * (self.values - self.observed) <= 1e-9).sum()) / size for side in (1, -1))
        cells = {"n": self.values.size, "null_value": 0.0, "attainable_p": 1 / size} | cells
        return Finding(quantity, method, estimate=self.observed, **both_tails(*tails, alternative), **cells)


@dataclass(frozen=True)
class Design:
    """The parts of one test word, all of (sample, spec, rule, seed) but the first and the last.

    `sample` takes (spec, tables, as_of) and raises InputMissing where an input is missing or not yet observed, BadInput
    where the specification cannot be met. A sample has `rows` (the events counted, in order), `frame` (Window) and
    `window` (Window or None). `robustness` maps every name that a rule may list to its test. `sensitivity` gives the
    roles leave_one_out and date_shift; `shown` is shown and not counted. `null` gives the values of the randomised null
    (None: too few). `power` takes (sample, spec, rule, effects) and gives the power at each effect, None where no power
    can be computed. `ends` gives the primary at both ends of what is not known (completeness, unknown outcomes), role
    band_end, or the second part of a joint statement, role joint.
    """

    sample: Callable[..., Any]
    primary: Test
    randomisation: Test
    robustness: Mapping[str, Test]
    sensitivity: Tests
    shown: Tests
    null: Callable[..., Null | None]
    power: Callable[..., np.ndarray | None]
    ends: Tests = lambda *_: []
