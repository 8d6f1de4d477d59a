"""The machine code between a call in Python and a kernel: arguments checked, results allocated, the GIL let go.

One function serves every program: what it expects stands in a table of 64-bit words, which the callable object carries as
its `self`. So a program needs no code of its own to be called, and this code holds no address.
"""

from __future__ import annotations

from .builder import I1, I32, I64, PTR, Function, Module, Val, select
from .target import Target, host

# Words of the table. After them, one record per input and output; after those, the dimensions.
KERNEL, CONTEXT, INPUTS, OUTPUTS, RELEASE_GIL, BUSY, SLOW, NDARRAY, FLOAT = range(9)
API = (
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyObject_Vectorcall",
    "PyErr_Occurred",
    "PyErr_BadInternalCall",
    "PyTuple_New",
    "PyTuple_SetItem",
    "Py_IncRef",
    "Py_DecRef",
    "PyArray_New",
    "PyArray_Return",
)
HEADER = 9 + len(API)

# Words of a record: the dtype object, its number, the number of dimensions and the word where they start, the flags wanted,
# the size in bytes, and which input an output shares its memory with (-1: none).
DTYPE, NUMBER, NDIM, DIMS, FLAGS, BYTES, ALIAS = range(7)
RECORD = 7

CONTIGUOUS_ALIGNED, WRITEABLE = 0x101, 0x400
_FLOAT64_NUMBER = 12
_TYPE = 8  # where an object's type is, in bytes


class Layout:
    """Byte offsets in a NumPy array object, from the size of the head that every object has."""

    def __init__(self, head: int):
        self.data, self.ndim, self.dims, self.dtype, self.flags = head, head + 8, head + 16, head + 40, head + 48


def call_ir(head: int, target: Target | None = None) -> str:
    """The module: `call` (a METH_FASTCALL | METH_KEYWORDS function) and `invoke` (for prepared arrays)."""
    m = Module((target or host()).triple)
    writer = _Writer(m, Layout(head))
    for write in (writer.check, writer.apart, writer.prepare, writer.drop, writer.result, writer.invoke, writer.call):
        write()
    return m.text()


def _byte(p: Val, offset: int) -> Val:
    return p.f.emit(f"getelementptr i8, ptr {p.ref}, i64 {offset}", PTR)


def _word(table: Val, index: int | Val) -> Val:
    return table.f.load(table.f.offset(table, index, I64), I64)


def _as_pointer(word: Val) -> Val:
    return word.f.cast("inttoptr", word, PTR)


def _as_word(pointer: Val) -> Val:
    return pointer.f.cast("ptrtoint", pointer, I64)


def _api(table: Val, name: str) -> Val:
    return _as_pointer(_word(table, 9 + API.index(name)))


def _record(table: Val, index: Val) -> Val:
    return table.f.offset(table, index * RECORD + HEADER, I64)


class _Writer:
    def __init__(self, m: Module, layout: Layout):
        self.m, self.at = m, layout

    def check(self) -> None:
        """Is `object` the array that a record describes? If so its data goes to `slot`. A float serves as a 0-d float64."""
        f = self.m.function("check", [("object", PTR), ("table", PTR), ("record", PTR), ("slot", PTR)], I1, internal=True)
        item, table, record, slot = f.params
        kind = f.load(_byte(item, _TYPE), I64)
        f.branch_if(kind.eq(_word(table, NDARRAY)), "array", "other")
        f.label("other")
        number = (_word(record, NUMBER).eq(_FLOAT64_NUMBER)) & _word(record, NDIM).eq(0)
        f.branch_if(number & kind.eq(_word(table, FLOAT)), "float", "no")
        f.label("float")
        f.store(_byte(item, self.at.data), slot)
        f.return_(f.const(1, I1))
        f.label("array")
        flags, wanted = f.cast("zext", f.load(_byte(item, self.at.flags), I32), I64), _word(record, FLAGS)
        ndim = f.cast("sext", f.load(_byte(item, self.at.ndim), I32), I64)
        same = f.load(_byte(item, self.at.dtype), I64).eq(_word(record, DTYPE))
        same = same & (flags & wanted).eq(wanted) & ndim.eq(_word(record, NDIM))
        f.branch_if(same, "sizes", "no")
        f.label("sizes")
        dims, wanted_dims = f.load(_byte(item, self.at.dims), PTR), f.offset(table, _word(record, DIMS), I64)
        equal = f.loop(0, ndim, 1, lambda k, ok: [ok[0] & _word(dims, k).eq(_word(wanted_dims, k))], [f.const(1, I1)])
        f.branch_if(equal[0], "yes", "no")
        f.label("yes")
        f.store(f.load(_byte(item, self.at.data), PTR), slot)
        f.return_(f.const(1, I1))
        f.label("no")
        f.return_(f.const(0, I1))

    def apart(self) -> None:
        """Does no input that is written share memory with another?"""
        f = self.m.function("apart", [("table", PTR), ("arrays", PTR)], I1, internal=True)
        table, arrays = f.params
        n = _word(table, INPUTS)

        def pair(i: Val, k: Val) -> Val:
            a, b = _word(arrays, i), _word(arrays, k)
            meet = a.lt(b + _word(_record(table, k), BYTES)) & b.lt(a + _word(_record(table, i), BYTES))
            return ~(meet & i.ne(k))

        def row(i: Val, ok: list[Val]) -> list[Val]:
            written = (_word(_record(table, i), FLAGS) & WRITEABLE).ne(0)
            rest = lambda: f.loop(0, n, 1, lambda k, c: [c[0] & pair(i, k)], ok)
            return f.when(written, rest, ok)

        f.return_(f.loop(0, n, 1, row, [f.const(1, I1)])[0])

    def prepare(self) -> None:
        """Make the outputs; how many there are now (fewer than wanted: no memory, and the exception is set)."""
        params = [("table", PTR), ("args", PTR), ("arrays", PTR), ("objects", PTR)]
        f = self.m.function("prepare", params, I64, internal=True)
        table, args, arrays, objects = f.params
        inputs, outputs = _word(table, INPUTS), _word(table, OUTPUTS)

        def make(record: Val) -> Val:
            dims = f.offset(table, _word(record, DIMS), I64)
            ndim, number = f.cast("trunc", _word(record, NDIM), I32), f.cast("trunc", _word(record, NUMBER), I32)
            null, zero = f.const(0, PTR), f.const(0, I32)
            kind = _as_pointer(_word(table, NDARRAY))
            return f.call_pointer(_api(table, "PyArray_New"), PTR, kind, ndim, dims, number, null, null, zero, zero, null)

        def share(alias: Val) -> Val:
            found = f.load(f.offset(args, alias, PTR), PTR)
            f.call_pointer(_api(table, "Py_IncRef"), None, found)
            return found

        def one(state: list[Val]) -> tuple[Val, list[Val]]:
            (done,) = state
            record = _record(table, inputs + done)
            alias = _word(record, ALIAS)
            (new,) = f.when(alias.lt(0), lambda: [make(record)], [f.const(0, PTR)])
            (found,) = f.when(alias.ge(0), lambda: [share(alias)], [new])
            ok = _as_word(found).ne(0)

            def keep() -> None:
                f.store(found, f.offset(objects, done, PTR))
                f.store(f.load(_byte(found, self.at.data), PTR), f.offset(arrays, inputs + done, PTR))

            f.when(ok, keep)
            after = done + f.cast("zext", ok, I64)
            return ok & after.lt(outputs), [after]

        f.return_(f.do_while(one, [f.i64(0)])[0])

    def drop(self) -> None:
        """Let go of the outputs made so far."""
        f = self.m.function("drop", [("table", PTR), ("objects", PTR), ("n", I64)], internal=True)
        table, objects, n = f.params
        release = _api(table, "Py_DecRef")
        f.loop(0, n, 1, lambda k, _: f.call_pointer(release, None, f.load(f.offset(objects, k, PTR), PTR)) and None)

    def result(self) -> None:
        """One output as it is, several as a tuple; arrays without dimensions become NumPy's scalars."""
        f = self.m.function("result", [("table", PTR), ("objects", PTR)], PTR, internal=True)
        table, objects = f.params
        outputs = _word(table, OUTPUTS)

        def finished(k: Val) -> Val:
            found = f.load(f.offset(objects, k, PTR), PTR)
            scalar = f.load(_byte(found, self.at.ndim), I32).eq(0)
            return f.when(scalar, lambda: [f.call_pointer(_api(table, "PyArray_Return"), PTR, found)], [found])[0]

        f.branch_if(outputs.eq(1), "one", "several")
        f.label("one")
        f.return_(finished(f.i64(0)))
        f.label("several")
        whole = f.call_pointer(_api(table, "PyTuple_New"), PTR, outputs)
        f.branch_if(_as_word(whole).eq(0), "none", "fill")
        f.label("none")
        f.call("drop", None, table, objects, outputs)
        f.return_(f.const(0, PTR))
        f.label("fill")
        put = _api(table, "PyTuple_SetItem")
        f.loop(0, outputs, 1, lambda k, _: f.call_pointer(put, I32, whole, k, finished(k)) and None)
        f.return_(whole)

    def invoke(self) -> None:
        """Run the kernel on prepared arrays with a context, without the GIL if the table says so; its status."""
        f = self.m.function("invoke", [("table", PTR), ("arrays", PTR), ("context", PTR)], I64)
        table, arrays, context = f.params
        release = _word(table, RELEASE_GIL).ne(0)
        null = f.const(0, PTR)
        (thread,) = f.when(release, lambda: [f.call_pointer(_api(table, "PyEval_SaveThread"), PTR)], [null])
        status = f.call_pointer(_as_pointer(_word(table, KERNEL)), I64, arrays, context)
        f.when(release, lambda: f.call_pointer(_api(table, "PyEval_RestoreThread"), None, thread) and None)

        def explain() -> None:
            silent = _as_word(f.call_pointer(_api(table, "PyErr_Occurred"), PTR)).eq(0)
            f.when(silent, lambda: f.call_pointer(_api(table, "PyErr_BadInternalCall"), None) and None)

        f.when(status.ne(0), explain)
        f.return_(status)

    def call(self) -> None:
        """What Python calls. Whatever is not plainly right goes to the slow path, a Python function."""
        f = self.m.function("call", [("self", PTR), ("args", PTR), ("n", I64), ("names", PTR)], PTR)
        this, args, n, names = f.params
        table = f.load(_byte(this, self.at.data), PTR)
        inputs, outputs = _word(table, INPUTS), _word(table, OUTPUTS)
        f.branch_if(n.eq(inputs) & _as_word(names).eq(0), "checks", "slow")
        f.label("checks")
        total = inputs + outputs
        arrays = f.emit(f"alloca ptr, i64 {total.ref}, align 16", PTR)
        objects = f.emit(f"alloca ptr, i64 {outputs.ref}, align 16", PTR)
        f.branch_if(self._checked(f, table, args, arrays, inputs), "alone", "slow")
        f.label("alone")
        f.branch_if(f.call("apart", I1, table, arrays), "mine", "slow")
        f.label("mine")
        busy = f.offset(table, BUSY, I64)
        pair = f.fresh("pair")
        f.do(f"%{pair} = cmpxchg ptr {busy.ref}, i64 0, i64 1 acquire monotonic, align 8")
        f.branch_if(f.emit(f"extractvalue {{ i64, i1 }} %{pair}, 1", I1), "make", "slow")
        f.label("make")
        made = f.call("prepare", I64, table, args, arrays, objects)
        context = _as_pointer(_word(table, CONTEXT))
        good = made.eq(outputs)
        (status,) = f.when(good, lambda: [f.call("invoke", I64, table, arrays, context)], [f.i64(1)])
        f.do(f"store atomic i64 0, ptr {busy.ref} release, align 8")
        f.branch_if(status.eq(0), "good", "failed")
        f.label("good")
        f.return_(f.call("result", PTR, table, objects))
        f.label("failed")
        f.call("drop", None, table, objects, made)
        f.return_(f.const(0, PTR))
        f.label("slow")
        slow = _as_pointer(_word(table, SLOW))
        f.return_(f.call_pointer(_api(table, "PyObject_Vectorcall"), PTR, slow, args, n, names))

    @staticmethod
    def _checked(f: Function, table: Val, args: Val, arrays: Val, inputs: Val) -> Val:
        """Are all arguments what the table says? Stops at the first that is not."""

        def one(state: list[Val]) -> tuple[Val, list[Val]]:
            (k,) = state
            found = f.load(f.offset(args, k, PTR), PTR)
            ok = f.call("check", I1, found, table, _record(table, k), f.offset(arrays, k, PTR))
            after = select(ok, k + 1, -1)
            return ok & after.lt(inputs), [after]

        some = inputs.gt(0)
        (last,) = f.when(some, lambda: f.do_while(one, [f.i64(0)]), [f.i64(0)])
        return last.eq(inputs)
