"""A function as a graph one can read: `trace` makes it, `Graph` shows it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from chainrule.build.builder import current
from chainrule.build.tree import flatten, paths
from chainrule.calls import traced
from chainrule.ir import graph as ir
from chainrule.ir.graph import Var
from chainrule.transform.simplify import simplify


class Graph(ir.Graph):
    """A function as a list of equations: typed, closed, without side effects.

    ``print(graph)`` writes one line per equation with the line of the user's code it comes from; `to_python`, `to_latex`
    and `to_svg` write it as NumPy source, as formulas and as a picture.
    """

    @classmethod
    def of(cls, g: ir.Graph) -> Graph:
        """The same graph with the methods below."""
        return g if isinstance(g, cls) else cls(g.ins, g.eqns, g.outs)

    def to_python(self, name: str = "f") -> str:
        """NumPy source of a function `name` that does the same, with the user's own names.

        Example:
            >>> import numpy as np, chainrule as cr
            >>> print(cr.trace(lambda W, x: np.tanh(W @ x))(np.ones((2, 3)), np.ones(3)).to_python())
            import numpy as np
            <BLANKLINE>
            <BLANKLINE>
            def f(W, x):  # f64[2,3], f64[3]
                return np.tanh(W @ x)
            <BLANKLINE>
        """
        from chainrule.emit.python import to_python

        return to_python(self, name)

    def to_latex(self, name: str = "f") -> str:
        r"""One aligned block of formulas: the named intermediate values, then the results.

        Example:
            >>> import numpy as np, chainrule as cr
            >>> print(cr.trace(lambda W, x: np.tanh(W @ x))(np.ones((2, 3)), np.ones(3)).to_latex())
            \begin{aligned}
            f\left(W, x\right) &= \tanh\left(W x\right)
            \end{aligned}
        """
        from chainrule.emit.latex import to_latex

        return to_latex(self, name)

    def to_svg(
        self, values: Mapping[Var, Any] | None = None, sensitivities: Mapping[Var, Any] | None = None, title: str | None = None
    ) -> str:
        """A picture: inputs on top, one node per equation, results at the bottom.

        Args:
            values: what variables are at some point (arrays or numbers), written beside their nodes.
            sensitivities: derivatives of the result with respect to variables, or their norms, drawn as bars.
            title: what the picture is called.
        """
        from chainrule.emit.svg import to_svg

        return to_svg(self, values, sensitivities, title)

    def _repr_latex_(self) -> str:
        return f"$${self.to_latex()}$$"

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto">{self.to_svg()}</div>'


def trace(f: Callable[..., Any]) -> Callable[..., Graph]:
    """The graph of `f` at given arguments: every array operation it did, in order.

    Args:
        f: any function that chainrule can trace, also a derivative (``trace(grad(f))``).

    Returns:
        A function of arguments like those of `f` (arrays, numbers, or containers of them) that returns the `Graph`. Python's
        own `if` and `for` leave no trace: the graph has the equations that ran. Keyword arguments are fixed.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> g = cr.trace(cr.grad(lambda x: np.sum(x * x)))(np.ones(3))
        >>> [e.prim for e in g.eqns if e.prim == "mul"] != []
        True
    """

    @wraps(f)
    def graph(*args: Any, **kwargs: Any) -> Graph:
        hints = names(f, args)

        def called(*handles: Any) -> Any:
            for v, hint in zip(current().ins, hints, strict=True):
                v.hint = hint
            return f(*handles, **kwargs)

        return Graph.of(simplify(traced(called, args, {}, range(len(args)), name="trace").graph))

    return graph


def names(f: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """A name for each leaf of the arguments: the parameter's, or the last of the keys that lead to the leaf."""
    long = [[p, *_keys(path)] for p, x in zip(_parameters(f, len(args)), args, strict=True) for path in _paths(x)]
    short = [_short(keys) for keys in long]
    return [s if short.count(s) == 1 else "_".join(keys) for s, keys in zip(short, long, strict=True)]


def _paths(x: Any) -> list[str]:
    leaves = flatten(x)[0]
    return [""] if len(leaves) == 1 and leaves[0] is x else paths(x)


def _keys(path: str) -> list[str]:
    return re.findall(r"\w+", path)


def _short(keys: Iterable[str]) -> str:
    """``W_0`` for layers[0]["W"]: the last word and the numbers."""
    keys = list(keys)
    word = next(k for k in reversed(keys) if not k.isdigit())
    return "_".join([word, *[k for k in keys if k.isdigit()]])


def _parameters(f: Callable[..., Any], n: int) -> list[str]:
    """Names of the first `n` positional parameters."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    found: list[str] = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            found += [p.name] if n == len(found) + 1 else [f"{p.name}_{k}" for k in range(n - len(found))]
        elif p.kind is not p.VAR_KEYWORD:
            found.append(p.name)
    return [*found, *[f"x_{k}" for k in range(len(found), n)]][:n]
