"""Elementary functions, one row each.  x and y are the arguments, the last name is the value."""

from __future__ import annotations

import math

import numpy as np

from chainrule.build.row import ABOVE_MINUS_ONE, ABOVE_ONE, LINE, NONNEGATIVE, NONZERO, POSITIVE, UNIT, Row
from chainrule.build.value import Value
from chainrule.ir.graph import Lit
from chainrule.prims.kinds import binary, constant, unary, zeros
from chainrule.prims.kinked import abs, bitand, bitor, either, eq, ge, isinf, maximum, minimum, nowhere

LN2, LN10 = math.log(2), math.log(10)


def known(x: Value, number: float) -> bool:
    """Is every element of `x` this constant?"""
    return isinstance(x.atom, Lit) and x.atom.is_number(number)


def _both(x: Value, a: float, y: Value, b: float) -> Value:
    return bitand(eq(x, constant(a, x.type)), eq(y, constant(b, y.type)))


def raised(x: Value, y: Value) -> Value:
    """x to the power y; squares and reciprocals are written as such."""
    if known(y, 1):
        return x
    if known(y, 2):
        return square(x)
    return reciprocal(x) if known(y, -1) and y.type.inexact else pow(x, y)


def _pow_x(x: Value, y: Value, z: Value) -> Value | float:
    """y x^(y-1).  Only 0^0 needs care: 0 times infinity is 0 there, for x^0 is 1 for every x."""
    if known(y, 0):
        return 0.0
    if isinstance(y.atom, Lit) and y.atom.splat:
        return y * raised(x, y - 1)
    return y * pow(x, either(_both(x, 0, y, 0), 1.0, y - 1, like=y))


def _pow_y(x: Value, y: Value, z: Value) -> Value:
    """x^y ln x.  0^y is 0 for every y > 0, so its derivative is 0; powers of negative numbers have none: NaN."""
    zero = zeros(x.type)
    return z * log(either(bitand(eq(x, zero), ge(y, zero)), 1.0, x, like=x))


def apart(x: Value, y: Value) -> Value:
    """x - y, and 0 where both are the same infinity."""
    return either(bitand(eq(x, y), isinf(x)), 0.0, x - y, like=x)


def logistic(x: Value) -> Value:
    """1 / (1 + exp(-x))"""
    from chainrule.prims.special import expit

    return expit(x)


def _hypot(x: Value, z: Value) -> Value:
    zero = eq(z, zeros(z.type))
    return either(zero, 0.0, x / either(zero, 1.0, z, like=z), like=x)


def _length(x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2) where the squares may overflow or vanish; infinite where one is, whatever the other."""
    a, b = abs(x), abs(y)
    big, small = maximum(a, b), minimum(a, b)
    ratio = small / either(bitor(eq(big, zeros(x.type)), isinf(big)), 1.0, big, like=x)
    return either(bitor(isinf(a), isinf(b)), math.inf, big * sqrt(1 + ratio * ratio), like=x)


_COMPLEX = nowhere("complex numbers can be evaluated, not differentiated: write the function of real and imaginary parts")

# fmt: off
#               name         value          dy/dx                                        notation
exp       = unary("exp",     np.exp,        lambda x, y: y,                              r"e^{{{0}}}",           level=8, native="exp", curvature="convex", monotone=1, source="DLMF 4.10.2")
exp2      = unary("exp2",    np.exp2,       lambda x, y: LN2 * y,                        r"2^{{{0}}}",           level=8, native="exp2", curvature="convex", monotone=1)
expm1     = unary("expm1",   np.expm1,      lambda x, y: exp(x),                         r"e^{{{0}}} - 1",       level=3, native="expm1", curvature="convex", monotone=1)
log       = unary("log",     np.log,        lambda x, y: 1 / x,                          r"\ln {0}",             native="log", on=POSITIVE, curvature="concave", monotone=1, source="DLMF 4.10.1")
log1p     = unary("log1p",   np.log1p,      lambda x, y: 1 / (1 + x),                    r"\ln\left(1 + {0}\right)", native="log1p", on=ABOVE_MINUS_ONE, curvature="concave", monotone=1)
log2      = unary("log2",    np.log2,       lambda x, y: 1 / (LN2 * x),                  r"\log_{{2}} {0}",      native="log2", on=POSITIVE, curvature="concave", monotone=1)
log10     = unary("log10",   np.log10,      lambda x, y: 1 / (LN10 * x),                 r"\log_{{10}} {0}",     native="log10", on=POSITIVE, curvature="concave", monotone=1)
sqrt      = unary("sqrt",    np.sqrt,       lambda x, y: 0.5 / y,                        r"\sqrt{{{0}}}",        level=9, native="sqrt", on=NONNEGATIVE, curvature="concave", monotone=1)
cbrt      = unary("cbrt",    np.cbrt,       lambda x, y: 1 / (3 * square(y)),            r"\sqrt[3]{{{0}}}",     level=9, native="cbrt", on=NONZERO, monotone=1)
square    = unary("square",  np.square,     lambda x, y: 2 * x,                          r"{{{0}}}^{{2}}",       level=8, native="square", curvature="convex")
reciprocal = unary("reciprocal", np.reciprocal, lambda x, y: -square(y),                 r"\frac{{1}}{{{0}}}",   level=9, native="reciprocal", on=NONZERO)

sin: Row = unary("sin",     np.sin,        lambda x, y: cos(x),                         r"\sin {0}",            native="sin", source="DLMF 4.20.1")
cos       = unary("cos",     np.cos,        lambda x, y: -sin(x),                        r"\cos {0}",            native="cos", source="DLMF 4.20.2")
tan       = unary("tan",     np.tan,        lambda x, y: 1 + square(y),                  r"\tan {0}",            native="tan", source="DLMF 4.20.3")
arcsin    = unary("arcsin",  np.arcsin,     lambda x, y: 1 / sqrt((1 - x) * (1 + x)),    r"\arcsin {0}",         native="arcsin", on=UNIT, monotone=1, source="DLMF 4.24.7")
arccos    = unary("arccos",  np.arccos,     lambda x, y: -1 / sqrt((1 - x) * (1 + x)),   r"\arccos {0}",         native="arccos", on=UNIT, monotone=-1, source="DLMF 4.24.8")
arctan    = unary("arctan",  np.arctan,     lambda x, y: 1 / (1 + square(x)),            r"\arctan {0}",         native="arctan", monotone=1, source="DLMF 4.24.9")

sinh: Row = unary("sinh",    np.sinh,       lambda x, y: cosh(x),                        r"\sinh {0}",           native="sinh", monotone=1, source="DLMF 4.34.1")
cosh      = unary("cosh",    np.cosh,       lambda x, y: sinh(x),                        r"\cosh {0}",           native="cosh", curvature="convex", source="DLMF 4.34.2")
tanh      = unary("tanh",    np.tanh,       lambda x, y: 1 - y * y,                      r"\tanh {0}",           native="tanh", monotone=1, source="DLMF 4.34.3")
arcsinh   = unary("arcsinh", np.arcsinh,    lambda x, y: 1 / hypot(x, constant(1, x.type)), r"\operatorname{{arsinh}} {0}", native="arcsinh", monotone=1, source="DLMF 4.38.9")
arccosh   = unary("arccosh", np.arccosh,    lambda x, y: 1 / (sqrt(x - 1) * sqrt(x + 1)), r"\operatorname{{arcosh}} {0}", native="arccosh", on=ABOVE_ONE, curvature="concave", monotone=1, source="DLMF 4.38.10")
arctanh   = unary("arctanh", np.arctanh,    lambda x, y: 1 / ((1 - x) * (1 + x)),        r"\operatorname{{artanh}} {0}", native="arctanh", on=UNIT, monotone=1, source="DLMF 4.38.11")

#                name         value         (dz/dx, dz/dy)
div       = binary("div",     np.divide,    (lambda x, y, z: 1 / y,
                                             lambda x, y, z: -z / y),                    r"\frac{{{0}}}{{{1}}}", level=9, python="{0} / {1}", native="div", on=(LINE, NONZERO))
pow       = binary("pow",     np.power,     (_pow_x, _pow_y),                            r"{{{0}}}^{{{1}}}",     level=8, python="{0} ** {1}", native="pow", on=(POSITIVE, LINE), source="DLMF 4.2.26",
                   kink="0 at 0^0 for the base, as x^0 is 1 for every x; 0 at 0^y, y >= 0, for the exponent")
hypot     = binary("hypot",   np.hypot,     (lambda x, y, z: _hypot(x, z),
                                             lambda x, y, z: _hypot(y, z)),              r"\operatorname{{hypot}}({0}, {1})", curvature="convex", kink="0 at the origin, a subgradient as of abs",
                   expansion=_length)
arctan2   = binary("arctan2", np.arctan2,   (lambda x, y, z: y / hypot(x, y) / hypot(x, y),
                                             lambda x, y, z: -x / hypot(x, y) / hypot(x, y)), r"\operatorname{{arctan2}}({0}, {1})", native="arctan2", on=(LINE, NONZERO),
                   kink="NaN at the origin, where the angle has no derivative; at the jump across the negative axis that of both sides")
logaddexp = binary("logaddexp", np.logaddexp, (lambda x, y, z: logistic(apart(x, y)),
                                               lambda x, y, z: logistic(apart(y, x))),   r"\ln\left(e^{{{0}}} + e^{{{1}}}\right)", native="logaddexp", curvature="convex", monotone=(1, 1),
                   kink="1/2 each where both are the same infinity")
logaddexp2 = binary("logaddexp2", np.logaddexp2, (lambda x, y, z: logistic(LN2 * apart(x, y)),
                                                  lambda x, y, z: logistic(LN2 * apart(y, x))), r"\log_{{2}}\left(2^{{{0}}} + 2^{{{1}}}\right)", curvature="convex", monotone=(1, 1),
                    kink="1/2 each where both are the same infinity", expansion=lambda x, y: logaddexp(LN2 * x, LN2 * y) / LN2)

conj      = unary("conj",     np.conjugate, _COMPLEX,                                    r"\overline{{{0}}}",    level=9)
real      = unary("real",     np.real,      _COMPLEX,                                    r"\operatorname{{Re}} {0}")
imag      = unary("imag",     np.imag,      _COMPLEX,                                    r"\operatorname{{Im}} {0}")
# fmt: on
