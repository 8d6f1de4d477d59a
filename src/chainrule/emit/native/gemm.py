"""Matrix products of known sizes: a block of C stays in registers while k runs, then an epilogue gets it before it is stored.

Every element of C is one chain of fused multiply-adds over k = 0, 1, ..., whatever the blocks, the packing or the
registers are: the bits do not depend on them. (After beta * C or `init`, which start the chain.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from . import vectors
from .builder import Function, Type, Val, fma, select
from .target import VIRTUAL_BYTES, Target

__all__ = ["Block", "Matrix", "Product", "dot", "emit", "emit_strips", "matvec", "strip_bytes", "strips", "transpose"]


@dataclass(frozen=True)
class Matrix:
    """A matrix in memory: element (i, j) is at offset + i rows + j columns, in elements; `size` may be touched."""

    rows: int
    columns: int
    size: int
    offset: int = 0

    def check(self, name: str, m: int, n: int) -> None:
        last = self.offset + (m - 1) * self.rows + (n - 1) * self.columns
        if min(self.rows, self.columns, self.offset) < 0 or (m and n and last >= self.size):
            raise ValueError(f"{name} ({m} x {n}) reaches element {last} of {self.size}")


@dataclass(frozen=True)
class Product:
    """C (m x n) = beta C + A (m x k) B (k x n), with B and C contiguous along their rows (`columns == 1`).

    A may be transposed by exchanging its strides (a TN product); a transposed B is first copied by `transpose`.
    """

    m: int
    n: int
    k: int
    a: Matrix
    b: Matrix
    c: Matrix
    dtype: Type
    beta: float = 0.0

    def check(self) -> None:
        """Refuse a product that would touch memory outside its matrices."""
        self.a.check("A", self.m, self.k)
        self.b.check("B", self.k, self.n)
        self.c.check("C", self.m, self.n)
        if self.b.columns != 1 or self.c.columns != 1:
            raise ValueError("B and C must be contiguous along their rows")


@dataclass(frozen=True)
class Block:
    """Where a vector of C is: row `i`, first column `j`, of which `count` columns exist (None: all lanes)."""

    i: Val
    j: Val
    count: int | None


Epilogue = Callable[[Val, Block], Val]
"""What becomes of a finished vector of C before it is stored; the function may load and store more of its own."""


def emit(
    f: Function,
    target: Target,
    p: Product,
    a: Val,
    b: Val,
    c: Val,
    *,
    init: Callable[[Block], Val] | None = None,
    epilogue: Epilogue | None = None,
    rows: tuple[Val, Val] | None = None,
) -> None:
    """Append a product to a function.

    Args:
        f: the function being written.
        target: the processor, which sets the block in registers.
        p: sizes and strides.
        a, b, c: addresses of the matrices.
        init: the vector that the sum starts from, instead of beta C (a bias).
        epilogue: maps each finished vector.
        rows: first and last + 1 of the blocks of rows to do (`row_blocks(target, p)` of them), for a share of the work.
    """
    p.check()
    if p.m and p.n:
        _Blocks(f, target, p, a, b, c, init, epilogue).all(rows)


def _height(target: Target, p: Product) -> int:
    """Rows of a block: the most that registers hold, or a few less if these divide the rows, so that all blocks are alike."""
    most = target.tile(p.dtype.bits)[0]
    even = [h for h in range(most, 3, -1) if p.m % h == 0]
    return even[0] if even else most


def row_blocks(target: Target, p: Product) -> int:
    """How many blocks of rows a product has."""
    return -(-p.m // _height(target, p))


def _lanes(target: Target, p: Product) -> int:
    """Lanes of one register; fewer where the matrix is narrow."""
    lanes = target.lanes(p.dtype.bits)
    while lanes > 2 and lanes // 2 >= p.n:
        lanes //= 2
    return lanes


class _Blocks:
    """The loops around the kernel that keeps a block of C in registers."""

    def __init__(
        self,
        f: Function,
        target: Target,
        p: Product,
        a: Val,
        b: Val,
        c: Val,
        init: Callable[[Block], Val] | None,
        epilogue: Epilogue | None,
    ):
        self.f, self.p, self.init, self.epilogue = f, p, init, epilogue
        self.a = f.offset(a, p.a.offset, p.dtype)
        self.b = f.offset(b, p.b.offset, p.dtype)
        self.c = f.offset(c, p.c.offset, p.dtype)
        self.height, self.width = _height(target, p), target.tile(p.dtype.bits)[1]
        self.lanes = _lanes(target, p)
        self.width = min(self.width, -(-p.n // self.lanes) * self.lanes)

    def all(self, rows: tuple[Val, Val] | None) -> None:
        p, h = self.p, self.height
        whole, rest = p.m // h, p.m % h
        if rows is None:
            self.f.loop(0, whole * h, h, lambda i, _: self._across(i, h))
            if rest:
                self._across(self.f.i64(whole * h), rest)
            return
        first, last = rows
        full = self.f.intrinsic("smin", last, self.f.i64(whole))
        self.f.loop(first * h, full * h, h, lambda i, _: self._across(i, h))
        if rest:
            self.f.when(last.gt(whole), lambda: self._across(self.f.i64(whole * h), rest))

    def _across(self, i: Val, height: int) -> None:
        """A strip of rows: block after block of columns."""
        n, w = self.p.n, self.width
        self.f.loop(0, n // w * w, w, lambda j, _: self._block(i, height, j, w))
        if n % w:
            self._block(i, height, self.f.i64(n // w * w), n % w)

    def _block(self, i: Val, height: int, j: Val, columns: int) -> None:
        """The kernel: `height` rows of `columns` columns, all of k."""
        f, p, lanes = self.f, self.p, self.lanes
        parts = -(-columns // lanes)
        counts = [None if (v + 1) * lanes <= columns else columns - v * lanes for v in range(parts)]
        a = f.offset(self.a, _times(i, p.a.rows), p.dtype)
        b = f.offset(self.b, j, p.dtype)
        blocks = [[Block(_plus(i, r), _plus(j, v * lanes), counts[v]) for v in range(parts)] for r in range(height)]

        def step(k: Val, sums: list[Val]) -> list[Val]:
            row = f.offset(b, _times(k, p.b.rows), p.dtype)
            vs = [vectors.load(f.offset(row, v * lanes, p.dtype), p.dtype.of(lanes), counts[v]) for v in range(parts)]
            column = f.offset(a, _times(k, p.a.columns), p.dtype)
            out: list[Val] = []
            for r in range(height):
                x = f.splat(f.load(f.offset(column, r * p.a.rows, p.dtype), p.dtype), lanes)
                out += [fma(x, vs[v], sums[r * parts + v]) for v in range(parts)]
            return out

        sums = f.loop(0, p.k, 1, step, [self._start(block) for row in blocks for block in row])
        for block, v in zip((block for row in blocks for block in row), sums, strict=True):
            value = self.epilogue(v, block) if self.epilogue else v
            vectors.store(value, self._at(block), block.count)

    def _at(self, block: Block) -> Val:
        return self.f.offset(self.f.offset(self.c, _times(block.i, self.p.c.rows), self.p.dtype), block.j, self.p.dtype)

    def _start(self, block: Block) -> Val:
        t = self.p.dtype.of(self.lanes)
        if self.init:
            return self.init(block)
        if not self.p.beta:
            return self.f.const(0.0, t)
        old = vectors.load(self._at(block), t, block.count)
        return old if self.p.beta == 1.0 else old * self.p.beta


def _times(i: Val, stride: int) -> Val:
    """i * stride, computed now if both are known."""
    if not i.ref.startswith("%"):
        return i.f.i64(int(i.ref) * stride)
    return i if stride == 1 else i * stride


def _plus(i: Val, k: int) -> Val:
    if not i.ref.startswith("%"):
        return i.f.i64(int(i.ref) + k)
    return i + k if k else i


# large products ----------------------------------------------------------------------------------------------------

_STRIP_DEPTH = 1024  # rows of a strip that are copied together: with the strip's columns, a quarter of the second cache
_CHUNK = 1 << 18  # bytes of A that are used together where k is longer than that: half of the second cache


def strips(target: Target, p: Product) -> int:
    """How many strips of columns a product has."""
    return -(-p.n // target.tile(p.dtype.bits)[1])


def _depth(p: Product) -> int:
    """How many rows of a strip are copied together."""
    if p.k <= _STRIP_DEPTH:
        return p.k
    return min(_STRIP_DEPTH, max(_CHUNK // (p.m * p.dtype.bits // 8) // 128 * 128, 256))


def strip_bytes(target: Target, p: Product) -> int:
    """Scratch memory that `emit_strips` needs."""
    return _depth(p) * target.tile(p.dtype.bits)[1] * (p.dtype.bits // 8)


def emit_strips(
    f: Function,
    target: Target,
    p: Product,
    a: Val,
    b: Val,
    c: Val,
    scratch: Val,
    *,
    epilogue: Epilogue | None = None,
    strips_: tuple[Val, Val] | None = None,
) -> None:
    """A product whose B is long: each strip of its columns is copied together, then used by all rows of A.

    Args:
        f, target, p, a, b, c, epilogue: as in `emit`.
        scratch: `strip_bytes(target, p)` bytes.
        strips_: first and last + 1 of the strips to do, for a share of the work.
    """
    p.check()
    width, depth = target.tile(p.dtype.bits)[1], _depth(p)
    whole, full = p.n // width, p.k // depth

    def chunk(k: Val, deep: int, final: bool) -> None:
        """Terms k to k + deep of all strips."""

        def strip(start: Val, count: int) -> None:
            _copy_strip(f, target, p, (b, scratch), k, deep, start, count)
            _strip(f, target, p, (k, deep), (a, c, scratch), start, count, epilogue if final else None)

        first, last = strips_ or (f.i64(0), f.i64(whole))
        until = f.intrinsic("smin", last, f.i64(whole)) if strips_ else last
        if whole:  # a strip that is never reached must not be written: it would lie outside
            f.loop(first, until, 1, lambda s, _: strip(s * width, width))
        if p.n % width:
            rest = lambda: strip(f.i64(whole * width), p.n % width)
            f.when(last.gt(whole), rest) if strips_ else rest()

    loops = full - (p.k % depth == 0) if epilogue else full
    f.loop(0, loops * depth, depth, lambda k, _: chunk(k, depth, False))
    for k in range(loops * depth, p.k, depth):
        chunk(f.i64(k), min(depth, p.k - k), k + depth >= p.k)


def _copy_strip(f: Function, target: Target, p: Product, at: tuple[Val, Val], k: Val, depth: int, start: Val, count: int) -> None:
    (b, scratch), t, lanes, width = at, p.dtype, target.lanes(p.dtype.bits), target.tile(p.dtype.bits)[1]
    base = f.offset(f.offset(f.offset(b, p.b.offset, t), _times(k, p.b.rows), t), start, t)

    def row(i: Val, _: list[Val]) -> None:
        source, goal = f.offset(base, _times(i, p.b.rows), t), f.offset(scratch, _times(i, width), t)
        for v in range(0, count, lanes):
            part = None if v + lanes <= count else count - v
            vectors.store(vectors.load(f.offset(source, v, t), t.of(lanes), part), f.offset(goal, v, t), part)

    f.loop(0, depth, 1, row)


def _strip(
    f: Function,
    target: Target,
    p: Product,
    at: tuple[Val, int],
    places: tuple[Val, Val, Val],
    start: Val,
    count: int,
    epilogue: Epilogue | None,
) -> None:
    """All rows of C in one strip of columns, with `depth` terms of the sum: the first k starts from beta C."""
    (k, depth), (a, c, scratch), t = at, places, p.dtype
    width = target.tile(t.bits)[1]
    right = Matrix(width, 1, (depth - 1) * width + count)
    part = replace(p, n=count, k=depth, b=right, beta=p.beta if k.ref == "0" else 1.0)
    goal = f.offset(c, start, t)

    def begin(block: Block) -> Val:
        """What was summed before, if anything was."""
        place = f.offset(f.offset(f.offset(goal, p.c.offset, t), _times(block.i, p.c.rows), t), block.j, t)
        old = vectors.load(place, t.of(_lanes(target, part)), block.count)
        return select(f.splat(k.gt(0), old.type.lanes), old, old * p.beta if p.beta else f.const(0.0, old.type))

    left = f.offset(a, _times(k, p.a.columns), t)
    init = begin if k.ref.startswith("%") else None
    emit(f, target, part, left, scratch, goal, init=init, epilogue=_moved(epilogue, start) if epilogue else None)


def _moved(epilogue: Epilogue, column: Val) -> Epilogue:
    """An epilogue of a strip that starts at a column of the whole."""
    return lambda v, block: epilogue(v, Block(block.i, block.j + column, block.count))


# vectors, transposition --------------------------------------------------------------------------------------------


def dot(f: Function, n: int, dtype: Type, x: Val, y: Val) -> Val:
    """The scalar x . y of contiguous vectors: four vectors of sums, then a fixed tree, the same on every machine."""
    lanes = VIRTUAL_BYTES * 8 // dtype.bits
    t, group = dtype.of(lanes), min(4, max(n // lanes, 1))

    def add(i: Val, k: int, sums: list[Val], count: int | None = None) -> None:
        at = _plus(i, k * lanes)
        sums[k] = fma(vectors.load(f.offset(x, at, dtype), t, count), vectors.load(f.offset(y, at, dtype), t, count), sums[k])

    def step(i: Val, old: list[Val]) -> list[Val]:
        sums = list(old)
        for k in range(group):
            add(i, k, sums)
        return sums

    whole = n // (group * lanes) * group * lanes
    sums = f.loop(0, whole, group * lanes, step, [f.const(0.0, t)] * group)
    rest = (n - whole) // lanes
    for k in range(rest):
        add(f.i64(whole), k, sums)
    if n % lanes:
        add(f.i64(whole + rest * lanes), 0, sums, n % lanes)
    return vectors.tree("sum", sums)


def matvec(
    f: Function,
    m: int,
    k: int,
    a: Matrix,
    dtype: Type,
    at: Val,
    x: Val,
    y: Val,
    epilogue: Callable[[Val, Val], Val] | None = None,
) -> None:
    """y (m) = A (m x k) x (k): one dot product per row, for A contiguous along its rows.

    Args:
        f: the function being written.
        m, k, a, dtype: sizes and layout.
        at, x, y: addresses of A, x and y.
        epilogue: maps each finished element, given its row.
    """
    a.check("A", m, k)
    if a.columns != 1:
        raise ValueError("A must be contiguous along its rows; x A^T is a product with one row")
    base = f.offset(at, a.offset, dtype)

    def row(i: Val, _: list[Val]) -> None:
        v = dot(f, k, dtype, f.offset(base, _times(i, a.rows), dtype), x)
        f.store(epilogue(v, i) if epilogue else v, f.offset(y, i, dtype))

    f.loop(0, m, 1, row)


def transpose(f: Function, m: int, n: int, dtype: Type, source: Val, lds: int, goal: Val, ldg: int) -> None:
    """goal (n x m) = source (m x n) transposed, in square blocks that are turned in registers."""
    if lds < n or ldg < m:
        raise ValueError("a leading dimension is shorter than its row")
    w = 8 if dtype.bits == 32 else 4

    def block(i: Val, j: Val) -> None:
        rows = [vectors.load(_element(f, source, lds, _plus(i, r), j, dtype), dtype.of(w)) for r in range(w)]
        for r, v in enumerate(_turn(f, rows)):
            vectors.store(v, _element(f, goal, ldg, _plus(j, r), i, dtype))

    def one(i: Val, j: Val) -> None:
        f.store(f.load(_element(f, source, lds, i, j, dtype), dtype), _element(f, goal, ldg, j, i, dtype))

    mw, nw = m // w * w, n // w * w
    f.loop(0, mw, w, lambda i, _: f.loop(0, nw, w, lambda j, _: block(i, j)) and None)
    f.loop(0, m, 1, lambda i, _: f.loop(nw, n, 1, lambda j, _: one(i, j)) and None)
    f.loop(mw, m, 1, lambda i, _: f.loop(0, nw, 1, lambda j, _: one(i, j)) and None)


def _element(f: Function, base: Val, ld: int, i: Val, j: Val, dtype: Type) -> Val:
    return f.offset(f.offset(base, _times(i, ld), dtype), j, dtype)


def _turn(f: Function, rows: list[Val]) -> list[Val]:
    """Transpose a square of vectors by exchanging halves, quarters, ..."""
    w, v, d = len(rows), list(rows), len(rows) // 2
    while d:
        for r in range(w):
            if not r & d:
                low = [k if not k & d else w + k - d for k in range(w)]
                high = [k + d if not k & d else w + k for k in range(w)]
                v[r], v[r + d] = f.shuffle(v[r], v[r + d], low), f.shuffle(v[r], v[r + d], high)
        d //= 2
    return v
