"""Special functions of scipy.special, one row each.  x and y are the arguments, the last name is the value."""

from __future__ import annotations

import math
from typing import Any

import scipy.special as sp

from chainrule.build.row import ABOVE_MINUS_ONE, ABOVE_ONE, LINE, POSITIVE, PROBABILITY, UNIT, Interval, Row
from chainrule.build.value import Value
from chainrule.ir.graph import Array
from chainrule.prims.elementwise import exp, log, log1p, logaddexp, square
from chainrule.prims.kinds import binary, constant, elementwise, unary
from chainrule.prims.kinked import bitand, either, eq, ge, nowhere, sign

ROOT_PI = math.sqrt(math.pi)
ROOT_2PI = math.sqrt(2 * math.pi)
ROOT_HALF = math.sqrt(0.5)

_UFUNCS: Any = sp._ufuncs  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType]
riemann: Any = _UFUNCS._riemann_zeta
"""scipy.special.zeta is a Python function around this ufunc and the next."""
hurwitz: Any = _UFUNCS._zeta


def _slope(x: Value, y: Value, at: float) -> Value:
    """x / y, and 0 where x is 0 and y is `at`, the pole."""
    pole = bitand(eq(x, constant(0, x.type)), eq(y, constant(0, y.type)))
    return x / either(pole, at, y, like=y)


def _inverse_mills(x: Array) -> Array:
    """The quotient of the normal density and distribution function, by the scaled function that neither over- nor underflows."""
    return math.sqrt(2 / math.pi) / sp.erfcx(-ROOT_HALF * x)


def _xlog(x: Value, y: Value, log_y: Value) -> Value:
    return either(bitand(eq(x, constant(0, x.type)), eq(y, y)), 0.0, x * log_y, like=x)


def _hyp1f1(a: Value, b: Value, x: Value, y: Value) -> Value:
    return a / b * hyp1f1(a + 1, b + 1, x)


def _entr(x: Value) -> Value:
    return either(ge(x, constant(0, x.type)), -xlogy(x, x), x * math.inf, like=x)


_ORDER = nowhere("the derivative with respect to the order or parameter of this function is not known in closed form")
_OVER_ZERO = Interval(0, 2, open=True)
_LEFT_OF_ZERO = "the limit 0 at x = 0, also where the logarithm has its pole"

# fmt: off
#             name          value           dy/dx                                                notation
expit       = unary("expit",    sp.expit,     lambda x, y: y * (1 - y),                          r"\sigma({0})",         native="sigmoid", monotone=1)
logit       = unary("logit",    sp.logit,     lambda x, y: 1 / (x * (1 - x)),                    r"\operatorname{{logit}}({0})", on=PROBABILITY, monotone=1, expansion=lambda x: log(x / (1 - x)))
log_expit   = unary("log_expit", sp.log_expit, lambda x, y: expit(-x),                           r"\ln \sigma({0})",     curvature="concave", monotone=1, expansion=lambda x: -logaddexp(constant(0, x.type), -x))

erf         = unary("erf",      sp.erf,       lambda x, y: 2 / ROOT_PI * exp(-square(x)),        r"\operatorname{{erf}}({0})",  native="erf",  monotone=1, source="DLMF 7.10.1")
erfc        = unary("erfc",     sp.erfc,      lambda x, y: -2 / ROOT_PI * exp(-square(x)),       r"\operatorname{{erfc}}({0})", native="erfc", monotone=-1, source="DLMF 7.10.1")
erfinv      = unary("erfinv",   sp.erfinv,    lambda x, y: ROOT_PI / 2 * exp(square(y)),         r"\operatorname{{erf}}^{{-1}}({0})",  on=UNIT, monotone=1)
erfcinv     = unary("erfcinv",  sp.erfcinv,   lambda x, y: -ROOT_PI / 2 * exp(square(y)),        r"\operatorname{{erfc}}^{{-1}}({0})", on=_OVER_ZERO, monotone=-1)
ndtr        = unary("ndtr",     sp.ndtr,      lambda x, y: exp(-0.5 * square(x)) / ROOT_2PI,     r"\Phi({0})",           native="ndtr", monotone=1)
ndtri       = unary("ndtri",    sp.ndtri,     lambda x, y: ROOT_2PI * exp(0.5 * square(y)),      r"\Phi^{{-1}}({0})",    on=PROBABILITY, monotone=1)
log_ndtr    = unary("log_ndtr", sp.log_ndtr,  lambda x, y: inverse_mills(x),                     r"\ln \Phi({0})",       native="log_ndtr", curvature="concave", monotone=1)
inverse_mills = unary("inverse_mills", _inverse_mills, lambda x, y: -y * (x + y),          r"\frac{{\varphi({0})}}{{\Phi({0})}}", level=9, curvature="convex", monotone=-1,
                            python="(lambda t: np.sqrt(2 / np.pi) / scipy.special.erfcx(-t / np.sqrt(2)))")

gamma       = unary("gamma",    sp.gamma,     lambda x, y: y * digamma(x),                       r"\Gamma({0})",         on=POSITIVE, curvature="convex", source="DLMF 5.2.2")
gammaln     = unary("gammaln",  sp.gammaln,   lambda x, y: digamma(x),                           r"\ln \Gamma({0})",     on=POSITIVE, curvature="convex", source="DLMF 5.2.2")
digamma     = unary("digamma",  sp.digamma,   lambda x, y: zeta(constant(2, x.type), x),         r"\psi({0})",           on=POSITIVE, curvature="concave", monotone=1, source="DLMF 5.15.1, 25.11.12")
zeta: Row = binary("zeta",      hurwitz,      (_ORDER, lambda s, q, z: -s * zeta(s + 1, q)),     r"\zeta({0}, {1})",     on=(ABOVE_ONE, POSITIVE), source="DLMF 25.11.17")
riemann_zeta = unary("riemann_zeta", riemann, _ORDER,                                            r"\zeta({0})",          on=ABOVE_ONE, python="scipy.special.zeta")
beta        = binary("beta",      sp.beta,      (lambda a, b, z: z * (digamma(a) - digamma(a + b)),
                                               lambda a, b, z: z * (digamma(b) - digamma(a + b))), r"\mathrm{{B}}({0}, {1})", on=(POSITIVE, POSITIVE), source="DLMF 5.12.1")
betaln      = binary("betaln",    sp.betaln,    (lambda a, b, z: digamma(a) - digamma(a + b),
                                               lambda a, b, z: digamma(b) - digamma(a + b)),     r"\ln \mathrm{{B}}({0}, {1})", on=(POSITIVE, POSITIVE), curvature="convex", source="DLMF 5.12.1")

xlogy       = binary("xlogy",     sp.xlogy,     (lambda x, y, z: log(y),
                                               lambda x, y, z: _slope(x, y, 1)),                 r"{0} \ln {1}",         level=5, on=(LINE, POSITIVE), kink=_LEFT_OF_ZERO, expansion=lambda x, y: _xlog(x, y, log(y)))
xlog1py     = binary("xlog1py",   sp.xlog1py,   (lambda x, y, z: log1p(y),
                                               lambda x, y, z: _slope(x, 1 + y, 1)),             r"{0} \ln\left(1 + {1}\right)", level=5, on=(LINE, ABOVE_MINUS_ONE), kink=_LEFT_OF_ZERO, expansion=lambda x, y: _xlog(x, y, log1p(y)))
entr        = unary("entr",     sp.entr,      lambda x, y: -log(x) - 1,                          r"-{0} \ln {0}",        level=4, on=POSITIVE, curvature="concave", expansion=_entr)
rel_entr    = binary("rel_entr",  sp.rel_entr,  (lambda x, y, z: log(x / y) + 1,
                                               lambda x, y, z: -_slope(x, y, 1)),                r"{0} \ln \frac{{{0}}}{{{1}}}", level=5, on=(POSITIVE, POSITIVE), curvature="convex", kink=_LEFT_OF_ZERO)
kl_div      = binary("kl_div",    sp.kl_div,    (lambda x, y, z: log(x / y),
                                               lambda x, y, z: 1 - _slope(x, y, 1)),             r"{0} \ln \frac{{{0}}}{{{1}}} - {0} + {1}", level=3, on=(POSITIVE, POSITIVE), curvature="convex", kink=_LEFT_OF_ZERO,
                   expansion=lambda x, y: rel_entr(x, y) - x + y)

hyp1f1      = elementwise("hyp1f1", "ternary", sp.hyp1f1, (_ORDER, _ORDER, _hyp1f1), r"M({0}, {1}, {2})", "scipy.special.hyp1f1", on=(LINE, POSITIVE, LINE), source="DLMF 13.3.15")
exprel      = unary("exprel",   sp.exprel,    lambda x, y: 0.5 * hyp1f1(constant(2, x.type), constant(3, x.type), x), r"\frac{{e^{{{0}}} - 1}}{{{0}}}", level=9, curvature="convex", monotone=1, source="DLMF 13.6.1, 13.3.15")
iv: Row = binary("iv",        sp.iv,        (_ORDER, lambda v, x, y: 0.5 * (iv(v - 1, x) + iv(v + 1, x))), r"I_{{{0}}}({1})", on=(LINE, POSITIVE), source="DLMF 10.29.1")
ive: Row = binary("ive",       sp.ive,       (_ORDER, lambda v, x, y: 0.5 * (ive(v - 1, x) + ive(v + 1, x)) - sign(x) * y), r"e^{{-|{1}|}} I_{{{0}}}({1})", level=5, on=(LINE, POSITIVE), source="DLMF 10.29.1")
i0: Row = unary("i0",       sp.i0,        lambda x, y: i1(x),                                r"I_{{0}}({0})",        curvature="convex", source="DLMF 10.29.3")
i1          = unary("i1",       sp.i1,        lambda x, y: 0.5 * (i0(x) + iv(constant(2, x.type), x)), r"I_{{1}}({0})",  monotone=1, source="DLMF 10.29.1")
i0e: Row = unary("i0e",      sp.i0e,       lambda x, y: i1e(x) - sign(x) * y,                 r"e^{{-|{0}|}} I_{{0}}({0})", level=5, kink="0 at 0, as of abs", source="DLMF 10.29.3")
i1e         = unary("i1e",      sp.i1e,       lambda x, y: 0.5 * (i0e(x) + ive(constant(2, x.type), x)) - sign(x) * y, r"e^{{-|{0}|}} I_{{1}}({0})", level=5, source="DLMF 10.29.1")
# fmt: on
