"""Elementwise calculus: one row per function.  x and y are the arguments, the last name is the value."""

from __future__ import annotations

import numpy as np

from chainrule.build.row import NONZERO, POSITIVE, NONNEGATIVE
from chainrule.prims.kinds import binary, unary
from chainrule.prims.kinked import eq, select

# fmt: off
#             name     value      dy/dx                    notation
exp   = unary("exp",   np.exp,    lambda x, y: y,          r"e^{{{0}}}",    level=8, native="exp", curvature="convex", monotone=1)
log   = unary("log",   np.log,    lambda x, y: 1 / x,      r"\ln {0}",      native="log", on=POSITIVE, curvature="concave", monotone=1)
sin   = unary("sin",   np.sin,    lambda x, y: cos(x),     r"\sin {0}",     native="sin")
cos   = unary("cos",   np.cos,    lambda x, y: -sin(x),    r"\cos {0}",     native="cos")
tanh  = unary("tanh",  np.tanh,   lambda x, y: 1 - y * y,  r"\tanh {0}",    native="tanh", monotone=1)
sqrt  = unary("sqrt",  np.sqrt,   lambda x, y: 0.5 / y,    r"\sqrt{{{0}}}", level=9, native="sqrt", on=NONNEGATIVE, curvature="concave", monotone=1)
div   = binary("div",  np.divide, (lambda x, y, z: 1 / y,
                                   lambda x, y, z: -z / y), r"\frac{{{0}}}{{{1}}}", level=9, python="{0} / {1}", native="div", on=(NONZERO, NONZERO))
pow   = binary("pow",  np.power,  (lambda x, y, z: y * pow(x, select(eq(y, y * 0), y * 0 + 1, y - 1)),
                                   lambda x, y, z: z * log(select(x > 0, x, x * 0 + 1))), r"{{{0}}}^{{{1}}}", level=8, python="{0} ** {1}", native="pow", on=(POSITIVE, POSITIVE))
# fmt: on
