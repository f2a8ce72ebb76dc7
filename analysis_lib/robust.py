"""Regression with many columns: over-dispersion from moments, errors that bear autocorrelation, ratios."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from analysis_lib.finding import Alternative, Finding

if TYPE_CHECKING:
    from statsmodels.genmod.families import Family


def count_family(theta: float) -> Family:
    """Negative binomial counts at a fixed theta, of statsmodels; infinite = Poisson."""
    from statsmodels.genmod.families import NegativeBinomial, Poisson

    return Poisson() if np.isinf(theta) else NegativeBinomial(alpha=1 / theta)


def fitted_means(y: np.ndarray, design: np.ndarray, theta: float) -> np.ndarray:
    """Means of the counts `y` (n,) fitted on `design` (n, columns) at a fixed theta."""
    from statsmodels.genmod.generalized_linear_model import GLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GLM(y, design, family=count_family(theta)).fit(maxiter=200).fittedvalues


def moment_theta(y: np.ndarray, design: np.ndarray) -> float:
    """Theta from the squared residuals of a Poisson fit (Breslow 1984), infinite where they show no over-dispersion.

    For designs with many columns, where maximum likelihood is slow or fails; errors should then be robust.
    """
    mean = fitted_means(y, design, np.inf)
    excess = ((y - mean) ** 2 - mean).sum()
    return float((mean**2).sum() / excess) if excess > 0 else np.inf


def robust_fit(
    y: np.ndarray, design: np.ndarray, family: Family, lags: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a generalised linear model (`count_family`, or another of statsmodels) and their Newey–West
    covariance.

    Bartlett weights to `lags` days, no small-sample factor, by statsmodels. With `groups` (int (n,), rows of a group
    together and in time order) rows of different groups count as independent. Misleads with few groups or days, where
    the errors are too small. Newey and West 1987, doi 10.2307/1913610.
    """
    from statsmodels.genmod.generalized_linear_model import GLM

    kind, keywords = ("HAC", {}) if groups is None else ("hac-panel", {"groups": groups})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = GLM(y, design, family=family).fit(
            maxiter=200, tol=1e-10, cov_type=kind, cov_kwds={"maxlags": lags, "use_correction": False, **keywords}
        )
    return fit.params, fit.cov_params()


def wald(found: Finding, coefficient: float, variance: float, alternative: Alternative) -> Finding:
    """The finding with a coefficient as a ratio, its normal intervals and p-values."""
    error, ends = np.sqrt(variance), np.array([-1.959964, 1.959964, -1.644854, 1.644854])
    limits = zip(("low", "high", "limit_low", "limit_high"), np.exp(coefficient + error * ends).tolist(), strict=True)
    less, greater = (float(ndtr(side * coefficient / error)) for side in (1, -1))
    p = {"less": less, "greater": greater, "two-sided": 2 * min(less, greater)}
    return replace(found, estimate=float(np.exp(coefficient)), p_value=p[alternative], p_two_sided=p["two-sided"],
                   alternative=alternative, **dict(limits))  # fmt: skip
