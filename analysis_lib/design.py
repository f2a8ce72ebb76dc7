"""What a test word stands for: the sample it is run on, its primary test, its null and its robustness set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis_lib.finding import Finding

Test = Callable[..., Finding]  # (sample, spec, rule, seed) → Finding
Tests = Callable[..., list[Finding]]


@dataclass(frozen=True)
class Null:
    """The randomised null for its picture: the statistic's values, the observed one, what it is."""

    values: np.ndarray
    observed: float
    label: str


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
