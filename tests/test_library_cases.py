"""Reference cases of methods taken from statsmodels as they are: which options give the definition."""

from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from reference_cases import differences, reference
from statsmodels.duration.survfunc import survdiff
from statsmodels.stats.rates import test_poisson_2indep as poisson_2indep


def test_the_e_test_of_two_poisson_rates():
    case = reference("poisson")["sh-etest-5_25-2_4"]
    x1, t1, x2, t2 = (case["data"][name] for name in ("x1", "t1", "x2", "t2"))
    sides = {"p_two": "two-sided", "p_less": "smaller", "p_greater": "larger"}
    options = {"method": "etest-wald", "compare": "diff", "value": 0}
    found = {name: poisson_2indep(x1, t1, x2, t2, alternative=side, **options) for name, side in sides.items()}
    got = {name: result.pvalue for name, result in found.items()} | {"statistic": found["p_two"].statistic}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_quasi_poisson_regression():
    case = reference("regression")["sh-qp-warpbreaks"]
    data = case["data"]
    design = np.column_stack([np.ones(len(data["y"])), data["woolB"], data["tM"], data["tH"]])
    fit = sm.GLM(data["y"], design, family=sm.families.Poisson()).fit(scale="X2", use_t=True)
    named = {"coef": fit.params, "se": fit.bse, "p_t": fit.pvalues}
    got = {key: dict(zip(case["expected"]["coef"], values, strict=True)) for key, values in named.items()}
    got |= {"dispersion_pearson": fit.scale, "df_residual": fit.df_resid}
    assert differences(got, case["expected"], case["tolerance"]) == []


def test_the_log_rank_test():
    case = reference("gaps")["sh-logrank-aml"]
    chisq, p = survdiff(*(np.array(case["data"][name]) for name in ("time", "status", "group")))
    assert differences({"chisq": chisq, "p": p}, case["expected"], case["tolerance"]) == []


PAIRS = ("AB", "AC", "BC")


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:Perfect separation")  # of the saturated model
@pytest.mark.parametrize("terms", [some for size in range(4) for some in combinations(PAIRS, size)], ids=str)
def test_three_lists_log_linear(terms):
    case = reference("richness_recapture")["sh-loglin3-hav"]
    cells = np.array([[int(digit) for digit in pattern] for pattern in case["data"]])
    y = np.array(list(case["data"].values()))
    pairs = [cells[:, "ABC".index(a)] * cells[:, "ABC".index(b)] for a, b in terms]
    fit = sm.GLM(y, np.column_stack([np.ones(7), cells, *pairs]), family=sm.families.Poisson()).fit(tol=1e-12)
    unseen = np.exp(fit.params[0])
    got = {"f0": unseen, "N_hat": y.sum() + unseen, "deviance": fit.deviance, "aic": fit.aic}
    assert differences({"_".join(terms) or "indep": got}, case["expected"], case["tolerance"]) == []
