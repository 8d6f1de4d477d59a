"""Ufuncs, one line each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp

from chainrule.build.value import Value
from chainrule.front.operands import ufunc
from chainrule.prims import elementwise, kinked, linear, special
from chainrule.prims.kinds import constant, zeros


def truth(x: Value) -> Value:
    """Which elements count as true."""
    return x if x.dtype.kind == "b" else kinked.ne(x, zeros(x.type))


def falsehood(x: Value) -> Value:
    """Which elements count as false."""
    return kinked.invert(x) if x.dtype.kind == "b" else kinked.eq(x, zeros(x.type))


def conjugate(x: Value) -> Value:
    """Real numbers are their own conjugates."""
    return elementwise.conj(x) if x.dtype.kind == "c" else x


def same(x: Value) -> Value:
    """The identity."""
    return x


def divmod_(x: Value, y: Value) -> tuple[Value, Value]:
    """Quotient and remainder."""
    return kinked.floordiv(x, y), kinked.remainder(x, y)


def _on_truth(row: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    return lambda x, y: row(truth(x), truth(y))


def _times(factor: float) -> Callable[[Value], Value]:
    return lambda x: linear.mul(x, constant(factor, x.type))


_ROWS: dict[Any, Any] = {
    np.add: linear.add, np.subtract: linear.sub, np.multiply: linear.mul, np.negative: linear.neg, np.divide: elementwise.div,
    np.floor_divide: kinked.floordiv, np.remainder: kinked.remainder, np.fmod: kinked.fmod,
    np.equal: kinked.eq, np.not_equal: kinked.ne, np.less: kinked.lt, np.less_equal: kinked.le, np.greater: kinked.gt,
    np.greater_equal: kinked.ge, np.bitwise_and: kinked.bitand, np.bitwise_or: kinked.bitor, np.bitwise_xor: kinked.bitxor,
    np.invert: kinked.invert, np.left_shift: kinked.lshift, np.right_shift: kinked.rshift,
    np.exp: elementwise.exp, np.exp2: elementwise.exp2, np.expm1: elementwise.expm1, np.log: elementwise.log,
    np.log1p: elementwise.log1p, np.log2: elementwise.log2, np.log10: elementwise.log10, np.sqrt: elementwise.sqrt,
    np.cbrt: elementwise.cbrt, np.square: elementwise.square, np.reciprocal: elementwise.reciprocal,
    np.sin: elementwise.sin, np.cos: elementwise.cos, np.tan: elementwise.tan, np.arcsin: elementwise.arcsin,
    np.arccos: elementwise.arccos, np.arctan: elementwise.arctan, np.sinh: elementwise.sinh, np.cosh: elementwise.cosh,
    np.tanh: elementwise.tanh, np.arcsinh: elementwise.arcsinh, np.arccosh: elementwise.arccosh, np.arctanh: elementwise.arctanh,
    np.arctan2: elementwise.arctan2, np.hypot: elementwise.hypot, np.logaddexp: elementwise.logaddexp,
    np.logaddexp2: elementwise.logaddexp2,
    np.absolute: kinked.abs, np.fabs: kinked.abs, np.sign: kinked.sign, np.maximum: kinked.maximum, np.minimum: kinked.minimum,
    np.fmax: kinked.fmax, np.fmin: kinked.fmin,
    np.copysign: kinked.copysign, np.heaviside: kinked.heaviside, np.floor: kinked.floor, np.ceil: kinked.ceil,
    np.trunc: kinked.trunc, np.rint: kinked.rint, np.isnan: kinked.isnan, np.isinf: kinked.isinf, np.isfinite: kinked.isfinite,
    np.signbit: kinked.signbit,
    sp.expit: special.expit, sp.logit: special.logit, sp.log_expit: special.log_expit, sp.erf: special.erf, sp.erfc: special.erfc,
    sp.erfinv: special.erfinv, sp.erfcinv: special.erfcinv, sp.ndtr: special.ndtr, sp.ndtri: special.ndtri,
    sp.log_ndtr: special.log_ndtr, sp.gamma: special.gamma, sp.gammaln: special.gammaln, sp.psi: special.digamma,
    sp.beta: special.beta, sp.betaln: special.betaln, special.hurwitz: special.zeta, special.riemann: special.riemann_zeta,
    sp.xlogy: special.xlogy, sp.xlog1py: special.xlog1py, sp.entr: special.entr, sp.rel_entr: special.rel_entr,
    sp.kl_div: special.kl_div, sp.hyp1f1: special.hyp1f1, sp.exprel: special.exprel, sp.iv: special.iv, sp.ive: special.ive,
    sp.i0: special.i0, sp.i1: special.i1, sp.i0e: special.i0e, sp.i1e: special.i1e,
}  # fmt: skip
"""Ufuncs that are rows."""

_WRITTEN: dict[Any, Callable[..., Any]] = {
    np.positive: same,
    np.power: elementwise.raised,
    np.float_power: elementwise.raised,
    np.conjugate: conjugate,
    np.divmod: divmod_,
    np.logical_and: _on_truth(kinked.bitand),
    np.logical_or: _on_truth(kinked.bitor),
    np.logical_xor: _on_truth(kinked.bitxor),
    np.logical_not: falsehood,
    np.deg2rad: _times(math.pi / 180),
    np.radians: _times(math.pi / 180),
    np.rad2deg: _times(180 / math.pi),
    np.degrees: _times(180 / math.pi),
}
"""Ufuncs that are written with rows."""

for _function, _row in _ROWS.items():
    ufunc(_function, _row)
for _function, _write in _WRITTEN.items():
    ufunc(_function, write=_write)
