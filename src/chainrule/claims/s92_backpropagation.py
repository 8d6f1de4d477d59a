"""Claims of 9.2: backpropagation."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import time
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Derivative, Matches, Same, above, distance, normals
from chainrule.special import softmax

X0, Y0, W1, B1, W2, B2 = normals(31, (3,), (2,), (4, 3), (4,), (2, 4), (2,))
BATCH_X, BATCH_Y = normals(32, (3, 5), (2, 5))  # one example per column
WEIGHTS = (W1, B1, W2, B2)


def sigmoid(z: Any) -> Any:
    """The logistic function, whose slope is a (1 - a)."""
    return 1 / (1 + np.exp(-z))


def forward(w1: Any, b1: Any, w2: Any, b2: Any, x: Any = X0) -> tuple[Any, Any, Any, Any]:
    """z1, a1, z2, a2 for one example (a vector) or several (columns)."""
    add = (lambda b: b) if np.ndim(x) == 1 else (lambda b: b[:, None])
    z1 = w1 @ x + add(b1)
    a1 = sigmoid(z1)
    z2 = w2 @ a1 + add(b2)
    return z1, a1, z2, sigmoid(z2)


def loss(w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    """Half the squared error of one example."""
    return 0.5 * np.sum((forward(w1, b1, w2, b2)[-1] - Y0) ** 2)


def batch_loss(w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
    """The mean of it over five examples."""
    return 0.5 * np.sum((forward(w1, b1, w2, b2, BATCH_X)[-1] - BATCH_Y) ** 2) / 5


def deltas(w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, Any, Any]:
    """a1 and the sensitivities of both layers for one example, by the recursion."""
    _, a1, _, a2 = forward(w1, b1, w2, b2)
    d2 = (a2 - Y0) * a2 * (1 - a2)
    return a1, w2.T @ d2 * a1 * (1 - a1), d2


def recursion(w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, Any, Any, Any]:
    """All four gradients of one example by the recursion."""
    a1, d1, d2 = deltas(w1, b1, w2, b2)
    return np.outer(d1, X0), d1, np.outer(d2, a1), d2


def chain_to_the_first_layer(w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, Any, Any, Any]:
    """The product of Jacobians that ends in z_1: what it says of every parameter."""
    _, a1, _, a2 = forward(w1, b1, w2, b2)
    row = (a2 - Y0) @ np.diag(a2 * (1 - a2)) @ w2 @ np.diag(a1 * (1 - a1))
    return np.outer(row, X0), row, np.zeros_like(w2), np.zeros_like(b2)


def output_sensitivity(activation: Any) -> Any:
    """The exact derivative of a loss with respect to z, through this activation."""
    target = np.array([0.0, 1.0, 0.0])
    return cr.grad(lambda z: -np.sum(target * np.log(activation(z)))), target


SOFTMAX_SLOPE, TARGET = output_sensitivity(lambda z: np.exp(z) / np.sum(np.exp(z)))
Z = [(z,) for z in normals(33, (3,), (3,))]


def elementwise_rule(z: Any) -> Any:
    """dL/da times the derivative of each output in its own input."""
    a = softmax(z)
    return -TARGET / a * (a * (1 - a))


def jacobian_rule(z: Any) -> Any:
    """The transposed Jacobian times dL/da."""
    a = softmax(z)
    return (np.diag(a) - np.outer(a, a)).T @ (-TARGET / a)


def hidden_sensitivity(w2: Any) -> Any:
    """The exact derivative with respect to the hidden z."""
    z1 = forward(*WEIGHTS)[0]
    return cr.grad(lambda z: 0.5 * np.sum((sigmoid(w2 @ sigmoid(z) + B2) - Y0) ** 2))(z1)


def output_sensitivity_in_z(w2: Any) -> Any:
    """The exact derivative with respect to the last z."""
    return cr.grad(lambda z: 0.5 * np.sum((sigmoid(z) - Y0) ** 2))(forward(W1, B1, w2, B2)[2])


def hidden_rule(product: Any) -> Any:
    """The recursion with this product of W and delta."""

    def rule(w2: Any) -> Any:
        _, a1, _, a2 = forward(W1, B1, w2, B2)
        return product(w2, (a2 - Y0) * a2 * (1 - a2)) * a1 * (1 - a1)

    return rule


def batch_deltas(w1: Any, b1: Any, w2: Any, b2: Any) -> tuple[Any, Any]:
    """a1 and delta_2 for five examples in columns, of the mean loss."""
    _, a1, _, a2 = forward(w1, b1, w2, b2, BATCH_X)
    return a1, (a2 - BATCH_Y) * a2 * (1 - a2) / 5


def softmax_weight_gradient(w: Any) -> Any:
    """-log of the softmax of a layer, for one class."""
    z = w @ X0
    return -np.sum(TARGET * (z - np.log(np.sum(np.exp(z)))))


def one_path(w: Any) -> Any:
    """dL/da_i da_i/dz_i dz_i/dW_ij: only through the unit's own output."""
    a = softmax(w @ X0)
    return np.outer(-TARGET / a * a * (1 - a), X0)


def all_paths(w: Any) -> Any:
    """The sum over all outputs of the layer."""
    a = softmax(w @ X0)
    return np.outer((np.diag(a) - np.outer(a, a)) @ (-TARGET / a), X0)


def deep(w: Any, x: Any) -> Any:
    """Five layers of one shape."""
    for _ in range(5):
        x = np.tanh(w @ x)
    return np.sum(x**2)


def costs_a_few_evaluations(method: Any) -> tuple[bool, dict[str, float]]:
    """Counted in multiply-adds of matrix products: is the price of all derivatives at most 4 forward passes, at every width?"""
    ratios = []
    for n in (4, 16, 64):
        w, x = normals(34, (n, n), (n,))
        ratios.append(method(w / np.sqrt(n), x) / products(cr.trace(deep)(w, x)))
    return max(ratios) <= 4, {"largest ratio": max(ratios)}


def products(graph: Any) -> float:
    """Multiply-adds of the contractions in a graph: the product of the sizes of all letters."""
    total = 0
    for e in graph.eqns:
        if e.prim == "contract":
            letters = dict(e.params)["spec"].split("->")[0].split(",")
            sizes = {c: n for word, v in zip(letters, e.ins, strict=True) for c, n in zip(word, v.type.shape, strict=True)}
            total += int(np.prod(list(sizes.values())))
    return float(total)


def two_passes(w: Any, x: Any) -> float:
    """The traced gradient."""
    return products(cr.trace(cr.grad(deep))(w, x))


def one_difference_per_parameter(w: Any, x: Any) -> float:
    """One more forward pass for each parameter."""
    return (w.size + 1) * products(cr.trace(deep)(w, x))


def is_derived_from_the_graph(gradient: Any) -> tuple[bool, dict[str, float]]:
    """For a function never seen before, is the gradient right without a formula for it being given?"""
    f = lambda w: np.log1p(np.sum(np.exp(np.sin(w) * np.cumsum(w)) / (1 + w**2)))
    w = normals(35, (6,))[0]
    numeric = np.array([f(w + 1e-30j * e).imag / 1e-30 for e in np.eye(6)])
    gap = distance(gradient(f)(w), numeric)
    return gap < 1e-12, {"largest difference": gap}


def millions_of_parameters(size: int) -> tuple[bool, dict[str, float]]:
    """A network with more than a million parameters: one gradient within 10 s, right along a random direction?"""
    w, x, d = normals(36, (size, size), (size,), (size, size))
    w = w / np.sqrt(size)
    start = time.process_time()
    g = cr.grad(deep)(w, x)
    seconds = time.process_time() - start
    along = float(np.sum(cr.jvp(lambda m: deep(m, x), (w,), (d,))[1]))
    gap = abs(float(np.sum(g * d)) / along - 1)
    return w.size > 1e6 and seconds < 10 and gap < 1e-9, {"parameters": w.size, "seconds": seconds, "relative difference": gap}


def stores_as_many_as_there_are_layers(strategy: Any) -> tuple[bool, dict[str, float]]:
    """Does an exact gradient through 36 layers keep at least 36 activations at a time?"""
    layers = np.linspace(0.5, 1.5, 36)
    slope, most = strategy(layers, 0.7)
    exact = cr.grad(lambda x: chain(layers, x))(0.7)
    if abs(slope - exact) > 1e-12:
        raise ArithmeticError(f"the strategy's gradient is wrong: {slope}, not {exact}")
    return most >= 36, {"activations kept": most, "difference from the gradient": abs(slope - exact)}


def chain(layers: Any, x: Any) -> Any:
    """tanh(w x), layer after layer."""
    for w in layers:
        x = np.tanh(w * x)
    return x


def run(layers: Any, x: float) -> list[float]:
    """Every activation, the input first."""
    out = [x]
    for w in layers:
        out.append(float(np.tanh(w * out[-1])))
    return out


def back(layers: Any, kept: list[float], ct: float) -> float:
    """One backward pass over kept activations."""
    for w, a in zip(layers[::-1], kept[:0:-1], strict=True):
        ct *= w * (1 - a * a)
    return ct


def keep_all(layers: Any, x: float) -> tuple[float, int]:
    """Store every activation."""
    kept = run(layers, x)
    return back(layers, kept, 1.0), len(kept)


def keep_some(layers: Any, x: float) -> tuple[float, int]:
    """Store every sixth, recompute the five between when they are needed."""
    starts, ct, most = run(layers, x)[:-1:6], 1.0, 0
    for i in reversed(range(6)):
        part = run(layers[6 * i : 6 * i + 6], starts[i])
        most = max(most, i + len(part))
        ct = back(layers[6 * i : 6 * i + 6], part, ct)
    return ct, most


XOR_X, XOR_Y = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]]), np.array([0.0, 1, 1, 0])


def xor_run(hidden: int, seeds: int, steps: int = 2000) -> tuple[Any, Any]:
    """Gradient descent (with momentum) of many starts at once; per start the examples it gets right, and the losses."""
    rng = np.random.default_rng(37)
    w, b, v, c = (rng.standard_normal(s) for s in ((seeds, hidden, 2), (seeds, hidden, 1), (seeds, 1, hidden), (seeds, 1, 1)))
    speed, losses = [0.0, 0.0, 0.0, 0.0], []
    for _ in range(steps):
        a = sigmoid(w @ XOR_X + b)
        p = sigmoid(v @ a + c)
        d2 = (p - XOR_Y) / 4
        d1 = np.swapaxes(v, 1, 2) @ d2 * a * (1 - a)
        losses.append(np.mean(-XOR_Y * np.log(p) - (1 - XOR_Y) * np.log1p(-p), axis=(1, 2)))
        g = [d1 @ XOR_X.T, d1.sum(2, keepdims=True), d2 @ np.swapaxes(a, 1, 2), d2.sum(2, keepdims=True)]
        speed = [0.9 * s + x for s, x in zip(speed, g, strict=True)]
        w, b, v, c = (q - 0.3 * s for q, s in zip((w, b, v, c), speed, strict=True))
    right = ((sigmoid(v @ sigmoid(w @ XOR_X + b) + c) > 0.5) == XOR_Y).sum((1, 2))
    return right, np.array(losses)


def learns_xor(hidden: int) -> Finding:
    """Over 60 random starts, is the share that gets all four examples right above 95 %, with confidence?"""
    right, _ = xor_run(hidden, 60)
    return above(right == 4, 0.95)


def narrow_loss(w: Any) -> Any:
    """The loss of the smallest deep network: three weights in a row, which should multiply to one."""
    return 0.5 * (1 - w[0] * w[1] * w[2]) ** 2


def flat_means_done(rule: Any) -> tuple[bool, dict[str, float]]:
    """Three layers of one weight, from small weights: when the rule first says converged, is the loss within 0.05 of its end?"""
    w, losses, stop = np.full(3, 0.05), [], -1
    for k in range(1000):
        losses.append(float(narrow_loss(w)))
        if stop < 0 and k >= 25 and losses[k - 25] - losses[k] < 1e-3 and rule(w):
            stop = k
        w = w + 0.1 * (1 - np.prod(w)) * np.prod(w) / w
    return losses[stop] - losses[-1] < 0.05, {"step": stop, "loss then": losses[stop], "loss at the end": losses[-1]}


def linear_in_the_input(activation: Any) -> tuple[bool, dict[str, float]]:
    """Is f(x) + f(-x) = 2 f(0) for a two-layer network with this activation, as for every affine function?"""
    f = lambda x: W2 @ activation(W1 @ x + B1) + B2
    gap = distance(f(X0) + f(-X0), 2 * f(0 * X0))
    return gap > 1e-3, {"distance from an affine function": gap}


def forward_by_scikit_learn(x: Any) -> Any:
    """Outputs of scikit-learn's network with our weights; it has examples in rows and weights transposed."""
    from sklearn.neural_network import MLPRegressor

    net = MLPRegressor(hidden_layer_sizes=(4,), activation="logistic", max_iter=1).fit(
        normals(40, (8, 3))[0], normals(41, (8, 2))[0]
    )
    net.coefs_, net.intercepts_ = [W1.T, W2.T], [B1, B2]
    return net.predict(x[None, :])[0]


CLAIMS = (
    Claim(
        id="9.2.definition", lines=(171, 171), kind="definition", verdict="true",
        statement="Backpropagation computes a network's gradient by the chain rule.", latex=r"\partial L / \partial \theta",
        judge=Derivative(loss, [WEIGHTS], (0, 1, 2, 3), "gradient of a network"), stated=recursion, other=lambda *w: (*recursion(*w)[:3], forward(*w)[-1] - Y0),
    ),
    Claim(
        id="9.2.product", lines=(173, 177), kind="identity", verdict="imprecise",
        statement="The gradient in the parameters is the product of all layers' derivatives, down to the first layer.",
        latex=r"\frac{\partial L}{\partial \theta} = \frac{\partial L}{\partial a_L} \frac{\partial a_L}{\partial z_L} \cdots \frac{\partial a_1}{\partial z_1} \frac{\partial z_1}{\partial \theta}",
        judge=Derivative(loss, [WEIGHTS], (0, 1, 2, 3), "gradient in all parameters"), stated=chain_to_the_first_layer, other=recursion,
        note="As a product of Jacobian matrices in this order it is right for the first layer's parameters. Those of layer l have a product that ends at "
        "their own layer; with column gradients it is transposed and its order reversed.",
        note_latex=r"\frac{\partial L}{\partial \theta_l} = \frac{\partial L}{\partial a_L} \frac{\partial a_L}{\partial z_L} \cdots \frac{\partial a_l}{\partial z_l} \frac{\partial z_l}{\partial \theta_l}",
    ),
    Claim(
        id="9.2.symbols", lines=(177, 177), kind="definition", verdict="true",
        statement="Pre-activations z go into an activation, and activations a come out of it.", latex=r"a_l = \sigma(z_l), \quad \delta_l = \partial L / \partial z_l",
        judge=Same(output_sensitivity_in_z, [(W2,), (2 * W2,)], "derivative in the pre-activation"),
        stated=lambda w2: (forward(W1, B1, w2, B2)[3] - Y0) * forward(W1, B1, w2, B2)[3] * (1 - forward(W1, B1, w2, B2)[3]), other=lambda w2: forward(W1, B1, w2, B2)[3] - Y0,
        note="δ, which is not explained, is the derivative in z, not in a; the activations before the first layer are the input.",
    ),
    Claim(
        id="9.2.forward.affine", lines=(181, 184), kind="definition", verdict="true",
        statement="A layer's pre-activation is its weights times the activations before it, plus a bias.", latex=r"z_l = W_l a_{l-1} + b_l",
        judge=Same(forward_by_scikit_learn, [(X0,), (2 * X0,)]), stated=lambda x: W2 @ sigmoid(W1 @ x + B1) + B2, other=lambda x: W2 @ (sigmoid(W1 @ x) + B1) + B2,
        note="For one example, a column. With examples in rows, as libraries have them, it is the transposed product.",
    ),
    Claim(
        id="9.2.forward.activation", lines=(186, 188), kind="definition", verdict="true",
        statement="The activation is a non-linear function of the pre-activation.", latex=r"a_l = \sigma(z_l)",
        judge=Matches(linear_in_the_input), stated=sigmoid, other=lambda z: 3 * z,
        note="Layers may have different activations; without one a deep network is a linear model.",
    ),
    Claim(
        id="9.2.delta.output", lines=(192, 195), kind="derivative", verdict="conditional",
        statement="The last layer's sensitivity is the loss's derivative times, element by element, the activation's slope.", latex=r"\delta_L = \frac{\partial L}{\partial a_L} \odot \sigma'(z_L)",
        judge=Same(SOFTMAX_SLOPE, Z, "derivative through a softmax layer"), stated=elementwise_rule, other=jacobian_rule,
        note="For activations that act on each element alone. Each output of softmax depends on every input: the whole Jacobian is needed, and with "
        "cross-entropy it comes to a - y.",
        note_latex=r"\delta_L = \left(\frac{\partial a_L}{\partial z_L}\right)^{\mathsf T} \frac{\partial L}{\partial a_L}",
    ),
    Claim(
        id="9.2.delta.hidden", lines=(197, 200), kind="derivative", verdict="true",
        statement="A hidden layer's sensitivity comes from the next one's through the transposed weights.", latex=r"\delta_l = (W_{l+1}^{\mathsf T} \delta_{l+1}) \odot \sigma'(z_l)",
        judge=Same(hidden_sensitivity, [(W2,), (2 * W2,)]), stated=hidden_rule(lambda w, d: w.T @ d), other=hidden_rule(lambda w, d: np.abs(w).T @ d),
        note="For activations that act on each element alone, and a layer that feeds the next one only.",
    ),
    Claim(
        id="9.2.gradient.weights", lines=(202, 205), kind="derivative", verdict="true",
        statement="The gradient in a layer's weights is the sensitivity times the transposed activation before it.", latex=r"\partial L / \partial W_l = \delta_l a_{l-1}^{\mathsf T}",
        judge=Derivative(batch_loss, [WEIGHTS], 2, "gradient in the weights, five examples"),
        stated=lambda *w: batch_deltas(*w)[1] @ batch_deltas(*w)[0].T, other=lambda *w: 5 * batch_deltas(*w)[1] @ batch_deltas(*w)[0].T,
        note="For one example, and for a batch in columns, where the product sums over the examples (1/n of a mean loss is in δ). With "
        "examples in rows it is the other product.",
    ),
    Claim(
        id="9.2.gradient.bias", lines=(207, 209), kind="derivative", verdict="conditional",
        statement="The gradient in a layer's bias is the sensitivity.", latex=r"\partial L / \partial b_l = \delta_l",
        judge=Derivative(batch_loss, [WEIGHTS], 3, "gradient in the bias, five examples"),
        stated=lambda *w: batch_deltas(*w)[1], other=lambda *w: batch_deltas(*w)[1].sum(1),
        note="For one example. For a batch the sensitivities are summed over the examples; as it stands even the shapes differ.",
        note_latex=r"\frac{\partial L}{\partial b_l} = \sum_i \delta_l^{(i)}",
    ),
    Claim(
        id="9.2.chain.weight", lines=(214, 216), kind="derivative", verdict="conditional",
        statement="The derivative in one weight is a product of three derivatives, through the unit it feeds.",
        latex=r"\frac{\partial L}{\partial W_{ij}} = \frac{\partial L}{\partial a_i} \frac{\partial a_i}{\partial z_i} \frac{\partial z_i}{\partial W_{ij}}",
        judge=Derivative(softmax_weight_gradient, [(normals(42, (3, 3))[0],)], name="derivative in the weights of a softmax layer"), stated=one_path, other=all_paths,
        note="For activations that act on each element alone; then the first factor is the total derivative through all later layers. In a softmax "
        "layer a weight acts through every output, and the paths are summed.",
        note_latex=r"\frac{\partial L}{\partial W_{ij}} = \sum_m \frac{\partial L}{\partial a_m} \frac{\partial a_m}{\partial z_i} \frac{\partial z_i}{\partial W_{ij}}",
    ),
    Claim(
        id="9.2.chain.efficient", lines=(211, 213), kind="property", verdict="true",
        statement="The chain rule makes gradients cheap.", latex=r"\text{cost}(\nabla L) \le c \cdot \text{cost}(L)",
        judge=Matches(costs_a_few_evaluations), stated=lambda w, x: products(cr.trace(cr.value_and_grad(deep, (0, 1)))(w, x)), other=one_difference_per_parameter,
        source="Baur and Strassen 1983",
    ),
    Claim(
        id="9.2.property.efficiency", lines=(220, 220), kind="property", verdict="true",
        statement="A forward and a backward pass give all derivatives.", latex=r"2 \text{ passes}",
        judge=Matches(costs_a_few_evaluations), stated=two_passes, other=one_difference_per_parameter,
        note="At the price of about three forward passes in matrix products.",
    ),
    Claim(
        id="9.2.property.automatic", lines=(221, 221), kind="property", verdict="true",
        statement="It can be carried out by a program on the graph of the computation.", latex=r"f \mapsto \nabla f",
        judge=Matches(is_derived_from_the_graph), stated=cr.grad, other=lambda f: lambda w: np.gradient(np.array([f(w)] * 6)),
    ),
    Claim(
        id="9.2.property.scalability", lines=(222, 222), kind="property", verdict="true",
        statement="It scales to millions of parameters.", latex=r"n > 10^6",
        judge=Matches(millions_of_parameters), stated=1024, other=100,
    ),
    Claim(
        id="9.2.property.memory", lines=(223, 223), kind="property", verdict="conditional",
        statement="The backward pass needs the stored activations of the forward pass.", latex=r"\text{memory} = O(\text{depth})",
        judge=Matches(stores_as_many_as_there_are_layers), stated=keep_some, other=keep_all,
        note="If nothing is computed twice. With checkpoints every sixth of 36 layers, twelve are kept, at the price of a second forward pass.",
        note_latex=r"O(\sqrt{\text{depth}})", source="Griewank and Walther 2000; Chen et al. 2016",
    ),
    Claim(
        id="9.2.program.forward", lines=(228, 228), kind="definition", verdict="true",
        statement="The forward pass computes sigmoid activations layer by layer.", latex=r"a_l = 1 / (1 + e^{-z_l})",
        judge=Same(lambda x: forward_by_scikit_learn(x), [(X0,), (-X0,)], "scikit-learn's network"), stated=lambda x: W2 @ forward(*WEIGHTS, x)[1] + B2, other=lambda x: W2 @ np.tanh(forward(*WEIGHTS, x)[0]) + B2,
    ),
    Claim(
        id="9.2.program.backward", lines=(229, 229), kind="property", verdict="true",
        statement="The backward pass gets the gradients from the chain rule.", latex=r"\delta_2 \to \delta_1",
        judge=Derivative(loss, [WEIGHTS], (0, 1), "gradient in the first layer"), stated=lambda *w: recursion(*w)[:2], other=lambda *w: tuple(2 * g for g in recursion(*w)[:2]),
    ),
    Claim(
        id="9.2.program.both", lines=(230, 230), kind="property", verdict="true",
        statement="Every layer gets a gradient for its weights and one for its biases.", latex=r"\nabla_{W_l} L \in \mathbb R^{m \times n}, \; \nabla_{b_l} L \in \mathbb R^m",
        judge=Same(lambda *w: tuple(np.array(np.shape(p)) for p in w), [WEIGHTS], "shapes of the parameters"),
        stated=lambda *w: tuple(np.array(np.shape(g)) for g in recursion(*w)), other=lambda *w: tuple(np.array(np.shape(np.transpose(g))) for g in recursion(*w)),
    ),
    Claim(
        id="9.2.program.xor", lines=(231, 231), kind="property", verdict="conditional",
        statement="The network learns XOR, which no linear model can.", latex=r"x_1 \oplus x_2",
        judge=learns_xor, stated=2, other=12,
        note="It needs a hidden layer, and luck or spare units: with two hidden units a share of the random starts gets stuck; with twelve almost none does.",
        note_latex=r"P(\text{solved}) > 0.95 \text{ with 12 hidden units}",
    ),
    Claim(
        id="9.2.program.loss_curve", lines=(232, 232), kind="remark", verdict="imprecise",
        statement="The loss curve shows when training has converged.", latex=r"L_k \approx L_{k+1} \Rightarrow \text{converged}",
        judge=Matches(flat_means_done), stated=lambda w: True, other=lambda w: float(np.linalg.eigvalsh(cr.hessian(narrow_loss)(w))[0]) > -1e-3,
        note="A flat stretch may be a plateau near a saddle: from small weights the loss of a deep network hardly moves for many steps, and then falls. "
        "Negative curvature tells the two apart, and so does a longer run.",
        note_latex=r"\lambda_{\min}(\nabla^2 L) < 0",
    ),
)  # fmt: skip
