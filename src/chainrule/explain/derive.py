"""The derivative one can read: formulas, steps, source, picture, each line checked before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import errors
from chainrule.emit.symbols import Term, symbol
from chainrule.explain import nodes as nd
from chainrule.explain.build import formulas
from chainrule.explain.matrix import lower, row, turned
from chainrule.explain.naming import needed_by
from chainrule.explain.nodes import Node
from chainrule.explain.problem import Problem, from_formula, from_function, read
from chainrule.explain.typeset import Typesetter, subscript
from chainrule.explain.verify import Report, verified

if TYPE_CHECKING:
    from chainrule.explain.steps import Step
    from chainrule.graphs import Graph

LAYOUTS = ("denominator", "numerator")
_NOTES = {
    "generic": "where no two numbers that are compared are equal (at kinks the derivative is one of several)",
    "invertible": "where the matrix is invertible",
    "determinant": "where the determinant is not 0",
    "stopped": "what stands under stop_gradient counts as a constant",
}


class Derivation:
    """A derivative as formulas, steps, source and picture; every line has been checked numerically.

    Attributes:
        problem: the function, its arguments and sizes.
        definitions: named parts in order, ``(name, formula)``.
        value: the formula of the function.
        gradients: one formula for each argument that the derivative is taken with respect to.
        checks: what the formulas were compared with, and how far they were off.
    """

    def __init__(self, problem: Problem, order: int, layout: str) -> None:
        self.problem = problem
        self.order = order
        self._constants: list[Any] = []
        self.layout = layout
        found = formulas(problem, order)
        self.notes = found.notes
        self.expressions = found
        self.definitions: list[tuple[str, Node]] = [(name, lower(x)) for name, x in found.definitions]
        self.value: Node = lower(found.value)
        self.scalar = found.value.rank == 0
        self.gradients: list[Node] = [self._laid_out(lower(t)) for t in found.targets]
        self.checks: Report = verified(self)

    def _laid_out(self, x: Node) -> Node:
        if self.layout == "numerator" and self.scalar and self.order == 1:
            if x.rank == 2:
                return turned(x)
            return row(x) if x.rank == 1 else x
        return x

    # --- names -----------------------------------------------------------------------------------------------------------

    @cached_property
    def function_name(self) -> str:
        """What the function is called in formulas: f, or the first of some letters that no argument has."""
        taken = {*self.problem.names, *self.problem.sizes, *[n for n, _ in self.definitions]}
        return next(n for n in ("f", "L", "J", "F", "phi") if n not in taken)

    @property
    def kind(self) -> str:
        """``gradient``, ``derivative``, ``Jacobian`` or ``Hessian``."""
        if self.order == 2:
            return "Hessian"
        return "Jacobian" if not self.scalar else "gradient" if any(g.rank for g in self.gradients) else "derivative"

    def _typesetter(self) -> Typesetter:
        w = Typesetter({*self.problem.names, *self.problem.sizes, *[n for n, _ in self.definitions], self.function_name})
        w.constants = self._constants
        return w

    # --- LaTeX ------------------------------------------------------------------------------------------------------------

    @cached_property
    def lines(self) -> list[tuple[str, str]]:
        """Left and right sides of all lines: definitions, then derivatives."""
        needed = {n for n, _ in needed_by(self.expressions.targets, self.expressions.definitions)}
        out = [self._line(symbol(name), x) for name, x in self.definitions if name in needed]
        return [*out, *[self._gradient_line(k, g) for k, g in zip(self.problem.wrt, self.gradients, strict=True)]]

    def _line(self, left: Term, x: Node) -> tuple[str, str]:
        w = self._typesetter()
        if not nd.in_elements(x):
            return left.text, w(x).text
        at = w.letters(x.rank)
        w.active += at
        return left.indexed(subscript(at)).text, w(x, at).text

    def _gradient_line(self, k: int, x: Node) -> tuple[str, str]:
        w, f, arg = self._typesetter(), symbol(self.function_name), symbol(self.problem.names[k])
        rank, out = len(self.problem.shapes[k]), x.rank - len(self.problem.shapes[k])
        elements = nd.in_elements(x) or x.rank > 2
        if self.order == 2:
            if elements:
                at = w.letters(x.rank)
                w.active += at
                below = rf"\partial {arg.indexed(subscript(at[:rank])).text} \, \partial {arg.indexed(subscript(at[rank:])).text}"
                return rf"\frac{{\partial^2 {f.text}}}{{{below}}}", w(x, at).text
            below = rf"\partial {arg.text}^2" if not rank else rf"\partial {arg.text} \, \partial {_transposed(arg)}"
            return rf"\frac{{\partial^2 {f.text}}}{{{below}}}", w(x).text
        if elements:
            at = w.letters(x.rank)
            w.active += at
            top, below = f.indexed(subscript(at[:out])).text, arg.indexed(subscript(at[out:])).text
            return rf"\frac{{\partial {top}}}{{\partial {below}}}", w(x, at).text
        below = arg.text if self.scalar or self.layout == "numerator" or not rank or out < 1 else _transposed(arg)
        if x.rank == 0 and len(self.problem.names) == 1:
            return rf"\frac{{d {f.text}}}{{d {arg.text}}}", w(x).text
        return rf"\frac{{\partial {f.text}}}{{\partial {below}}}", w(x).text

    @property
    def latex(self) -> str:
        """The derivative as LaTeX, without dollar signs: one line, or an aligned block where parts have names."""
        return _block(self.lines)

    @property
    def value_lines(self) -> list[tuple[str, str]]:
        """Left and right sides of the definitions that the function needs, and of the function."""
        needed = {n for n, _ in needed_by([self.expressions.value], self.expressions.definitions)}
        head = [self._line(symbol(n), x) for n, x in self.definitions if n in needed]
        return [*head, self._line(symbol(self.function_name), self.value)]

    @property
    def value_latex(self) -> str:
        """The function itself as LaTeX, with the definitions it needs."""
        return _block(self.value_lines)

    @property
    def conventions(self) -> list[str]:
        """What a reader must know to read the formulas as they are meant."""
        out: list[str] = []
        if self.scalar and self.order == 1 and any(g.rank for g in self.gradients):
            shape = (
                "has the shape of its argument" if self.layout == "denominator" else "has the transposed shape of its argument"
            )
            out.append(f"{self.layout} layout: a gradient {shape}; vectors are columns")
        if not self.scalar:
            out.append("Jacobian: the axes of the result first, then those of the argument")
        text = self.latex + self.value_latex
        if r"\odot" in text or r"\oslash" in text:
            out.append("⊙ and ⊘ multiply and divide element by element")
        if any(_elementwise(x) for x in [self.value, *self.gradients, *[x for _, x in self.definitions]]):
            out.append("functions act element by element")
        if r"\mathbf{1}" in text:
            out.append("𝟏 is the vector (or matrix) of ones")
        if r"\left[" in text and any(c in text for c in (" > ", " < ", r"\le ", r"\ge ")):
            out.append("[condition] is 1 where it holds, 0 elsewhere")
        out += [_NOTES[n] for n in self.notes]
        out += _mean_and_half(self.value)
        if self.problem.fixed:
            out.append(f"sizes {', '.join(self.problem.fixed)} are part of the program: the formulas hold for these only")
        return out

    # --- the rest -----------------------------------------------------------------------------------------------------------

    @cached_property
    def source(self) -> str:
        """NumPy source that defines ``value(...)`` and ``gradient(...)``; it runs without chainrule, at every size."""
        from chainrule.explain.module import module

        return module(self)

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The derivative as a compiled function of the arguments, in their order: one array, or a tuple in the order of `wrt`."""
        from chainrule.calculus import grad, hessian, jacobian
        from chainrule.compilation import jit

        p = self.problem
        make = hessian if self.order == 2 else grad if self.scalar else jacobian

        def f(*args: Any) -> Any:
            return p.call(args, sizes_of(p, args))

        if self.order == 2:
            each = [make(f, k) for k in p.wrt]
            return jit(each[0] if p.single else lambda *args: tuple([g(*args) for g in each]))
        inner = make(f, p.wrt[0] if p.single else tuple(p.wrt))

        def derivative(*args: Any) -> Any:
            found = inner(*args)
            if self.layout == "numerator" and self.scalar:
                found = found.T if p.single else tuple([g.T for g in found])
            return found if p.single else tuple(found)

        return jit(derivative)

    @cached_property
    def steps(self) -> list[Step]:
        """The chain rule from the result back to the arguments (reverse mode), one rule at a time."""
        from chainrule.explain.steps import reverse_steps

        return reverse_steps(self)

    @cached_property
    def forward_steps(self) -> list[Step]:
        """The chain rule from the arguments to the result (forward mode): differentials, one rule at a time."""
        from chainrule.explain.steps import forward_steps

        return forward_steps(self)

    @cached_property
    def graph(self) -> Graph:
        """The program of value and derivatives, at example sizes."""
        from chainrule.explain.picture import whole_graph

        return whole_graph(self)

    @cached_property
    def svg(self) -> str:
        """A picture of the program with forward values and backward sensitivities."""
        from chainrule.explain.picture import picture

        return picture(self)

    def to_sympy(self) -> Any:
        """The derivative as a SymPy expression (a tuple of them, where `wrt` names several arguments).

        Raises:
            NoFormulaError: SymPy has no such operation.
        """
        from chainrule.explain.to_sympy import to_sympy

        found = [to_sympy(g, dict(self.definitions)) for g in self.gradients]
        return found[0] if self.problem.single else tuple(found)

    def __str__(self) -> str:
        return "\n".join(f"{a} = {b}" for a, b in self.lines)

    def __repr__(self) -> str:
        names = ", ".join(self.problem.names[k] for k in self.problem.wrt)
        return f"<{self.kind} of {self.function_name} with respect to {names}>\n{self}"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"

    def _repr_html_(self) -> str:
        from chainrule.explain.html import fragment

        return fragment(self)


def _elementwise(x: Node) -> bool:
    """Is a function applied to an array?"""
    return (isinstance(x, nd.Func) and x.rank > 0) or any(map(_elementwise, x.children))


def _transposed(t: Term) -> str:
    return t.raised(r"\top").text


def _block(lines: Sequence[tuple[str, str]]) -> str:
    if len(lines) == 1:
        return " = ".join(lines[0])
    body = " \\\\\n".join(f"{a} &= {b}" for a, b in lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _mean_and_half(value: Node) -> list[str]:
    """Say whether a loss is a mean or a sum, and whether it carries a half: both change the gradient by a constant."""
    if value.rank or not isinstance(value, nd.Scaled):
        return []
    below = [base for base, p in value.m.powers if p == -1]
    out: list[str] = []
    if below:
        from chainrule.explain.sizes import linear_text

        out.append(f"the value is a mean: the factor 1/{' 1/'.join(map(linear_text, below))} is in the derivative too")
    if value.m.number == 0.5:
        out.append("the half in the value cancels the 2 of the square")
    return out


def sizes_of(p: Problem, args: Sequence[Any]) -> dict[str, int]:
    """The sizes that these arguments have.

    Raises:
        ShapeError: two arguments disagree about a size.
    """
    found: dict[str, int] = {}
    for name, shape, x in zip(p.names, p.shapes, args, strict=True):
        got = np.shape(x) if not hasattr(x, "shape") else x.shape
        if len(got) != len(shape):
            raise errors.ShapeError(
                f"{name} has {len(shape)} axes in the derivation, and an array of shape {tuple(got)} was given"
            )
        for s, n in zip(shape, got, strict=True):
            if (s if isinstance(s, int) else found.setdefault(s, n)) != n:
                raise errors.ShapeError(
                    f"{name} has shape {tuple(got)}; the derivation needs {shape}, where {s} is {found.get(str(s), s)}"
                )
    return found


@errors.boundary
def derive(
    f: Callable[..., Any] | str,
    *example_args: Any,
    wrt: int | str | Sequence[int | str] = 0,
    names: Sequence[str] | None = None,
    shapes: Mapping[str, Any] | None = None,
    layout: str = "denominator",
    order: int = 1,
) -> Derivation:
    r"""The derivative of `f` as formulas, steps and source code that can be read.

    Args:
        f: a function that chainrule can trace, or a formula as text: Python's syntax over NumPy's functions with ``A'`` for a
            transpose, or LaTeX (recognised by its backslashes).
        *example_args: arguments of a function. Their sizes become letters: axes that may differ get different ones.
        wrt: the arguments to differentiate with respect to, by name or number; one, or several in a tuple.
        names: what the arguments are called in the formulas, where the function's own names will not do.
        shapes: of a formula's variables, ``{"X": "n,d", "w": "d"}`` or tuples of names and numbers; a variable without one is a
            number. Also of a function's arguments by name, in place of examples.
        layout: ``"denominator"`` (a gradient has the shape of its argument) or ``"numerator"`` (the transposed one).
        order: 1 for the gradient (of a function that returns an array, the Jacobian), 2 for the Hessian.

    Returns:
        A `Derivation`. Each of its formulas was evaluated on three random instances of random unequal sizes and compared with
        automatic differentiation, with difference quotients, and with the complex step where the function is analytic.

    Raises:
        FormulaError: a formula that cannot be read; the error points at the character.
        NoFormulaError: the function does other things at other sizes, or holds loops.

    Example:
        >>> import chainrule as cr
        >>> print(cr.derive("mean((X @ w - y)**2)", wrt="w", shapes={"X": "n,d", "w": "d", "y": "n"}).latex)
        \frac{\partial f}{\partial w} = \frac{2}{n} X^{\top} \left(X w - y\right)
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is 'denominator' or 'numerator', not {layout!r}")
    if order not in (1, 2):
        raise ValueError(f"order is 1 or 2, not {order!r}")
    return Derivation(problem_of(f, example_args, wrt, names, shapes), order, layout)


def problem_of(
    f: Callable[..., Any] | str,
    args: Sequence[Any],
    wrt: int | str | Sequence[int | str],
    names: Sequence[str] | None,
    shapes: Mapping[str, Any] | None,
) -> Problem:
    """What is asked for, from a function or a text."""
    if isinstance(f, str):
        if args:
            raise TypeError("a formula takes shapes={...}, not example arguments")
        wanted = [wrt] if isinstance(wrt, str) else wrt if isinstance(wrt, Sequence) else []
        named = [w for w in wanted if isinstance(w, str)]
        return from_formula(read(f, {**dict.fromkeys(named, ""), **(shapes or {})}), wrt, shapes)
    if not callable(f):
        raise TypeError(f"derive takes a function or a formula, not {type(f).__name__}")
    if not args and not shapes:
        raise TypeError("derive needs example arguments, or shapes={...}")
    return from_function(f, args, wrt, names, shapes)


__all__ = ["Derivation", "derive"]
