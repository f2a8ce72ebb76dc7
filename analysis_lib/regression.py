"""Count regression by statsmodels: a window's rate ratio beside a local trend, over-dispersion, autocorrelation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtr, xlogy

from analysis_lib.finding import Alternative, Finding
from analysis_lib.robust import count_family
from analysis_lib.series import Series
from analysis_lib.windows import Window

THETAS = (0.2, 0.5, 1.0, 2.0, np.inf)
CHI2_95 = 3.841458820694124  # 0.95 quantile of chi-squared with 1 degree of freedom


@dataclass(frozen=True)
class NBFit:
    """A fitted NB2 regression: coefficients, theta (variance = mu + mu² / theta) and its error, log likelihood."""

    coef: np.ndarray
    theta: float
    se_theta: float
    llf: float


def fit_nb(y: np.ndarray, design: np.ndarray) -> NBFit | None:
    """Maximum likelihood NB2 regression (log link); None where theta has no finite estimate.

    `y` counts, shape (n,); `design` with its constant, shape (n, k). Near-Poisson data push theta to infinity: that is
    no evidence of a Poisson law, so the answer is None and the caller shows a grid of thetas instead.
    """
    from statsmodels.discrete.discrete_model import NegativeBinomial

    with warnings.catch_warnings():
        # a fit that fails says so by None, not by a line on the reader's screen
        warnings.simplefilter("ignore")
        try:
            fit = NegativeBinomial(y, design, loglike_method="nb2").fit(disp=0, maxiter=200)
        except (np.linalg.LinAlgError, ValueError):
            return None
    alpha, se_alpha = fit.params[-1], fit.bse[-1]
    if not (fit.mle_retvals["converged"] and np.isfinite(se_alpha) and alpha > 1e-4):
        return None
    return NBFit(fit.params[:-1], 1 / alpha, se_alpha / alpha**2, fit.llf)


def loglike(
    y: np.ndarray, design: np.ndarray, theta: float, offset: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Greatest log likelihood and coefficients at a fixed theta (infinite = Poisson), by statsmodels' GLM."""
    from statsmodels.genmod.generalized_linear_model import GLM

    if not y.any():
        # the likelihood rises to 1 as the rate falls to 0
        return 0.0, np.full(design.shape[1], -np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = GLM(y, design, family=count_family(theta), offset=offset).fit(maxiter=200, tol=1e-10)
    # where a fit drives a mean to 0, statsmodels' own log likelihood takes 0 log 0 for nan
    mu = fit.fittedvalues
    if np.isinf(theta):
        return float((xlogy(y, mu) - mu - gammaln(y + 1)).sum()), fit.params
    constant = gammaln(y + theta) - gammaln(theta) - gammaln(y + 1)
    return float((constant + xlogy(y, mu / (theta + mu)) - theta * np.log1p(mu / theta)).sum()), fit.params


def estimable(y: np.ndarray) -> bool:
    """Can theta be estimated at all: at least 30 events on at least 5 days (Lloyd-Smith 2007)?"""
    return y.sum() >= 30 and np.count_nonzero(y) >= 5


def nb_window(
    series: Series, window: Window, alternative: Alternative = "less", *, trend: bool = True, interval: bool = True
) -> Finding:
    """Rate ratio of the window in a negative binomial regression of daily counts, with a linear local trend.

    H0: the window's coefficient is 0. The p-value is the signed root of the likelihood ratio, the interval its
    profile at the fitted theta, never Wald's, which diverges for an empty window. Where theta cannot be estimated
    (see `estimable`), the largest p over a grid of thetas is given, so that the Poisson fit is never read as evidence.
    Misleads when a trend that is not linear on the log scale fills the frame, and when the window lies at the frame's
    end, where trend and window share their days. Cameron and Trivedi 1998; Ver Hoef and Boveng 2007,
    doi 10.1890/07-0043.1.
    """
    quantity = "nb_trend" if trend else "nb_flat"
    method = f"negative binomial regression{' with local trend' if trend else ''}, likelihood ratio"
    return nb_effect(quantity, method, *_arrays(series, window, trend), alternative, interval=interval)


def nb_effect(
    quantity: str, method: str, y: np.ndarray, inside: np.ndarray, design: np.ndarray, alternative: Alternative,
    *, interval: bool = False,
) -> Finding:  # fmt: skip
    """Rate ratio of some days beside the other columns of a negative binomial regression; see `nb_window`.

    `y` counts and `inside` bool have shape (days,), `design` with its constant (days, k). H0: the coefficient of the
    days `inside` is 0. Numbers in place of bools are a covariate, and the ratio is that of one unit of it.
    """
    n, exposure = int(y.sum()), y.size
    if not n or not inside.any() or inside.all():
        reason = "no event in the frame" if not n else "the window fills the frame or lies outside it"
        return Finding(quantity, method, alternative=alternative, n=n, exposure=exposure, reason=reason)
    fit = fit_nb(y, design) if estimable(y) else None
    thetas = (fit.theta,) if fit else THETAS
    tried = [_signed_root(y, inside, design, theta) for theta in thetas]
    p = [_tail(root, alternative) for root, _ in tried]
    worst = int(np.argmax(p))
    root, log_ratio = tried[worst]
    theta = thetas[worst]
    note = (
        f"theta {fit.theta:.3g} (standard error {fit.se_theta:.2g})"
        if fit
        else "theta cannot be estimated: the largest p over theta 0.2, 0.5, 1, 2 and infinity"
    )
    low, high = _profile(y, inside, design, theta, log_ratio) if interval else (None, None)
    return Finding(
        quantity, method, estimate=float(np.exp(log_ratio)) if log_ratio < 12 else np.inf, low=low, high=high,
        p_value=p[worst], p_two_sided=_tail(root, "two-sided"), alternative=alternative, n=n, exposure=exposure,
        notes=(note,),
    )  # fmt: skip


def nb_slope(series: Series, alternative: Alternative = "greater") -> Finding:
    """Growth of the daily rate as a rate ratio per 90 days, in the regression of `nb_window`: no window, the slope.

    H0: no slope. Misleads where the rate rises in a step or from a first use, as every straight line does.
    """
    days = np.flatnonzero(series.observed) / 90
    method = "negative binomial regression on the date, likelihood ratio, rate ratio per 90 days"
    return nb_effect("nb_slope", method, series.counts[series.observed], days, np.ones((days.size, 1)), alternative,
                     interval=True)  # fmt: skip


def theta_grid(
    series: Series, window: Window, alternative: Alternative, thetas: Sequence[float] = THETAS
) -> list[Finding]:
    """The window's one-sided p at each fixed theta: how much over-dispersion the result survives."""
    y, inside, design = _arrays(series, window, trend=False)
    n, exposure = series.total
    found = []
    for theta in thetas:
        name = "infinity" if np.isinf(theta) else f"{theta:g}"
        quantity = f"theta_{name.replace('.', '_')}"
        method = f"likelihood ratio at theta = {name}, no trend"
        if n and inside.any() and not inside.all():
            root, log_ratio = _signed_root(y, inside, design, theta)
            result = Finding(quantity, method, estimate=float(np.exp(log_ratio)), p_value=_tail(root, alternative),
                             alternative=alternative, n=n, exposure=exposure)  # fmt: skip
        else:
            result = Finding(quantity, method, alternative=alternative, n=n, reason="no event")
        found.append(result)
    return found


def _arrays(series: Series, window: Window, trend: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keep = series.observed
    day = np.flatnonzero(keep) / max(1, keep.size - 1) - 0.5
    columns = [np.ones(day.size), day] if trend else [np.ones(day.size)]
    return series.counts[keep], window.mask(series.days)[keep], np.column_stack(columns)


def _signed_root(y: np.ndarray, inside: np.ndarray, design: np.ndarray, theta: float) -> tuple[float, float]:
    """Signed root of the likelihood ratio of the window's coefficient, and the coefficient."""
    null, _ = loglike(y, design, theta)
    if inside.dtype == bool and not y[inside].any():
        # an empty window: its days leave the fit, and its coefficient falls without bound
        full, _ = loglike(y[~inside], design[~inside], theta)
        log_ratio = -np.inf
    elif inside.dtype == bool and not y[~inside].any():
        full, _ = loglike(y[inside], design[inside], theta)
        log_ratio = np.inf
    else:
        full, coef = loglike(y, np.column_stack([design, inside]), theta)
        log_ratio = float(coef[-1])
    return float(np.sign(log_ratio) * np.sqrt(max(0.0, 2 * (full - null)))), log_ratio


def _tail(root: float, alternative: Alternative) -> float:
    if alternative == "two-sided":
        return float(2 * ndtr(-abs(root)))
    return float(ndtr(root if alternative == "less" else -root))


def _profile(y: np.ndarray, inside: np.ndarray, design: np.ndarray, theta: float, centre: float) -> tuple[float, float]:
    """95 % profile-likelihood interval of the window's rate ratio."""
    from scipy.optimize import brentq

    best = loglike(y, np.column_stack([design, inside]), theta)[0] if np.isfinite(centre) else None
    if best is None:
        keep = ~inside if centre < 0 else inside
        best = loglike(y[keep], design[keep], theta)[0]

    def excess(log_ratio: float) -> float:
        return 2 * (best - loglike(y, design, theta, offset=log_ratio * inside)[0]) - CHI2_95

    start = float(np.clip(centre, -6.0, 6.0))
    low = 0.0 if centre == -np.inf else _root(excess, start, -1.0, brentq)
    high = np.inf if centre == np.inf else _root(excess, start, 1.0, brentq)
    return low, high


def _root(excess: Callable[[float], float], start: float, step: float, solve: Callable[..., float]) -> float:
    """Where `excess` crosses zero on one side of `start`, as a ratio; 0 or infinity where it does not by e±12."""
    end = start + step
    while excess(end) < 0:
        if abs(end - start) > 12:
            return 0.0 if step < 0 else np.inf
        end += step
    return float(np.exp(solve(excess, end - step, end, xtol=1e-6)))


def dispersion(series: Series) -> list[Finding]:
    """Is a Poisson law tenable for the daily counts? Index of dispersion, Fano factors, Cameron–Trivedi, Ljung–Box.

    H0 of the index of dispersion: independent Poisson counts with one mean (chi-squared on days - 1). Misleads with
    few events, where it has no power: an unremarkable p is no evidence for the Poisson law.
    Cameron and Trivedi 1990, doi 10.1016/0304-4076(90)90014-K.
    """
    from scipy.special import gammaincc

    y = series.counts[series.observed].astype(float)
    n, exposure = series.total
    if n < 2 or y.size < 15:
        return [Finding("dispersion_index", "index of dispersion", role="check", n=n, reason="fewer than two events")]
    mean = y.mean()
    index = ((y - mean) ** 2).sum() / mean
    found = [Finding("dispersion_index", "index of dispersion of daily counts, chi-squared", role="check",
                     estimate=index / (y.size - 1), p_value=float(gammaincc((y.size - 1) / 2, index / 2)),
                     alternative="greater", n=n, exposure=exposure)]  # fmt: skip
    for days in (3, 7, 14):
        blocks = y[: y.size // days * days].reshape(-1, days).sum(axis=1)
        if blocks.size >= 3 and blocks.mean() > 0:
            found.append(Finding(f"fano_{days}d", f"variance / mean of {days}-day counts", role="check",
                                 estimate=blocks.var(ddof=1) / blocks.mean(), n=n, exposure=exposure))  # fmt: skip
    z = cameron_trivedi(y)
    found.append(Finding("cameron_trivedi", "Cameron–Trivedi test of over-dispersion, NB1 form", role="check",
                         estimate=z, null_value=0.0, p_value=float(ndtr(-z)), alternative="greater", n=n))  # fmt: skip
    from statsmodels.stats.diagnostic import acorr_ljungbox

    if np.ptp(y) == 0:
        reason = "every day has the same count"
        return [*found, Finding("ljung_box", "Ljung–Box statistic, 7 lags", role="check", n=n, reason=reason)]
    q = acorr_ljungbox(y, lags=[7])
    found.append(Finding("ljung_box", "Ljung–Box statistic of daily counts, 7 lags", role="check", null_value=0.0,
                         estimate=float(q["lb_stat"].iloc[0]), p_value=float(q["lb_pvalue"].iloc[0]), n=n))  # fmt: skip
    return found


def cameron_trivedi(y: np.ndarray) -> float:
    """z of the regression-based test of over-dispersion (NB1 form) around a constant mean; y of shape (n,)."""
    a = ((y - y.mean()) ** 2 - y) / y.mean()
    spread = a.std(ddof=1)
    return float(np.sqrt(y.size) * a.mean() / spread) if spread else -np.inf
