"""Rows whose derivative jumps, rows that are constant between jumps, and choosing between branches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule import errors
from chainrule.build.row import LINE, NONZERO, Operand, Row, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Params
from chainrule.ir.types import ArrayType
from chainrule.prims.kinds import Partial, batch_pointwise, binary, constant, dense, flat, unary, zeros


def either(c: Value, yes: Value | float, no: Value | float, like: Value) -> Value:
    """`yes` where `c` holds, `no` elsewhere; numbers take the type of `like`."""
    first, second = (x if isinstance(x, Value) else constant(x, like.type) for x in (yes, no))
    return select(c, first, second)


def _share(x: Value, y: Value, first: Value) -> Value:
    """1 where `first` (x < y or x > y) holds, 1/2 at a tie, 0 elsewhere."""
    return either(eq(x, y), 0.5, either(first, 1.0, 0.0, like=x), like=x)


def _same_sign(x: Value, y: Value) -> Value:
    return either(eq(signbit(x), signbit(y)), 1.0, -1.0, like=x)


def _wraps(m: Value, y: Value) -> Value:
    """Has the remainder towards zero another sign than the divisor?"""
    zero = zeros(m.type)
    return bitand(ne(m, zero), ne(lt(y, zero), lt(m, zero)))


def _remainder(x: Value, y: Value) -> Value:
    m, zero = fmod(x, y), zeros(x.type)
    return select(_wraps(m, y), m + y, select(eq(m, zero), copysign(zero, y), m))


def _floordiv(x: Value, y: Value) -> Value:
    """The quotient that belongs to the exact remainder; floor(x / y) would be 10 for 1 // 0.1."""
    m, zero, one = fmod(x, y), zeros(x.type), constant(1, x.type)
    q = (x - m) / y - either(_wraps(m, y), one, zero, like=x)
    down = floor(q)
    near = down + either(gt(q - down, constant(0.5, x.type)), one, zero, like=x)
    return select(eq(y, zero), x / y, select(eq(q, zero), copysign(zero, x / y), near))


def nowhere(why: str) -> Partial:
    """In place of a partial derivative that does not exist or that nobody knows: an error that says why."""

    def partial(*_: Value) -> Value:
        raise errors.NotDifferentiableError(why)

    return partial


_TIE = "where the arguments are equal each has the derivative 1/2, the mean of the two one-sided ones"
_STEP = "0 at the jumps too"
_NAN = "a NaN operand has the derivative 0"

# fmt: off
#            name      value               notation                                   what it is
eq = flat("eq",        np.equal,           "{0} = {1}",     arity=2, level=1, python="{0} == {1}", native="eq", kink=_STEP)
ne = flat("ne",        np.not_equal,       r"{0} \ne {1}",  arity=2, level=1, python="{0} != {1}", native="ne", kink=_STEP)
lt = flat("lt",        np.less,            "{0} < {1}",     arity=2, level=1, python="{0} < {1}",  native="lt", kink=_STEP)
le = flat("le",        np.less_equal,      r"{0} \le {1}",  arity=2, level=1, python="{0} <= {1}", native="le", kink=_STEP)
gt = flat("gt",        np.greater,         "{0} > {1}",     arity=2, level=1, python="{0} > {1}",  native="gt", kink=_STEP)
ge = flat("ge",        np.greater_equal,   r"{0} \ge {1}",  arity=2, level=1, python="{0} >= {1}", native="ge", kink=_STEP)

bitand = flat("bitand", np.bitwise_and,    r"{0} \wedge {1}", arity=2, level=1, python="{0} & {1}", native="bitand")
bitor  = flat("bitor",  np.bitwise_or,     r"{0} \vee {1}",   arity=2, level=1, python="{0} | {1}", native="bitor")
bitxor = flat("bitxor", np.bitwise_xor,    r"{0} \oplus {1}", arity=2, level=1, python="{0} ^ {1}", native="bitxor")
invert = flat("invert", np.invert,         r"\lnot {0}",      level=7, python="~{0}",     native="invert")
lshift = flat("lshift", np.left_shift,     r"{0} \ll {1}",    arity=2, level=1, python="{0} << {1}", native="lshift")
rshift = flat("rshift", np.right_shift,    r"{0} \gg {1}",    arity=2, level=1, python="{0} >> {1}", native="rshift")

isnan    = flat("isnan",    np.isnan,      r"\operatorname{{isnan}}({0})",    native="isnan")
isinf    = flat("isinf",    np.isinf,      r"\operatorname{{isinf}}({0})",    native="isinf")
isfinite = flat("isfinite", np.isfinite,   r"\operatorname{{isfinite}}({0})", native="isfinite")
signbit  = flat("signbit",  np.signbit,    r"\operatorname{{signbit}}({0})",  native="signbit", kink=_STEP)

sign     = flat("sign",     np.sign,       r"\operatorname{{sign}}({0})", native="sign", kink=_STEP, monotone=(1,))
floor    = flat("floor",    np.floor,      r"\left\lfloor {0} \right\rfloor", level=9, native="floor", kink=_STEP, monotone=(1,))
ceil     = flat("ceil",     np.ceil,       r"\left\lceil {0} \right\rceil",   level=9, native="ceil",  kink=_STEP, monotone=(1,))
trunc    = flat("trunc",    np.trunc,      r"\operatorname{{trunc}}({0})", native="trunc", kink=_STEP, monotone=(1,))
rint     = flat("rint",     np.rint,       r"\operatorname{{round}}({0})", native="rint",  kink=_STEP, monotone=(1,))
floordiv = flat("floordiv", np.floor_divide, r"\left\lfloor {0} / {1} \right\rfloor", arity=2, level=9, python="{0} // {1}", on=(LINE, NONZERO), kink=_STEP,
                expansion=_floordiv)

#             name       value          derivative(s)                           notation
abs       = unary("abs", np.absolute,   lambda x, y: sign(x),                   r"\left|{0}\right|", level=9, native="abs", curvature="convex",
                  kink="0 at 0, the mean of the one-sided derivatives -1 and 1")
maximum   = binary("maximum", np.maximum, (lambda x, y, z: _share(x, y, gt(x, y)),
                                           lambda x, y, z: _share(y, x, gt(y, x))), r"\max({0}, {1})", native="maximum", curvature="convex", monotone=(1, 1),
                   kink=f"{_TIE}; so max(x, 0) has 1/2 at 0; {_NAN}")
minimum   = binary("minimum", np.minimum, (lambda x, y, z: _share(x, y, lt(x, y)),
                                           lambda x, y, z: _share(y, x, lt(y, x))), r"\min({0}, {1})", native="minimum", curvature="concave", monotone=(1, 1),
                   kink=f"{_TIE}; {_NAN}")
fmax      = binary("fmax", np.fmax, (lambda x, y, z: _share(x, y, bitor(gt(x, y), isnan(y))),
                                     lambda x, y, z: _share(y, x, bitor(gt(y, x), isnan(x)))), r"\operatorname{{fmax}}({0}, {1})", monotone=(1, 1), kink=f"{_TIE}; beside a NaN the other has 1",
                   expansion=lambda x, y: select(isnan(x), y, select(isnan(y), x, maximum(x, y))))
fmin      = binary("fmin", np.fmin, (lambda x, y, z: _share(x, y, bitor(lt(x, y), isnan(y))),
                                     lambda x, y, z: _share(y, x, bitor(lt(y, x), isnan(x)))), r"\operatorname{{fmin}}({0}, {1})", monotone=(1, 1), kink=f"{_TIE}; beside a NaN the other has 1",
                   expansion=lambda x, y: select(isnan(x), y, select(isnan(y), x, minimum(x, y))))
heaviside = binary("heaviside", np.heaviside, (lambda x, h, y: 0.0,
                                               lambda x, h, y: either(eq(x, zeros(x.type)), 1.0, 0.0, like=x)), r"\operatorname{{H}}({0})", kink="0 at the jump too", source="DLMF 1.16.13",
                   expansion=lambda x, h: either(lt(x, zeros(x.type)), 0.0, either(gt(x, zeros(x.type)), 1.0, either(isnan(x), x, h, like=x), like=x), like=x))
copysign  = binary("copysign", np.copysign, (lambda x, y, z: _same_sign(x, y),
                                             lambda x, y, z: 0.0), r"\left|{0}\right| \operatorname{{sign}}({1})", level=5, native="copysign",
                   kink="at 0 the sign bits of both arguments decide, as everywhere; the jump in the second argument counts as 0")
remainder = binary("remainder", np.remainder, (lambda x, y, z: 1.0,
                                               lambda x, y, z: -floordiv(x, y)), r"{0} \bmod {1}", level=5, python="{0} % {1}", on=(LINE, NONZERO),
                   kink="at multiples of y the derivative from the side of the chosen quotient", expansion=_remainder)
fmod      = binary("fmod", np.fmod,  (lambda x, y, z: 1.0,
                                      lambda x, y, z: rint((z - x) / y)), r"\operatorname{{fmod}}({0}, {1})", on=(LINE, NONZERO),
                   kink="at multiples of y the derivative from the side of the chosen quotient", native="fmod")
# fmt: on


def _select_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    if not (ts[0].shape == ts[1].shape == ts[2].shape):
        raise errors.ShapeError(f"a choice met shapes {', '.join(map(str, ts))}")
    if ts[0].dtype.kind != "b" or ts[1].dtype != ts[2].dtype:
        raise errors.DtypeError(f"a choice needs a condition and two branches of one dtype, and met {', '.join(map(str, ts))}")
    return (ts[1],)


def _select_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    if isinstance(dxs[1], Zero) and isinstance(dxs[2], Zero):
        return (Zero(ys[0].type),)
    return select.all(xs[0], dense(dxs[1]), dense(dxs[2]))


def _select_transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    (ct,), c = cts, xs[0]
    if isinstance(ct, Zero) or isinstance(c, Unknown):
        return [None, None, None]
    zero = zeros(ct.type)
    return [
        None,
        select(c, ct, zero) if isinstance(xs[1], Unknown) else None,
        select(c, zero, ct) if isinstance(xs[2], Unknown) else None,
    ]


select = Row(
    name="select", kind="structured", type=_select_type, value=np.where, jvp=_select_jvp, transpose=_select_transpose,
    batch=batch_pointwise(lambda: select), arity=3, pointwise=True, python="np.where({0}, {1}, {2})", native="select", level=9,
    notation=r"\begin{{cases}} {1} & \text{{if }} {0} \\ {2} & \text{{otherwise}} \end{{cases}}",
)  # fmt: skip
"""Elements of the second operand where the first holds, of the third elsewhere."""
