"""chainrule: the calculus in machine learning, on plain NumPy code."""

from chainrule import errors, losses, random, special
from chainrule.batching import vmap
from chainrule.calculus import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp
from chainrule.compilation import jit
from chainrule.emit.watch import debug_nans
from chainrule.flow import checkpoint, cond, custom_jvp, custom_vjp, fori_loop, scan, stop_gradient, while_loop
from chainrule.graphs import Graph, trace

__version__ = "0.1.0"
__all__ = [
    "Graph", "checkpoint", "cond", "custom_jvp", "custom_vjp", "debug_nans", "errors", "fori_loop", "grad", "hessian",
    "hvp", "jacobian", "jit", "jvp", "linearize", "losses", "random", "scan", "special", "stop_gradient", "trace", "value_and_grad",
    "vjp", "vmap", "while_loop",
]  # fmt: skip
