r"""Backpropagation as a table: what flows through each layer, there and back.

    z_l = W_l a_{l-1} + b_l,  a_l = sigma(z_l),  delta_l = dL/dz_l = (W_{l+1}^T delta_{l+1}) * sigma'(z_l)

for one example as a column; here examples are rows, so z_l = a_{l-1} W_l^T + b_l, and dL/dW_l = delta_l^T a_{l-1} is a sum over
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.nn import backprop_picture
from chainrule.nn.activations import identity
from chainrule.nn.module import Array, Module
from chainrule.nn.steps import Loss, Step, both_ways, elementwise, gradients, norm, unrolled

__all__ = ["Backpropagation", "BackpropagationLayer", "Entry", "backpropagation"]


@dataclass(frozen=True)
class Entry:
    """One array of the table: its symbol and formula in LaTeX and in plain text, its value."""

    symbol: str
    formula: str
    plain_symbol: str
    plain_formula: str
    value: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.value.shape

    @property
    def norm(self) -> float:
        """Its Euclidean length."""
        return norm(self.value)


@dataclass(frozen=True)
class BackpropagationLayer:
    """One layer's rows.

    Attributes:
        number: 1, 2, ...
        name: what it is.
        z: pre-activation.
        a: activation.
        delta: dL/dz.
        gradients: dL/d(parameter) by the parameter's name.
        forward, backward: the rows to be printed.
    """

    number: int
    name: str
    z: Array
    a: Array
    delta: Array
    gradients: dict[str, Array]
    forward: tuple[Entry, ...]
    backward: tuple[Entry, ...]

    @property
    def dW(self) -> Array | None:
        """dL/dW; None for a layer without weights."""
        return self.gradients.get("weight")

    @property
    def db(self) -> Array | None:
        """dL/db; None for a layer without a bias."""
        return self.gradients.get("bias")


@dataclass(frozen=True)
class Backpropagation:
    """The table; ``str`` prints it, ``latex`` and ``svg`` show it, iterating gives the layers from first to last.

    Attributes:
        loss: the loss.
        layers: one `BackpropagationLayer` for each.
        grads: all gradients in the containers of the model, as `chainrule.grad` gives them.
    """

    loss: float
    layers: tuple[BackpropagationLayer, ...]
    grads: Any

    def __iter__(self) -> Iterator[BackpropagationLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: int) -> BackpropagationLayer:
        return self.layers[k]

    @property
    def rows(self) -> list[tuple[BackpropagationLayer, Entry]]:
        """Every array in the order in which it is worked out: forward from the first layer, backward from the last."""
        onward = [(layer, e) for layer in self.layers for e in layer.forward]
        return onward + [(layer, e) for layer in reversed(self.layers) for e in layer.backward]

    @property
    def text(self) -> str:
        """The table as text."""
        cells = [("layer", "array", "shape", "norm", "how")]
        for layer, e in self.rows:
            shape = " x ".join(map(str, e.shape)) or "1"
            cells.append((f"{layer.number} {layer.name}", e.plain_symbol, shape, f"{e.norm:.6g}", e.plain_formula))
        widths = [max(len(row[k]) for row in cells) for k in range(4)]
        lines = ["  ".join([*[c.ljust(w) for c, w in zip(row, widths, strict=False)], row[4]]).rstrip() for row in cells]
        middle = 1 + 2 * len(self.layers)
        rule = "-" * max(map(len, lines))
        return "\n".join([f"loss {self.loss:.6g}", lines[0], rule, *lines[1:middle], rule, *lines[middle:]])

    def __str__(self) -> str:
        return self.text

    @property
    def latex(self) -> str:
        """The table as a LaTeX array of equations with shapes and norms."""
        lines = [
            rf"{e.symbol} &= {e.formula} & {_dimensions(e.shape)} & \lVert\cdot\rVert = {_number(e.norm)}" for _, e in self.rows
        ]
        middle = 2 * len(self.layers)
        body = " \\\\\n".join(lines[:middle]) + " \\\\[1ex]\n" + " \\\\\n".join(lines[middle:])
        return rf"\begin{{array}}{{rlcl}}{chr(10)}{body}{chr(10)}\end{{array}}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex}$"

    @property
    def svg(self) -> str:
        """The two passes as a picture: a card for each layer, values on top, derivatives below."""
        return backprop_picture.svg(self)

    def _repr_svg_(self) -> str:
        return self.svg


def _dimensions(shape: tuple[int, ...]) -> str:
    return r" \times ".join(map(str, shape)) or "1"


def _number(x: float) -> str:
    mantissa, _, exponent = f"{x:.4g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


# --- formulas ----------------------------------------------------------------------------------------------------------------

_GREEK = {"sigmoid": r"\sigma", "tanh": r"\tanh", "identity": r"\operatorname{id}"}
_PARAMETERS = {"weight": "W", "bias": "b", "gamma": r"\gamma", "beta": r"\beta"}
_PLAIN = {"weight": "W", "bias": "b"}


def _function(f: Any) -> tuple[str, str]:
    """The name of an activation in LaTeX and in text."""
    name = getattr(f, "__name__", "sigma").replace("<lambda>", "sigma")
    return _GREEK.get(name, rf"\operatorname{{{name.replace('_', chr(92) + '_')}}}"), name


def _before(k: int) -> str:
    return f"a_{{{k - 1}}}" if k > 1 else "x"


def _entry(latex: tuple[str, str], plain: tuple[str, str], value: Array) -> Entry:
    return Entry(latex[0], latex[1], plain[0], plain[1], value)


def _forward(k: int, row: Step, z: Array, a: Array) -> tuple[Entry, Entry]:
    before, plain = _before(k), f"a{k - 1}" if k > 1 else "x"
    if row.affine:
        bias = getattr(row.layer, "bias", None) is not None
        how = (rf"{before} W_{{{k}}}^\top" + (f" + b_{{{k}}}" if bias else ""), f"{plain} W{k}^T" + (f" + b{k}" if bias else ""))
    else:
        how = (rf"\operatorname{{{row.name}}}_{{{k}}}({before})", f"{row.name}{k}({plain})")
    f, name = _function(row.activation)
    same = row.activation is identity
    first = _entry((f"z_{{{k}}}", how[0]), (f"z{k}", how[1]), z)
    after = (f"z_{{{k}}}", f"z{k}") if same else (f"{f}(z_{{{k}}})", f"{name}(z{k})")
    return first, _entry((f"a_{{{k}}}", after[0]), (f"a{k}", after[1]), a)


def _slope_above(k: int, rows: list[Step]) -> tuple[str, str]:
    """dL/da of layer k, in terms of the layer above."""
    if k < len(rows) and rows[k].affine:
        return rf"\delta_{{{k + 1}}} W_{{{k + 1}}}", f"delta{k + 1} W{k + 1}"
    return rf"\frac{{\partial L}}{{\partial a_{{{k}}}}}", f"dL/da{k}"


def _delta(k: int, rows: list[Step]) -> tuple[str, str]:
    above, plain = _slope_above(k, rows)
    f = rows[k - 1].activation
    if f is identity:
        return above, plain
    symbol, name = _function(f)
    if not elementwise(f):
        return rf"{above} \, J_{{{symbol}}}(z_{{{k}}})", f"({plain}) J_{name}(z{k})"
    grouped = above if above.startswith(r"\frac") else rf"\left({above}\right)"
    return rf"{grouped} \odot {symbol}'(z_{{{k}}})", f"({plain}) * {name}'(z{k})"


def _gradient(k: int, row: Step, name: str, value: Array) -> Entry:
    letter, plain = _PARAMETERS.get(name, rf"\mathtt{{{name}}}".replace("_", r"\_")), _PLAIN.get(name, name)
    top = rf"\frac{{\partial L}}{{\partial {letter}_{{{k}}}}}"
    if row.affine and name == "weight":
        how = (rf"\delta_{{{k}}}^\top {_before(k)}", f"delta{k}^T {f'a{k - 1}' if k > 1 else 'x'}")
    elif row.affine and name == "bias":
        how = (rf"\sum_n \delta_{{{k},n}}", f"sum over examples of delta{k}")
    else:
        how = (rf"\delta_{{{k}}} \frac{{\partial z_{{{k}}}}}{{\partial {letter}_{{{k}}}}}", f"delta{k} dz{k}/d{plain}{k}")
    return _entry((top, how[0]), (f"dL/d{plain}{k}", how[1]), value)


def backpropagation(
    model: Module, loss: Loss, x: Any, y: Any, *, training: bool = False, key: Any = None, mask: Any = None
) -> Backpropagation:
    r"""The forward and the backward pass of a network, layer by layer: z, a, $\delta = \partial L/\partial z$, and gradients.

    Args:
        model: a layer; `Sequential` and `MLP` are taken apart, one row for each layer. A lone activation belongs to the layer
            before it; a residual branch, a normalisation or an attention is one row.
        loss: (y_true, y_pred) -> one number, as those of `chainrule.losses`.
        x: input of the model.
        y: targets.
        training, key, mask: as in a call of the model.

    Returns:
        The table; its ``grads`` equal ``cr.grad(lambda m: loss(y, m(x)))(model)``.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> net = cr.nn.MLP([2, 3, 1], "tanh", key=cr.random.key(0))
        >>> table = cr.nn.backpropagation(net, cr.losses.mse, np.ones((4, 2)), np.zeros((4, 1)))
        >>> [layer.dW.shape for layer in table]
        [(3, 2), (1, 3)]
        >>> [e.plain_formula for _, e in table.rows][:3]
        ['x W1^T + b1', 'tanh(z1)', 'a1 W2^T + b2']

    Source: Rumelhart, Hinton and Williams 1986.
    """
    if not isinstance(model, Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise errors.DtypeError(f"backpropagation: the model is a layer of chainrule.nn, not a {type(model).__name__}.")
    p = both_ways(model, loss, x, y, training, key, mask)
    layers: list[BackpropagationLayer] = []
    for k, (row, g) in enumerate(zip(p.rows, unrolled(p.grads), strict=True), 1):
        z, a, delta = p.zs[k - 1], p.activations[k - 1], np.asarray(p.deltas[k - 1])
        grads = gradients(g.layer)
        latex, plain = _delta(k, p.rows)
        first = _entry((rf"\delta_{{{k}}}", latex), (f"delta{k}", plain), delta)
        back = (first, *[_gradient(k, row, name, value) for name, value in grads.items()])
        layers.append(BackpropagationLayer(k, row.name, z, a, delta, grads, _forward(k, row, z, a), back))
    return Backpropagation(p.loss, tuple(layers), p.grads)
