"""Formulas and functions that everybody differentiates, for the tests of `cr.derive`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr


class Classic(NamedTuple):
    """A formula, what it is differentiated with respect to, and the shapes of its variables."""

    name: str
    formula: str
    wrt: str | tuple[str, ...]
    shapes: dict[str, str]
    order: int = 1
    layout: str = "denominator"

    def derive(self) -> cr.Derivation:
        return cr.derive(self.formula, wrt=self.wrt, shapes=self.shapes, order=self.order, layout=self.layout)


def _c(name: str, formula: str, wrt: str, shapes: str, order: int = 1, layout: str = "denominator") -> Classic:
    names = tuple(wrt.split(","))
    sizes = {n: s for n, _, s in (part.partition(":") for part in shapes.split())}
    return Classic(name, formula, names if len(names) > 1 else wrt, sizes, order, layout)


# fmt: off
CLASSICS = (
    _c("least squares", "mean((X @ w - y)**2)", "w", "X:n,d w:d y:n"),
    _c("least squares, half the mean", "sum((X @ w - y)**2)/(2*n)", "w", "X:n,d w:d y:n"),
    _c("least squares as a norm", "norm(X @ w - y)**2", "w", "X:n,d w:d y:n"),
    _c("least squares with intercept", "mean((X @ w + b - y)**2)", "w,b", "X:n,d w:d y:n"),
    _c("least squares, intercept alone", "mean((X @ w + b - y)**2)", "b", "X:n,d w:d y:n"),
    _c("least squares, data", "mean((X @ w - y)**2)", "X", "X:n,d w:d y:n"),
    _c("weighted least squares", "sum(c*(X @ w - y)**2)", "w", "X:n,d w:d y:n c:n"),
    _c("generalised least squares", "(y - X @ w)' @ inv(S) @ (y - X @ w)", "w", "X:n,d w:d y:n S:n,n"),
    _c("several outputs", "norm(X @ W - Y)**2/n", "W", "X:n,d W:d,k Y:n,k"),
    _c("absolute deviations", "sum(abs(X @ w - y))", "w", "X:n,d w:d y:n"),
    _c("ridge", "mean((X @ w - y)**2) + lam*sum(w**2)", "w", "X:n,d w:d y:n"),
    _c("logistic regression", "-mean(y*log(sigmoid(X @ w)) + (1-y)*log(1-sigmoid(X @ w)))", "w", "X:n,d w:d y:n"),
    _c("logistic regression with intercept", "-mean(y*log(sigmoid(X @ w + b)) + (1-y)*log(1-sigmoid(X @ w + b)))", "w,b", "X:n,d w:d y:n"),
    _c("logistic loss with signs", "mean(log(1 + exp(-y*(X @ w)))) + lam/2*(w' @ w)", "w", "X:n,d w:d y:n"),
    _c("softmax cross-entropy", "-mean(sum(Y*log(softmax(X @ W, axis=1)), axis=1))", "W", "X:n,d W:d,k Y:n,k"),
    _c("softmax cross-entropy with intercept", "-mean(sum(Y*log_softmax(X @ W + b, axis=1), axis=1))", "W,b", "X:n,d W:d,k Y:n,k b:k"),
    _c("cross-entropy of logits", "logsumexp(z) - z[2]", "z", "z:k"),
    _c("Gaussian log-likelihood, mean", "-n*d/2*log(2*pi) - n/2*logdet(S) - 0.5*sum((X - mu) @ inv(S) * (X - mu))", "mu", "X:n,d mu:d S:d,d"),
    _c("Gaussian log-likelihood, covariance", "-n/2*logdet(S) - 0.5*tr((X - mu) @ inv(S) @ (X - mu)')", "S", "X:n,d mu:d S:d,d"),
    _c("Gaussian log-likelihood, precision", "n/2*logdet(P) - 0.5*tr((X - mu) @ P @ (X - mu)')", "P", "X:n,d mu:d P:d,d"),
    _c("log-determinant", "logdet(X)", "X", "X:n,n"),
    _c("trace form", "tr(A @ X @ B @ X' @ C)", "X", "A:k,m X:m,n B:n,n C:m,k"),
    _c("Frobenius norm squared", "norm(A @ X - B)**2/2", "X", "A:m,n X:n,k B:m,k"),
    _c("Frobenius norm", "norm(X)", "X", "X:m,n"),
    _c("norm of a residual", "norm(A @ x - b)", "x", "A:m,n x:n b:m"),
    _c("p-norm", "sum(abs(x)**p)**(1/p)", "x", "x:n"),
    _c("Mahalanobis distance", "sqrt((x - mu)' @ inv(S) @ (x - mu))", "x", "x:d mu:d S:d,d"),
    _c("RBF kernel", "exp(-gamma*norm(x - c)**2)", "x", "x:d c:d"),
    _c("RBF kernel, width", "exp(-norm(x - c)**2/(2*sigma**2))", "sigma", "x:d c:d"),
    _c("sigmoid layer", "mean((sigmoid(W @ x + b) - y)**2)", "W,b", "W:m,n x:n b:m y:m"),
    _c("sigmoid layer, input", "mean((sigmoid(W @ x + b) - y)**2)", "x", "W:m,n x:n b:m y:m"),
    _c("two layers", "norm(W2 @ tanh(W1 @ x + b1) + b2 - y)**2/2", "W1,b1,W2,b2", "x:d W1:h,d b1:h W2:k,h b2:k y:k"),
    _c("two layers, batch", "mean((relu(X @ W1) @ W2 - Y)**2)", "W1,W2", "X:n,d W1:d,h W2:h,k Y:n,k"),
    _c("batch normalisation", "sum(C*((X - mean(X, axis=0))/sqrt(var(X, axis=0) + eps)*gamma + beta))", "X,gamma,beta", "X:n,d C:n,d gamma:d beta:d"),
    _c("layer normalisation", "sum(c*(x - mean(x))/sqrt(var(x) + eps))", "x", "x:d c:d"),
    _c("RMS normalisation", "sum(c*x/sqrt(mean(x**2) + eps))", "x", "x:d c:d"),
    _c("attention", "sum(C*(softmax(Q @ K'/sqrt(d), axis=1) @ V))", "Q,K,V", "Q:n,d K:m,d V:m,k C:n,k"),
    _c("Kullback-Leibler divergence", "sum(p*log(p/q))", "q", "p:k q:k"),
    _c("Kullback-Leibler divergence to a softmax", "sum(p*log(p/softmax(z)))", "z", "p:k z:k"),
    _c("VAE, Gaussian to standard Gaussian", "0.5*sum(mu**2 + sigma**2 - 1 - log(sigma**2))", "mu,sigma", "mu:d sigma:d"),
    _c("entropy of a softmax", "-sum(softmax(z)*log_softmax(z))", "z", "z:k"),
    _c("Poisson regression", "mean(exp(X @ w) - y*(X @ w))", "w", "X:n,d w:d y:n"),
    _c("gamma regression", "mean(X @ w + y*exp(-(X @ w)))", "w", "X:n,d w:d y:n"),
    _c("negative binomial regression", "sum((y + r)*log(r + exp(X @ w)) - y*(X @ w))", "w", "X:n,d w:d y:n"),
    _c("probit regression", "-sum(y*log((1 + erf((X @ w)/sqrt(2)))/2) + (1-y)*log(1 - (1 + erf((X @ w)/sqrt(2)))/2))", "w", "X:n,d w:d y:n"),
    _c("support vector machine", "mean(maximum(0, 1 - y*(X @ w))) + lam/2*(w' @ w)", "w", "X:n,d w:d y:n"),
    _c("cosine distance", "1 - (x' @ y)/(norm(x)*norm(y))", "x", "x:n y:n"),
    _c("correlation", "sum((x - mean(x))*(y - mean(y)))/(sqrt(sum((x-mean(x))**2))*sqrt(sum((y-mean(y))**2)))", "x", "x:n y:n"),
    _c("Rayleigh quotient", "x' @ A @ x/(x' @ x)", "x", "x:n A:n,n"),
    _c("matrix factorisation", "norm(R - U @ V')**2 + lam*(norm(U)**2 + norm(V)**2)", "U,V", "R:n,m U:n,k V:m,k"),
    _c("linear autoencoder", "norm(W' @ W @ x - x)**2", "W", "W:k,d x:d"),
    _c("contrastive loss", "-log(exp(u' @ v/tau)/sum(exp(K @ u/tau)))", "u", "u:d v:d K:m,d"),
    _c("Gaussian process, noise", "0.5*y' @ inv(K + s*eye(n)) @ y + 0.5*logdet(K + s*eye(n))", "s", "K:n,n y:n"),
    _c("variance", "var(x)", "x", "x:n"),
    _c("Dice loss", "1 - 2*sum(p*y)/(sum(p) + sum(y))", "p", "p:n y:n"),
    _c("temporal difference", "(r + g*(w' @ y) - w' @ x)**2/2", "w", "w:d x:d y:d"),
    _c("gate", "sum(c*(sigmoid(W @ x)*tanh(U @ x)))", "W,U", "c:h W:h,d U:h,d x:d"),
    _c("cubic regularisation", "g' @ x + x' @ H @ x/2 + s/6*norm(x)**3", "x", "g:n x:n H:n,n"),
    _c("one number", "x**3*sin(x)", "x", ""),
    _c("sigmoid of one number", "sigmoid(w*x + b)", "w", ""),
    _c("softmax, Jacobian", "softmax(z)", "z", "z:k"),
    _c("tanh layer, Jacobian", "tanh(W @ x + b)", "x", "W:m,n x:n b:m"),
    _c("quadratic, Hessian", "x' @ A @ x/2 + b' @ x", "x", "x:n A:n,n b:n", 2),
    _c("logistic regression, Hessian", "-mean(y*log(sigmoid(X @ w)) + (1-y)*log(1-sigmoid(X @ w)))", "w", "X:n,d w:d y:n", 2),
    _c("least squares, numerator layout", "mean((X @ w - y)**2)", "w", "X:n,d w:d y:n", layout="numerator"),
    _c("trace, numerator layout", "tr(A @ X)", "X", "A:n,m X:m,n", layout="numerator"),
    _c("least squares in LaTeX", r"\frac{1}{n}\sum_{i=1}^n (y_i - w^\top x_i)^2", "w", "x:n,d w:d y:n"),
    _c("ridge in LaTeX", r"\frac{1}{2}\|X w - y\|_2^2 + \frac{\lambda}{2}\|w\|_2^2", "w", "X:n,d w:d y:n"),
    _c("logistic regression in LaTeX", r"-\sum_{i=1}^n \left[ y_i \log \sigma(w^\top x_i) + (1-y_i)\log(1-\sigma(w^\top x_i)) \right]", "w", "x:n,d w:d y:n"),
    _c("Gaussian in LaTeX", r"-\frac{1}{2}\sum_{i=1}^n (x_i - \mu)^\top \Sigma^{-1} (x_i - \mu) - \frac{n}{2}\log|\Sigma|", "Sigma", "x:n,d mu:d Sigma:d,d"),
    _c("RBF kernel in LaTeX", r"\exp(-\gamma \|x - c\|^2)", "x", "x:d c:d"),
    _c("bilinear form in LaTeX", r"\sum_{i=1}^n \sum_{j=1}^m a_i X_{ij} b_j", "X", "a:n b:m X:n,m"),
    _c("log-sum-exp in LaTeX", r"\log \sum_{j=1}^k e^{z_j} - z_1", "z", "z:k"),
    _c("half a square in LaTeX", r"L = \frac{1}{2}(y - \hat{y})^2", "yhat", ""),
    _c("sigmoid layer in LaTeX", r"\| \sigma(W x + b) - y \|^2", "W", "W:m,n x:n b:m y:m"),
)
# fmt: on


def half_mean(w: Any, X: Any, y: Any) -> Any:
    r = X @ w - y
    return 0.5 * r @ r / len(y)


def logistic(w: Any, b: Any, X: Any, t: Any) -> Any:
    p = 1 / (1 + np.exp(-(X @ w + b)))
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))


def two_layers(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, Y: Any) -> Any:
    H = np.tanh(X @ W1 + b1)
    O = H @ W2 + b2
    return np.mean((O - Y) ** 2)


def three_layers(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, X: Any, Y: Any) -> Any:
    H1 = np.maximum(X @ W1 + b1, 0)
    H2 = np.maximum(H1 @ W2 + b2, 0)
    Z = H2 @ W3 + b3
    S = Z - Z.max(axis=1, keepdims=True)
    P = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    return -np.mean(np.sum(Y * np.log(P), axis=1))


def batch_norm(gamma: Any, beta: Any, X: Any, C: Any) -> Any:
    mu, v = X.mean(0), X.var(0)
    xhat = (X - mu) / np.sqrt(v + 1e-5)
    return np.sum(C * (gamma * xhat + beta))


def attention(Q: Any, K: Any, V: Any, C: Any) -> Any:
    S = Q @ K.T / np.sqrt(Q.shape[1])
    A = cr.special.softmax(S, axis=1)
    return np.sum(C * (A @ V))


def powers(x: Any) -> Any:
    s = 0.0
    for i in range(3):
        s = s + x[i] ** (i + 1)
    return s


def tree(params: Any, x: Any) -> Any:
    return np.sum(np.tanh(params["W"] @ x + params["b"]) ** 2)


def quadratic(A: Any, x: Any) -> Any:
    return x @ A @ x


class Written(NamedTuple):
    """A Python function, example arguments by a seed, and what it is differentiated with respect to."""

    f: Callable[..., Any]
    make: Callable[[np.random.Generator], tuple[Any, ...]]
    wrt: Any


def _probabilities(rng: np.random.Generator, *shape: int) -> Any:
    y = rng.random(shape)
    return y / y.sum(-1, keepdims=True)


FUNCTIONS = (
    Written(half_mean, lambda r: (r.normal(size=3), r.normal(size=(5, 3)), r.normal(size=5)), "w"),
    Written(half_mean, lambda r: (r.normal(size=4), r.normal(size=(4, 4)), r.normal(size=4)), "w"),  # n and d happen to agree
    Written(logistic, lambda r: (r.normal(size=3), 0.3, r.normal(size=(5, 3)), r.random(5)), ("w", "b")),
    Written(
        two_layers,
        lambda r: tuple(r.normal(size=s) for s in ((3, 4), 4, (4, 2), 2, (5, 3), (5, 2))),
        ("W1", "b1", "W2", "b2"),
    ),
    Written(
        three_layers,
        lambda r: (*(r.normal(size=s) for s in ((3, 4), 4, (4, 4), 4, (4, 2), 2, (5, 3))), _probabilities(r, 5, 2)),
        ("W1", "W2", "W3"),
    ),
    Written(batch_norm, lambda r: tuple(r.normal(size=s) for s in (3, 3, (5, 3), (5, 3))), ("X", "gamma")),
    Written(attention, lambda r: tuple(r.normal(size=s) for s in ((5, 3), (4, 3), (4, 2), (5, 2))), ("Q", "K", "V")),
    Written(powers, lambda r: (r.normal(size=4),), 0),
    Written(tree, lambda r: ({"W": r.normal(size=(4, 3)), "b": r.normal(size=4)}, r.normal(size=3)), 0),
    Written(quadratic, lambda r: (r.normal(size=(3, 3)), r.normal(size=3)), "x"),
)


@cache
def derived() -> dict[str, cr.Derivation]:
    """All of them, once for all tests of a process."""
    out = {c.name: c.derive() for c in CLASSICS}
    for k, (f, make, wrt) in enumerate(FUNCTIONS):
        out[f"function {k + 1}, {f.__name__}"] = cr.derive(f, *make(np.random.default_rng(k)), wrt=wrt)
    return out
