"""Estimators against scikit-learn's own, against their optimality conditions, and in its pipelines and searches."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model, svm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import estimators as ours

_spec = importlib.util.spec_from_file_location("table", Path(__file__).parents[2] / "benchmarks" / "estimators.py")
assert _spec is not None
assert _spec.loader is not None
table = importlib.util.module_from_spec(_spec)
sys.modules["table"] = table
_spec.loader.exec_module(table)

X, Y = load_diabetes(return_X_y=True)
WEIGHTS = np.random.default_rng(0).uniform(0.1, 2.0, len(X))


# --- the same minimisers as scikit-learn ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (ours.LinearRegression(), linear_model.LinearRegression()),
        (ours.Ridge(0.3), linear_model.Ridge(0.3, solver="svd")),
        (ours.Lasso(0.3), linear_model.Lasso(0.3, tol=1e-14, max_iter=100_000)),
        (ours.ElasticNet(0.02, l1_ratio=0.7), linear_model.ElasticNet(0.02, l1_ratio=0.7, tol=1e-14, max_iter=100_000)),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_linear_models_have_the_coefficients_of_scikit_learn(mine, theirs, weights, intercept):
    """Both converged: the difference is rounding times the condition of the data, about 200, squared by theirs."""
    mine.set_params(fit_intercept=intercept).fit(X, Y, weights)
    theirs.set_params(fit_intercept=intercept).fit(X, Y, weights)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-6, atol=1e-6 * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=1e-8)


@pytest.mark.parametrize(("n", "p"), [(40, 10), (20, 60), (60, 60)])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_sparse_solutions_satisfy_their_optimality_conditions(n, p, ratio, rng):
    """|x_j (residual) / n - second w_j| = first where w_j is not 0, at most first elsewhere; and zeros are exact."""
    x, y = make_regression(n, p, n_informative=5, noise=3.0, random_state=0)
    alpha = 2.0
    found = ours.ElasticNet(alpha, l1_ratio=ratio, fit_intercept=False).fit(x, y)
    w, first, second = found.coef_, alpha * ratio, alpha * (1 - ratio)
    slope = x.T @ (y - x @ w) / n - second * w
    on = w != 0
    assert 0 < on.sum() < p or p < n
    np.testing.assert_allclose(slope[on], first * np.sign(w[on]), atol=1e-6)
    assert np.abs(slope[~on]).max(initial=0.0) <= first + 1e-6


def test_a_penalty_strong_enough_leaves_nothing():
    centred = Y - Y.mean()
    enough = np.abs((X - X.mean(0)).T @ centred).max() / len(X)
    assert not ours.Lasso(1.0001 * enough).fit(X, Y).coef_.any()
    assert np.count_nonzero(ours.Lasso(0.99 * enough).fit(X, Y).coef_) == 1


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("intercept", [True, False])
def test_logistic_regression_is_the_minimiser_of_scikit_learn(load, intercept):
    x, y = load(return_X_y=True)
    x = StandardScaler().fit_transform(x) + 0.3
    mine = ours.LogisticRegression(0.5, tol=1e-9, fit_intercept=intercept).fit(x, y)
    theirs = linear_model.LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000, fit_intercept=intercept).fit(x, y)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, atol=2e-5)
    np.testing.assert_allclose(mine.predict_proba(x), theirs.predict_proba(x), atol=1e-5)


def test_columns_of_any_scale_converge_to_the_same_model():
    """Bringing columns to one scale inside changes the way to the minimum, not the minimum."""
    x, y = load_breast_cancer(return_X_y=True)
    model = ours.LogisticRegression().fit(x, y)
    z = x @ model.coef_[0] + model.intercept_[0]
    slope = x.T @ (1 / (1 + np.exp(-z)) - y) + model.coef_[0]  # of the sum over examples plus |w|^2 / 2
    assert np.abs(slope / x.std(0)).max() / len(x) < 1e-5


def test_svm_is_the_minimiser_of_liblinear_without_an_intercept():
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    mine = ours.LinearSVM(0.1, fit_intercept=False, tol=1e-9).fit(x, y)
    theirs = svm.LinearSVC(C=0.1, fit_intercept=False, dual=False, tol=1e-10, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, atol=1e-5)


@pytest.mark.parametrize(
    "estimator", [ours.LinearRegression(), ours.Ridge(), ours.Lasso(), ours.LogisticRegression(), ours.LinearSVM()]
)
def test_a_weight_of_two_is_an_example_twice(estimator):
    y = (np.median(Y) < Y).astype(int) if hasattr(estimator, "C") else Y
    w = np.random.default_rng(1).integers(0, 3, len(X))
    weighted = estimator.fit(X, y, sample_weight=w).predict(X)
    repeated = estimator.fit(np.repeat(X, w, 0), np.repeat(y, w)).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6)


@pytest.mark.parametrize("estimator", [ours.MLPClassifier(), ours.MLPRegressor()])
def test_what_learns_at_random_takes_no_weights(estimator):
    with pytest.raises(TypeError, match="sample_weight"):
        estimator.fit(X, Y, sample_weight=WEIGHTS)


# --- as accurate as scikit-learn's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LinearRegression", "Ridge", "Lasso", "ElasticNet"])
def test_linear_models_score_as_scikit_learn_on_diabetes(name):
    row = table.scored("diabetes", name)
    assert abs(row.ours - row.theirs) < 1e-4
    assert row.ours > 0.48


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("wine", "LogisticRegression"), ("wine", "LinearSVM"), ("breast cancer", "LogisticRegression"), ("breast cancer", "LinearSVM"),
        pytest.param("digits", "LogisticRegression", marks=pytest.mark.slow), pytest.param("digits", "LinearSVM", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_linear_classifiers_score_as_scikit_learn(data, name):
    """A difference of less than one example in a hundred; LinearSVC penalises its intercept, ours does not."""
    row = table.scored(data, name)
    assert abs(row.ours - row.theirs) < 0.01
    assert row.ours > 0.95


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("data", "name"), [("diabetes", "MLPRegressor"), *[(d, "MLPClassifier") for d in ("wine", "breast cancer", "digits")]]
)
def test_networks_score_as_scikit_learn(data, name):
    """Not behind by more than what the folds alone scatter: three standard errors, or one example in a hundred."""
    row = table.scored(data, name)
    assert row.ours > row.theirs - max(3 * row.error, 0.01)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_network_explains_two_fifths_of_diabetes():
    folds = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(ours.MLPRegressor(hidden_layer_sizes=(50,), max_iter=120, random_state=0), X, Y, cv=folds)
    assert scores.mean() >= 0.40


# --- in scikit-learn's company --------------------------------------------------------------------------------------------------


def test_search_in_a_pipeline():
    x, y = load_wine(return_X_y=True)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ours.LogisticRegression()), {"logisticregression__C": [1e-4, 1.0]}, cv=3
    )
    search.fit(x, y)
    assert search.best_params_ == {"logisticregression__C": 1.0}
    assert search.best_score_ > 0.95


def test_sparse_input_is_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"[Ss]parse data was passed.*toarray"):
        ours.Ridge().fit(sparse.csr_matrix(X), Y)


def test_names_of_columns_are_kept_and_compared():
    frame = load_diabetes(as_frame=True).frame
    x, y = frame.drop(columns="target"), frame["target"]
    model = ours.Ridge(1e-3).fit(x, y)
    assert list(model.feature_names_in_) == list(x.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(x[x.columns[::-1]])


def test_labels_of_any_kind():
    x, y = load_wine(return_X_y=True)
    names = np.array(["barolo", "grignolino", "barbera"])[y]
    model = ours.LogisticRegression().fit(x, names)
    assert list(model.classes_) == ["barbera", "barolo", "grignolino"]
    assert model.score(x, names) > 0.95
    np.testing.assert_allclose(model.predict_proba(x).sum(1), 1.0)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(x)), model.predict_proba(x))


def test_several_targets():
    two = np.stack([Y, -2 * Y], axis=1)
    for model in (ours.LinearRegression(), ours.Ridge(0.1)):
        one = model.fit(X, Y).predict(X)
        np.testing.assert_allclose(model.fit(X, two).predict(X), np.stack([one, -2 * one], axis=1), rtol=1e-8)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (ours.Lasso(-1.0), "alpha must be 0 or more"),
        (ours.ElasticNet(l1_ratio=2.0), "l1_ratio must be between 0 and 1"),
        (ours.LogisticRegression(0.0), "C must be above 0"),
        (ours.MLPRegressor(learning_rate=0.0), "learning_rate must be above 0"),
    ],
)
def test_bad_parameters_are_told(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X[:20], (Y[:20] > 100).astype(int))


def test_one_class_is_told():
    with pytest.raises(ValueError, match="2 or more classes; the data holds one class: 1"):
        ours.LogisticRegression().fit(X, np.ones(len(X), int))


def test_stopping_too_early_is_told():
    with pytest.warns(ConvergenceWarning, match="stopped after 2 steps"):
        ours.LogisticRegression(max_iter=2).fit(X, Y > 100)
    with pytest.warns(ConvergenceWarning, match="stopped after 3 steps"):
        ours.Lasso(0.01, max_iter=3).fit(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_seed_repeats_a_network():
    fits = [ours.MLPClassifier((8,), max_iter=5, random_state=s).fit(X, Y > 150).predict_proba(X) for s in (3, 3, 4)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert np.any(fits[0] != fits[2])


def test_a_missing_scikit_learn_is_told():
    script = "import sys; sys.modules['sklearn'] = None; import chainrule as cr; cr.estimators"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert 'cr.estimators needs scikit-learn 1.6 or newer. Try: pip install "chainrule[train]"' in done.stderr


def test_sizes_of_hidden_layers_may_be_numbers_of_numpy() -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            ours.MLPRegressor(n, max_iter=1, random_state=0).fit(x, y).predict(x) for n in (3, np.int64(3), (3,), np.array([3]))
        ]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
