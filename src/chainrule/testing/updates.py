"""Update rules and their variants as plain formulas: what people write, right and wrong.

Every entry is a function (p, g, s, t, h) -> new p: parameters, gradient, a dict of state that starts empty, the number of the
step from 1, and hyper-parameters.  They say again, in the plainest way, what `chainrule.optim` does with atoms, and so are a
second witness of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from chainrule.ir.graph import Array

Hyper = Mapping[str, float]
State = dict[str, Any]
Update = Callable[[Array, Array, State, int, Hyper], Array]


class Variant(NamedTuple):
    """A named update; `right` says that it is a published form of the rule asked for."""

    name: str
    update: Update
    right: bool
    kind: str = "scale"
    correction: str = ""


@dataclass(frozen=True)
class Adam:
    """Adam and everything that is done to it by accident."""

    epsilon: str = "outside"
    first: int | None = 0
    second: int | None = 0
    decay: str = "none"
    swapped: bool = False
    squared: bool = True
    root: bool = True
    blend: bool = True
    maximum: str = ""
    nesterov: bool = False
    sign: float = 1.0
    momentum: bool = True

    def __call__(self, p: Array, g: Array, s: State, t: int, h: Hyper) -> Array:
        """One step."""
        b1, b2 = (h["beta2"], h["beta1"]) if self.swapped else (h["beta1"], h["beta2"])
        lr, eps, wd = h["learning_rate"], h["epsilon"], h["weight_decay"]
        if self.decay == "coupled":
            g = g + wd * p
        square = g * g if self.squared else g
        m = s["m"] = b1 * s.get("m", 0 * g) + ((1 - b1) if self.blend else 1.0) * g
        v = s["v"] = b2 * s.get("v", 0 * g) + ((1 - b2) if self.blend else 1.0) * square
        top = (1.0 - b1 ** (t + self.first)) if self.first is not None else 1.0
        low = (1.0 - b2 ** (t + self.second)) if self.second is not None else 1.0
        if self.maximum == "plain":
            v = s["best"] = np.maximum(s.get("best", 0 * v), v)
        if self.maximum == "corrected":
            v = s["best"] = np.maximum(s.get("best", 0 * v), v / low)
            low = 1.0
        mean = m / top if self.momentum else g
        if self.nesterov:
            mean = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        step = lr * mean / self._root(v, low, eps)
        if self.decay == "with rate":
            step = step + lr * wd * p
        if self.decay == "without rate":
            step = step + wd * p
        new = p - self.sign * step
        return new - lr * wd * new if self.decay == "afterwards" else new

    def _root(self, v: Array, low: float, eps: float) -> Array:
        if not self.root:
            return v / low + eps
        with np.errstate(invalid="ignore"):
            if self.epsilon == "inside":
                return np.sqrt(v / low + eps)
            if self.epsilon == "before":
                return (np.sqrt(v) + eps) / np.sqrt(low)
            return np.sqrt(v / low) + (eps if self.epsilon == "outside" else 0.0)


_TF = "this is {rule} with epsilon inside the bias correction, as in TensorFlow"


def _adams(rule: str, base: dict[str, Any]) -> Iterator[Variant]:
    """The variants of one of Adam's family; `base` is what the rule itself is."""
    yield Variant(rule, Adam(**base), True)

    def wrong(name: str, kind: str, correction: str, **change: Any) -> Variant:
        return Variant(name, Adam(**{**base, **change}), False, kind, correction)

    if base.get("maximum") != "corrected":  # where there is nothing left to be corrected the two are the same
        yield wrong(_TF.format(rule=rule), "constant", "m_hat / (sqrt(v_hat) + epsilon)", epsilon="before")
    yield wrong("epsilon is inside the square root", "constant", "sqrt(v_hat) + epsilon", epsilon="inside")
    yield wrong("epsilon is missing", "term", "sqrt(v_hat) + epsilon", epsilon="none")
    yield from _corrections(wrong)
    yield wrong(
        "beta1 and beta2 are swapped", "constant", "m = beta1*m + (1-beta1)*g; v = beta2*v + (1-beta2)*g**2", swapped=True
    )
    yield wrong("the second moment averages g and not g**2", "term", "v = beta2*v + (1 - beta2)*g**2", squared=False)
    yield wrong(
        "the square root of the second moment is missing", "local_derivative", "m_hat / (sqrt(v_hat) + epsilon)", root=False
    )
    yield wrong(
        "the factors (1 - beta1) and (1 - beta2) of the averages are missing", "scale", "m = beta1*m + (1-beta1)*g", blend=False
    )
    yield wrong("the step goes uphill: it is added and should be subtracted", "sign", "params - step", sign=-1.0)
    yield wrong("the first moment is missing: the gradient itself is divided, as in RMSprop with bias correction", "term",
                "use m_hat in place of g", momentum=False)  # fmt: skip
    for decay, name in _DECAYS.items():
        if decay != base.get("decay", "none"):
            yield wrong(name.format(rule=rule), "term", _RIGHT_DECAY[base.get("decay", "none")], decay=decay)
    if "maximum" not in base:
        yield wrong(
            f"this is AMSGrad, not {rule}: the maximum of the second moments is used", "term", "v_hat", maximum="corrected"
        )
        yield wrong(f"this is AMSGrad, not {rule}: the maximum of the second moments is used", "term", "v_hat", maximum="plain")
    else:
        yield wrong(
            "the maximum over the second moments is missing: this is Adam, not AMSGrad",
            "term",
            "v_max = maximum(v_max, v)",
            maximum="",
        )
    if not base.get("nesterov"):
        yield wrong(f"this is NAdam, not {rule}: the first moment looks ahead", "term", "m_hat", nesterov=True)


_DECAYS = {
    "none": "the weight decay is missing",
    "coupled": "coupled decay: L2 inside Adam, not AdamW",
    "with rate": "decoupled weight decay: this is AdamW, not {rule} with L2",
    "without rate": "the weight decay is not multiplied by the learning rate",
    "afterwards": "the weight decay is applied to the new parameters, after the step",
}
_RIGHT_DECAY = {
    "none": "params - lr * m_hat / (sqrt(v_hat) + epsilon)",
    "coupled": "g = g + weight_decay * params",
    "with rate": "params - lr * (m_hat / (sqrt(v_hat) + epsilon) + weight_decay * params)",
}


def _corrections(wrong: Callable[..., Variant]) -> Iterator[Variant]:
    """Mistakes of the bias correction."""
    fix = "m_hat = m / (1 - beta1**t), v_hat = v / (1 - beta2**t), t = 1, 2, ..."
    yield wrong("bias correction off by one step: t runs from 2", "scale", fix, first=1, second=1)
    yield wrong("the bias correction is missing", "scale", fix, first=None, second=None)
    yield wrong("the bias correction of the first moment is missing", "scale", fix, first=None)
    yield wrong("the bias correction of the second moment is missing", "scale", fix, second=None)
    yield wrong("bias correction of the first moment off by one step", "scale", fix, first=1)
    yield wrong("bias correction of the second moment off by one step", "scale", fix, second=1)


# --- momentum ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Momentum:
    """Heavy ball, Nesterov, and what is taken for them."""

    nesterov: str = ""
    damped: bool = False
    decay: str = "coupled"
    sign: float = 1.0
    kept: float = 1.0
    once: bool = False

    def __call__(self, p: Array, g: Array, s: State, t: int, h: Hyper) -> Array:
        """One step."""
        lr, mu, wd = h["learning_rate"], h["momentum"], h["weight_decay"]
        own = g + wd * p if self.decay == "coupled" else g
        rest = lr * wd * p if self.decay == "decoupled" else 0 * p
        if self.nesterov == "growing":
            y = p - lr * own
            new = y + (t - 1) / (t + 2) * (y - s.get("y", p))
            s["y"] = y
            return new - rest
        fresh = (1 - mu) * own if self.damped else own
        v = s["v"] = (mu * self.kept * s["v"] + fresh) if "v" in s else (own if self.once else fresh)
        step = own + mu * v if self.nesterov == "ahead" else fresh + mu * v if self.nesterov == "damped" else v
        return p - self.sign * lr * step - rest


def _momenta(rule: str) -> Iterator[Variant]:
    nesterov = rule == "nesterov"
    fix = "v = momentum*v + g; params - lr*(g + momentum*v)" if nesterov else "v = momentum*v + g; params - lr*v"
    if nesterov:
        yield Variant("Nesterov's method as in PyTorch and Keras: params - lr*(g + momentum*v)", Momentum("ahead"), True)
        yield Variant("Nesterov's method of 1983, whose momentum grows as (t - 1)/(t + 2)", Momentum("growing"), True)
        yield Variant(
            "Nesterov's method with a dampened velocity, v = momentum*v + (1 - momentum)*g", Momentum("damped", True), True
        )
        yield Variant("this is the heavy ball, not Nesterov's method: it does not look ahead", Momentum(), False, "term", fix)
    else:
        yield Variant(
            "the heavy ball as in PyTorch, v = momentum*v + g (Polyak's and Keras' velocity takes the same path)",
            Momentum(),
            True,
        )
        yield Variant("the heavy ball as a moving average, v = momentum*v + (1 - momentum)*g", Momentum(damped=True), True)
        yield Variant("the heavy ball as in PyTorch with dampening: the first velocity is g, then (1 - momentum)*g is added",
                      Momentum(damped=True, once=True), True)  # fmt: skip
        yield Variant("this is Nesterov's method, not the heavy ball: it looks ahead", Momentum("ahead"), False, "term", fix)
    head = "ahead" if nesterov else ""
    yield Variant("the step goes uphill: it is added and should be subtracted", Momentum(head, sign=-1.0), False, "sign", fix)
    yield Variant(
        "the velocity is subtracted from itself: momentum enters with the wrong sign",
        Momentum(head, kept=-1.0),
        False,
        "sign",
        fix,
    )
    yield Variant(
        "the velocity is not kept from step to step: this is gradient descent", Momentum(head, kept=0.0), False, "term", fix
    )
    yield Variant("the weight decay is missing", Momentum(head, decay="none"), False, "term", "g = g + weight_decay*params")
    yield Variant("the weight decay is decoupled: it does not enter the velocity", Momentum(head, decay="decoupled"), False, "term",
                  "g = g + weight_decay*params")  # fmt: skip


# --- plain, RMSprop, Adagrad, others -------------------------------------------------------------------------------------------


def _descent(sign: float = 1.0, decay: float = 1.0) -> Update:
    return lambda p, g, s, t, h: p - sign * h["learning_rate"] * (g + decay * h["weight_decay"] * p)


def _plain(rule: str) -> Iterator[Variant]:
    yield Variant("gradient descent", _descent(), True)
    yield Variant("the step goes uphill: it is added and should be subtracted", _descent(-1.0), False, "sign", "params - lr*g")
    yield Variant("the weight decay is missing", _descent(decay=0.0), False, "term", "g = g + weight_decay*params")
    yield Variant(
        "the weight decay is half of what was asked for", _descent(decay=0.5), False, "scale", "g = g + weight_decay*params"
    )
    yield Variant(
        "the weight decay is twice what was asked for", _descent(decay=2.0), False, "scale", "g = g + weight_decay*params"
    )
    yield Variant("the weight decay has the wrong sign", _descent(decay=-1.0), False, "sign", "g = g + weight_decay*params")


@dataclass(frozen=True)
class Scaled:
    """RMSprop and Adagrad: the gradient over the root of an average or a sum of squares."""

    total: bool = False
    epsilon: str = "outside"
    root: bool = True
    squared: bool = True
    blend: bool = True
    swapped: bool = False
    corrected: bool = False
    sign: float = 1.0
    late: bool = False

    def __call__(self, p: Array, g: Array, s: State, t: int, h: Hyper) -> Array:
        """One step."""
        b, eps, start = h["decay"], h["epsilon"], h.get("initial_accumulator", 0.0)
        b = 1 - b if self.swapped else b
        g = g + h["weight_decay"] * p
        square = g * g if self.squared else g
        before = s.get("v", start + 0 * g)
        v = s["v"] = before + square if self.total else b * before + ((1 - b) if self.blend else 1.0) * square
        v = before if self.late else v
        v = v / (1 - b**t) if self.corrected else v
        with np.errstate(all="ignore"):
            low = (
                v + eps
                if not self.root
                else np.sqrt(v + eps)
                if self.epsilon == "inside"
                else np.sqrt(v) + eps * (self.epsilon == "outside")
            )
            return p - self.sign * h["learning_rate"] * g / low


def _scaled(rule: str) -> Iterator[Variant]:
    total = rule == "adagrad"
    own = "v = v + g**2" if total else "v = decay*v + (1 - decay)*g**2"
    fix = "params - lr*g / (sqrt(v) + epsilon)"
    yield Variant(_TITLE[rule], Scaled(total), True)
    changes: list[tuple[str, str, str, dict[str, Any]]] = [
        ("epsilon is inside the square root", "constant", fix, {"epsilon": "inside"}),
        ("epsilon is missing", "term", fix, {"epsilon": "none"}),
        ("the square root is missing", "local_derivative", fix, {"root": False}),
        ("the squares are missing: g is averaged and not g**2", "term", own, {"squared": False}),
        ("the step goes uphill: it is added and should be subtracted", "sign", fix, {"sign": -1.0}),
        ("the squares of this step are counted only in the next", "term", own, {"late": True}),
    ]
    if not total:
        changes += [
            ("decay and 1 - decay are swapped", "constant", own, {"swapped": True}),
            ("the factor (1 - decay) is missing", "scale", own, {"blend": False}),
            ("there is a bias correction, which RMSprop has not", "scale", own, {"corrected": True}),
            ("this is Adagrad, not RMSprop: squares are summed and not averaged", "term", own, {"total": True}),
        ]
    else:
        changes.append(("this is RMSprop, not Adagrad: squares are averaged and not summed", "term", own, {"total": False}))
    for name, kind, correction, change in changes:
        yield Variant(name, replace(Scaled(total), **change), False, kind, correction)


def _adamax(p: Array, g: Array, s: State, t: int, h: Hyper) -> Array:
    m = s["m"] = h["beta1"] * s.get("m", 0 * g) + (1 - h["beta1"]) * g
    u = s["u"] = np.maximum(h["beta2"] * s.get("u", 0 * g), np.abs(g))
    return p - h["learning_rate"] / (1 - h["beta1"] ** t) * m / (u + h["epsilon"])


def _lion(p: Array, g: Array, s: State, t: int, h: Hyper) -> Array:
    m = s.get("m", 0 * g)
    s["m"] = h["beta2"] * m + (1 - h["beta2"]) * g
    return p - h["learning_rate"] * (np.sign(h["beta1"] * m + (1 - h["beta1"]) * g) + h["weight_decay"] * p)


def _adadelta(p: Array, g: Array, s: State, t: int, h: Hyper) -> Array:
    b, eps = h["decay"], h["epsilon"]
    v = s["v"] = b * s.get("v", 0 * g) + (1 - b) * g * g
    d = g * np.sqrt(s.get("u", 0 * g) + eps) / np.sqrt(v + eps)
    s["u"] = b * s.get("u", 0 * g) + (1 - b) * d * d
    return p - h["learning_rate"] * d


_ADAMS: dict[str, dict[str, Any]] = {
    "adam": {"decay": "coupled"},
    "adamw": {"decay": "with rate"},
    "nadam": {"nesterov": True, "decay": "coupled"},
    "amsgrad": {"maximum": "corrected", "decay": "coupled"},
}
_DEFAULTS: dict[str, dict[str, float]] = {
    "adam": {"learning_rate": 1e-3, "epsilon": 1e-8},
    "adamw": {"learning_rate": 1e-3, "epsilon": 1e-8, "weight_decay": 0.01},
    "nadam": {"learning_rate": 1e-3, "epsilon": 1e-8},
    "amsgrad": {"learning_rate": 1e-3, "epsilon": 1e-8},
    "adamax": {"learning_rate": 2e-3, "epsilon": 1e-8},
    "lion": {"learning_rate": 1e-4, "beta2": 0.99},
    "rmsprop": {"learning_rate": 0.01, "epsilon": 1e-8},
    "adagrad": {"learning_rate": 0.01, "epsilon": 1e-10},
    "adadelta": {"learning_rate": 1.0, "epsilon": 1e-6},
    "momentum": {"learning_rate": 0.01},
    "nesterov": {"learning_rate": 0.01},
    "sgd": {"learning_rate": 0.01, "momentum": 0.0},
    "gradient_descent": {"learning_rate": 0.01},
}
ALIASES = {"lr": "learning_rate", "eps": "epsilon", "alpha": "decay", "rho": "decay", "mu": "momentum", "wd": "weight_decay"}
NAMES = tuple(_DEFAULTS)


def hyperparameters(rule: str, given: Mapping[str, Any]) -> dict[str, float]:
    """All of them: the rule's defaults, then what was given, by any of its names."""
    common = {
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.9,
        "decay": 0.9,
        "learning_rate": 0.01,
    }
    out = {**common, **_DEFAULTS.get(rule, {})}
    for name, x in given.items():
        if name == "betas":
            out["beta1"], out["beta2"] = x
            continue
        own = ALIASES.get(name, name)
        if own == "beta":
            own = "momentum" if rule in ("momentum", "nesterov", "sgd") else "decay"
        if own not in out and own != "initial_accumulator":
            raise TypeError(f"check_optimizer has no hyper-parameter {name!r}; there are {', '.join(sorted(out))}")
        out[own] = float(x)
    return out


def variants(rule: str, h: Hyper) -> list[Variant]:
    """The rule (first) and its variants."""
    if rule in _ADAMS:
        out = list(_adams(_TITLE.get(rule, rule), _ADAMS[rule]))
        if rule == "amsgrad":
            out[1:1] = [
                Variant("AMSGrad as in PyTorch: the maximum is of v, corrected afterwards", Adam(decay="coupled", maximum="plain"), True),
                Variant("AMSGrad as in the paper: no bias correction", Adam(decay="coupled", maximum="plain", first=None, second=None), True),
                Variant("AMSGrad with the first moment corrected only", Adam(decay="coupled", maximum="plain", second=None), True),
            ]  # fmt: skip
        return out
    if rule in ("momentum", "nesterov"):
        return list(_momenta(rule))
    if rule == "sgd" and h["momentum"]:
        return list(_momenta("momentum"))
    if rule in ("sgd", "gradient_descent"):
        return list(_plain(rule))
    if rule in ("rmsprop", "adagrad"):
        return list(_scaled(rule))
    return [Variant(_TITLE[rule], {"adamax": _adamax, "lion": _lion, "adadelta": _adadelta}[rule], True)]


_TITLE = {
    "adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "amsgrad": "AMSGrad", "rmsprop": "RMSprop", "adagrad": "Adagrad",
    "adamax": "AdaMax", "lion": "Lion", "adadelta": "Adadelta",
}  # fmt: skip
