"""Skip connections, and the transformer's block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.nn.attention import MultiHeadAttention
from chainrule.nn.dense import Dense, as_module
from chainrule.nn.dropout import Dropout
from chainrule.nn.module import Module, applied, array, fill, folded, keys, returned
from chainrule.nn.norm import LayerNorm


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Residual(Module):
    r"""$y = x + F(x)$, so $\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} (I + F'(x))$.

    Args:
        layer: F, a layer whose output has the shape of its input.

    In training it returns (y, new Residual) if F learns statistics.

    Source: He, Zhang, Ren and Sun 2016.
    """

    layer: Module

    def __init__(self, layer: Any) -> None:
        fill(self, layer=as_module(layer))

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """x plus the layer's output."""
        x = array(x)
        y, layer = applied(self.layer, x, training, key, mask)
        if np.shape(y) != np.shape(x):
            shapes = f"{np.shape(x)} and {np.shape(y)}"
            raise errors.ShapeError(f"{self!r} adds its input to its layer's output, and their shapes are {shapes}.")
        return returned(self, x + y, training, layer=layer)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class TransformerBlock(Module):
    r"""$h = x + \text{MultiHead}(\text{norm}_1(x)), \quad y = h + W_2\, \sigma(W_1 \text{norm}_2(h) + b_1) + b_2$.

    The norm comes first in each branch (pre-norm), so the way from y to x is free of it.

    Args:
        n: size of the features, the last axis.
        heads: number of attention heads; it divides n.
        n_hidden: size of the hidden layer; 4 n by default.
        key: random key for the weights.
        activation: of the hidden layer.
        rate: dropout on both branches.
        causal: may a position look at earlier ones and itself only?
        dtype: float64 or float32.

    Source: Vaswani et al. 2017, with the order of Xiong et al. 2020, figure 1b.
    """

    attention: MultiHeadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    expand: Dense
    contract: Dense
    dropout: Dropout

    def __init__(
        self,
        n: int,
        heads: int,
        n_hidden: int | None = None,
        *,
        key: Any,
        activation: str | Callable[[Any], Any] = "gelu",
        rate: float = 0.0,
        causal: bool = False,
        dtype: Any = np.float64,
    ) -> None:
        hidden = 4 * n if n_hidden is None else n_hidden
        a, b, c = keys(key, 3)
        fill(
            self,
            attention=MultiHeadAttention(n, heads, key=a, causal=causal, dtype=dtype),
            norm1=LayerNorm(n, dtype=dtype),
            norm2=LayerNorm(n, dtype=dtype),
            expand=Dense(n, hidden, key=b, activation=activation, dtype=dtype),
            contract=Dense(hidden, n, key=c, dtype=dtype),
            dropout=Dropout(rate),
        )

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(..., length, n) to the same shape; the mask is the attention's."""

        def dropped(y: Any, k: int) -> Any:
            return self.dropout(y, training=training, key=folded(key, k))

        h = array(x)
        h = h + dropped(self.attention(self.norm1(h), mask=mask), 0)
        return h + dropped(self.contract(self.expand(self.norm2(h))), 1)
