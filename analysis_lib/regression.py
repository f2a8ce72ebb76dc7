"""Count regression by statsmodels: a rate ratio beside other columns, over-dispersion, errors that bear correlation."""

import warnings
from collections import namedtuple
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from analysis_lib.finding import Alternative, Finding
from analysis_lib.series import Series
from analysis_lib.shares import both_tails
from analysis_lib.windows import Window

Array = np.ndarray
THETAS = (0.2, 0.5, 1.0, 2.0, np.inf)
CHI2_95 = 3.841458820694124  # 0.95 quantile of chi-squared with 1 degree of freedom
LIMITS = {"low": 0.025, "high": 0.975, "limit_low": 0.05, "limit_high": 0.95}  # cell of a finding → its quantile

# A fitted NB2 regression: coefficients, theta (variance = mu + mu² / theta) and its error, log likelihood.
NBFit = namedtuple("NBFit", "coef theta se_theta llf")


# ---- fits ------------------------------------------------------------------------------------------------------------


def count_family(theta: float):
    """The family of statsmodels for negative binomial counts at a fixed theta; infinite = Poisson."""
    from statsmodels.genmod import families

    return families.Poisson() if np.isinf(theta) else families.NegativeBinomial(alpha=1 / theta)


def _glm(y: Array, design: Array, family, offset: Array | None = None, **errors):
    """A generalised linear model, fitted by statsmodels without warnings."""
    from statsmodels.genmod.generalized_linear_model import GLM

    with warnings.catch_warnings(action="ignore"):
        return GLM(y, design, family=family, offset=offset).fit(maxiter=200, tol=1e-10, **errors)


def fit_nb(y: Array, design: Array) -> NBFit | None:
    """Maximum likelihood NB2 regression (log link); None where theta has no finite estimate.

    `y` counts, shape (n,); `design` with its constant, shape (n, k). Near-Poisson data push theta to infinity: that is
    no evidence of a Poisson law, so the answer is None and the caller shows a grid of thetas instead.
    """
    from statsmodels.discrete.discrete_model import NegativeBinomial

    try:
        # a fit that fails says so by None, not by a line on the reader's screen
        with warnings.catch_warnings(action="ignore"):
            fit = NegativeBinomial(y, design, loglike_method="nb2").fit(disp=0, maxiter=200)
    except (np.linalg.LinAlgError, ValueError):
        return None
    alpha, error = fit.params[-1], fit.bse[-1]
    usable = fit.mle_retvals["converged"] and np.isfinite(error) and alpha > 1e-4
    return NBFit(fit.params[:-1], 1 / alpha, error / alpha**2, fit.llf) if usable else None


def loglike(y: Array, design: Array, theta: float, offset: Array | None = None) -> tuple[float, Array]:
    """Greatest log likelihood and coefficients at a fixed theta (infinite = Poisson), by statsmodels' GLM."""
    from scipy.stats import nbinom, poisson

    fit = _glm(y, design, count_family(theta), offset)
    # where a fit drives a mean to 0, statsmodels' own log likelihood takes 0 log 0 for nan
    mu = fit.fittedvalues
    law = poisson(mu) if np.isinf(theta) else nbinom(theta, theta / (theta + mu))
    return float(law.logpmf(y).sum()), fit.params


def estimable(y: Array) -> bool:
    """Can theta be estimated at all: at least 30 events on at least 5 days (Lloyd-Smith 2007)?"""
    return y.sum() >= 30 and np.count_nonzero(y) >= 5


def fitted_means(y: Array, design: Array, theta: float) -> Array:
    """Means of the counts `y` (n,) fitted on `design` (n, columns) at a fixed theta."""
    return _glm(y, design, count_family(theta)).fittedvalues


def moment_theta(y: Array, design: Array) -> float:
    """Theta by moments, from the squared residuals of a Poisson fit; infinite where they show no over-dispersion.

    For designs with many columns, where maximum likelihood is slow or fails; errors should then be robust.
    """
    mean = fitted_means(y, design, np.inf)
    excess = ((y - mean) ** 2 - mean).sum()
    return float((mean**2).sum() / excess) if excess > 0 else np.inf


def robust_fit(y: Array, design: Array, family, lags: int, groups: Array | None = None) -> tuple[Array, Array]:
    """Coefficients of a generalised linear model (`count_family`, or another of statsmodels) and their Newey–West
    covariance.

    Bartlett weights to `lags` days, no small-sample factor, by statsmodels. With `groups` (int (n,), rows of a group
    together and in time order) rows of different groups count as independent. Misleads with few groups or days, where
    the errors are too small. Newey and West 1987, doi 10.2307/1913610.
    """
    groups = np.zeros(y.size, dtype=int) if groups is None else groups
    errors = {"groups": groups, "maxlags": lags, "use_correction": False}
    fit = _glm(y, design, family, cov_type="hac-panel", cov_kwds=errors)
    return fit.params, fit.cov_params()


def wald(found: Finding, coefficient: float, variance: float, alternative: Alternative) -> Finding:
    """The finding with a coefficient as a ratio, its normal intervals and p-values: misleads with few events."""
    error = np.sqrt(variance)
    limits = {cell: float(np.exp(coefficient + error * ndtri(at))) for cell, at in LIMITS.items()}
    tails = both_tails(ndtr(coefficient / error), ndtr(-coefficient / error), alternative)
    return replace(found, estimate=float(np.exp(coefficient)), **limits, **tails)


# ---- the ratio of some days, by likelihood ratio ---------------------------------------------------------------------


def nb_effect(
    quantity: str, method: str, y: Array, inside: Array, design: Array, alternative: Alternative,
    *, interval: bool = False, thetas: tuple = (),
) -> Finding:  # fmt: skip
    """Rate ratio of some days beside the other columns of a negative binomial regression; see `nb_window`.

    `y` counts and `inside` bool have shape (days,), `design` with its constant (days, k). H0: the coefficient of the
    days `inside` is 0. Numbers in place of bools are a covariate, and the ratio is that of one unit of it. `thetas`
    takes the place of an estimated theta.
    """
    n = int(y.sum())
    found = Finding(quantity, method, alternative=alternative, n=n, exposure=y.size)
    if not n or not inside.any() or inside.all():
        return replace(found, reason="the window fills the frame or lies outside it" if n else "no event in the frame")
    fit = fit_nb(y, design) if estimable(y) and not thetas else None
    tried = []
    for theta in thetas or ((fit.theta,) if fit else THETAS):
        best, centre = _beside(y, inside, design, theta)
        root = np.sign(centre) * np.sqrt(max(0.0, 2 * (best - loglike(y, design, theta)[0])))
        tried.append((both_tails(ndtr(root), ndtr(-root), alternative), theta, best, centre))
    tails, theta, best, centre = max(tried, key=lambda each: each[0]["p_value"])
    low, high = _profile(y, inside, design, theta, best, centre) if interval else (None, None)
    note = "theta cannot be estimated: the largest p over theta 0.2, 0.5, 1, 2 and infinity"
    if fit:
        note = f"theta {fit.theta:.3g} (standard error {fit.se_theta:.2g})"
    estimate = float(np.exp(centre)) if centre < 12 else np.inf
    return replace(found, estimate=estimate, low=low, high=high, notes=(note,), **tails)


def _beside(y: Array, inside: Array, design: Array, theta: float) -> tuple[float, float]:
    """Greatest log likelihood with the coefficient of the days `inside` free, and that coefficient."""
    for days, limit in ((inside, -np.inf), (~inside, np.inf)) if inside.dtype == bool else ():
        if not y[days].any():
            # days without an event leave the fit, and the coefficient falls or grows without bound
            return loglike(y[~days], design[~days], theta)[0], limit
    best, coef = loglike(y, np.column_stack([design, inside]), theta)
    return best, float(coef[-1])


def _profile(y: Array, inside: Array, design: Array, theta: float, best: float, centre: float) -> tuple[float, float]:
    """95 % profile-likelihood interval of the ratio: 0 or infinity where the likelihood does not fall within e±25."""
    from scipy.optimize import brentq

    def excess(log_ratio: float) -> float:
        return 2 * (best - loglike(y, design, theta, offset=log_ratio * inside)[0]) - CHI2_95

    def end(side: int) -> float:
        start = float(np.nan_to_num(centre, posinf=12, neginf=-12))
        steps = (start + side * step for step in range(1, 26) if centre != side * np.inf)
        beyond = next((at for at in steps if excess(at) >= 0), None)
        return float(np.exp(side * np.inf if beyond is None else brentq(excess, beyond - side, beyond, xtol=1e-6)))

    return end(-1), end(1)


def nb_window(
    series: Series, window: Window, alternative: Alternative = "less", *, trend=True, interval=True, thetas: tuple = ()
) -> Finding:
    """Rate ratio of the window in a negative binomial regression of daily counts, with a linear local trend.

    H0: the window's coefficient is 0. The p-value is the signed root of the likelihood ratio, the interval its
    profile at the fitted theta, never Wald's, which diverges for an empty window. Where theta cannot be estimated
    (see `estimable`), the largest p over a grid of thetas is given, so that the Poisson fit is never read as evidence.
    Misleads when a trend that is not linear on the log scale fills the frame, and when the window lies at the frame's
    end, where trend and window share their days. Cameron and Trivedi 1998; Ver Hoef and Boveng 2007,
    doi 10.1890/07-0043.1.
    """
    keep = series.observed
    day = np.flatnonzero(keep) / max(1, keep.size - 1) - 0.5
    design = np.column_stack([np.ones(day.size), day])[:, : 1 + trend]
    method = f"negative binomial regression{' with local trend' if trend else ''}, likelihood ratio"
    return nb_effect("nb_trend" if trend else "nb_flat", method, series.counts[keep], window.mask(series.days)[keep],
                     design, alternative, interval=interval, thetas=thetas)  # fmt: skip


def theta_grid(series: Series, window: Window, alternative: Alternative, thetas: tuple = THETAS) -> list[Finding]:
    """The window's one-sided p at each fixed theta: how much over-dispersion the result survives.

    H0: one rate. Misleads at a theta far from what the days show: no p of the grid is then a test of these data.
    """
    found = []
    for theta in thetas:
        name = "infinity" if np.isinf(theta) else f"{theta:g}"
        at = nb_window(series, window, alternative, trend=False, interval=False, thetas=(theta,))
        found.append(replace(at, quantity=f"theta_{name.replace('.', '_')}", p_two_sided=None, notes=(),
                             method=f"likelihood ratio at theta = {name}, no trend"))  # fmt: skip
    return found


def nb_slope(series: Series, alternative: Alternative = "greater") -> Finding:
    """Growth of the daily rate as a rate ratio per 90 days, in the regression of `nb_window`: no window, the slope.

    H0: no slope. Misleads where the rate rises in a step or from a first use, as every straight line does.
    """
    days = (np.flatnonzero(series.observed) - series.observed.argmax()) / 90  # the first watched day is 0
    method = "negative binomial regression on the date, likelihood ratio, rate ratio per 90 days"
    return nb_effect("nb_slope", method, series.counts[series.observed], days, np.ones((days.size, 1)), alternative,
                     interval=True)  # fmt: skip


# ---- is a Poisson law tenable ----------------------------------------------------------------------------------------


def dispersion(series: Series) -> list[Finding]:
    """Is a Poisson law tenable for the daily counts? Index of dispersion, Fano factors, Cameron–Trivedi, Ljung–Box.

    H0 of the index of dispersion: independent Poisson counts with one mean (chi-squared on days - 1). Misleads with
    few events, where it has no power: an unremarkable p is no evidence for the Poisson law.
    Cameron and Trivedi 1990, doi 10.1016/0304-4076(90)90014-K.
    """
    from statsmodels.stats.diagnostic import acorr_ljungbox

    y, (n, exposure) = series.counts[series.observed].astype(float), series.total
    check = partial(Finding, role="check", n=n)
    if n < 2 or y.size < 15:
        return [check("dispersion_index", "index of dispersion", reason="fewer than two events")]
    index, z, df = y.var(ddof=1) / y.mean(), cameron_trivedi(y), y.size - 1
    found = [check("dispersion_index", "index of dispersion of daily counts, chi-squared", estimate=index,
                   p_value=float(chdtrc(df, df * index)), alternative="greater", exposure=exposure)]  # fmt: skip
    for days in (3, 7, 14):
        blocks = y[: y.size // days * days].reshape(-1, days).sum(axis=1)
        if blocks.size >= 3 and blocks.any():
            found.append(check(f"fano_{days}d", f"variance / mean of {days}-day counts",
                               estimate=blocks.var(ddof=1) / blocks.mean(), exposure=exposure))  # fmt: skip
    found.append(check("cameron_trivedi", "Cameron–Trivedi test of over-dispersion, NB1 form", estimate=z,
                       null_value=0.0, p_value=float(ndtr(-z)), alternative="greater"))  # fmt: skip
    if np.ptp(y) == 0:
        return [*found, check("ljung_box", "Ljung–Box statistic, 7 lags", reason="every day has the same count")]
    q, p = acorr_ljungbox(y, lags=[7]).iloc[0]
    return [*found, check("ljung_box", "Ljung–Box statistic of daily counts, 7 lags", null_value=0.0, estimate=float(q),
                          p_value=float(p))]  # fmt: skip


def cameron_trivedi(y: Array) -> float:
    """z of the regression-based test of over-dispersion (NB1 form) around a constant mean; y of shape (n,)."""
    a = ((y - y.mean()) ** 2 - y) / y.mean()
    spread = a.std(ddof=1)
    return float(np.sqrt(y.size) * a.mean() / spread) if spread else -np.inf
