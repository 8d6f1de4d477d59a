"""Attention: each query reads the values of the keys that fit it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors, special
from chainrule.front.custom import stop_gradient
from chainrule.nn.dense import Dense
from chainrule.nn.module import STATIC, Module, array, fill, keys, last_axis, positive


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Softmax along the last axis of the scores where the mask is True, and 0 elsewhere.

    A row without a True is 0 everywhere, and so is its derivative: who may look at nothing reads nothing.
    """
    open_ = np.broadcast_to(mask, np.shape(scores))
    seen = np.where(open_, scores, -np.inf)
    top = stop_gradient(np.max(seen, axis=-1, keepdims=True))
    top = np.where(np.isfinite(top), top, 0.0)
    e = np.where(open_, np.exp(np.where(open_, scores - top, 0.0)), 0.0)
    total = np.sum(e, axis=-1, keepdims=True)
    return e / np.where(total == 0, 1.0, total)


def causal_mask(n: int) -> Any:
    """(n, n), True where query i may look at key j: j <= i."""
    return np.tril(np.ones((n, n), bool))


def padding_mask(lengths: Sequence[int] | Any, n: int) -> Any:
    """(batch, 1, n), True at the first `lengths` positions of each sequence: queries may look at these."""
    return np.arange(n) < np.reshape(array(lengths), (-1, 1, 1))


def attention_weights(q: Any, k: Any, mask: Any = None) -> Any:
    r"""$\operatorname{softmax}(Q K^\top / \sqrt{d_k})$: (..., queries, d_k) and (..., keys, d_k) to (..., queries, keys)."""
    scores = np.matmul(q * (1 / math.sqrt(np.shape(q)[-1])), np.swapaxes(k, -1, -2))
    return special.softmax(scores, axis=-1) if mask is None else masked_softmax(scores, mask)


def scaled_dot_product_attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    r"""$\text{Attention}(Q, K, V) = \operatorname{softmax}(Q K^\top / \sqrt{d_k})\, V$.

    Args:
        q: queries, (..., queries, d_k).
        k: keys, (..., keys, d_k).
        v: values, (..., keys, d_v).
        mask: True where a query may look at a key; it broadcasts to (..., queries, keys).

    Returns:
        (..., queries, d_v); 0 for a query that may look at nothing.

    Source: Vaswani et al. 2017, equation 1.
    """
    return np.matmul(attention_weights(q, k, mask), v)


def _looks(layer: Module, mask: Any, causal: bool, batch: tuple[int, ...], queries: int, n: int) -> Any:
    """The mask and the causal one together, of a shape that broadcasts to (batch..., queries, keys); None for no mask."""
    if causal and queries != n:
        raise errors.ShapeError(f"{layer!r} is causal, so it needs as many queries as keys, and there are {queries} and {n}.")
    if mask is None:
        return causal_mask(n) if causal else None
    mask, full = array(mask), (*batch, queries, n)
    if np.dtype(mask.dtype).kind != "b":
        raise errors.DtypeError(f"{layer!r}: a mask is an array of bool, True where a query may look, not {mask.dtype}.")
    try:
        fits = np.broadcast_shapes(np.shape(mask), full) == full
    except ValueError:
        fits = False
    if not fits:
        raise errors.ShapeError(
            f"{layer!r} needs a mask that broadcasts to (batch, queries, keys) = {full}, and was given one of shape "
            f"{np.shape(mask)}.",
            "A mask of shape (batch, keys), for padding, becomes one by mask[:, None, :].",
        )
    return mask & causal_mask(n) if causal else mask


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SelfAttention(Module):
    r"""Attention with one head: $Q = X W_Q^\top, K = X W_K^\top, V = X W_V^\top$, and nothing after it.

    Args:
        n: size of the features, the last axis.
        d_k: size of queries and keys; n by default.
        d_v: size of the values and of the output; d_k by default.
        key: random key for the weights.
        causal: may a position look at earlier ones and itself only?
        dtype: float64 or float32.

    Attributes:
        query, keys, values: the three projections, `Dense` layers without bias.
    """

    query: Dense
    keys: Dense
    values: Dense
    causal: bool = field(metadata=STATIC)

    def __init__(
        self,
        n: int,
        d_k: int | None = None,
        d_v: int | None = None,
        *,
        key: Any,
        causal: bool = False,
        dtype: Any = np.float64,
    ) -> None:
        d_k = n if d_k is None else d_k
        sizes = (d_k, d_k, d_k if d_v is None else d_v)
        q, k, v = [Dense(n, m, key=one, bias=False, dtype=dtype) for m, one in zip(sizes, keys(key, 3), strict=True)]
        fill(self, query=q, keys=k, values=v, causal=causal)

    def _mask(self, x: Any, mask: Any) -> Any:
        x = last_axis(self, x, self.query.weight.shape[1], ndim=2)
        return _looks(self, mask, self.causal, np.shape(x)[:-2], np.shape(x)[-2], np.shape(x)[-2])

    def weights(self, x: Any, *, mask: Any = None) -> Any:
        """How much each query looks at each key, (..., length, length)."""
        seen = self._mask(x, mask)
        return attention_weights(self.query(x), self.keys(x), seen)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(..., length, n) to (..., length, d_v); mask (length, length) or (batch, length, length)."""
        return np.matmul(self.weights(x, mask=mask), self.values(x))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MultiHeadAttention(Module):
    r"""$\text{Concat}(\text{head}_1, \ldots, \text{head}_h) W_O, \quad
    \text{head}_i = \text{Attention}(Q W_{Q,i}, K W_{K,i}, V W_{V,i})$.

    Args:
        n: size of the features, the last axis.
        heads: number of heads; it divides n, each has n / heads features.
        key: random key for the weights.
        n_context: size of the features that keys and values are made of; n by default.
        causal: may a position look at earlier ones and itself only?
        bias: do the projections have one?
        dtype: float64 or float32.

    Attributes:
        query, keys, values, output: the projections, `Dense` layers; head i has rows i n/h to (i + 1) n/h of the first three.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> layer = cr.nn.MultiHeadAttention(8, 2, key=cr.random.key(0), causal=True)
        >>> layer(np.ones((3, 5, 8))).shape
        (3, 5, 8)

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    query: Dense
    keys: Dense
    values: Dense
    output: Dense
    heads: int = field(metadata=STATIC)
    causal: bool = field(metadata=STATIC)

    def __init__(
        self,
        n: int,
        heads: int,
        *,
        key: Any,
        n_context: int | None = None,
        causal: bool = False,
        bias: bool = True,
        dtype: Any = np.float64,
    ) -> None:
        positive(n=n, heads=heads)
        if n % heads:
            raise ValueError(f"MultiHeadAttention: {n} features do not divide into {heads} heads of one size")
        other = n if n_context is None else n_context
        q, k, v, o = [
            Dense(m, n, key=one, bias=bias, dtype=dtype) for m, one in zip((n, other, other, n), keys(key, 4), strict=True)
        ]
        fill(self, query=q, keys=k, values=v, output=o, heads=heads, causal=causal)

    def _split(self, x: Any) -> Any:
        """(..., length, n) to (..., heads, length, n / heads)."""
        shape = np.shape(x)
        return np.swapaxes(np.reshape(x, (*shape[:-1], self.heads, shape[-1] // self.heads)), -2, -3)

    def _joined(self, x: Any) -> Any:
        y = np.swapaxes(x, -2, -3)
        shape = np.shape(y)
        return np.reshape(y, (*shape[:-2], shape[-2] * shape[-1]))

    def weights(self, x: Any, context: Any = None, *, mask: Any = None) -> Any:
        """How much each query looks at each key, (..., heads, queries, keys)."""
        x = last_axis(self, x, self.query.weight.shape[1], ndim=2)
        other = x if context is None else last_axis(self, context, self.keys.weight.shape[1], ndim=2)
        seen = self._mask(mask, np.shape(x)[:-2], np.shape(x)[-2], np.shape(other)[-2])
        return attention_weights(self._split(self.query(x)), self._split(self.keys(other)), seen)

    def _mask(self, mask: Any, batch: tuple[int, ...], queries: int, n: int) -> Any:
        if mask is not None and np.ndim(mask) == len(batch) + 3:  # one for each head
            return _looks(self, mask, self.causal, (*batch, self.heads), queries, n)
        seen = _looks(self, mask, self.causal, batch, queries, n)
        return np.expand_dims(seen, -3) if seen is not None and np.ndim(seen) > 2 else seen

    def __call__(self, x: Any, context: Any = None, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Each position of x reads the context (x itself by default).

        Args:
            x: (..., queries, n).
            context: (..., keys, n_context), what is looked at; self-attention without it.
            training, key: as for every layer; nothing here is random.
            mask: True where a query may look: (queries, keys), (batch, queries, keys) or (batch, heads, queries, keys), sizes
                of 1 serve all. `padding_mask` makes one from the lengths of sequences.

        Returns:
            (..., queries, n). A query that may look at nothing reads zeros, and gets the output's bias.
        """
        weights = self.weights(x, context, mask=mask)
        v = self._split(self.values(array(x) if context is None else array(context)))
        return self.output(self._joined(np.matmul(weights, v)))
