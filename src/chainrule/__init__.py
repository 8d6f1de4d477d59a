"""chainrule: the calculus in machine learning, on plain NumPy code."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule import errors, random, special
from chainrule.batching import vmap
from chainrule.calculus import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp
from chainrule.compilation import jit
from chainrule.emit.watch import debug_nans
from chainrule.flow import checkpoint, cond, custom_jvp, custom_vjp, fori_loop, scan, stop_gradient, while_loop
from chainrule.graphs import Graph, trace

if TYPE_CHECKING:
    from chainrule import (
        analysis,
        distributed,
        distributions,
        generative,
        integrals,
        losses,
        nn,
        optim,
        regularizers,
        rl,
        testing,
    )
    from chainrule import estimators as estimators  # not among the starred names: it needs scikit-learn
    from chainrule.explain.check import Check, Diagnosis, check
    from chainrule.explain.derive import Derivation, derive
    from chainrule.integrals import expectation, integrate
    from chainrule.optim.minimize import minimize
    from chainrule.testing.loss import check_loss
    from chainrule.testing.optimizer import check_optimizer
    from chainrule.train import EarlyStopping, fit

__version__ = "0.1.0"

_LATER = {
    "generative": "chainrule.generative",
    "expectation": "chainrule.integrals:expectation",
    "Check": "chainrule.explain.check:Check",
    "Derivation": "chainrule.explain.derive:Derivation",
    "derive": "chainrule.explain.derive:derive",
    "Diagnosis": "chainrule.explain.check:Diagnosis",
    "check": "chainrule.explain.check:check",
    "check_loss": "chainrule.testing.loss:check_loss",
    "check_optimizer": "chainrule.testing.optimizer:check_optimizer",
    "testing": "chainrule.testing",
    "integrals": "chainrule.integrals",
    "integrate": "chainrule.integrals:integrate",
    "distributed": "chainrule.distributed",
    "distributions": "chainrule.distributions",
    "analysis": "chainrule.analysis",
    "losses": "chainrule.losses",
    "minimize": "chainrule.optim.minimize:minimize",
    "optim": "chainrule.optim",
    "EarlyStopping": "chainrule.train:EarlyStopping",
    "estimators": "chainrule.estimators",
    "fit": "chainrule.train:fit",
    "nn": "chainrule.nn",
    "regularizers": "chainrule.regularizers",
    "rl": "chainrule.rl",
}
"""Names that are loaded when they are first used, so that ``import chainrule`` stays quick: a module, or ``module:name``."""


def __getattr__(name: str) -> Any:
    where = _LATER.get(name)
    if where is None:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    module, _, attribute = where.partition(":")
    found = import_module(module)
    globals()[name] = found = getattr(found, attribute) if attribute else found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__all__ = [
    "Check", "Derivation", "Diagnosis", "EarlyStopping", "Graph", "analysis", "check", "check_loss", "check_optimizer",
    "checkpoint", "cond", "custom_jvp", "custom_vjp", "debug_nans", "derive", "distributed", "distributions", "errors",
    "expectation", "fit", "fori_loop", "generative", "grad", "hessian", "hvp", "integrals", "integrate", "jacobian",
    "jit", "jvp", "linearize", "losses", "minimize", "nn", "optim", "random", "regularizers", "rl", "scan", "special",
    "stop_gradient", "testing", "trace", "value_and_grad", "vjp", "vmap", "while_loop",
]  # fmt: skip
