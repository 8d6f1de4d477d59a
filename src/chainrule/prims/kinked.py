"""Rows whose derivative jumps, rows that are constant between jumps, and choosing between branches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule import errors
from chainrule.build.row import Operand, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.build.row import Row
from chainrule.ir.graph import Params
from chainrule.ir.types import ArrayType
from chainrule.prims.kinds import batch_pointwise, dense, flat, zeros

# fmt: off
eq = flat("eq", np.equal,         "{0} = {1}",     arity=2, level=1, python="{0} == {1}", native="eq")
ne = flat("ne", np.not_equal,     r"{0} \ne {1}",  arity=2, level=1, python="{0} != {1}", native="ne")
lt = flat("lt", np.less,          "{0} < {1}",     arity=2, level=1, python="{0} < {1}",  native="lt")
le = flat("le", np.less_equal,    r"{0} \le {1}",  arity=2, level=1, python="{0} <= {1}", native="le")
gt = flat("gt", np.greater,       "{0} > {1}",     arity=2, level=1, python="{0} > {1}",  native="gt")
ge = flat("ge", np.greater_equal, r"{0} \ge {1}",  arity=2, level=1, python="{0} >= {1}", native="ge")
# fmt: on


def _select_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    if not (ts[0].shape == ts[1].shape == ts[2].shape):
        raise errors.ShapeError(f"a choice met shapes {', '.join(map(str, ts))}")
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
