"""`minimize`: the methods of first and second order behind one call, with a history and an honest end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import errors
from chainrule.build.tree import flatten, unflatten
from chainrule.calculus import value_and_grad
from chainrule.optim import first_order, second_order
from chainrule.optim.explain import diverged, exhausted
from chainrule.optim.first_order import Composite, Options, Point, Stuck
from chainrule.optim.flat import Flat, Function, Vector

if TYPE_CHECKING:
    from chainrule.analysis.convergence import ConvergenceReport

Method = Callable[[Flat, Options], Iterator[Point]]
METHODS: dict[str, Method] = {
    "gradient_descent": first_order.gradient_descent,
    "momentum": first_order.momentum,
    "nesterov": first_order.nesterov,
    "conjugate_gradient": second_order.conjugate_gradient,
    "newton_cg": second_order.newton_cg,
    "lbfgs": second_order.lbfgs,
    "proximal_gradient": first_order.proximal_gradient,
    "fista": first_order.fista,
}
SCIPY = {"cg": "conjugate_gradient", "newton-cg": "newton_cg", "l-bfgs-b": "lbfgs", "bfgs": "lbfgs"}
"""SciPy's names for the methods that are here too."""
PROXIMAL = ("proximal_gradient", "fista")
RULES = ("gradient", "step", "value")


@dataclass(frozen=True)
class History:
    """What happened, one entry for the start and one for each step.

    Attributes:
        x: all points, along a new first axis; they take (k + 1) times the memory of one.
        fun: the objective (k + 1,).
        gradient_norm: Euclidean norms of the gradient (of the gradient mapping for composite objectives).
        step: distances from the point before; 0 at the start.
        learning_rate: learning rate or step length of each step; 0 at the start.
    """

    x: Any
    fun: NDArray[Any]
    gradient_norm: NDArray[Any]
    step: NDArray[Any]
    learning_rate: NDArray[Any]


@dataclass(frozen=True)
class Minimum:
    """What `minimize` found.

    Attributes:
        x: the point, in the containers of x0.
        fun: the objective there.
        success: did the stopping rule hold?
        message: why it stopped, with numbers.
        steps: number of steps.
        history: see `History`.
        jac: the gradient at x.
        method: name of the method.
        evaluations: how many values, gradients and Hessian products were computed.
        seconds: how long it took.
    """

    x: Any
    fun: float
    success: bool
    message: str
    steps: int
    history: History
    jac: Any
    method: str
    evaluations: dict[str, int]
    seconds: float
    objective: Flat = field(repr=False)
    options: Options = field(repr=False)
    tol: float = 0.0

    @property
    def nit(self) -> int:
        """SciPy's name for `steps`."""
        return self.steps

    @property
    def nfev(self) -> int:
        """SciPy's name for the number of values computed, those that came with a gradient included."""
        return self.evaluations["value"] + self.evaluations["gradient"]

    @cached_property
    def report(self) -> ConvergenceReport:
        """How the run compares with theory: `chainrule.analysis.convergence_report` of it."""
        from chainrule.analysis.convergence import convergence_report

        return convergence_report(self)

    def __str__(self) -> str:
        h = self.history
        lines = [f"{self.method}: {self.message}", f"  f            {h.fun[0]:.6g} -> {self.fun:.6g}"]
        lines.append(f"  ‖gradient‖   {h.gradient_norm[0]:.3g} -> {h.gradient_norm[-1]:.3g}")
        counts = ", ".join(f"{n} {what}s" for what, n in self.evaluations.items() if n)
        return "\n".join([*lines, f"  {self.steps} steps, {counts}, {self.seconds:.3g} s"])


@errors.boundary
def minimize(
    f: Function, x0: Any, method: str = "gradient_descent", args: Sequence[Any] = (), *, jac: Any = None,
    learning_rate: Any = None, momentum: float | None = None, regularizer: Any = None, tol: float = 1e-8, max_steps: int = 10_000,
    stop: str = "gradient", memory: int = 10, callback: Callable[[Any], Any] | None = None, options: Mapping[str, Any] | None
    = None,
) -> Minimum:  # fmt: skip
    r"""Minimise f, or f + R, from x0.

    =====================  ===========================================================================
    method                 step
    =====================  ===========================================================================
    gradient_descent       $x - \alpha \nabla f(x)$
    momentum               the same with a velocity, $b \leftarrow \mu b + \nabla f(x)$
    nesterov               from $y = x + \theta_k (x - x_{k-1})$, $\theta_k = k / (k + 3)$
    conjugate_gradient     Polak and Ribiere's, strong Wolfe line search
    newton_cg              Hessian-vector products, truncated
    lbfgs                  limited-memory BFGS, strong Wolfe line search
    proximal_gradient      $\operatorname{prox}_{\alpha R}(x - \alpha \nabla f(x))$
    fista                  the same with Beck and Teboulle's acceleration
    =====================  ===========================================================================

    The objective is compiled where it can be traced without values and runs as it is where it cannot.

    Args:
        f: function of x (and of `args`) that returns one number.
        x0: where to start: an array, a number, or nested containers of them.
        method: one of the above, or SciPy's name for it.
        args: further arguments of f, fixed.
        jac: the gradient as a function, or True if f returns (value, gradient); by default chainrule's.
        learning_rate: $\alpha$ of the methods without line search, a number or a schedule.  By default 1 / L, with L the
            curvature at x0, halved wherever the function turns out to be more curved.
        momentum: of `momentum` (0.9) and `nesterov` (growing).
        regularizer: R, a function of x.  `proximal_gradient` and `fista` use its ``R.prox(params, step)``; the other methods
            minimise the sum f + R by its derivatives, which for penalties with a kink (l1) rarely reaches exact zeros.
        tol: when to stop, see `stop`.
        max_steps: greatest number of steps.
        stop: "gradient": norm of the gradient at most `tol`; "step": distance of two points at most `tol`; "value": change of f
            at most `tol`.
        memory: number of pairs that L-BFGS keeps.
        callback: called with x after each step; stops by returning True or raising StopIteration.
        options: SciPy's ``maxiter`` and ``gtol``.

    Returns:
        A `Minimum`.  `success` is True only if the stopping rule held; a run that diverges, meets NaN or gets stuck says so
        in `message`.

    Raises:
        ValueError: an unknown method or rule, or a proximal method without a regularizer.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> rosenbrock = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        >>> result = cr.minimize(rosenbrock, np.array([-1.2, 1.0]), method="lbfgs")
        >>> result.success, result.x.round(6)
        (True, array([1., 1.]))
    """
    tol, max_steps = _scipy_options(options, tol, max_steps)
    name = SCIPY.get(method.lower(), method)
    if name not in METHODS or stop not in RULES:
        what, known, given = ("method", METHODS, method) if name not in METHODS else ("stop", RULES, stop)
        raise ValueError(f"{what} is one of {', '.join(known)}, not {given!r}")
    if regularizer is not None and name not in PROXIMAL:
        f, jac = penalised(f, jac, regularizer)
    settings = Options(learning_rate, momentum, regularizer, memory)
    run = _Run(Flat(f, x0, args, jac), settings, name, tol, stop)
    return run.all(max_steps, callback)


def penalised(f: Function, jac: Any, penalty: Function) -> tuple[Function, Any]:
    """f + R, and its gradient where that of f was given."""
    if jac is None:
        return lambda x, *args: f(x, *args) + penalty(x), None

    def both(x: Any, *args: Any) -> tuple[Any, Any]:
        value, slope = f(x, *args) if jac is True else (f(x, *args), jac(x, *args))
        more, rest = value_and_grad(penalty)(x)
        leaves, spec = flatten(slope)
        return value + more, unflatten(spec, [a + b for a, b in zip(leaves, flatten(rest)[0], strict=True)])

    return both, True


def _scipy_options(options: Mapping[str, Any] | None, tol: float, max_steps: int) -> tuple[float, int]:
    known = {"gtol", "maxiter", "disp"}
    if options and set(options) - known:
        raise ValueError(f"options may have gtol and maxiter, not {', '.join(sorted(set(options) - known))}")
    options = options or {}
    return options.get("gtol", tol), options.get("maxiter", max_steps)


class _Run:
    """One run: the points visited, and whether to go on."""

    def __init__(self, p: Flat, options: Options, method: str, tol: float, stop: str) -> None:
        self.p, self.options, self.method, self.tol, self.rule = p, options, method, tol, stop
        self.points = [self._start()]
        self.norms = [float(np.linalg.norm(self.points[0].gradient))]
        self.moved = [0.0]
        self.begun = perf_counter()

    def _start(self) -> Point:
        value, gradient = self.p.both(self.p.x0)
        at = Point(self.p.x0, value, gradient, 0.0)
        if self.method not in PROXIMAL:
            return at
        given = self.options.learning_rate
        rate = first_order.Steps(self.p, given).rate(0)
        return Composite(self.p, self.options.regularizer).whole(at._replace(rate=rate))._replace(rate=0.0)

    def all(self, max_steps: int, callback: Callable[[Any], Any] | None) -> Minimum:
        with np.errstate(all="ignore"):
            message, success = self._first()
            moves = METHODS[self.method](self.p, self.options)
            while not message:
                if len(self.points) > max_steps:
                    message = exhausted(self.p, self.points, self.method, self.options, self.rule, self.tol)
                    break
                message, success = self._step(moves, callback)
        return self._result(message, success)

    def _first(self) -> tuple[str, bool]:
        at = self.points[0]
        if not np.isfinite(at.value):
            return f"f is {at.value} at x0: there is nothing to descend from", False
        if not np.all(np.isfinite(at.gradient)):
            return "the gradient at x0 is not finite: run under cr.debug_nans() to find the operation", False
        if self.rule == "gradient" and np.linalg.norm(at.gradient) <= self.tol:
            return f"x0 is a stationary point: gradient norm {np.linalg.norm(at.gradient):.2e}, tol {self.tol:.0e}", True
        return "", False

    def _step(self, moves: Iterator[Point], callback: Callable[[Any], Any] | None) -> tuple[str, bool]:
        try:
            new = next(moves)
        except Stuck as stuck:
            norm = self.norms[-1]
            return f"stopped after {len(self.points) - 1} steps: {stuck} (gradient norm {norm:.2e}, tol {self.tol:.0e})", False
        before = self.points[-1]
        self.points[-1] = before._replace(gradient=before.gradient[:0])  # or a long run would hold every gradient
        self.points.append(new)
        self.norms.append(float(np.linalg.norm(new.gradient)))
        self.moved.append(float(np.linalg.norm(new.x - before.x)))
        bad = diverged(self.p, self.points, self.method, self.options)
        if bad:
            return bad, False
        if callback is not None and self._asked(callback, new):
            return f"stopped by the callback after {len(self.points) - 1} steps", False
        return self._done(before, new)

    def _asked(self, callback: Callable[[Any], Any], new: Point) -> bool:
        try:
            return callback(self.p.tree(new.x)) is True
        except StopIteration:
            return True

    def _done(self, before: Point, new: Point) -> tuple[str, bool]:
        k, norm = len(self.points) - 1, self.norms[-1]
        seen = {"gradient": norm, "step": self.moved[-1], "value": abs(new.value - before.value)}
        if seen[self.rule] <= self.tol:
            name = {"gradient": "gradient norm", "step": "length of the last step", "value": "last change of f"}[self.rule]
            return f"converged after {k} steps: {name} {seen[self.rule]:.2e}, tol {self.tol:.0e}", True
        if self.method in ("gradient_descent", "proximal_gradient") and self.moved[-1] == 0 and new.rate > 0:
            still = f"gradient norm {norm:.2e}, tol {self.tol:.0e}"
            return f"stopped after {k} steps: x no longer changes in floating point ({still})", False
        return "", False

    def _result(self, message: str, success: bool) -> Minimum:
        last = self.points[-1]
        with np.errstate(all="ignore"):
            history = self._history()
        return Minimum(
            self.p.tree(last.x), last.value, success, message, len(self.points) - 1, history, self.p.tree(last.gradient),
            self.method, dict(self.p.evaluations), perf_counter() - self.begun, self.p, self.options, self.tol,
        )  # fmt: skip

    def _history(self) -> History:
        xs = np.stack([q.x for q in self.points])
        fun, rate = np.array([[q.value, q.rate] for q in self.points]).T
        return History(stacked(self.p, xs), fun, np.array(self.norms), np.array(self.moved), rate)


def stacked(p: Flat, xs: Vector) -> Any:
    """Points (k, n) in the containers of x0, each array with a new first axis."""
    columns = [flatten(p.tree(x))[0] for x in xs]
    return unflatten(p.spec, [np.stack(c) for c in zip(*columns, strict=True)])
