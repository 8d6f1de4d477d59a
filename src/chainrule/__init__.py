"""chainrule: the calculus in machine learning, on plain NumPy code."""

from chainrule.batching import vmap
from chainrule.calculus import grad, hessian, hvp, jacobian, jvp, linearize, value_and_grad, vjp
from chainrule.compilation import jit
from chainrule.graphs import Graph, trace

__version__ = "0.1.0"
__all__ = ["Graph", "grad", "hessian", "hvp", "jacobian", "jit", "jvp", "linearize", "trace", "value_and_grad", "vjp", "vmap"]
