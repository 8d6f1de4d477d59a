"""Claims of 9.6 about attention."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Derivative, Matches, Same, normals
from chainrule.nn.module import replaced
from chainrule.special import softmax

N, D, HEADS = 5, 4, 2  # positions, features, heads
X, WQ, WK, WV, WO, SENSITIVITY = normals(71, (N, D), (D, D), (D, D), (D, D), (D, D), (N, D))
QKV = [tuple(normals(s, (N, D), (N, D), (N, D))) for s in (72, 73)]
WIDE = [tuple(normals(74, (3, 4), (6, 4), (6, 2)))]  # 3 queries of size 4, 6 keys, values of size 2


def attended(q: Any, k: Any, v: Any) -> Any:
    """Attention from its words: each query takes the mean of the values, weighted by e to the scaled products."""
    out = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        weights = [np.exp(sum(a * b for a, b in zip(q[i], k[j], strict=True)) / np.sqrt(q.shape[1])) for j in range(len(k))]
        out[i] = sum(w * v[j] for j, w in enumerate(weights)) / sum(weights)
    return out


def scaled(q: Any, k: Any) -> Any:
    """The scores."""
    return q @ k.T / np.sqrt(q.shape[1])


def attention(q: Any, k: Any, v: Any) -> Any:
    """The formula of matrices, softmax along rows."""
    return softmax(scaled(q, k), axis=-1) @ v


def projections_of_the_library(x: Any) -> Any:
    """Queries, keys and values of a layer whose weights are ours; it keeps them transposed."""
    layer = cr.nn.SelfAttention(D, key=cr.random.key(0))
    own = {"query": WQ, "keys": WK, "values": WV}
    return tuple(replaced(getattr(layer, name), weight=w.T)(x) for name, w in own.items())


def library_heads(x: Any) -> Any:
    """Multi-head self-attention by the library's layer with our weights."""
    layer = cr.nn.MultiHeadAttention(D, HEADS, key=cr.random.key(0), bias=False)
    own = {"query": WQ, "keys": WK, "values": WV, "output": WO}
    return replaced(layer, **{name: replaced(getattr(layer, name), weight=w.T) for name, w in own.items()})(x)


def head(i: int, x: Any) -> Any:
    """Head i: its own two columns of each of the weights."""
    part = slice(2 * i, 2 * i + 2)
    return attention(x @ WQ[:, part], x @ WK[:, part], x @ WV[:, part])


def head_of_projections(i: int, x: Any) -> Any:
    """The same where Q, K and V are what they were said to be, the projections of X."""
    part = slice(2 * i, 2 * i + 2)
    return attention(x @ WQ @ WQ[:, part], x @ WK @ WK[:, part], x @ WV @ WV[:, part])


def are_weights(formula: Any) -> tuple[bool, dict[str, float]]:
    """Are the numbers of each query, one for every key, positive, with the sum one?"""
    found = [formula(*c) for c in (*QKV, *WIDE)]
    shapes = all(w.shape == (len(q), len(k)) for w, (q, k, _) in zip(found, (*QKV, *WIDE), strict=True))
    off, least = max(float(np.max(np.abs(w.sum(-1) - 1))) for w in found), min(float(w.min()) for w in found)
    return shapes and least > 0 and off < 1e-12, {"one number a key": float(shapes), "largest |sum - 1|": off, "least": least}


def keeps_the_scores_at_one(scale: Any) -> tuple[bool, dict[str, float]]:
    """For independent standard normal queries and keys of size 4 to 1024: is the variance of the scores within 10 % of one?"""
    found: dict[str, float] = {}
    for d in (4, 64, 1024):
        q, k = normals(75, (200, d), (200, d))
        found[f"variance, d_k = {d}"] = float(np.var(q @ k.T / scale(d)))
    return max(abs(v - 1) for v in found.values()) < 0.1, found


def looked_at(q: Any, k: Any, v: Any) -> Any:
    """A loss of the attention's output."""
    scores = q @ k.T / np.sqrt(q.shape[1])
    weights = np.exp(scores) / np.sum(np.exp(scores), axis=-1, keepdims=True)
    return np.sum(weights @ v * SENSITIVITY)


def slopes_times_values(q: Any, k: Any, v: Any) -> Any:
    """The slope of softmax, element by element, times the values; no keys."""
    weights = softmax(scaled(q, k), axis=-1)
    return SENSITIVITY * ((weights * (1 - weights)) @ v) / np.sqrt(q.shape[1])


def through_the_scores(q: Any, k: Any, v: Any) -> Any:
    """Back through the values to the weights, through softmax's Jacobian to the scores, through the keys to the queries."""
    weights = softmax(scaled(q, k), axis=-1)
    back = SENSITIVITY @ v.T
    back = weights * (back - np.sum(weights * back, axis=-1, keepdims=True))
    return back @ k / np.sqrt(q.shape[1])


CLAIMS = (
    Claim(
        id="9.6.attention.projections", lines=(655, 658), kind="definition", verdict="true",
        statement="Queries, keys and values are three linear maps of the same input.", latex=r"Q = X W_Q, \quad K = X W_K, \quad V = X W_V",
        judge=Same(projections_of_the_library, [(X,), (2 * X,)]), stated=lambda x: (x @ WQ, x @ WK, x @ WV), other=lambda x: (x @ WQ.T, x @ WK.T, x @ WV.T),
        note="With positions in rows; the library keeps the weights transposed, as its dense layers do.",
    ),
    Claim(
        id="9.6.attention.label", lines=(660, 660), kind="definition", verdict="imprecise",
        statement="The attention's weights are softmax of the scores times the values.", latex=r"\text{weights} = \operatorname{softmax}(Q K^{\mathsf T} / \sqrt{d_k})\, V",
        judge=Matches(are_weights), stated=attention, other=lambda q, k, v: softmax(scaled(q, k), axis=-1),
        note="That is the output. The weights are the softmax alone: one positive number for each key, with the sum one.",
        note_latex=r"A = \operatorname{softmax}(Q K^{\mathsf T} / \sqrt{d_k}), \quad \text{output} = A V",
    ),
    Claim(
        id="9.6.attention.formula", lines=(661, 663), kind="definition", verdict="true",
        statement="Attention is the softmax of the scaled products of queries and keys, times the values.", latex=r"\text{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{Q K^{\mathsf T}}{\sqrt{d_k}}\right) V",
        judge=Same(attended, [*QKV, *WIDE], "attention by loops"), stated=attention, other=lambda q, k, v: softmax(scaled(q, k), axis=0) @ v,
        note="Softmax runs along rows, over the keys. Down the columns the same symbols give something else.", source="Vaswani et al. 2017, equation 1",
    ),
    Claim(
        id="9.6.attention.scale", lines=(661, 663), kind="property", verdict="true",
        statement="The root of the size of the keys is the scale that keeps scores of independent queries and keys from growing with it.", latex=r"\operatorname{Var}(q^{\mathsf T} k / \sqrt{d_k}) = 1",
        judge=Matches(keeps_the_scores_at_one), stated=np.sqrt, other=lambda d: d,
        note="d_k is not explained: the number of columns of Q and K, in each head that of the head. Scores that grow saturate softmax, and its slope vanishes.", source="Vaswani et al. 2017, footnote 4",
    ),
    Claim(
        id="9.6.attention.heads", lines=(665, 668), kind="definition", verdict="true",
        statement="Several heads are set side by side and mixed by one more matrix.", latex=r"\text{Concat}(\text{head}_1, \ldots, \text{head}_h)\, W^O",
        judge=Same(library_heads, [(X,), (2 * X,)]), stated=lambda x: np.concatenate([head(0, x), head(1, x)], axis=1) @ WO, other=lambda x: np.concatenate([head(0, x), head(1, x)], axis=0).reshape(N, D) @ WO,
        note="Side by side: along the features, not along the positions.",
    ),
    Claim(
        id="9.6.attention.head", lines=(670, 670), kind="definition", verdict="imprecise",
        statement="Each head is attention of projections of Q, K and V, which were defined as projections of X.", latex=r"\text{head}_i = \text{Attention}(Q W_i^Q, K W_i^K, V W_i^V)",
        judge=Same(library_heads, [(X,), (2 * X,)], "the library's layer"),
        stated=lambda x: np.concatenate([head_of_projections(0, x), head_of_projections(1, x)], axis=1) @ WO, other=lambda x: np.concatenate([head(0, x), head(1, x)], axis=1) @ WO,
        note="Here Q, K and V are the inputs themselves (X, in self-attention), not the projections of the same names above; else everything is projected twice.",
        note_latex=r"\text{head}_i = \text{Attention}(X W_i^Q, X W_i^K, X W_i^V)", source="Vaswani et al. 2017, section 3.2.2",
    ),
    Claim(
        id="9.6.attention.gradient", lines=(674, 677), kind="derivative", verdict="false",
        statement="The derivative of attention in Q is the slope of softmax times the values, over the root of d_k.", latex=r"\frac{\partial \text{Attention}}{\partial Q} = \frac{1}{\sqrt{d_k}} \operatorname{softmax}'\left(\frac{Q K^{\mathsf T}}{\sqrt{d_k}}\right) V",
        judge=Derivative(looked_at, QKV, name="derivative of attention in the queries"), stated=slopes_times_values, other=through_the_scores,
        note="The keys are missing: the scores depend on Q through K. The derivative of softmax is no matrix of slopes either, but a Jacobian for each row, between the "
        "values and the keys. With values of another size than the keys, not even the shapes agree. And it would be the derivative of the output, not of the weights.",
        note_latex=r"\frac{\partial L}{\partial Q} = \frac{1}{\sqrt{d_k}} \left[ A \odot \left( G V^{\mathsf T} - \operatorname{rowsum}(A \odot G V^{\mathsf T}) \right) \right] K, \quad G = \frac{\partial L}{\partial (A V)}",
    ),
)  # fmt: skip
