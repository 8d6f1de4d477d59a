"""Identities of matrix calculus as published: the function, and the derivative that the book gives, both as formulas.

The scoreboard derives each anew and compares the numbers.  Sources: K. B. Petersen and M. S. Pedersen, *The Matrix Cookbook*,
version of 15 November 2012 (equation numbers); J. R. Magnus and H. Neudecker, *Matrix Differential Calculus* (chapter); and the
losses, penalties and layers that everybody trains with, with derivatives as in C. M. Bishop, *Pattern Recognition and Machine
Learning*, and the papers that introduced them.
"""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """A published derivative: of `formula` with respect to `wrt`, variables having these shapes."""

    name: str
    source: str
    formula: str
    shapes: dict[str, str]
    wrt: str
    published: str
    order: int = 1


def _cookbook(number: str, formula: str, shapes: str, published: str, wrt: str = "X", order: int = 1) -> Identity:
    return Identity(f"({number})", f"Matrix Cookbook ({number})", formula, _shapes(shapes), wrt, published, order)


def _magnus(name: str, chapter: str, formula: str, shapes: str, published: str, wrt: str = "X", order: int = 1) -> Identity:
    return Identity(name, f"Magnus & Neudecker, ch. {chapter}", formula, _shapes(shapes), wrt, published, order)


def _learning(name: str, source: str, formula: str, shapes: str, published: str, wrt: str, order: int = 1) -> Identity:
    return Identity(name, source, formula, _shapes(shapes), wrt, published, order)


def _shapes(text: str) -> dict[str, str]:
    """``X:m,n a:m b:n``"""
    return {name: shape for name, _, shape in (part.partition(":") for part in text.split())}


_SQUARE = "X:n,n"
_W = "(S + S')"  # a symmetric matrix

# fmt: off
COOKBOOK = (
    _cookbook("49", "det(X)", _SQUARE, "det(X) * inv(X)'"),
    _cookbook("51", "det(A @ X @ B)", "X:n,n A:n,n B:n,n", "det(A @ X @ B) * inv(X)'"),
    _cookbook("52", "det(X' @ A @ X)", "X:n,n A:n,n", "2 * det(X' @ A @ X) * inv(X)'"),
    _cookbook("53", f"det(X' @ {_W} @ X)", "X:m,2 S:m,m", f"2 * det(X' @ {_W} @ X) * {_W} @ X @ inv(X' @ {_W} @ X)"),
    _cookbook("54", "det(X' @ A @ X)", "X:m,2 A:m,m", "det(X' @ A @ X) * (A @ X @ inv(X' @ A @ X) + A' @ X @ inv(X' @ A' @ X))"),
    _cookbook("55", "logdet(X' @ X)", "X:m,2", "2 * pinv(X)'"),
    _cookbook("57", "log(abs(det(X)))", _SQUARE, "inv(X)'"),
    _cookbook("58", "det(X @ X @ X)", _SQUARE, "3 * det(X @ X @ X) * inv(X)'"),
    _cookbook("60", "(inv(X))[0, 1]", _SQUARE, "-outer(inv(X)[0], inv(X)[:, 1])"),
    _cookbook("61", "a' @ inv(X) @ b", "X:n,n a:n b:n", "-inv(X)' @ outer(a, b) @ inv(X)'"),
    _cookbook("62", "det(inv(X))", _SQUARE, "-det(inv(X)) * inv(X)'"),
    _cookbook("63", "tr(A @ inv(X) @ B)", "X:n,n A:m,n B:n,m", "-(inv(X) @ B @ A @ inv(X))'"),
    _cookbook("64", "tr(inv(X + A))", "X:n,n A:n,n", "-(inv(X + A) @ inv(X + A))'"),
    _cookbook("69", "x' @ a", "x:n a:n", "a", "x"),
    _cookbook("70", "a' @ X @ b", "X:m,n a:m b:n", "outer(a, b)"),
    _cookbook("71", "a' @ X' @ b", "X:m,n a:n b:m", "outer(b, a)"),
    _cookbook("72", "a' @ X @ a", "X:n,n a:n", "outer(a, a)"),
    _cookbook("76", "sum(X)**2", "X:m,n", "2 * sum(X) * ones((m, n))"),
    _cookbook("77", "b' @ X' @ X @ c", "X:m,n b:n c:n", "X @ (outer(b, c) + outer(c, b))"),
    _cookbook("78", "(B @ x + b)' @ C @ (D @ x + d)", "x:n B:m,n b:m C:m,k D:k,n d:k", "B' @ C @ (D @ x + d) + D' @ C' @ (B @ x + b)", "x"),
    _cookbook("81", "x' @ B @ x", "x:n B:n,n", "(B + B') @ x", "x"),
    _cookbook("82", "b' @ X' @ D @ X @ c", "X:m,n b:n c:n D:m,m", "D' @ X @ outer(b, c) + D @ X @ outer(c, b)"),
    _cookbook("83", "(X @ b + c)' @ D @ (X @ b + c)", "X:m,n b:n c:m D:m,m", "(D + D') @ outer(X @ b + c, b)"),
    _cookbook("84", f"(x - A @ s)' @ {_W} @ (x - A @ s)", "x:m A:m,n s:n S:m,m", f"-2 * A' @ {_W} @ (x - A @ s)", "s"),
    _cookbook("85", f"(x - s)' @ {_W} @ (x - s)", "x:m s:m S:m,m", f"2 * {_W} @ (x - s)", "x"),
    _cookbook("86", f"(x - s)' @ {_W} @ (x - s)", "x:m s:m S:m,m", f"-2 * {_W} @ (x - s)", "s"),
    _cookbook("87", f"(x - A @ s)' @ {_W} @ (x - A @ s)", "x:m A:m,n s:n S:m,m", f"2 * {_W} @ (x - A @ s)", "x"),
    _cookbook("88", f"(x - A @ s)' @ {_W} @ (x - A @ s)", "x:m A:m,n s:n S:m,m", f"-2 * outer({_W} @ (x - A @ s), s)", "A"),
    _cookbook("96", "x' @ A @ x + b' @ x", "x:n A:n,n b:n", "(A + A') @ x + b", "x"),
    _cookbook("97", "x' @ A @ x + b' @ x", "x:n A:n,n b:n", "A + A'", "x", 2),
    _cookbook("99", "tr(X)", _SQUARE, "eye(n)"),
    _cookbook("100", "tr(X @ A)", "X:m,n A:n,m", "A'"),
    _cookbook("101", "tr(A @ X @ B)", "X:m,n A:k,m B:n,k", "A' @ B'"),
    _cookbook("102", "tr(A @ X' @ B)", "X:m,n A:k,n B:m,k", "B @ A"),
    _cookbook("103", "tr(X' @ A)", "X:m,n A:m,n", "A"),
    _cookbook("104", "tr(A @ X')", "X:m,n A:m,n", "A"),
    _cookbook("105", "tr(A) * tr(X)", "X:n,n A:m,m", "tr(A) * eye(n)"),
    _cookbook("106", "tr(X @ X)", _SQUARE, "2 * X'"),
    _cookbook("107", "tr(X @ X @ B)", "X:n,n B:n,n", "(X @ B + B @ X)'"),
    _cookbook("108", "tr(X' @ B @ X)", "X:m,n B:m,m", "B @ X + B' @ X"),
    _cookbook("109", "tr(B @ X @ X')", "X:m,n B:m,m", "B @ X + B' @ X"),
    _cookbook("110", "tr(X @ X' @ B)", "X:m,n B:m,m", "B @ X + B' @ X"),
    _cookbook("111", "tr(X @ B @ X')", "X:m,n B:n,n", "X @ B' + X @ B"),
    _cookbook("112", "tr(B @ X' @ X)", "X:m,n B:n,n", "X @ B' + X @ B"),
    _cookbook("113", "tr(X' @ X @ B)", "X:m,n B:n,n", "X @ B' + X @ B"),
    _cookbook("114", "tr(A @ X @ B @ X)", "X:m,n A:n,m B:n,m", "A' @ X' @ B' + B' @ X' @ A'"),
    _cookbook("115", "tr(X' @ X)", "X:m,n", "2 * X"),
    _cookbook("116", "tr(B' @ X' @ C @ X @ B)", "X:m,n B:n,k C:m,m", "C' @ X @ B @ B' + C @ X @ B @ B'"),
    _cookbook("117", "tr(X' @ B @ X @ C)", "X:m,n B:m,m C:n,n", "B @ X @ C + B' @ X @ C'"),
    _cookbook("118", "tr(A @ X @ B @ X' @ C)", "X:m,n A:k,m B:n,n C:m,k", "A' @ C' @ X @ B' + C @ A @ X @ B"),
    _cookbook("119", "tr((A @ X @ B + C) @ (A @ X @ B + C)')", "X:m,n A:k,m B:n,p C:k,p", "2 * A' @ (A @ X @ B + C) @ B'"),
    _cookbook("120", "tr(X)**2", _SQUARE, "2 * tr(X) * eye(n)"),
    _cookbook("121", "tr(X @ X @ X)", _SQUARE, "3 * (X @ X)'"),
    _cookbook("122", "tr(A @ X @ X @ X)", "X:n,n A:n,n", "(A @ X @ X + X @ A @ X + X @ X @ A)'"),
    _cookbook("123", "tr(B' @ X' @ C @ X @ X' @ C @ X @ B)", "X:m,n B:n,k C:m,m", "C @ X @ X' @ C @ X @ B @ B' + C' @ X @ B @ B' @ X' @ C' @ X + C @ X @ B @ B' @ X' @ C @ X + C' @ X @ X' @ C' @ X @ B @ B'"),
    _cookbook("124", "tr(A @ inv(X) @ B)", "X:n,n A:m,n B:n,m", "-inv(X)' @ A' @ B' @ inv(X)'"),
    _cookbook("125", f"tr(inv(X' @ {_W} @ X) @ A)", "X:m,2 S:m,m A:2,2", f"-{_W} @ X @ inv(X' @ {_W} @ X) @ (A + A') @ inv(X' @ {_W} @ X)"),
    _cookbook("126", f"tr(inv(X' @ {_W} @ X) @ (X' @ (B + B') @ X))", "X:m,2 S:m,m B:m,m", f"-2 * {_W} @ X @ inv(X' @ {_W} @ X) @ X' @ (B + B') @ X @ inv(X' @ {_W} @ X) + 2 * (B + B') @ X @ inv(X' @ {_W} @ X)"),
    _cookbook("129", "norm(x - a)", "x:n a:n", "(x - a) / norm(x - a)", "x"),
    _cookbook("130", "(x - a) / norm(x - a)", "x:n a:n", "eye(n) / norm(x - a) - outer(x - a, x - a) / norm(x - a)**3", "x"),
    _cookbook("131", "norm(x)**2", "x:n", "2 * x", "x"),
    _cookbook("132", "norm(X)**2", "X:m,n", "2 * X"),
)

MAGNUS = (
    _magnus("linear form", "9", "a' @ x", "a:n x:n", "a", "x"),
    _magnus("quadratic form", "9", "x' @ A @ x", "A:n,n x:n", "(A + A') @ x", "x"),
    _magnus("quadratic form, Hessian", "10", "x' @ A @ x", "A:n,n x:n", "A + A'", "x", 2),
    _magnus("linear map", "9", "A @ x", "A:m,n x:n", "A", "x"),
    _magnus("difference of forms", "9", "x' @ A @ x / (x' @ x)", "A:n,n x:n", "((A + A') @ x) / (x' @ x) - 2 * (x' @ A @ x) * x / (x' @ x)**2", "x"),
    _magnus("trace of a product", "9", "tr(A @ X)", "A:n,m X:m,n", "A'"),
    _magnus("trace with a transpose", "9", "tr(X' @ A @ X @ B)", "A:m,m X:m,n B:n,n", "A @ X @ B + A' @ X @ B'"),
    _magnus("trace of an inverse", "9", "tr(A @ inv(X))", "A:n,n X:n,n", "-(inv(X) @ A @ inv(X))'"),
    _magnus("trace of X A X B", "9", "tr(X @ A @ X @ B)", "A:n,m X:m,n B:n,m", "(A @ X @ B + B @ X @ A)'"),
    _magnus("determinant", "9", "det(X)", _SQUARE, "det(X) * inv(X)'"),
    _magnus("determinant of X X'", "9", "det(X @ X')", "X:2,n", "2 * det(X @ X') * inv(X @ X') @ X"),
    _magnus("determinant of X' X", "9", "det(X' @ X)", "X:n,2", "2 * det(X' @ X) * X @ inv(X' @ X)"),
    _magnus("log-determinant", "9", "logdet(X)", _SQUARE, "inv(X)'"),
    _magnus("log-determinant of X' X", "9", "logdet(X' @ X)", "X:n,2", "2 * X @ inv(X' @ X)"),
    _magnus("sum of squared residuals", "13", "(y - X @ b)' @ (y - X @ b)", "y:n X:n,k b:k", "-2 * X' @ (y - X @ b)", "b"),
    _magnus("sum of squared residuals, Hessian", "13", "(y - X @ b)' @ (y - X @ b)", "y:n X:n,k b:k", "2 * X' @ X", "b", 2),
    _magnus("normal log-likelihood, covariance", "15", "-logdet(V)/2 - (x - mu)' @ inv(V) @ (x - mu)/2", "V:n,n x:n mu:n", "-inv(V)'/2 + inv(V)' @ outer(x - mu, x - mu) @ inv(V)'/2", "V"),
    _magnus("normal log-likelihood, mean", "15", "-(x - mu)' @ inv(V) @ (x - mu)/2", "V:n,n x:n mu:n", "(inv(V) + inv(V)') @ (x - mu)/2", "mu"),
    _magnus("element-wise exponential", "9", "sum(exp(X))", "X:m,n", "exp(X)"),
    _magnus("Hadamard product", "9", "sum(A * X * X)", "A:m,n X:m,n", "2 * A * X"),
)

LEARNING = (
    _learning("least squares", "Bishop 3.1", "sum((X @ w - y)**2)/2", "X:n,d w:d y:n", "X' @ (X @ w - y)", "w"),
    _learning("mean squared error", "notes", "mean((yhat - y)**2)", "yhat:n y:n", "2 * (yhat - y)/n", "yhat"),
    _learning("mean absolute error", "notes", "mean(abs(yhat - y))", "yhat:n y:n", "sign(yhat - y)/n", "yhat"),
    _learning("Huber loss", "Huber 1964", "mean(where(abs(r) <= delta, r**2/2, delta*abs(r) - delta**2/2))", "r:n", "where(abs(r) <= delta, r, delta*sign(r))/n", "r"),
    _learning("log-cosh loss", "notes", "mean(log(cosh(yhat - y)))", "yhat:n y:n", "tanh(yhat - y)/n", "yhat"),
    _learning("ridge regression", "Bishop 3.27", "sum((X @ w - y)**2)/2 + lam*(w' @ w)/2", "X:n,d w:d y:n", "X' @ (X @ w - y) + lam*w", "w"),
    _learning("ridge regression, Hessian", "Bishop 3.27", "sum((X @ w - y)**2)/2 + lam*(w' @ w)/2", "X:n,d w:d y:n", "X' @ X + lam*eye(d)", "w", 2),
    _learning("lasso", "Tibshirani 1996", "sum((X @ w - y)**2)/(2*n) + lam*sum(abs(w))", "X:n,d w:d y:n", "X' @ (X @ w - y)/n + lam*sign(w)", "w"),
    _learning("elastic net", "Zou and Hastie 2005", "sum((X @ w - y)**2) + l1*sum(abs(w)) + l2*sum(w**2)", "X:n,d w:d y:n", "2*X' @ (X @ w - y) + l1*sign(w) + 2*l2*w", "w"),
    _learning("logistic regression", "Bishop 4.91", "-sum(y*log(sigmoid(X @ w)) + (1 - y)*log(1 - sigmoid(X @ w)))", "X:n,d w:d y:n", "X' @ (sigmoid(X @ w) - y)", "w"),
    _learning("logistic regression, Hessian", "Bishop 4.97", "-sum(y*log(sigmoid(X @ w)) + (1 - y)*log(1 - sigmoid(X @ w)))", "X:n,d w:d y:n", "X' @ diag(sigmoid(X @ w)*(1 - sigmoid(X @ w))) @ X", "w", 2),
    _learning("logistic loss with signs", "notes", "mean(log(1 + exp(-y*(X @ w))))", "X:n,d w:d y:n", "-X' @ (y*sigmoid(-y*(X @ w)))/n", "w"),
    _learning("binary cross-entropy", "notes", "-mean(y*log(p) + (1 - y)*log(1 - p))", "p:n y:n", "(p - y)/(p*(1 - p))/n", "p"),
    _learning("binary cross-entropy of logits", "Bishop 4.109", "mean(logaddexp(0, z) - y*z)", "z:n y:n", "(sigmoid(z) - y)/n", "z"),
    _learning("categorical cross-entropy", "notes", "-sum(y*log(p))", "p:k y:k", "-y/p", "p"),
    _learning("softmax with cross-entropy", "Bishop 4.109", "logsumexp(z) - y' @ z", "z:k y:k", "softmax(z) - y", "z"),
    _learning("softmax regression", "Bishop 4.109", "sum(logsumexp(X @ W, axis=1)) - sum(Y*(X @ W))", "X:n,d W:d,k Y:n,k", "X' @ (softmax(X @ W, axis=1) - Y)", "W"),
    _learning("hinge loss", "notes", "mean(maximum(0, 1 - y*z))", "z:n y:n", "-y*(y*z < 1)/n", "z"),
    _learning("squared hinge loss", "notes", "mean(maximum(0, 1 - y*z)**2)", "z:n y:n", "-2*y*maximum(0, 1 - y*z)/n", "z"),
    _learning("exponential loss", "Freund and Schapire 1997", "mean(exp(-y*z))", "z:n y:n", "-y*exp(-y*z)/n", "z"),
    _learning("focal loss", "Lin et al. 2017", "-sum((1 - p)**2*log(p))", "p:n", "2*(1 - p)*log(p) - (1 - p)**2/p", "p"),
    _learning("Kullback-Leibler divergence", "notes", "sum(p*log(p/q))", "p:k q:k", "-p/q", "q"),
    _learning("Kullback-Leibler divergence, first argument", "notes", "sum(p*log(p/q))", "p:k q:k", "log(p/q) + 1", "p"),
    _learning("entropy", "notes", "-sum(p*log(p))", "p:k", "-log(p) - 1", "p"),
    _learning("Poisson regression", "McCullagh and Nelder", "sum(exp(X @ w) - y*(X @ w))", "X:n,d w:d y:n", "X' @ (exp(X @ w) - y)", "w"),
    _learning("normal log-likelihood, mean", "Bishop 2.121", "-sum((x - mu)**2)/(2*v) - n*log(2*pi*v)/2", "x:n", "sum(x - mu)/v", "mu"),
    _learning("normal log-likelihood, variance", "Bishop 2.122", "-sum((x - mu)**2)/(2*v) - n*log(2*pi*v)/2", "x:n", "sum((x - mu)**2)/(2*v**2) - n/(2*v)", "v"),
    _learning("softplus", "notes", "sum(log(1 + exp(z)))", "z:n", "sigmoid(z)", "z"),
    _learning("sigmoid", "notes", "sum(sigmoid(z))", "z:n", "sigmoid(z)*(1 - sigmoid(z))", "z"),
    _learning("tanh", "notes", "sum(tanh(z))", "z:n", "1 - tanh(z)**2", "z"),
    _learning("ReLU", "notes", "sum(relu(z))", "z:n", "1.0*(z > 0)", "z"),
    _learning("GELU", "Hendrycks and Gimpel 2016", "sum(gelu(z))", "z:n", "(1 + erf(z/sqrt(2)))/2 + z*exp(-z**2/2)/sqrt(2*pi)", "z"),
    _learning("SiLU", "notes", "sum(z*sigmoid(z))", "z:n", "sigmoid(z)*(1 + z*(1 - sigmoid(z)))", "z"),
    _learning("softmax, Jacobian", "notes", "softmax(z)", "z:k", "diag(softmax(z)) - outer(softmax(z), softmax(z))", "z"),
    _learning("log-sum-exp, Hessian", "notes", "logsumexp(z)", "z:k", "diag(softmax(z)) - outer(softmax(z), softmax(z))", "z", 2),
    _learning("linear layer, weights", "notes", "sum(C*(X @ W + b))", "X:n,d W:d,k b:k C:n,k", "X' @ C", "W"),
    _learning("linear layer, input", "notes", "sum(C*(X @ W + b))", "X:n,d W:d,k b:k C:n,k", "C @ W'", "X"),
    _learning("linear layer, bias", "notes", "sum(C*(X @ W + b))", "X:n,d W:d,k b:k C:n,k", "sum(C, axis=0)", "b"),
    _learning("sigmoid unit", "notes", "mean((sigmoid(W @ x + b) - y)**2)", "W:m,n x:n b:m y:m", "2/m*outer((sigmoid(W @ x + b) - y)*sigmoid(W @ x + b)*(1 - sigmoid(W @ x + b)), x)", "W"),
    _learning("two layers, first weights", "notes", "v' @ tanh(W @ x)", "W:h,d x:d v:h", "outer(v*(1 - tanh(W @ x)**2), x)", "W"),
    _learning("batch normalisation", "Ioffe and Szegedy 2015", "sum(C*(X - mean(X, axis=0))/sqrt(var(X, axis=0) + eps))", "X:n,d C:n,d", "(C - mean(C, axis=0) - (X - mean(X, axis=0))*mean(C*(X - mean(X, axis=0)), axis=0)/(var(X, axis=0) + eps))/sqrt(var(X, axis=0) + eps)", "X"),
    _learning("layer normalisation", "Ba et al. 2016", "sum(c*(x - mean(x))/sqrt(var(x) + eps))", "x:d c:d", "(c - mean(c) - (x - mean(x))*mean(c*(x - mean(x)))/(var(x) + eps))/sqrt(var(x) + eps)", "x"),
    _learning("attention, values", "Vaswani et al. 2017", "sum(C*(softmax(Q @ K'/sqrt(d), axis=1) @ V))", "Q:n,d K:m,d V:m,k C:n,k", "softmax(Q @ K'/sqrt(d), axis=1)' @ C", "V"),
    _learning("attention scores", "Vaswani et al. 2017", "sum(C*softmax(S, axis=1))", "S:n,m C:n,m", "softmax(S, axis=1)*(C - sum(C*softmax(S, axis=1), axis=1, keepdims=True))", "S"),
    _learning("triplet loss", "Schroff et al. 2015", "maximum(0, norm(a - p)**2 - norm(a - q)**2 + margin)", "a:d p:d q:d", "2*(q - p)*(norm(a - p)**2 - norm(a - q)**2 + margin > 0)", "a"),
    _learning("matrix factorisation", "Koren et al. 2009", "norm(R - U @ V')**2 + lam*norm(U)**2", "R:n,m U:n,k V:m,k", "-2*(R - U @ V') @ V + 2*lam*U", "U"),
    _learning("cosine similarity", "notes", "(x' @ y)/(norm(x)*norm(y))", "x:n y:n", "y/(norm(x)*norm(y)) - (x' @ y)*x/(norm(x)**3*norm(y))", "x"),
    _learning("Rayleigh quotient", "notes", "x' @ (A + A') @ x/(x' @ x)", "x:n A:n,n", "2*((A + A') @ x - (x' @ (A + A') @ x)/(x' @ x)*x)/(x' @ x)", "x"),
)
# fmt: on

IDENTITIES = (*COOKBOOK, *MAGNUS, *LEARNING)
"""All of them."""
