"""Claims of 9.6 about residual connections."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Derivative, Matches, Same, distance, interval, normals

DEPTH, WIDTH = 50, 40
W, V, SENSITIVITY = normals(76, (4, 4), (4, 4), (4,))
POINTS = [(x,) for x in normals(77, (4,), (4,))]


def branch(x: Any) -> Any:
    """F: two layers."""
    return V @ np.tanh(W @ x)


def slope_of_branch(x: Any) -> Any:
    """dF/dx, by hand."""
    return V @ ((1 - np.tanh(W @ x) ** 2)[:, None] * W)


def after_the_block(x: Any) -> Any:
    """A loss whose derivative in y is a fixed row."""
    return SENSITIVITY @ (branch(x) + x)


def block_of_the_library(x: Any) -> Any:
    """`chainrule.nn.Residual` around F."""
    return cr.nn.Residual(branch)(x)


def growth_of_the_gradient(block: Any, weights: Any, x: Any, back: Any) -> float:
    """log10 of how much longer the gradient is at the first of 50 layers than after the last."""

    def run(x: Any) -> Any:
        for w in weights:
            x = block(x, np.maximum(w @ x, 0))
        return x

    return float(np.log10(np.linalg.norm(cr.vjp(run, x)[1](back)[0]) / np.linalg.norm(back)))


def growths(block: Any, variance: float) -> tuple[float, float, float]:
    """Its mean over 12 random networks and starts, with the 99 % interval."""
    found = list[float]()
    for seed in range(12):
        weights, x, back = normals(seed, (DEPTH, WIDTH, WIDTH), (WIDTH,), (WIDTH,))
        found.append(growth_of_the_gradient(block, np.sqrt(variance / WIDTH) * weights, x, back))
    return interval(found)


def does_not_vanish(block: Any) -> Finding:
    """Through 50 rectified layers with weights of variance 1/n, 12 seeds: is the gradient shorter by less than three orders of magnitude?"""
    mean, low, high = growths(block, 1.0)
    return Finding(low > -3, {"log10 of the growth": mean, "99 % from": low, "99 % to": high})


def neither_vanishes_nor_explodes(block: Any) -> Finding:
    """Through 50 rectified layers with weights of variance 2/n, 12 seeds: is the gradient's length the same within a factor of 100?"""
    mean, low, high = growths(block, 2.0)
    return Finding(low > -2 and high < 2, {"log10 of the growth": mean, "99 % from": low, "99 % to": high})


def small_weights_give_the_identity(block: Any) -> tuple[bool, dict[str, float]]:
    """With weights of size 10⁻⁶, as a penalty would leave them: is the output of 50 layers the input?"""
    weights, x = normals(78, (DEPTH, WIDTH, WIDTH), (WIDTH,))
    y = x
    for w in 1e-6 * weights:
        y = block(y, np.maximum(w @ y, 0))
    return distance(y, x) < 0.01, {"largest difference": distance(y, x)}


CLAIMS = (
    Claim(
        id="9.6.residual", lines=(683, 686), kind="definition", verdict="true",
        statement="A residual block adds its input to what its layers make of it.", latex=r"y = F(x) + x",
        judge=Same(block_of_the_library, POINTS), stated=lambda x: branch(x) + x, other=lambda x: branch(x + x),
        note="F must keep the shape; where it does not, x goes through a linear map.", source="He, Zhang, Ren and Sun 2016",
    ),
    Claim(
        id="9.6.residual.gradient", lines=(690, 693), kind="derivative", verdict="true",
        statement="The derivative in the input is that in the output, through the block's Jacobian and through the identity.", latex=r"\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \left(\frac{\partial F}{\partial x} + I\right)",
        judge=Derivative(after_the_block, POINTS), stated=lambda x: SENSITIVITY @ (slope_of_branch(x) + np.eye(4)), other=lambda x: SENSITIVITY @ (slope_of_branch(x) + 1),
        note="With derivatives as rows. I is the identity matrix, not a matrix of ones.",
    ),
    Claim(
        id="9.6.residual.flow", lines=(697, 697), kind="property", verdict="true",
        statement="Gradients come through deep networks.", latex=r"\prod_l (I + F_l') = I + \sum_l F_l' + \ldots",
        judge=does_not_vanish, stated=lambda x, f: x + f, other=lambda x, f: f,
        note="Through 50 plain layers with weights of the same size, the gradient is lost.",
    ),
    Claim(
        id="9.6.residual.identity", lines=(698, 698), kind="property", verdict="true",
        statement="A block can easily be the identity.", latex=r"F = 0 \Rightarrow y = x",
        judge=Matches(small_weights_give_the_identity), stated=lambda x, f: x + f, other=lambda x, f: f,
        note="By small weights, where a plain layer would have to learn the identity matrix, and cannot be it through a rectifier.",
    ),
    Claim(
        id="9.6.residual.stability", lines=(699, 699), kind="property", verdict="conditional",
        statement="Training becomes stable, as gradients vanish less.", latex=r"\|\partial L / \partial x_0\| \approx \|\partial L / \partial x_{50}\|",
        judge=neither_vanishes_nor_explodes, stated=lambda x, f: x + f, other=lambda x, f: x + f / np.sqrt(DEPTH),
        note="They vanish less, but may explode instead: with usual first weights each block adds as much as it passes on. It takes branches that start small, "
        "by a factor of one over the root of the depth, by zeros, or by a normalisation.",
        note_latex=r"y = x + F(x) / \sqrt{\text{depth}}", source="Zhang, Dauphin and Ma 2019; De and Smith 2020",
    ),
)  # fmt: skip
