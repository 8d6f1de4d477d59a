"""Programs that fail, one per message: their lines are what the golden files show."""

import math

import numpy as np
import scipy.special

import chainrule as cr

A = np.ones((5, 4))
random = np.random.default_rng(0)
V5, V4, V3 = np.ones(5), np.ones(4), np.ones(3)
kept = []


def einsum(h):
    return np.sum(np.tanh(np.einsum("ij,j->i", A, h)))


def einsum_letters(h):
    return np.sum(np.einsum("ij,jk->ik", A, h))


def product(w):
    return np.sum(w @ A.T)


def product_swapped(w):
    return np.sum(np.dot(w, A[:3, :]))


def sum_of_columns(x):
    residual = x - np.ones((4, 5))
    return np.sum(residual**2)


def several_lines(x):
    return np.sum(
        np.add(
            x,
            np.ones((2, 3)),
        ),
    )


def joined(x):
    return np.sum(np.concatenate([x, np.ones((4, 2))]))


def joined_ranks(x):
    return np.sum(np.concatenate([x, np.ones((4, 2))], axis=1))


def stacked(x):
    return np.sum(np.stack([x, V3]))


def reshaped(x):
    return np.sum(x.reshape(3, 5))


def unknown(x):
    return np.sum(np.piecewise(x, [x < 0, x >= 0], [0.0, 1.0]))


def unknown_near(x):
    return np.sum(np.nanmedian(x))


def method(x):
    return x.detach().sum()


def misspelt(x):
    return x.summ()


def argument(x):
    return np.sum(np.exp(x, where=x > 0))


def softmax(x):
    return np.sum(scipy.special.softmax(x) ** 2)


def array(x):
    return np.sum(np.array([[x, 2 * x], [x, 1.0]]))


def fromiter(x):
    return np.sum(np.fromiter((v * v for v in x), float))


doubled = np.vectorize(lambda v: 2 * v)


def vectorize(x):
    return np.sum(doubled(x))


def exponential(x):
    return math.exp(x) * 2


def gaussian(x):
    return random.normal(x, 1.0)


def as_float(x):
    return float(x) * 2


def item(x):
    return np.sum(x[0].item() * x)


def asarray(x):
    return np.sum(np.asarray(x))


def stored(x):
    y = np.zeros(3)
    y[0] = x[0]
    return np.sum(y)


def added_in_place(x):
    y = np.zeros(3)
    y += 2 * x
    return np.sum(y)


def out(x):
    y = np.zeros(3)
    np.exp(x, out=y)
    return np.sum(y)


def assigned(x):
    x[0] = 1.0
    return np.sum(x)


def assigned_mask(x):
    x[x > 0] = 2 * x[0]
    return np.sum(x)


def assigned_slice(x):
    x[1:] = 0.0
    return np.sum(x)


def branch(x):
    if x > 0:
        return x
    return -x


def choice(x):
    return x if x > 0 and x < 1 else -x


def loop(x):
    while x < 10:
        x = 2 * x
    return x


def asserted(x):
    assert x > 0
    return np.log(x)


def counted(n):
    return sum(k for k in range(n))


def under_jit(x):
    return math.sqrt(x)


def keep(x):
    kept.append(x * x)
    return np.sum(x)


def escaped():
    cr.grad(keep)(V3)
    return kept[-1] + 1


def squares(x):
    return x * x


def not_scalar():
    return cr.grad(squares)(V3)


def two_results():
    return cr.grad(lambda x: (x, x))(1.0)


def integer():
    return cr.grad(squares)(3)


def integers():
    counts = np.arange(3)
    return cr.grad(lambda x: np.sum(x * x))(counts)


def boolean_result():
    return cr.grad(lambda x: x > 0)(1.0)


def no_reverse(x):
    return cr.while_loop(lambda s: s < 10, lambda s: 2 * s, x)


def container():
    return cr.jvp(lambda p: p["w"] * p["b"][0], ({"w": 1.0, "b": [2.0, 3.0]},), ({"w": 1.0, "b": [2.0]},))


def nothing():
    return cr.grad(squares)(None)


def text():
    return cr.grad(lambda p: p["x"])({"x": "3"})


def objects():
    return cr.grad(lambda x: np.sum(x))(np.array([1.0, None]))


def ragged(x):
    return x * np.sum(np.add([[1.0, 2.0], [3.0]], x))


def axis(x):
    return np.sum(np.sum(x, axis=2))


def empty(x):
    return np.max(x)


def nan_forward(x):
    return np.sum(np.log(x))


def nan_backward(x):
    return np.sum(np.sqrt(x) * 0.0)


def nan_data(x):
    return np.sum(x * 2)


def watched(f, x):
    with cr.debug_nans():
        return cr.grad(f)(x)


def watched_loop(x):
    def body(k, s):
        return np.sqrt(s - 1)

    return cr.fori_loop(0, 3, body, x)


CASES = {
    "einsum": lambda: cr.grad(einsum)(V5),
    "einsum_letters": lambda: cr.grad(einsum_letters)(np.ones((3, 4))),
    "product": lambda: cr.grad(product)(V5),
    "product_swapped": lambda: cr.grad(product_swapped)(np.ones((4, 2))),
    "sum_of_columns": lambda: cr.grad(sum_of_columns)(A),
    "several_lines": lambda: cr.grad(several_lines)(np.ones(2)),
    "joined": lambda: cr.grad(joined)(np.ones((4, 3))),
    "joined_ranks": lambda: cr.grad(joined_ranks)(V4),
    "stacked": lambda: cr.grad(stacked)(V4),
    "reshaped": lambda: cr.grad(reshaped)(np.ones(12)),
    "unknown": lambda: cr.grad(unknown)(V3),
    "unknown_near": lambda: cr.grad(unknown_near)(V3),
    "method": lambda: cr.grad(method)(V3),
    "misspelt": lambda: cr.grad(misspelt)(V3),
    "argument": lambda: cr.grad(argument)(V3),
    "softmax": lambda: cr.grad(softmax)(V3),
    "array": lambda: cr.grad(array)(1.0),
    "fromiter": lambda: cr.grad(fromiter)(V3),
    "vectorize": lambda: cr.grad(vectorize)(V3),
    "exponential": lambda: cr.grad(exponential)(1.0),
    "as_float": lambda: cr.grad(as_float)(1.0),
    "gaussian": lambda: cr.grad(gaussian)(1.0),
    "item": lambda: cr.grad(item)(V3),
    "asarray": lambda: cr.grad(asarray)(V3),
    "stored": lambda: cr.grad(stored)(V3),
    "added_in_place": lambda: cr.grad(added_in_place)(V3),
    "out": lambda: cr.grad(out)(V3),
    "assigned": lambda: cr.grad(assigned)(V3),
    "assigned_mask": lambda: cr.grad(assigned_mask)(V3),
    "assigned_slice": lambda: cr.grad(assigned_slice)(V3),
    "branch": lambda: cr.vmap(branch)(V3),
    "choice": lambda: cr.jit(choice)(1.0),
    "loop": lambda: cr.jit(loop)(1.0),
    "asserted": lambda: cr.jit(asserted)(1.0),
    "counted": lambda: cr.jit(counted)(3),
    "under_jit": lambda: cr.jit(under_jit)(1.0),
    "escaped": escaped,
    "not_scalar": not_scalar,
    "two_results": two_results,
    "integer": integer,
    "integers": integers,
    "boolean_result": boolean_result,
    "no_reverse": lambda: cr.grad(no_reverse)(1.0),
    "container": container,
    "nothing": nothing,
    "text": text,
    "objects": objects,
    "ragged": lambda: cr.grad(ragged)(1.0),
    "axis": lambda: cr.grad(axis)(A),
    "empty": lambda: cr.grad(empty)(np.ones(0)),
    "nan_forward": lambda: watched(nan_forward, np.array([2.0, -1.0, 7.5])),
    "nan_backward": lambda: watched(nan_backward, np.array([4.0, 0.0])),
    "nan_data": lambda: watched(nan_data, np.array([1.0, np.nan])),
    "nan_in_loop": lambda: watched(watched_loop, 2.0),
}
