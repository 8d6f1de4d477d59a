"""Estimators in scikit-learn's way: ``fit``, ``predict``, ``score``, pipelines and searches.

Every one minimises an objective that is written as plain NumPy code and differentiated by chainrule; the linear ones end at the
exact minimiser up to their tolerance, the networks are trained with `chainrule.fit`.

Example:
    >>> from sklearn.datasets import load_iris
    >>> from chainrule.estimators import LogisticRegression
    >>> x, y = load_iris(return_X_y=True)
    >>> float(LogisticRegression().fit(x, y).score(x, y)) > 0.95
    True
"""

from __future__ import annotations

try:
    import sklearn.utils.validation as _validation
except ImportError as e:
    raise ImportError('cr.estimators needs scikit-learn 1.6 or newer. Try: pip install "chainrule[train]"') from e
if not hasattr(_validation, "validate_data"):
    raise ImportError('cr.estimators needs scikit-learn 1.6 or newer. Try: pip install --upgrade "chainrule[train]"')

from chainrule.estimators.classification import LinearSVM, LogisticRegression
from chainrule.estimators.linear import ElasticNet, Lasso, LinearRegression, Ridge
from chainrule.estimators.neural import MLPClassifier, MLPRegressor

__all__ = [
    "ElasticNet", "Lasso", "LinearRegression", "LinearSVM", "LogisticRegression", "MLPClassifier", "MLPRegressor", "Ridge",
]  # fmt: skip
