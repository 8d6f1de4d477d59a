"""Text LLVM IR with operators: a `Val` adds, compares and shifts like a number, and writes one instruction each time.

Text is several times faster to make than an object model, and what is made is what one reads when something is wrong.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["F32", "F64", "I1", "I8", "I32", "I64", "PTR", "Function", "Module", "Type", "Val", "fma", "select"]


class Type(NamedTuple):
    """A scalar (`lanes == 0`) or a fixed vector of scalars."""

    elem: str
    lanes: int = 0

    def __str__(self) -> str:
        return f"<{self.lanes} x {self.elem}>" if self.lanes else self.elem

    @property
    def is_float(self) -> bool:
        return self.elem in ("double", "float")

    @property
    def bits(self) -> int:
        """Bits of one lane."""
        return {"double": 64, "float": 32, "ptr": 64}.get(self.elem) or int(self.elem[1:])

    @property
    def suffix(self) -> str:
        """How intrinsics are named for this type: `v8f64`, `i64`."""
        elem = {"double": "f64", "float": "f32", "ptr": "p0"}.get(self.elem, self.elem)
        return f"v{self.lanes}{elem}" if self.lanes else elem

    @property
    def integer(self) -> Type:
        """The integer type of the same size."""
        return Type(f"i{self.bits}", self.lanes)

    @property
    def boolean(self) -> Type:
        return Type("i1", self.lanes)

    @property
    def scalar(self) -> Type:
        return Type(self.elem)

    def of(self, lanes: int) -> Type:
        """The same element in a vector of `lanes`."""
        return Type(self.elem, lanes)


F64, F32 = Type("double"), Type("float")
I1, I8, I32, I64, PTR = Type("i1"), Type("i8"), Type("i32"), Type("i64"), Type("ptr")

Number = float | int


def _float32(value: Number) -> float:
    """The nearest float32, infinity beyond the largest."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def literal(value: Number, type_: Type) -> str:
    """The text of a constant: floats by their bits, so that no digit is lost."""
    if type_.elem == "ptr":
        text = "null"
    elif type_.is_float:
        exact = _float32(value) if type_.elem == "float" else float(value)
        text = f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
    else:
        text = str(int(value))
    return f"splat ({type_.elem} {text})" if type_.lanes else text


class Val:
    """One SSA value of a function being written."""

    __slots__ = ("f", "ref", "type")

    def __init__(self, f: Function, ref: str, type_: Type):
        self.f, self.ref, self.type = f, ref, type_

    def __repr__(self) -> str:
        return f"{self.type} {self.ref}"

    def like(self, other: Val | Number) -> Val:
        """`other` as a value of my type; a number becomes a constant in every lane."""
        return other if isinstance(other, Val) else self.f.const(other, self.type)

    def _arith(self, name: str, other: Val | Number, swap: bool = False) -> Val:
        o = self.like(other)
        a, b = (o, self) if swap else (self, o)
        return self.f.op(("f" if self.type.is_float else "") + name, a, b)

    def __add__(self, other: Val | Number) -> Val:
        return self._arith("add", other)

    def __radd__(self, other: Number) -> Val:
        return self._arith("add", other, swap=True)

    def __sub__(self, other: Val | Number) -> Val:
        return self._arith("sub", other)

    def __rsub__(self, other: Number) -> Val:
        return self._arith("sub", other, swap=True)

    def __mul__(self, other: Val | Number) -> Val:
        return self._arith("mul", other)

    def __rmul__(self, other: Number) -> Val:
        return self._arith("mul", other, swap=True)

    def __truediv__(self, other: Val | Number) -> Val:
        return self.f.op("fdiv", self, self.like(other))

    def __rtruediv__(self, other: Number) -> Val:
        return self.f.op("fdiv", self.like(other), self)

    def __neg__(self) -> Val:
        return self.f.unary("fneg", self) if self.type.is_float else self.like(0) - self

    def __and__(self, other: Val | Number) -> Val:
        return self.f.op("and", self, self.like(other))

    def __or__(self, other: Val | Number) -> Val:
        return self.f.op("or", self, self.like(other))

    def __xor__(self, other: Val | Number) -> Val:
        return self.f.op("xor", self, self.like(other))

    def __invert__(self) -> Val:
        return self ^ (1 if self.type.elem == "i1" else -1)

    def __lshift__(self, other: Val | Number) -> Val:
        return self.f.op("shl", self, self.like(other))

    def __rshift__(self, other: Val | Number) -> Val:
        """Arithmetic shift."""
        return self.f.op("ashr", self, self.like(other))

    def lshr(self, other: Val | Number) -> Val:
        return self.f.op("lshr", self, self.like(other))

    def _compare(self, floats: str, ints: str, other: Val | Number) -> Val:
        return self.f.compare(floats if self.type.is_float else ints, self, self.like(other))

    def lt(self, other: Val | Number) -> Val:
        return self._compare("olt", "slt", other)

    def le(self, other: Val | Number) -> Val:
        return self._compare("ole", "sle", other)

    def gt(self, other: Val | Number) -> Val:
        return self._compare("ogt", "sgt", other)

    def ge(self, other: Val | Number) -> Val:
        return self._compare("oge", "sge", other)

    def eq(self, other: Val | Number) -> Val:
        return self._compare("oeq", "eq", other)

    def ne(self, other: Val | Number) -> Val:
        """Unequal; true where either is NaN, as in NumPy."""
        return self._compare("une", "ne", other)

    def isnan(self) -> Val:
        return self.f.compare("uno", self, self)

    def bits(self) -> Val:
        """The same bits as an integer."""
        return self.f.cast("bitcast", self, self.type.integer)

    def as_float(self) -> Val:
        """The same bits as a floating-point number."""
        return self.f.cast("bitcast", self, Type({64: "double", 32: "float"}[self.type.bits], self.type.lanes))

    def abs(self) -> Val:
        return self.f.intrinsic("fabs", self)

    def sqrt(self) -> Val:
        return self.f.intrinsic("sqrt", self)

    def copysign(self, sign: Val) -> Val:
        """My magnitude with the sign of `sign`."""
        return self.f.intrinsic("copysign", self, sign)


def fma(a: Val | Number, b: Val | Number, c: Val | Number) -> Val:
    """`a * b + c` with one rounding."""
    v = next(x for x in (a, b, c) if isinstance(x, Val))
    return v.f.intrinsic("fma", v.like(a), v.like(b), v.like(c))


def select(condition: Val, yes: Val | Number, no: Val | Number) -> Val:
    """`yes` in the lanes where the condition holds, else `no`."""
    v = yes if isinstance(yes, Val) else no
    assert isinstance(v, Val), "select needs one value, else its type is unknown"
    a, b = v.like(yes), v.like(no)
    f = condition.f
    return f.emit(f"select {condition.type} {condition.ref}, {a.type} {a.ref}, {b.type} {b.ref}", a.type)


class Function:
    """A function under construction: `op`, `load`, `loop`... append instructions to the current block."""

    def __init__(self, module: Module, name: str, params: Sequence[tuple[str, Type]], ret: Type | None, linkage: str):
        self.module, self.name, self.ret, self.linkage = module, name, ret, linkage
        self.params = [Val(self, f"%{n}", t) for n, t in params]
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.block = "entry"
        self._count = 0
        self.closed = False

    def fresh(self, prefix: str = "v") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    def emit(self, text: str, type_: Type) -> Val:
        self._count += 1
        ref = f"%v{self._count}"
        self.lines.append(f"  {ref} = {text}")
        return Val(self, ref, type_)

    def const(self, value: Number, type_: Type) -> Val:
        return Val(self, literal(value, type_), type_)

    def i64(self, value: int) -> Val:
        return Val(self, str(value), I64)

    def op(self, name: str, a: Val, b: Val) -> Val:
        if a.type != b.type:
            raise TypeError(f"{name} of {a.type} and {b.type}")
        return self.emit(f"{name} {a.type} {a.ref}, {b.ref}", a.type)

    def unary(self, name: str, a: Val) -> Val:
        return self.emit(f"{name} {a.type} {a.ref}", a.type)

    def compare(self, predicate: str, a: Val, b: Val) -> Val:
        name = "fcmp" if a.type.is_float else "icmp"
        return self.emit(f"{name} {predicate} {a.type} {a.ref}, {b.ref}", a.type.boolean)

    def cast(self, name: str, a: Val, to: Type) -> Val:
        return self.emit(f"{name} {a.type} {a.ref} to {to}", to)

    def intrinsic(self, name: str, *args: Val) -> Val:
        """An LLVM intrinsic whose result and arguments share one type."""
        t = args[0].type
        return self.call(f"llvm.{name}.{t.suffix}", t, *args)

    def call(self, name: str, ret: Type | None, *args: Val) -> Val:
        """Call a named function (declared on first use; one of this module if it is defined there)."""
        r = str(ret) if ret else "void"
        self.module.declare(name, f"declare {r} @{name}({', '.join(str(a.type) for a in args)})")
        return self._call(f"@{name}", ret, args)

    def call_pointer(self, pointer: Val, ret: Type | None, *args: Val) -> Val:
        return self._call(pointer.ref, ret, args)

    def _call(self, callee: str, ret: Type | None, args: Sequence[Val]) -> Val:
        text = f"call {ret or 'void'} {callee}({', '.join(f'{a.type} {a.ref}' for a in args)})"
        if ret:
            return self.emit(text, ret)
        self.do(text)
        return Val(self, "void", I1)

    # -- memory ---------------------------------------------------------------------------------------------------

    def offset(self, base: Val, index: Val | int, type_: Type) -> Val:
        """The address of element `index` of an array of `type_` (of its scalar, if it is a vector)."""
        if index == 0:
            return base
        i = index.ref if isinstance(index, Val) else str(index)
        return self.emit(f"getelementptr {type_.elem}, ptr {base.ref}, i64 {i}", PTR)

    def load(self, pointer: Val, type_: Type, align: int | None = None) -> Val:
        return self.emit(f"load {type_}, ptr {pointer.ref}, align {align or max(type_.bits // 8, 1)}", type_)

    def store(self, value: Val, pointer: Val, align: int | None = None) -> None:
        a = align or max(value.type.bits // 8, 1)
        self.do(f"store {value.type} {value.ref}, ptr {pointer.ref}, align {a}")

    def alloca(self, type_: Type, count: int = 1, align: int = 64) -> Val:
        """Room on the stack, reserved at entry however often this place is passed."""
        ref = f"%{self.fresh('a')}"
        self.entry.append(f"  {ref} = alloca {type_}, i64 {count}, align {align}")
        return Val(self, ref, PTR)

    # -- vectors --------------------------------------------------------------------------------------------------

    def splat(self, a: Val, lanes: int) -> Val:
        """The scalar in every lane."""
        if not lanes:
            return a
        if not a.ref.startswith("%"):
            return Val(self, f"splat ({a.type.elem} {a.ref})", a.type.of(lanes))
        t = a.type.of(lanes)
        one = self.emit(f"insertelement {t} poison, {a.type} {a.ref}, i32 0", t)
        return self.emit(f"shufflevector {t} {one.ref}, {t} poison, <{lanes} x i32> zeroinitializer", t)

    def shuffle(self, a: Val, b: Val | None, lanes: Sequence[int]) -> Val:
        """Lanes of `a` then `b` by number; -1 leaves a lane undefined."""
        mask = ", ".join("i32 poison" if k < 0 else f"i32 {k}" for k in lanes)
        second = b.ref if b else "poison"
        return self.emit(
            f"shufflevector {a.type} {a.ref}, {a.type} {second}, <{len(lanes)} x i32> <{mask}>", a.type.of(len(lanes))
        )

    def extract(self, a: Val, lane: int | Val) -> Val:
        """One lane; a scalar is its own lane."""
        if not a.type.lanes:
            return a
        i = lane.ref if isinstance(lane, Val) else str(lane)
        return self.emit(f"extractelement {a.type} {a.ref}, i64 {i}", a.type.scalar)

    def insert(self, a: Val, value: Val, lane: int | Val) -> Val:
        """`a` with one lane replaced."""
        if not a.type.lanes:
            return value
        i = lane.ref if isinstance(lane, Val) else str(lane)
        return self.emit(f"insertelement {a.type} {a.ref}, {value.type} {value.ref}, i64 {i}", a.type)

    def iota(self, type_: Type) -> Val:
        """0, 1, 2, ... over the lanes of an integer vector."""
        if not type_.lanes:
            return Val(self, "0", type_)
        return Val(self, f"<{', '.join(f'{type_.elem} {k}' for k in range(type_.lanes))}>", type_)

    def mask(self, lanes: int, count: int) -> Val:
        """True in the first `count` lanes."""
        return Val(self, f"<{', '.join(f'i1 {int(k < count)}' for k in range(lanes))}>", I1.of(lanes))

    def any(self, condition: Val) -> Val:
        """Is the condition true in any lane?"""
        if not condition.type.lanes:
            return condition
        return self.call(f"llvm.vector.reduce.or.{condition.type.suffix}", I1, condition)

    # -- control flow ---------------------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def branch(self, target: str) -> None:
        self.do(f"br label %{target}")

    def branch_if(self, condition: Val, yes: str, no: str) -> None:
        self.do(f"br i1 {condition.ref}, label %{yes}, label %{no}")

    def loop(
        self,
        start: Val | int,
        stop: Val | int,
        step: int,
        body: Callable[[Val, list[Val]], Sequence[Val] | None],
        carry: Sequence[Val] = (),
    ) -> list[Val]:
        """`for i in range(start, stop, step): carry = body(i, carry)`; no trip at all is allowed.

        A loop of at most one trip with known bounds is written without a loop.
        """
        if isinstance(start, int) and isinstance(stop, int) and len(range(start, stop, step)) <= 1:
            if not range(start, stop, step):
                return list(carry)
            return list(body(self.i64(start), list(carry)) or ())
        head, inside, out, before = self.fresh("head"), self.fresh("body"), self.fresh("out"), self.block
        self.branch(head)
        self.label(head)
        i = Val(self, f"%{self.fresh('i')}", I64)
        phis = [Val(self, f"%{self.fresh('c')}", c.type) for c in carry]
        at = len(self.lines)
        limit = stop.ref if isinstance(stop, Val) else str(stop)
        test = self.emit(f"icmp slt i64 {i.ref}, {limit}", I1)
        self.branch_if(test, inside, out)
        self.label(inside)
        new = list(body(i, phis) or ())
        if len(new) != len(phis):
            raise ValueError(f"a loop carries {len(phis)} values and its body returned {len(new)}")
        following = self.emit(f"add nsw i64 {i.ref}, {step}", I64)
        first = start.ref if isinstance(start, Val) else str(start)
        heads = [f"  {i.ref} = phi i64 [{first}, %{before}], [{following.ref}, %{self.block}]"]
        for phi, old, value in zip(phis, carry, new, strict=True):
            heads.append(f"  {phi.ref} = phi {phi.type} [{old.ref}, %{before}], [{value.ref}, %{self.block}]")
        self.lines[at:at] = heads
        self.branch(head)
        self.label(out)
        return phis

    def do_while(self, body: Callable[[list[Val]], tuple[Val, Sequence[Val]]], carry: Sequence[Val] = ()) -> list[Val]:
        """`do: again, carry = body(carry); while again`; returns the last values."""
        top, out, before = self.fresh("top"), self.fresh("out"), self.block
        self.branch(top)
        self.label(top)
        phis = [Val(self, f"%{self.fresh('c')}", c.type) for c in carry]
        at = len(self.lines)
        again, new = body(phis)
        self.lines[at:at] = [
            f"  {phi.ref} = phi {phi.type} [{old.ref}, %{before}], [{value.ref}, %{self.block}]"
            for phi, old, value in zip(phis, carry, new, strict=True)
        ]
        self.branch_if(again, top, out)
        self.label(out)
        return list(new)

    def when(self, condition: Val, then: Callable[[], Sequence[Val] | None], otherwise: Sequence[Val] = ()) -> list[Val]:
        """`if condition: values = then()`, else the values given."""
        yes, out, before = self.fresh("then"), self.fresh("join"), self.block
        self.branch_if(condition, yes, out)
        self.label(yes)
        new = list(then() or ())
        after = self.block
        self.branch(out)
        self.label(out)
        return [
            self.emit(f"phi {n.type} [{n.ref}, %{after}], [{o.ref}, %{before}]", n.type)
            for n, o in zip(new, otherwise, strict=True)
        ]

    def return_(self, value: Val | None = None) -> None:
        self.do(f"ret {value.type} {value.ref}" if value else "ret void")
        self.closed = True

    def text(self) -> str:
        if not self.closed:
            self.return_()
        params = ", ".join(f"{p.type} {p.ref}" for p in self.params)
        head = f"define {self.linkage}{self.ret or 'void'} @{self.name}({params}) #0 {{\nentry:"
        return "\n".join([head, *self.entry, *self.lines, "}"])


class Module:
    """Functions, their declarations and constant tables as one LLVM module."""

    def __init__(self, triple: str):
        self.triple = triple
        self.functions: dict[str, Function] = {}
        self.globals: dict[str, str] = {}
        self.declarations: dict[str, str] = {}

    def function(
        self, name: str, params: Sequence[tuple[str, Type]], ret: Type | None = None, internal: bool = False
    ) -> Function:
        if name in self.functions:
            raise ValueError(f"function {name} is defined twice")
        f = self.functions[name] = Function(self, name, params, ret, "internal " if internal else "")
        return f

    def scratch(self) -> Module:
        """An empty module, to write what is not kept."""
        return Module(self.triple)

    def declare(self, name: str, text: str) -> None:
        self.declarations.setdefault(name, text)

    def table(self, name: str, values: Sequence[Number], type_: Type) -> str:
        """A constant array; returns the name to load from."""
        body = ", ".join(f"{type_} {literal(v, type_)}" for v in values)
        self.globals[name] = f"@{name} = private unnamed_addr constant [{len(values)} x {type_}] [{body}], align 64"
        return f"@{name}"

    def text(self) -> str:
        bodies = [f.text() for f in self.functions.values()]
        declared = [text for name, text in self.declarations.items() if name not in self.functions]
        # Without these two, LLVM halves 512-bit vectors on Intel machines.
        attributes = 'attributes #0 = { nounwind "min-legal-vector-width"="512" "prefer-vector-width"="512" }'
        return "\n".join([f'target triple = "{self.triple}"', *self.globals.values(), *bodies, *declared, attributes, ""])
