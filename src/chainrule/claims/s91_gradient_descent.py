"""Claims of 9.1 about gradient descent with exact gradients."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Bound, Matches, Proof, Same, descend, normals, run_rule

RATES = (0.2, 0.5, 0.9, 1.0, 1.3, 1.9)  # times 1/L

POINTS = [(x,) for x in normals(11, (3,), (3,), (3,))]


def ripple(x: Any) -> Any:
    """A smooth function without symmetry."""
    return np.sum(np.cos(x) * np.array([1.0, 2.0, -1.0])) + x[0] * x[1] + 0.1 * np.sum(x**4)


def two_wells(x: Any) -> Any:
    """Minima at (0, 1) and (0, -1), a saddle between them; L = 2 where |y| <= 1."""
    return 0.5 * x[0] ** 2 + 0.25 * x[1] ** 4 - 0.5 * x[1] ** 2


def two_wells_gradient(x: Any) -> Any:
    """The gradient of `two_wells`."""
    return np.array([x[0], x[1] ** 3 - x[1]])


def ends_at_a_local_minimum(start: Any) -> tuple[bool, dict[str, float]]:
    """Is the Hessian positive semidefinite where gradient descent, with a step below 1/L, ends?"""
    least = np.inf
    for x0 in start:
        x = descend(two_wells_gradient, np.array(x0), 0.3, 400)
        least = min(least, float(np.linalg.eigvalsh(cr.hessian(two_wells)(x)).min()))
    return least >= 0, {"smallest curvature at the end": least}


def step_of_the_library(x: Any, alpha: float) -> Any:
    """One step of `chainrule.optim.gradient_descent` on `ripple`."""
    rule = cr.optim.gradient_descent(alpha)
    return rule.step(x, cr.grad(ripple)(x), rule.init(x))[0]


def decreases_for_small_steps(signed: Any) -> tuple[bool, dict[str, float]]:
    """Does a small step with this sign of the learning rate make the function smaller, from each of several points?"""
    changes = [ripple(x - signed(1e-3) * cr.grad(ripple)(x)) - ripple(x) for (x,) in POINTS]
    return max(changes) < 0, {"largest change": float(max(changes))}


def falls_fastest(length: Any) -> tuple[bool, dict[str, float]]:
    """Of all directions of unit length, measured this way, does minus the gradient fall fastest?"""
    x = POINTS[0][0]
    g = cr.grad(ripple)(x)
    ways = normals(12, (20000, 3))[0]
    steepest = float(np.min([w @ g / length(w) for w in ways]))
    own = float(-g @ g / length(g))
    return own <= steepest * (1 - 1e-12), {"slope along the negative gradient": own, "steepest slope found": steepest}


def error_of_second_order(model: Any) -> tuple[bool, dict[str, float]]:
    """Does the error of the linear model fall at least as the square of the step?"""
    (x,), d = POINTS[0], normals(13, (3,))[0]
    sizes = np.array([1e-2, 1e-3, 1e-4])
    errors = [abs(ripple(x + t * d) - model(x, t * d)) for t in sizes]
    order = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    return order > 1.9, {"order": order}


def factor_of_a_quadratic(alpha: float, curvature: float) -> float:
    """Measured: by how much the distance changes per step."""
    x = descend(lambda x: curvature * x, 1.0, alpha, 5)
    return abs(x) ** 0.2


SMOOTH = {  # value, gradient, L, start; all have a gradient with Lipschitz constant L
    "linear": (lambda x: x[0], lambda x: np.array([1.0, 0.0]), 1.0, np.array([0.0, 0.0])),
    "quadratic": (lambda x: 0.5 * (x[0] ** 2 + 0.1 * x[1] ** 2), lambda x: x * np.array([1.0, 0.1]), 1.0, np.array([3.0, -2.0])),
    "waves": (lambda x: np.sum(np.cos(x)), lambda x: -np.sin(x), 1.0, np.array([0.1, 2.0])),
}


def gradient_vanishes(functions: Any) -> tuple[bool, dict[str, float]]:
    """With steps of 1/L, is the least gradient norm in 3000 steps below what the descent of a function bounded below allows?"""
    least, fall = [], []
    for name in functions:
        f, g, smooth, x0 = SMOOTH[name]
        x = descend(g, x0, 1 / smooth, 3000)
        least.append(float(np.linalg.norm(g(x))))
        fall.append(float(f(x)))
    return max(least) < 1e-6, {"largest gradient at the end": max(least), "lowest value": min(fall)}


def contraction(mu: float, smooth: float, alpha: float) -> float:
    """Measured: the largest factor by which one step changes the distance to the minimiser of a quadratic."""
    h = np.array([mu, 0.5 * (mu + smooth), smooth])
    return float(max(np.linalg.norm(x - alpha * h * x) / np.linalg.norm(x) for x in np.eye(3)))


def contracts_by_one_minus_alpha_mu(steps: Any) -> tuple[bool, dict[str, float]]:
    """Does every step length in the set shrink the distance by 1 - alpha mu, for several mu and L?"""
    cases = [(mu, smooth, a) for mu, smooth in ((1.0, 2.0), (1.0, 10.0), (0.1, 3.0)) for a in steps(mu, smooth)]
    excess = [contraction(*c) - (1 - c[2] * c[0]) for c in cases]
    return max(excess) < 1e-12, {"largest excess over 1 - αμ": max(excess), "cases": len(cases)}


def huber_gap(k: int, factor: float, radius: float, smooth: float) -> float:
    """Measured: f(x_k) - f* for the worst quadratic or Huber function, after k steps of `factor`/L from distance `radius`."""
    worst = 0.0
    for width in (radius / (2 * k * factor + 1), radius, 10 * radius):
        f = lambda x, w=width: smooth * np.where(abs(x) <= w, 0.5 * x * x, w * abs(x) - 0.5 * w * w)
        x = descend(lambda x, w=width: smooth * np.clip(x, -w, w), radius, factor / smooth, k)
        worst = max(worst, float(f(x)))
    return worst


ANY_STEP = [(k, a, r, smooth) for k in (1, 3, 10, 50) for a in (0.05, 0.3, 1.0) for r, smooth in ((1.0, 1.0), (3.0, 0.5))]


def is_near_the_minimum_when_it_stops(rule: Any) -> tuple[bool, dict[str, float]]:
    """Started at 1 on x^2, with learning rates from 1e-7 to 0.4 and tolerance 1e-6: is x within 1e-6 when the rule says stop?"""
    ends = []
    for alpha in (1e-7, 1e-3, 0.4):
        x = 1.0
        for _ in range(20000):
            if rule(alpha, 2 * x) < 1e-6:
                ends.append(abs(x))
                break
            x -= alpha * 2 * x
    return max(ends) <= 1e-6, {"farthest from the minimum": max(ends), "runs that stopped": len(ends)}


def never_rises(quantity: Any) -> tuple[bool, dict[str, float]]:
    """Along gradient descent with a step of 0.5/L on cos(x), from near its top: does the quantity never rise?"""
    x, seen = 0.1, []
    for _ in range(60):
        seen.append(float(quantity(x)))
        x += 0.5 * np.sin(x)
    rise = float(np.max(np.diff(seen)))
    return rise <= 1e-12, {"largest rise": rise}


def gradient_at_the_end(f: Any) -> tuple[bool, dict[str, float]]:
    """Run with decreasing steps until x is within 1e-3 of the minimum: is the gradient there as small?"""
    x = descend(cr.grad(f), 1.0, lambda k: 0.4 / (k + 1) ** 0.6, 400)
    return abs(cr.grad(f)(x)) < 0.01, {"distance": abs(float(x)), "gradient": float(abs(cr.grad(f)(x)))}


def parallel_to_the_negative_gradient(rule: Any) -> tuple[bool, dict[str, float]]:
    """Is each of 30 steps on an elongated bowl parallel to minus the gradient where it starts?"""
    g = lambda x: x * np.array([1.0, 8.0])
    points = run_rule(rule, g, np.array([3.0, 1.0]), 30)
    steps, slopes = np.diff(points, axis=0), g(points[:-1])
    cosines = -np.sum(steps * slopes, 1) / (np.linalg.norm(steps, axis=1) * np.linalg.norm(slopes, axis=1))
    return float(cosines.min()) > 1 - 1e-9, {"smallest cosine": float(cosines.min())}


CLAIMS = (
    Claim(
        id="9.1.gd.purpose", lines=(59, 59), kind="property", verdict="imprecise",
        statement="Gradient descent finds local minima of differentiable functions.", latex=r"x_k \to \text{local minimum}",
        judge=Matches(ends_at_a_local_minimum), stated=((2.0, 0.0), (1.0, 0.5)), other=((2.0, 1e-6), (1.0, 0.5)),
        note="It looks for stationary points. From a start on the ridge that leads to a saddle it ends at the saddle; from almost every "
        "other start, with a step below 1/L, it does not. Without a minimum it runs away.",
        note_latex=r"\nabla f(x_k) \to 0", source="Lee, Simchowitz, Jordan and Recht 2016",
    ),
    Claim(
        id="9.1.gd.update", lines=(61, 63), kind="update", verdict="true",
        statement="Each step subtracts the gradient times the learning rate.", latex=r"x_{k+1} = x_k - \alpha \nabla f(x_k)",
        judge=Same(step_of_the_library, [(x, a) for (x,) in POINTS for a in (0.1, 1.0)]),
        stated=lambda x, a: x - a * cr.grad(ripple)(x), other=lambda x, a: x + a * cr.grad(ripple)(x),
    ),
    Claim(
        id="9.1.gd.rate_sign", lines=(65, 65), kind="definition", verdict="true",
        statement="The learning rate is positive; the gradient is taken where the step starts.", latex=r"\alpha > 0",
        judge=Matches(decreases_for_small_steps), stated=lambda a: a, other=lambda a: -a,
    ),
    Claim(
        id="9.1.steepest", lines=(69, 69), kind="property", verdict="conditional",
        statement="Minus the gradient is the direction of steepest descent.", latex=r"-\nabla f / \|\nabla f\| = \operatorname{argmin}_{\|d\| = 1} \nabla f^{\mathsf T} d",
        judge=Matches(falls_fastest), stated=lambda d: np.sum(np.abs(d)), other=np.linalg.norm,
        note="For the Euclidean length, where the gradient is not zero. In the sum norm the steepest direction changes one coordinate only.",
        note_latex=r"\|d\| = \|d\|_2", source="Boyd and Vandenberghe 2004, section 9.4",
    ),
    Claim(
        id="9.1.linear", lines=(70, 70), kind="identity", verdict="true",
        statement="For small steps the function is close to its linear model.", latex=r"f(x + \Delta) = f(x) + \nabla f(x)^{\mathsf T} \Delta + O(\|\Delta\|^2)",
        judge=Matches(error_of_second_order), stated=lambda x, d: ripple(x) + cr.grad(ripple)(x) @ d, other=lambda x, d: ripple(x) + 0.5 * cr.grad(ripple)(x) @ d,
        note="The error is at most L/2 times the squared length where the gradient has Lipschitz constant L.",
    ),
    Claim(
        id="9.1.convergence", lines=(71, 71), kind="property", verdict="imprecise",
        statement="Under suitable conditions gradient descent converges to a local minimum.", latex=r"x_k \to x^*, \; x^* \text{ a local minimum}",
        judge=Matches(ends_at_a_local_minimum), stated=((-1.0, 0.0),), other=tuple((-1.0, y) for y in (-0.9, -0.1, 1e-8, 0.3, 1.1)),
        note="The usual conditions (smooth, bounded below, step at most 1/L) give gradients that tend to zero. That the limit is a minimum "
        "needs a start off the stable sets of the saddles (almost all are), or convexity, which makes it global.",
        note_latex=r"\min_{j < k} \|\nabla f(x_j)\|^2 \le \frac{2 L (f(x_0) - \inf f)}{k}", source="Lee et al. 2016",
    ),
    Claim(
        id="9.1.learning_rate", lines=(72, 72), kind="property", verdict="true",
        statement="The learning rate sets the length of steps, and with it speed and stability.", latex=r"|x_{k+1}| = |1 - \alpha \lambda| |x_k|",
        judge=Same(factor_of_a_quadratic, [(a, c) for a in (0.1, 0.7, 2.5) for c in (0.5, 1.0)], "measured factor per step"),
        stated=lambda a, c: abs(1 - a * c), other=lambda a, c: abs(1 - c),
    ),
    Claim(
        id="9.1.lipschitz", lines=(76, 76), kind="bound", verdict="conditional",
        statement="If the gradient has Lipschitz constant L, gradient descent with a step of at most 1/L converges.", latex=r"\alpha \le 1/L \Rightarrow x_k \text{ converges}",
        judge=Matches(gradient_vanishes), stated=("linear", "quadratic", "waves"), other=("quadratic", "waves"),
        note="If f is bounded below, the gradient tends to zero; that the points converge needs more, such as convexity and a minimiser. "
        "A linear function has such a gradient for every L, and falls for ever. Every step below 2/L does, not only up to 1/L.",
        note_latex=r"\inf f > -\infty, \; 0 < \alpha < 2/L \Rightarrow \nabla f(x_k) \to 0", source="Nesterov 2018, section 1.2.3",
    ),
    Claim(
        id="9.1.strong_convexity", lines=(78, 81), kind="bound", verdict="conditional",
        statement="For a strongly convex function each step shrinks the distance to the minimiser by 1 - αμ.", latex=r"\|x_{k+1} - x^*\| \le (1 - \alpha\mu) \|x_k - x^*\|",
        judge=Matches(contracts_by_one_minus_alpha_mu),
        stated=lambda mu, smooth: [a / smooth for a in RATES], other=lambda mu, smooth: [a * 2 / (smooth + mu) for a in (0.1, 0.5, 0.9, 1.0)],
        note="The gradient must have a Lipschitz constant L too, and α must be at most 2/(L + μ). Beyond it the factor is αL - 1; and at "
        "α > 1/μ the right-hand side would be negative.",
        note_latex=r"\|x_{k+1} - x^*\| \le \max(|1 - \alpha\mu|, |1 - \alpha L|) \|x_k - x^*\|", source="Polyak 1987, section 1.4",
    ),
    Claim(
        id="9.1.rate", lines=(83, 86), kind="bound", verdict="conditional",
        statement="For convex functions the error after k steps is at most L times the squared first distance over 2k.",
        latex=r"f(x_k) - f(x^*) \le \frac{L \|x_0 - x^*\|^2}{2k}",
        judge=Bound(huber_gap, ANY_STEP, "error on the worst Huber functions"),
        stated=lambda k, a, r, smooth: smooth * r * r / (2 * k), other=lambda k, a, r, smooth: smooth * r * r / (2 * a * k),
        note="The gradient must have Lipschitz constant L, there must be a minimiser, and the step must be 1/L. For a step α of at most "
        "1/L, α takes the place of 1/L. (The best constant for α = 1/L is 1/(4k + 2).)",
        note_latex=r"f(x_k) - f(x^*) \le \frac{\|x_0 - x^*\|^2}{2 \alpha k}, \quad \alpha \le 1/L", source="Nesterov 2018, section 2.1.5; Drori and Teboulle 2014",
    ),
    Claim(
        id="9.1.example.square", lines=(90, 94), kind="update", verdict="true",
        statement="On x² a step multiplies x by 1 - 2α.", latex=r"x - \alpha \cdot 2x = (1 - 2\alpha) x",
        judge=Proof(lambda x, a: x - a * (x**2).diff(x), "x alpha", "a step on x²"), stated=lambda x, a: (1 - 2 * a) * x, other=lambda x, a: (1 - a) * x,
    ),
    Claim(
        id="9.1.example.bowl.gradient", lines=(96, 100), kind="derivative", verdict="true",
        statement="The gradient of x² + y² is (2x, 2y).", latex=r"\nabla (x^2 + y^2) = (2x, 2y)",
        judge=Same(cr.grad(lambda x, y: x**2 + y**2, (0, 1)), [(0.5, -2.0), (3.0, 1.5)], "derivative of x² + y²"),
        stated=lambda x, y: (2 * x, 2 * y), other=lambda x, y: (x, y),
    ),
    Claim(
        id="9.1.example.bowl.update", lines=(102, 104), kind="update", verdict="true",
        statement="On x² + y² a step multiplies both coordinates by 1 - 2α.", latex=r"(x - 2\alpha x, \; y - 2\alpha y)",
        judge=Proof(lambda x, y, a: (x - a * (x**2 + y**2).diff(x)) * 2 + (y - a * (x**2 + y**2).diff(y)) * 3, "x y alpha", "a step on x² + y²"),
        stated=lambda x, y, a: (x - 2 * a * x) * 2 + (y - 2 * a * y) * 3, other=lambda x, y, a: (x - 2 * a * y) * 2 + (y - 2 * a * x) * 3,
    ),
    Claim(
        id="9.1.program.update", lines=(108, 111), kind="update", verdict="true",
        statement="The program repeats the update rule.", latex=r"x_k = x_0 - \alpha \sum_{j < k} \nabla f(x_j)",
        judge=Same(lambda n: run_rule(cr.optim.gradient_descent(0.1), lambda x: 2 * x, np.array([1.0, -3.0]), n)[-1], [(1,), (10,), (40,)], "the library's points"),
        stated=lambda n: 0.8**n * np.array([1.0, -3.0]), other=lambda n: (1 - 0.2 * n) * np.array([1.0, -3.0]),
    ),
    Claim(
        id="9.1.program.stopping", lines=(112, 112), kind="remark", verdict="imprecise",
        statement="Convergence is seen from the length of the last update.", latex=r"\|x_{k+1} - x_k\| < \varepsilon",
        judge=Matches(is_near_the_minimum_when_it_stops), stated=lambda a, g: abs(a * g), other=lambda a, g: abs(g),
        note="A short step may only mean a small learning rate: with 10⁻⁷ it stops at once, at the start. The gradient's length does not "
        "depend on α and bounds the distance where f is strongly convex.",
        note_latex=r"\|x - x^*\| \le \|\nabla f(x)\| / \mu",
    ),
    Claim(
        id="9.1.program.picture", lines=(113, 113), kind="remark", verdict="not_checkable",
        statement="A picture shows the objective and the gradient during the descent.", latex=r"f(x_k), \; \|\nabla f(x_k)\|",
        judge=Matches(never_rises), stated=lambda x: abs(np.sin(x)), other=lambda x: np.cos(x),
        note="The picture is not given, so what it shows cannot be checked. What such a picture must show for a step of at most 1/L: the "
        "objective never rises; the gradient's length may, where f is not convex.",
        note_latex=r"f(x_{k+1}) \le f(x_k) - \tfrac{\alpha}{2} \|\nabla f(x_k)\|^2",
    ),
    Claim(
        id="9.1.program.gradient_vanishes", lines=(114, 114), kind="property", verdict="true",
        statement="The gradient tends to zero as a minimum is approached.", latex=r"\nabla f(x_k) \to 0",
        judge=Matches(gradient_at_the_end), stated=lambda x: x**2 + 0.1 * x**4, other=lambda x: np.abs(x),
        note="For functions with a continuous gradient, as here; not at a kink.",
    ),
    Claim(
        id="9.1.program.principle", lines=(115, 115), kind="property", verdict="true",
        statement="Every step follows the negative gradient at its start.", latex=r"x_{k+1} - x_k \parallel -\nabla f(x_k)",
        judge=Matches(parallel_to_the_negative_gradient), stated=cr.optim.gradient_descent(0.05), other=cr.optim.momentum(0.05),
        note="That this direction is the steepest rests on the Euclidean length; see the claim on steepest descent.",
    ),
)  # fmt: skip
