"""Cross-validated scores of chainrule's estimators beside scikit-learn's own, on its real data sets.

python benchmarks/estimators.py            # the table
python benchmarks/estimators.py --json
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn import linear_model, neural_network, svm
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import estimators

DATA = {"diabetes": load_diabetes, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
REGRESSORS: dict[str, tuple[Any, Any]] = {
    "LinearRegression": (estimators.LinearRegression(), linear_model.LinearRegression()),
    "Ridge": (estimators.Ridge(1.0), linear_model.Ridge(1.0)),
    "Lasso": (estimators.Lasso(1.0), linear_model.Lasso(1.0)),
    "ElasticNet": (estimators.ElasticNet(0.1), linear_model.ElasticNet(0.1)),
    "MLPRegressor": (estimators.MLPRegressor(random_state=0), neural_network.MLPRegressor(max_iter=1000, random_state=0)),
}
CLASSIFIERS: dict[str, tuple[Any, Any]] = {
    "LogisticRegression": (estimators.LogisticRegression(), linear_model.LogisticRegression(max_iter=1000)),
    "LinearSVM": (estimators.LinearSVM(), svm.LinearSVC(max_iter=10_000)),
    "MLPClassifier": (estimators.MLPClassifier(random_state=0), neural_network.MLPClassifier(random_state=0)),
}


class Row(NamedTuple):
    """Mean score over the folds (R^2 or accuracy), its standard error, and seconds per fit, for both libraries."""

    data: str
    estimator: str
    ours: float
    theirs: float
    error: float
    seconds: float
    seconds_theirs: float

    @property
    def behind(self) -> float:
        """By how many standard errors of the difference ours is behind."""
        return (self.theirs - self.ours) / max(self.error, 1e-12)


def pairs(data: str) -> dict[str, tuple[Any, Any]]:
    """The estimators for a data set."""
    return REGRESSORS if data == "diabetes" else CLASSIFIERS


def scored(data: str, name: str, folds: int = 5) -> Row:
    """Both estimators on the same folds, behind the same scaling."""
    x, y = DATA[data](return_X_y=True)
    found = [_scores(clone(e), x, y, folds) for e in pairs(data)[name]]
    (ours, seconds), (theirs, seconds_theirs) = found
    error = float(np.std(ours - theirs, ddof=1) / np.sqrt(folds))
    return Row(data, name, float(ours.mean()), float(theirs.mean()), error, seconds, seconds_theirs)


def _scores(estimator: Any, x: Any, y: Any, folds: int) -> tuple[Any, float]:
    kind = StratifiedKFold if is_classifier(estimator) else KFold
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(make_pipeline(StandardScaler(), estimator), x, y, cv=kind(folds, shuffle=True, random_state=0))
    return scores, (time.perf_counter() - start) / folds


def rows() -> Iterator[Row]:
    """Every estimator on every data set it is for."""
    for data in DATA:
        for name in pairs(data):
            yield scored(data, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    if parser.parse_args().json:
        print(json.dumps([row._asdict() for row in rows()], indent=1))
        return
    print(f"{'data':14} {'estimator':20} {'chainrule':>10} {'sklearn':>10} {'s.e.':>8} {'s/fit':>8} {'s/fit':>8}")
    for r in rows():
        print(
            f"{r.data:14} {r.estimator:20} {r.ours:10.4f} {r.theirs:10.4f} {r.error:8.4f} {r.seconds:8.3f} {r.seconds_theirs:8.3f}"
        )


if __name__ == "__main__":
    main()
