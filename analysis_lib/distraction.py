"""Islamic State events on the days after militia attacks: sample, regression, null, robustness, sensitivity."""

import warnings
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from analysis_lib import coordination
from analysis_lib.claims import Rule, Spec
from analysis_lib.coordination import coincidence
from analysis_lib.design import Design, Null
from analysis_lib.errors import BadInput, InputMissing
from analysis_lib.finding import Finding
from analysis_lib.regression import count_family, estimable, fitted_means, moment_theta, robust_fit, wald
from analysis_lib.sensitivity import date_shift, leave_one_out
from analysis_lib.series import daily_counts, select, series_of
from analysis_lib.sources.bundled import Tables
from analysis_lib.windows import Window

FEWEST = 20  # days after an attack, and other days
SPLINE_DAYS = 60  # days from knot to knot of the smooth course of time
LATEST, FOUND = 1.644854, 0.841621  # normal quantiles of a one-sided 5 % test and of 80 % power


@dataclass(frozen=True, kw_only=True)
class Sample(coordination.Sample):
    """The militia's `rows`, and over the frame, longer by the lags on either side, two daily series.

    `driver` counts the militia's attacks, `series` the events of the other side. `kept`, int: positions of the days
    whose lags and leads were all watched, on which the regression runs; `near`, bool: which of them follow an attack
    within the lags.
    """

    kept: np.ndarray
    lag_days: int

    @cached_property
    def y(self) -> np.ndarray:
        """Events of the other side on the kept days."""
        return self.series.counts[self.kept]

    @property
    def lags(self) -> np.ndarray:
        return np.arange(1, self.lag_days + 1)

    def attack(self, lags: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
        """Was there a militia attack so many days before each kept day? bool (…, kept days, lags); a lead is negative.

        `counts` (…, days) stand for those of the sample.
        """
        return ((self.driver if counts is None else counts) > 0)[..., self.kept[:, None] - lags]

    @cached_property
    def course(self) -> np.ndarray:
        """What else moves the events: own lags, day of the week, a cubic spline of time; float (kept days, columns)."""
        from scipy.interpolate import BSpline

        day = self.kept
        own = np.log1p(self.series.counts[day[:, None] - self.lags])
        weekday = np.eye(7)[self.series.days[day].astype(int) % 7]
        inner = np.linspace(day[0], day[-1] + 1, max(2, day.size // SPLINE_DAYS + 1))
        knots = np.pad(inner, 3, "edge")
        return np.column_stack([own, weekday, BSpline.design_matrix(day.astype(float), knots, 3).toarray()[:, 1:]])

    @cached_property
    def residuals(self) -> np.ndarray:
        """Score residuals of the regression without attacks on the kept days: what its course leaves unexplained."""
        theta = moment_theta(self.y, self.course)
        mean = fitted_means(self.y, self.course, theta)
        return (self.y - mean) / (1 + mean / theta)

    @cached_property
    def shifts(self) -> np.ndarray:
        """Residuals summed over the days after attacks, for every shift of those days around the circle; 0 is first."""
        return np.fft.irfft(np.fft.rfft(self.residuals) * np.conj(np.fft.rfft(self.near)), self.kept.size)


def take_sample(spec: Spec, tables: Tables, as_of: date | None = None) -> Sample:
    """The sample of a specification, cut at `as_of`; InputMissing without GED or with too few events or days to fit."""
    other, known, lag = spec.against, tables.as_of(as_of), spec.lag_days
    if other is None or not lag:
        raise BadInput("test lagged_regression: got no `against` or no lag_days; allowed: both; give them")
    if known.ged is None or not known.ged["theatre"].isin(other.theatres).any():
        raise InputMissing(
            "no Islamic State events are in the data folder: download UCDP GED as CSV from https://ucdp.uu.se/downloads/"
            ", then `claims data add ucdp GEDEvent.csv --into DIR` and `claims reproduce isis-distraction --data DIR`"
        )
    ged = known.ged[known.ged["theatre"].isin(other.theatres)]
    ours, reported = ged[ged["bloc"] == other.bloc], Window(ged["date"].min().date(), ged["date"].max().date())
    rows, span = select(known.events, spec), Window(spec.frame.shift(-lag).start, spec.frame.shift(lag).end)
    militia = daily_counts(known, spec, span)
    dates = ours["date"].repeat(ours["count"]).to_numpy().astype("datetime64[D]")
    series = series_of(dates, militia.observed & reported.mask(militia.days), span)
    around = np.convolve(series.observed, np.ones(2 * lag + 1), "same") > 2 * lag
    kept = np.flatnonzero(around & spec.frame.mask(series.days))
    near = (militia.counts > 0)[kept[:, None] - np.arange(1, lag + 1)].any(axis=1)
    sample = Sample(rows, spec.frame, series, militia.counts, near, False, known, kept=kept, lag_days=lag)
    near, far = int(sample.near.sum()), int((~sample.near).sum())
    if not estimable(sample.y) or min(near, far) < FEWEST:
        raise InputMissing(
            f"ged.csv has events from {reported}: {int(sample.y.sum())} on days of {spec.frame} watched for both sides"
            f", {near} of them within {lag} days after an attack and {far} not; too few"
        )
    return sample


def effects(sample: Sample, exposed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log rate ratios of the columns of `exposed` (kept days, k), and their covariance: NB2, Newey–West errors."""
    design, k = np.column_stack([sample.course, exposed]), exposed.shape[1]
    family = count_family(moment_theta(sample.y, design))
    coef, covariance = robust_fit(sample.y, design, family, sample.lag_days)
    return coef[-k:], covariance[-k:, -k:]


def lagged_regression(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Rate of Islamic State events on days with a militia attack 1 to `lag_days` days before, over that on other days.

    Negative binomial regression beside own lags, day of the week and a spline of time. H0: ratio 1; Newey–West errors,
    whose p has no lower bound. Several attacks within the lags count as one: a sum over lags would fall short where the
    effect does not add up (shown as `sum_of_lags`). Misleads where a third cause moves both within weeks.
    """
    y = sample.y
    notes = (f"{sample.near.sum()} of {y.size} days follow an attack within {sample.lag_days} days",
             f"{sample.series.counts.sum()} events in ged.csv from {sample.frame}")  # fmt: skip
    power = None if rule.claimed_effect is None else _power(sample, spec, rule, rule.claimed_effect)
    [coef], [[variance]] = effects(sample, sample.near[:, None])
    found = Finding("lagged_ratio", "negative binomial regression, Newey–West errors", n=int(y.sum()), exposure=y.size,
                    attainable_p=0.0, notes=notes, power=power,
                    mde=np.exp(_sign(rule) * (LATEST + FOUND) * np.sqrt(variance)))  # fmt: skip
    return wald(found, coef, variance, rule.direction)


def _sign(rule: Rule) -> int:
    return -1 if rule.direction == "less" else 1


def _power(sample: Sample, spec: Spec, rule: Rule, ratios: np.ndarray | float) -> np.ndarray:
    return ndtr(_sign(rule) * np.log(ratios) / np.sqrt(effects(sample, sample.near[:, None])[1][0, 0]) - LATEST)


def _null(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Null:
    """Score residuals on days after attacks, those days shifted around the circle of kept days."""
    z = (sample.shifts - sample.shifts.mean()) / sample.shifts.std()
    return Null(z, z[0], "score of the days after attacks, in standard deviations of the shifts")


def shifted(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """The association under every circular shift of the militia's days, the course of time removed.

    H0: the place of the militia attacks on the calendar is arbitrary; exact, the identity included. Misleads where the
    militia's days come in few long spells: then few shifts tell anything new.
    """
    method = "score of the days after attacks, every circular shift"
    return _null(sample, spec, rule, seed).finding("circular_shift", method, rule.direction, own=0)


def trigger(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Events on the days after attacks over their mean when those days are shifted within half-years.

    H0: within a half-year the place of the attacks is arbitrary. Misleads where both sides have a season within it.
    """
    half = sample.series.days[sample.kept].astype("datetime64[M]").astype(int) // 6
    found = coincidence("coincidence", sample.y, sample.near, rule, half)
    notes = (f"{sample.y[sample.near].sum()} of {sample.y.sum()} events on days after attacks",)
    return replace(found, method="events on days after attacks, every circular shift within half-years", notes=notes)


def case_crossover(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Rate ratio of days after attacks within the same weekday and month: conditional Poisson, quasi-Poisson errors.

    H0: among a month's Mondays (and so on) the events do not favour days after attacks. Misleads where an effect lasts
    into other weeks of the month. Armstrong, Gasparrini and Tobias 2014, doi 10.1186/1471-2288-14-122.
    """
    from statsmodels.discrete.conditional_models import ConditionalPoisson

    day = sample.series.days[sample.kept]
    stratum = day.astype("datetime64[M]").astype(int) * 7 + day.astype(int) % 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strata without a contrast are dropped
        fit = ConditionalPoisson(sample.y, sample.near[:, None].astype(float), groups=stratum).fit()
    found = Finding("case_crossover", "conditional Poisson within weekday and month", n=int(sample.y.sum()))
    variance = fit.cov_params()[0, 0] * max(1.0, sample.y.var() / sample.y.mean())
    return wald(found, fit.params[0], variance, rule.direction)


def lead_placebo(sample: Sample, spec: Spec, rule: Rule, seed: int) -> Finding:
    """Effect on the days after attacks over that on the days before them, from one regression.

    H0: after is as before, which is what shared seasons, news or operations give: an attack cannot act backwards.
    Misleads where attacks are so dense that most days lie both after and before one: no contrast is left.
    """
    found = Finding("lead_placebo", "effect after attacks over effect before them", n=int(sample.y.sum()))
    coef, covariance = effects(sample, np.column_stack([sample.near, sample.attack(-sample.lags).any(axis=1)]))
    return wald(found, coef[0] - coef[1], covariance.trace() - 2 * covariance[0, 1], rule.direction)


def _shown(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Shown, not counted: the joint test of the sum over lags, the effect at each lag and, as placebo, at each lead."""
    coef, covariance = effects(sample, sample.attack(sample.lags))
    joint = Finding("sum_of_lags", "attacks on each of the days before together, one joint test")
    lags = np.append(-sample.lags[::-1], sample.lags)
    names = (f"lag_{lag}" if lag > 0 else f"lead_{-lag}" for lag in lags)
    each, errors = effects(sample, sample.attack(lags))
    method = "rate ratio of that day, beside the other lags and leads"
    alone = zip(names, each, np.diag(errors), strict=True)
    return [wald(joint, coef.sum(), covariance.sum(), rule.direction),
            *(wald(Finding(name, method), value, error, "two-sided") for name, value, error in alone)]  # fmt: skip


def _sensitivity(sample: Sample, spec: Spec, rule: Rule, seed: int) -> list[Finding]:
    """Without any single attack day, with dates moved within their precision, by the p of the shifts; the mechanism."""

    def p_values(dates: np.ndarray) -> np.ndarray:
        near = sample.attack(sample.lags, sample.series.recount(dates)).any(axis=-1)
        return (_sign(rule) * (sample.shifts - (near @ sample.residuals)[:, None]) >= -1e-9).mean(axis=1)

    dates, side = sample.rows["date"].to_numpy().astype("datetime64[D]"), rule.direction
    inside = sample.series.positions(dates)[1]
    days, precision = np.unique(dates[inside]), list(sample.rows["date_precision"][inside])
    found = (
        leave_one_out(p_values, days, [f"the attacks of {day}" for day in days], side),
        date_shift(p_values, dates[inside], precision, side, seed=seed, draws=min(spec.draws, 999)),
    )
    return [
        *(replace(f, method=f"{f.method.replace('primary p', 'p')}, by every circular shift") for f in found),
        Finding("mechanism", "an effect that does not run through the coalition's effort", role="rival",
                alternative=side, reason="coalition sorties, which the text names, are not coded"),
    ]  # fmt: skip


_TESTS = {"coincidence": trigger, "case_crossover": case_crossover, "lead_placebo": lead_placebo}
DESIGNS = {
    "lagged_regression": Design(take_sample, lagged_regression, shifted, _TESTS, _sensitivity, _shown, _null, _power)
}
