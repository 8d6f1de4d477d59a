"""Multilayer perceptrons as estimators: `chainrule.fit` behind scikit-learn's habits."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state

from chainrule import optim, random
from chainrule.estimators.common import Array, Classes, Scale, checked, new_data, not_negative, positive, warn_unfinished
from chainrule.losses import binary_cross_entropy, mse, sparse_categorical_cross_entropy
from chainrule.nn import MLP
from chainrule.train import EarlyStopping, fit


class _Perceptron(BaseEstimator):
    """What both have: a network between scaled inputs and outputs."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        alpha: float = 1.0,
        batch_size: int = 200,
        learning_rate: float = 1e-3,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        standardize: bool = True,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.standardize = standardize
        self.random_state = random_state

    def _trained(self, x: Array, y: Array, outputs: int, loss: Callable[[Any, Any], Any]) -> None:
        """Train on inputs and targets that are ready."""
        positive(learning_rate=self.learning_rate, max_iter=self.max_iter, batch_size=self.batch_size)
        not_negative(alpha=self.alpha, tol=self.tol)
        self._scale = Scale.of(x) if self.standardize else Scale(np.zeros(x.shape[1]), np.ones(x.shape[1]))
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        weights, order = random.split(random.key(seed))
        sizes: Any = self.hidden_layer_sizes
        hidden = [int(sizes)] if isinstance(sizes, Integral) else list(sizes)
        strength = 0.5 * self.alpha / len(x)

        def objective(model: MLP, x: Any, y: Any) -> Any:
            penalty = sum([np.sum(layer.weight**2) for layer in model.layers])
            return loss(y, model(x)) + strength * penalty

        found = fit(
            MLP([x.shape[1], *hidden, outputs], self.activation, key=weights),
            objective,
            (self._scale(x), y),
            optim.adam(self.learning_rate),
            epochs=self.max_iter,
            batch_size=min(self.batch_size, len(x)),
            key=order,
            early_stopping=EarlyStopping(self.n_iter_no_change, "loss", self.tol, restore_best=False),
            progress=False,
        )
        self.model_, self.history_, self.loss_curve_ = found.model, found.history, found.history.loss.tolist()
        self.n_iter_, self.loss_ = len(self.loss_curve_), self.loss_curve_[-1]
        if found.stopped == "finished":
            warn_unfinished(self, found.report.steps, f"the loss was still falling after max_iter={self.max_iter} epochs")

    def _outputs(self, x: Any) -> Array:
        z = new_data(self, x)
        return self.model_(self._scale(z))


class MLPClassifier(Classes, _Perceptron):
    r"""A multilayer perceptron for classes: $\min_\theta \frac1n \sum_i \ell(y_i, f_\theta(x_i)) + \frac{\alpha}{2n} \sum_l \lVert W_l \rVert_F^2$.

    $\ell$ is the cross-entropy; the optimiser is Adam, on batches drawn without replacement.

    Args:
        hidden_layer_sizes: one number of units, or one for each hidden layer.
        activation: of the hidden layers, a name of `chainrule.nn.ACTIVATIONS`.
        alpha: strength of the penalty on the weights.
        batch_size: examples per step.
        learning_rate: of Adam.
        max_iter: most epochs.
        tol: by how much the training loss must fall to count as progress.
        n_iter_no_change: epochs without progress after which training ends.
        standardize: bring the inputs to mean 0 and variance 1 first.
        random_state: seed of the first weights and of the batches.

    Attributes:
        classes_: the labels.
        model_: the network, of standardised inputs.
        history_: its training.
        loss_curve_: the loss of each epoch; ``loss_`` the last.
        n_iter_: epochs taken.
    """

    def fit(self, X: Any, y: Any) -> MLPClassifier:
        """Fit to X (n, features) and labels y (n,)."""
        x, y = checked(self, X, y)
        codes = self._encoded(y, x)
        if len(self.classes_) == 2:
            self._trained(x, codes.astype(np.float64), 1, _two_classes)
        else:
            self._trained(x, codes, len(self.classes_), _many_classes)
        return self

    def _scores(self, x: Any) -> Array:
        z = self._outputs(x)
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, classes)."""
        z = self._scores(X)
        return np.stack([expit(-z), expit(z)], axis=1) if z.ndim == 1 else softmax(z, axis=1)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities, without underflow."""
        z = self._scores(X)
        return np.stack([log_expit(-z), log_expit(z)], axis=1) if z.ndim == 1 else log_softmax(z, axis=1)


def _two_classes(y: Any, z: Any) -> Any:
    return binary_cross_entropy(y, z[:, 0], from_logits=True)


def _many_classes(y: Any, z: Any) -> Any:
    return sparse_categorical_cross_entropy(y, z, from_logits=True)


class MLPRegressor(MultiOutputMixin, RegressorMixin, _Perceptron):
    r"""A multilayer perceptron for numbers: $\min_\theta \frac1n \sum_i (y_i - f_\theta(x_i))^2 + \frac{\alpha}{2n} \sum_l \lVert W_l \rVert_F^2$.

    Targets are brought to mean 0 and variance 1 for training, and predictions back.

    Args:
        hidden_layer_sizes, activation, alpha, batch_size, learning_rate, max_iter, tol, n_iter_no_change, standardize, random_state:
            as for `MLPClassifier`.

    Attributes:
        model_: the network, of standardised inputs and outputs.
        history_: its training, with the loss of standardised targets.
        loss_curve_: the loss of each epoch; ``loss_`` the last.
        n_iter_: epochs taken.
    """

    def fit(self, X: Any, y: Any) -> MLPRegressor:
        """Fit to X (n, features) and y (n,) or (n, targets)."""
        x, y = checked(self, X, y, y_numeric=True, multi_output=True)
        self._single = y.ndim == 1
        y = y.reshape(len(y), -1).astype(np.float64)
        self._target = Scale.of(y)
        self._trained(x, self._target(y), y.shape[1], mse)
        return self

    def predict(self, X: Any) -> Array:
        """Predictions (n,) or (n, targets)."""
        y = self._outputs(X) * self._target.size + self._target.mean
        return y[:, 0] if self._single else y
