"""Claims as data: a claim, its specification and its rule, fixed in `claims.yml` before any result is seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from analysis_lib.errors import BadInput, unknown
from analysis_lib.events import BLOCS, CONFIDENCE, PRECISION, TABLES, THEATRES, WEAPONS
from analysis_lib.windows import Window

FAMILIES = ("pause", "coordination", "escalation", "response", "attribution", "effectiveness", "distraction", "counts")
NOTEBOOK = {family: f"{number:02d}_{family}" for number, family in enumerate(FAMILIES, 1)}
TEXTS = ("S0", "S1", "S2", "S3", "S4")
SEED = 20210510  # of every random draw, unless another is asked for
ALL = ("all",)
DEEPEST = 50  # levels of nesting in YAML
Theatre, Weapon = Literal[THEATRES], Literal[WEAPONS + ALL]
Sites = Literal["us_sites", "us_interests", "launch_or_target", "any"]
Unit = Literal["attack", "site_night", "attack_day"]
Measure = Literal["attacks", "munitions", "first_date", "last_date", "days_since_last", "longest_gap_days"]
Word = TypeVar("Word")


def _listed(value: Any) -> Any:
    """One word or a comma list as a list, null as `all`: what the command line and a notebook may give."""
    if value is None:
        return ALL
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Words = Annotated[tuple[Word, ...], BeforeValidator(_listed), Field(min_length=1)]
Ids = Annotated[tuple[str, ...], BeforeValidator(lambda value: _listed(value or ()))]


class Strict(BaseModel, extra="forbid", frozen=True):
    """Unknown keys are refused, values do not change after loading."""


class Population(Strict):
    """Which rows of events.csv count, and as what.

    `sites`: us_sites = us_target yes; us_interests = us_sites and convoys for the coalition; launch_or_target = US
    sites in the theatres, and any target of iran-aligned fire launched from their countries; any = every target.
    """

    theatres: Words[Theatre] = Field(("iraq",), description="theatres of the target")
    weapons: Words[Weapon] = Field(ALL, description="weapons, or all; a row counts once however many of them it lists")
    sites: Sites = Field("us_sites", description="which targets count")
    bloc: Literal[BLOCS] | None = Field(None, description="who fired")
    confidence: Literal[CONFIDENCE] = Field("medium", description="lowest confidence kept")
    date_precision: Words[Literal[PRECISION]] = Field(("day", "pm1"), description="date precisions kept")
    duplicates: bool = Field(False, description="keep rows that may be second reports of another row?")
    unit: Unit = Field("attack", description="what is counted: rows, sites hit in a night, or days with an attack")
    without: Ids = Field((), description="event_id of rows that are left out")


def _period(name: str) -> property:
    """The window from the field `{name}_start` to the field `{name}_end`."""

    def window(spec: Spec) -> Window:
        start, end = getattr(spec, f"{name}_start"), getattr(spec, f"{name}_end")
        if start is None:
            raise BadInput(f"this specification has no {name}: give {name}_start and {name}_end")
        return Window(start, end)

    return property(window)


class Spec(Population):
    """One specification: a population, a design in time, a test and its knobs.

    Frame = every day looked at; baseline = the frame outside the window; the placebo period is where the randomised
    windows lie. All dates are inclusive.
    """

    test: str = Field("rate_ratio", description="the primary test, a name of `specs.TESTS`")
    window_start: date | None = Field(None, description="first day of the window")
    window_end: date | None = Field(None, description="last day of the window")
    frame_start: date | None = Field(None, description="first day of the frame")
    frame_end: date | None = Field(None, description="last day of the frame")
    placebo_start: date | None = Field(None, description="first day of the placebo period")
    placebo_end: date | None = Field(None, description="last day of the placebo period")
    window_kind: str | None = Field(None, description="kind in windows.csv: others of it are no placebo")
    window_theatre: Theatre | None = Field(None, description="theatre in windows.csv of that kind")
    draws: int = Field(9999, ge=99, le=1_000_000, description="random draws where a null is not enumerated")
    against: Population | None = Field(None, description="the second population, where two are compared")
    outcome: str | None = Field(None, description="the outcome whose share is estimated")
    lag_days: int | None = Field(None, ge=0, le=366, description="longest lag in days")
    horizon_days: int | None = Field(None, ge=1, le=366, description="days before and after a response")
    threshold: float | None = Field(None, description="the share or value tested against")
    missing_as: Literal["left_out", "no", "yes"] = Field("left_out", description="unknown outcomes")
    trigger_kind: str | None = Field(None, description="kind in windows.csv whose windows are the triggers")
    trigger_theatres: tuple[Theatre, ...] | None = Field(None, min_length=1, description="their theatres")
    trigger_ids: tuple[str, ...] | None = Field(None, min_length=1, description="only these window_id")

    @model_validator(mode="after")
    def _dates_in_order(self) -> Spec:
        for name in ("window", "frame", "placebo"):
            start, end = getattr(self, f"{name}_start"), getattr(self, f"{name}_end")
            if (start is None) != (end is None):
                raise ValueError(f"{name}_start and {name}_end go together")
            if start is not None and end < start:
                raise ValueError(f"{name}_end {end} is before {name}_start {start}")
        return self

    window, frame, placebo_period = _period("window"), _period("frame"), _period("placebo")


class Rule(Strict):
    """When the claim holds: fixed before the data are read."""

    form: Literal["difference", "equivalence"] = "difference"
    direction: Literal["less", "greater", "two-sided"]
    alpha: float = Field(0.05, gt=0, lt=0.5)
    sesoi: float = Field(description="smallest effect of interest, on the scale of the estimate")
    claimed_effect: float | None = Field(None, description="the effect the claim itself states, for power")
    power: float = Field(0.5, gt=0, lt=1, description="power needed at the claimed effect")
    margin: float = Field(2.0, gt=1, description="joint statements: the ratio that the second part stays within")
    robustness: tuple[str, ...] = ()


class Change(Strict):
    """A labelled change of knobs: one other choice, one other window, one rival's separating test."""

    label: str
    set: Mapping[str, Any] = Field(min_length=1)


class Variation(Change):
    """One other reasonable choice; `choice` names the decision it belongs to."""

    choice: Literal[
        "weapons", "sites", "window", "baseline", "confidence", "unit", "duplicates", "theatres", "placebo", "other"
    ]


class Rival(Strict):
    """Another explanation, and the test that separates it where the data can."""

    explanation: str
    separated_by: str
    set: Mapping[str, Any] | None = None


class Fact(Strict):
    """One value that the text states, beside the value that is coded.

    `coded` comes from one row (`event_id`, `column`), or is counted over the claim's population between two dates
    (`measure`: attacks, last_date, days_since, share …; by `set` the population may differ), or stands here with its
    source where no table has it (`coded`).
    """

    field: str
    stated: str | int | float | date | None = Field(description="as the text has it, paraphrased; null: it gives none")
    compare: Literal["equal", "at_least", "at_most", "more_than", "less_than", "contains", "about"] = "equal"
    event_id: str | None = None
    column: str | None = None
    measure: Measure | None = None
    start: date | None = None
    end: date | None = None
    set: Mapping[str, Any] | None = None
    coded: str | int | float | date | None = None
    text: str | None = Field(None, description="which text states it, where a claim rests on several")
    required: bool = Field(True, description="does the literal verdict need it?")
    known_from: date | None = Field(None, description="when the coded value became public")
    source: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _one_origin(self) -> Fact:
        if (self.event_id is None) != (self.column is None):
            raise ValueError("event_id and column go together")
        if self.column is not None and self.column not in TABLES["events"].columns:
            raise ValueError(str(unknown("column", self.column, TABLES["events"].columns, "see data/CODEBOOK.md")))
        if sum(x is not None for x in (self.event_id, self.measure, self.coded)) > 1:
            raise ValueError("give one of event_id, measure and coded")
        if self.measure and (self.start is None or self.end is None):
            raise ValueError("a measure needs start and end")
        return self


class Claim(Strict):
    """One claim of one text: what it says, how it is tested, when it holds."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    text: tuple[Literal[TEXTS], ...] = Field(min_length=1)
    place: str = Field(description="where in the text")
    published: date
    origin: Literal["stated", "implied", "ours"]
    kind: Literal["test", "fact", "fact+test", "documentary"]
    family: Literal[FAMILIES]
    statement: str
    question: str
    estimand: str
    spec: Spec | None = None
    rule: Rule | None = None
    variations: tuple[Variation, ...] = ()
    replications: tuple[Change, ...] = ()
    rivals: tuple[Rival, ...] = ()
    facts: tuple[Fact, ...] = ()
    limits: tuple[str, ...] = Field((), description="known limits of the data that matter here")
    notes: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        if "test" in self.kind and (self.spec is None or self.rule is None):
            raise ValueError(f"kind {self.kind} needs spec and rule")
        if "fact" in self.kind and not self.facts:
            raise ValueError(f"kind {self.kind} needs facts")
        for change in (*self.variations, *self.replications, *(rival for rival in self.rivals if rival.set)):
            self.with_knobs(change.set)
        return self

    @property
    def notebook(self) -> str:
        return NOTEBOOK[self.family]

    def with_knobs(self, knobs: Mapping[str, Any]) -> Spec:
        """The claim's specification with other values for some knobs, checked like the registry itself."""
        if self.spec is None:
            raise BadInput(f"claim '{self.id}' has no specification (kind {self.kind}): nothing can be set")
        for name in knobs:
            if name not in Spec.model_fields:
                raise unknown("knob", str(name), Spec.model_fields, "write name=value")
        try:
            return Spec.model_validate(self.spec.model_dump() | dict(knobs))
        except ValidationError as error:
            raise BadInput(*problems(error, f"{self.id}: ")) from None


MODELS = {"spec": Spec, "rule": Rule, "variations": Variation, "replications": Change, "rivals": Rival, "facts": Fact,
          "against": Population}  # fmt: skip


def problems(error: ValidationError, prefix: str) -> list[str]:
    """pydantic's errors as lines: key, what was got, what is allowed, the nearest right name for an unknown key."""
    lines = []
    for item in error.errors():
        *above, last = [str(part) for part in item["loc"]] or [""]
        key = ".".join((*above, last))
        if item["type"] == "extra_forbidden":
            model = next((MODELS[part] for part in reversed(above) if part in MODELS), Claim)
            names = [".".join((*above, name)) for name in model.model_fields]
            lines.append(f"{prefix}{unknown('key', key, names, 'mend the name')}")
        else:
            got = "" if isinstance(item["input"], dict | list) else f"got {item['input']!r}; "
            told = item["msg"].removeprefix("Value error, ").replace("Input should be", "allowed:")
            lines.append(f"{prefix}{key + ': ' if key else ''}{got}{told}")
    return lines


class _Loader(yaml.CSafeLoader):
    """Tells the line of a date that no calendar has."""

    def construct_yaml_timestamp(self, node: yaml.Node) -> date:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            raise ValueError(f"{node.start_mark.line + 1}: got a date with {error}; mend the date") from None


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_timestamp)


def parsed(raw: bytes | str) -> tuple[yaml.Node, Any]:
    """YAML as nodes, which know their lines, and as values.

    Nesting so deep that composing it would overflow the stack of the C library is refused. Raises YAMLError, and
    ValueError for a value that cannot be, a date with its line in front.
    """
    depth = 0
    for event in yaml.parse(raw, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} deep", problem_mark=event.start_mark)
    return yaml.compose(raw, Loader=_Loader), yaml.load(raw, Loader=_Loader)  # noqa: S506, a safe loader


def knob_value(name: str, text: str, option: str = "--set") -> Any:
    """The value of `--set name=text`: YAML for lists, numbers, dates and words; checked against the knob's type.

    >>> knob_value("weapons", "[drone, rocket]")
    ('drone', 'rocket')
    """
    if name not in Spec.model_fields:
        raise unknown("knob", name, Spec.model_fields, f"write {option} name=value")
    info = Spec.model_fields[name]
    try:
        return TypeAdapter(Annotated[info.annotation, info]).validate_python(parsed(text)[1])
    except ValidationError as error:
        raise BadInput(*problems(error, f"{option} {name}: ")) from None
    except (yaml.YAMLError, ValueError):  # also a date that does not exist
        got = text if len(text) <= 80 else f"{text[:79]}…"
        raise BadInput(f"{option} {name}={got}: not a value; allowed: {info.description}; quote or mend it") from None
