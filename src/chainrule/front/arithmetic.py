"""Ufuncs, one line each."""

from __future__ import annotations

import numpy as np

from chainrule.front.operands import ufunc
from chainrule.prims import elementwise, kinked, linear

ufunc(np.add, linear.add)
ufunc(np.subtract, linear.sub)
ufunc(np.multiply, linear.mul)
ufunc(np.negative, linear.neg)
ufunc(np.divide, elementwise.div)
ufunc(np.power, elementwise.pow)
ufunc(np.exp, elementwise.exp)
ufunc(np.log, elementwise.log)
ufunc(np.sin, elementwise.sin)
ufunc(np.cos, elementwise.cos)
ufunc(np.tanh, elementwise.tanh)
ufunc(np.sqrt, elementwise.sqrt)
ufunc(np.equal, kinked.eq)
ufunc(np.not_equal, kinked.ne)
ufunc(np.less, kinked.lt)
ufunc(np.less_equal, kinked.le)
ufunc(np.greater, kinked.gt)
ufunc(np.greater_equal, kinked.ge)
