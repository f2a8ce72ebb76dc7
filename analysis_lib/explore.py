"""Controls for JupyterLab: what a claim's knobs change, the theatres on a map and in time, a claim of one's own."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import ipywidgets
import yaml

from analysis_lib import curve, paths, specs, tables
from analysis_lib.claims import SEED, Population, Rule
from analysis_lib.errors import BadInput, ClaimsError
from analysis_lib.registry import Registry, load_claims, new_claim
from analysis_lib.series import select
from analysis_lib.sources.bundled import Tables
from analysis_lib.study import Study, evaluate, judgement, runnable
from analysis_lib.verdicts import alone
from analysis_lib.windows import Window

CONTROLS = yaml.safe_load((paths.TEMPLATES / "explore/controls.yml").read_text("utf-8"))
LOOKS = {"style": {"description_width": "9em"}, "layout": {"width": "29em"}}
REST = 0.4  # seconds without a move, after which the slow part is computed
DRAWN = {"rate_ratio": 1000}  # specifications of the curve that a number is placed on, if fewer than usual
AROUND = 120  # days beyond the frame that a date can be moved to


def controls(panel: str, start: Mapping[str, Any], **lists: Iterable[Any]) -> dict[str, ipywidgets.Widget]:
    """The controls of a panel as controls.yml has them, each at its `start`; options that it names are in `lists`."""
    made = {}
    for name, (kind, cells) in CONTROLS[panel].items():
        if isinstance(cells.get("options"), str):
            cells = cells | {"options": [(str(option), option) for option in lists[cells["options"]]]}
        value = {"value": start[name]} if start.get(name) is not None else {}
        made[name] = getattr(ipywidgets, kind)(**LOOKS | cells | value)
    return made


class Panel:
    """Controls, each with room for a sentence on its errors, beside what they show; without a kernel `static`.

    `show` takes the controls' values by name, and whether there is time for what is slow (`deep`), and gives HTML or
    another panel. Bad input is told at the control that was moved, in place of numbers that would not be its own.
    `save`, where there is one, is what a button shows instead.
    """

    def __init__(self, made: dict[str, Any], show: Callable, static: str = "", save: Callable | None = None):
        self.controls, self.show, self.timer, self.busy = made, show, None, False
        self.told, self.first = {name: ipywidgets.HTML() for name in made}, next(iter(made))
        self.view = ipywidgets.HTML(layout={"width": "100%"})
        self.shown = ipywidgets.VBox(layout={"min_width": "0", "overflow": "auto"})
        rows = [widget for name, control in made.items() for widget in (control, self.told[name])]
        for name, control in made.items():
            control.observe(partial(self._moved, name), "value")
        if save:
            rows.append(ipywidgets.Button(description="save"))
            rows[-1].on_click(lambda _: self.draw(self.first, show=save))
        self.box = ipywidgets.HBox([ipywidgets.VBox(rows), self.shown])
        self.draw(self.first, deep=True)
        self.static = static or self.html

    def _moved(self, name: str, _: Any) -> None:
        if not self.busy:  # moved by hand, not by what is shown
            self.draw(name)
            if self.timer:
                self.timer.cancel()
            self.timer = asyncio.get_running_loop().call_later(REST, partial(self.draw, name, deep=True))

    def draw(self, name: str, deep: bool = False, show: Callable | None = None) -> None:
        """Show what the controls say; an error is told at the control `name`."""
        self.busy, self.html, self.error, inner = True, "", "", None
        try:
            found = (show or self.show)(deep=deep, **{key: control.value for key, control in self.controls.items()})
            inner = found.box if isinstance(found, Panel) else None  # with controls of its own, below these
            self.html = found if isinstance(found, str) else getattr(found, "html", None) or found._repr_html_()
        except ClaimsError as error:
            self.error = tables.render("explore/error.html.j2", lines=error.lines)
        self.view.value, self.shown.children = self.html, [inner or self.view]
        self.box.layout.flex_flow, self.shown.layout.flex = ("column", "none") if inner else ("row wrap", "1 1 28em")
        for key, told in self.told.items():
            told.value = self.error if key == name else ""
        self.busy = False

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self.box._repr_mimebundle_() | {"text/html": self.static, "text/plain": "controls; they need a kernel"}


def what_if(study: Study) -> Panel | tables.Text:
    """The knobs of a claim on two rates or two theatres: numbers, verdict, place on the curve, events, command.

    Estimate, interval, p and the rule on the primary test alone follow each move; the verdict of the full rule and the
    specification curve follow when the controls rest. Any other claim has a sentence that says why there is nothing.
    """
    claim, spec, own, placed, listed = study.claim, study.spec, paths.user_registry(), [], []
    if claim.rule is None or spec.test not in CONTROLS:
        why = f"its test is {spec.test.replace('_', ' ')}" if claim.rule else "it is not tested"
        return tables.Text((f"Nothing to move: there are controls for rates and theatres, and of this claim {why}.",))

    def show(deep: bool, sort: int, **values: Any) -> str:
        knobs = dict(study.knobs)
        for name, value in values.items():
            knobs |= value if isinstance(value, dict) else {name: value}
        new = claim.with_knobs(knobs)
        knobs = {name: getattr(new, name) for name in knobs if getattr(new, name) != getattr(claim.spec, name)}
        if deep:
            asked = (claim, new, study.tables, study.as_of, study.seed)
            now = study.now if new == spec else judgement(*asked, strict=True, everything=False)
            sample, found, verdict = now.sample, now.findings[0], now.inferential
            if sample is None:
                raise BadInput(verdict.reason)
            events = tables.event_table(replace(study, spec=new, now=replace(study.now, sample=sample)))
            made["without"].options = sorted({*new.without, *(row[7] for row in events.rows)})
            made["without"].value = new.without
            rows = tuple(sorted(events.rows, key=lambda row: tables.cell_text(row[sort])))
            listed[:] = [replace(events, rows=rows)._repr_html_()]
            if new != spec and not placed:  # slow, and until then nobody asked
                drawn = curve.specification_curve(claim, study.tables, seed=study.seed, largest=DRAWN.get(spec.test))
                placed.append(drawn.table["estimate"].dropna())
        else:
            sample = specs.take_sample(new, study.tables, study.as_of)
            found = specs.design_of(new).primary(sample, new, claim.rule, study.seed)
            verdict = alone(claim, found)
        told = {"found": found, "verdict": verdict, "deep": deep, "sample": sample, "knobs": knobs, "listed": listed}
        told |= {"study": study, "curve": placed, "registry": own and paths.shown(own)}
        return tables.render("explore/what_if.html.j2", **told)

    days = Window(spec.frame.shift(-AROUND).start, spec.frame.shift(AROUND).end).calendar().tolist()
    made, sample = controls(spec.test, dict(spec), days=days), study.now.sample
    grid = curve.window_grid(claim, sample) if sample and spec.test == "rate_ratio" else None
    return Panel(made, show, tables.render("explore/still.html.j2", study=study, grid=grid))


def open_claim(registry: Registry, evidence: Tables, first: str) -> Panel:
    """Any claim of the registry with its controls, `first` to begin with."""

    @cache
    def opened(name: str) -> Panel | tables.Text:  # only what decides: the rest takes time and is not shown
        now = judgement(registry[name], registry[name].spec, evidence, None, SEED, everything=False)
        state = (evidence, None, SEED, registry.sha256, {})
        return what_if(Study(registry[name], registry[name].spec, now, now, (), (), (), *state))

    names = [claim.id for claim in registry.claims if runnable(claim)]
    return Panel(controls("claims", {"claim": first}, claims=names), lambda deep, claim: opened(claim))


def region(evidence: Tables) -> Panel:
    """Attacks of all theatres on the map and in time, filtered by theatre, weapon, side, confidence and date."""
    outlines = json.loads(paths.REGION.read_text("utf-8"))["features"] if paths.REGION.exists() else []

    def show(deep: bool, start: date, end: date, **population: Any) -> str:
        if end < start or not population["theatres"] or not population["weapons"]:
            raise BadInput("nothing can be shown; choose a theatre, a weapon, and an end after the start")
        rows, days = select(evidence.events, Population(sites="any", **population)), Window(start, end)
        rows = rows[days.mask(rows["date"].to_numpy().astype("datetime64[D]"))]
        sites = rows.groupby(["theatre", "location", "lat", "lon"]).size().reset_index(name="attacks")
        return tables.render("explore/region.html.j2", outlines=outlines, rows=rows, sites=sites, days=days)

    days = _days(evidence)
    return Panel(controls("region", {"start": days[0], "end": days[-1]}, days=days), show)


def own_claim(registry: Registry, evidence: Tables, file: Path | None = None) -> Panel:
    """A form: the rule of a new claim in words, then the claim in a registry of one's own, then its verdict."""
    file, begun = file or paths.user_registry() or paths.OWN, []

    def show(deep: bool, source: str, **values: Any) -> str:
        known = dict(registry[source].spec) | dict(registry[source].rule)
        if begun != [source]:  # another claim to begin with: its dates and its rule
            begun[:] = [source]
            for name in values.keys() & known.keys():
                made[name].value = values[name] = known[name]
        told = {"source": registry[source], "file": paths.shown(file), "study": None} | values
        return tables.render("explore/rule.html.j2", **told)

    def save(deep: bool, name: str, source: str, question: str, **values: Any) -> str:
        rule = {key: values.pop(key) for key in Rule.model_fields if key in values}
        knobs = {key: value for key, value in values.items() if value != getattr(registry[source].spec, key)}
        claim = new_claim(name, source, file, knobs=knobs, rule=rule, question=question)
        study = evaluate(claim, evidence, load_claims(file))
        return tables.render("explore/rule.html.j2", study=study, file=paths.shown(file))

    names = [claim.id for claim in registry.claims if claim.rule and claim.spec.test == "rate_ratio"]
    made = controls("own", {}, claims=names, days=_days(evidence))
    return Panel(made, show, save=save)


def _days(evidence: Tables) -> list[date]:
    return Window(evidence.events["date"].min().date(), evidence.events["date"].max().date()).calendar().tolist()
