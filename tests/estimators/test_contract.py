"""scikit-learn's own checks of what an estimator does, all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from chainrule import estimators

LINEAR = [
    getattr(estimators, n)() for n in ("LinearRegression", "Ridge", "Lasso", "ElasticNet", "LogisticRegression", "LinearSVM")
]
NEURAL = [estimators.MLPClassifier(max_iter=30), estimators.MLPRegressor(max_iter=30)]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(LINEAR)
def test_linear(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(NEURAL)
def test_neural(estimator, check):
    check(estimator)
