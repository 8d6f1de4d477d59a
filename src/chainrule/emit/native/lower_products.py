"""Einstein sums: views, reductions, elementwise products, and matrix products with the layout that copies least."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from chainrule.ir.graph import Eqn
from chainrule.prims.linear import letters_of

from .lower import LOWER, Lowering, permuted
from .nodes import Access, Contract, Num, Operand, direct, whole
from .operations import is_identity

Letters = str
_FAR, _WIDE = 256, 48


def _spec(e: Eqn) -> tuple[list[Letters], Letters]:
    """Letters of operands and result, without those of axes of length 1."""
    ins, out = letters_of(e.params)
    size = {x: n for s, a in zip(ins, e.ins, strict=True) for x, n in zip(s, a.type.shape, strict=True)}
    return ["".join(x for x in s if size[x] != 1) for s in ins], "".join(x for x in out if size[x] != 1)


def contract(low: Lowering, e: Eqn) -> None:
    ins, out = _spec(e)
    xs = [low.operand(a) for a in e.ins]
    if len(xs) == 1:
        low.env[e.out] = _summed(low, xs[0], ins[0], out)
        return
    for k, other in ((0, 1), (1, 0)):  # letters of one operand alone are summed first
        alone = "".join(x for x in ins[k] if x in ins[other] or x in out)
        xs[k], ins[k] = _summed(low, xs[k], ins[k], alone), alone
    low.env[e.out] = _product(low, xs[0], ins[0], xs[1], ins[1], out)


def _summed(low: Lowering, x: Operand, letters: Letters, out: Letters) -> Operand:
    axes = [k for k, a in enumerate(letters) if a not in out]
    left = "".join(a for a in letters if a in out)
    return permuted(low.reduce("sum", x, axes), [left.index(a) for a in out])


def _product(low: Lowering, x: Operand, a: Letters, y: Operand, b: Letters, out: Letters) -> Operand:
    summed = [t for t in a if t in b and t not in out]
    free_a, free_b = [t for t in out if t not in b], [t for t in out if t not in a]
    size = dict(zip(a + b, x.shape + y.shape, strict=True))
    if not all(size[t] for t in summed):
        return Num(0, x.dtype, tuple([size[t] for t in out]))
    for u, p, v, q in ((x, a, y, b), (y, b, x, a)):
        if len(summed) == 1 and len(p) == 2 and _identity(u):
            (free,) = [t for t in p if t not in summed]
            if free in out and free not in q:
                return permuted(v, [q.replace(summed[0], free).index(t) for t in out])
    matrices = isinstance(x, Access) and isinstance(y, Access) and x.dtype in ("float64", "float32")
    if summed and free_a and free_b and matrices:
        return _matrices(low, x, a, y, b, out)  # pyright: ignore[reportArgumentType]
    grid = out if not summed else _walk(x, a, y, b, size)
    ins = [_on_grid(x, a, grid, size), _on_grid(y, b, grid, size)]
    z = low.map("logical_and" if x.dtype == "bool" else "multiply", ins, x.dtype)
    return _summed(low, z, grid, out)


def _identity(x: Operand) -> bool:
    return isinstance(x, Access) and x.base.constant is not None and direct(x) and is_identity(x.base.constant)


def _walk(x: Operand, a: Letters, y: Operand, b: Letters, size: dict[str, int]) -> Letters:
    """All letters in the order in which the larger operand lies in memory, those that it lacks in front."""
    big, letters = (x, a) if (x.size if isinstance(x, Access) else 0) >= (y.size if isinstance(y, Access) else 0) else (y, b)
    if isinstance(big, Access):
        order = sorted(range(len(letters)), key=lambda k: (-abs(big.strides[k]), k))
        letters = "".join(letters[k] for k in order)
    rest = "".join(dict.fromkeys(t for t in a + b if t not in letters))
    return rest + letters


def _on_grid(x: Operand, letters: Letters, grid: Letters, size: dict[str, int]) -> Operand:
    """An operand repeated along the letters that it lacks."""
    shape = tuple([size[t] for t in grid])
    if isinstance(x, Num):
        return Num(x.value, x.dtype, shape)
    return Access(x.base, shape, tuple([x.strides[letters.index(t)] if t in letters else 0 for t in grid]), x.offset)


class _Side:
    """One operand of a matrix product: its strides by letter."""

    def __init__(self, x: Access, letters: Letters):
        self.x, self.letters = x, letters
        self.stride = dict(zip(letters, x.strides, strict=True))
        self.size = dict(zip(letters, x.shape, strict=True))

    def by_stride(self, letters: Sequence[str]) -> list[str]:
        return sorted(letters, key=lambda t: (-abs(self.stride[t]), self.letters.index(t)))

    def merged(self, letters: Sequence[str]) -> int | None:
        """The stride of these letters as one axis, if they lie so."""
        for s, t in pairwise(letters):
            if self.stride[s] != self.size[t] * self.stride[t]:
                return None
        step = self.stride[letters[-1]]
        return step if step >= 0 else None

    def arranged(self, low: Lowering, order: Sequence[str]) -> _Side:
        """A contiguous copy with its axes in this order."""
        y = low.copy(permuted(self.x, [self.letters.index(t) for t in order]))
        return _Side(y, "".join(order))


def _matrices(low: Lowering, x: Access, a: Letters, y: Access, b: Letters, out: Letters) -> Operand:
    """The product one way round or the other: the way that copies less, results out of order counted as copied."""
    p, q = _Side(x, a), _Side(y, b)
    plans = [_Plan(p, q, out), _Plan(q, p, out)]
    return min(plans, key=lambda plan: plan.cost).write(low)


class _Plan:
    """C (batch, m, n) = A (batch, m, k) B (batch, k, n)."""

    def __init__(self, a: _Side, b: _Side, out: Letters):
        self.a, self.b, self.out = a, b, out
        self.batch = [t for t in out if t in a.letters and t in b.letters]
        self.m = a.by_stride([t for t in out if t in a.letters and t not in b.letters])
        self.n = b.by_stride([t for t in out if t in b.letters and t not in a.letters])
        self.k = b.by_stride([t for t in a.letters if t in b.letters and t not in out])
        positive = all(s >= 0 for s in (*a.stride.values(), *b.stride.values()))
        self.copy_b = b.merged(self.n) != 1 or b.merged(self.k) is None or not positive
        self.copy_a = a.merged(self.m) is None or a.merged(self.k) is None or not positive or self._far(a, b)
        self.order = "".join([*self.batch, *self.m, *self.n])

    def _far(self, a: _Side, b: _Side) -> bool:
        """Is every k in another line of A, and are there so many that turning A first takes less than fetching these?"""
        k, n = (prod(x.size[t] for t in letters) for x, letters in ((a, self.k), (b, self.n)))
        return a.merged(self.k) != 1 and k >= _FAR and n >= _WIDE

    @property
    def cost(self) -> int:
        size = self.a.size | self.b.size
        return (
            self.copy_b * self.b.x.size + self.copy_a * self.a.x.size + (self.order != self.out) * prod(size[t] for t in self.out)
        )

    def write(self, low: Lowering) -> Operand:
        size = self.a.size | self.b.size
        b = self.b.arranged(low, [*self.batch, *self.k, *self.n]) if self.copy_b else self.b
        a = self.a.arranged(low, [*self.batch, *self.m, *self.k]) if self.copy_a else self.a
        m, n, k = (prod(size[t] for t in letters) for letters in (self.m, self.n, self.k))
        batch = [size[t] for t in self.batch]
        left = self._matrix(a, self.m, self.k, (*batch, m, k))
        right = self._matrix(b, self.k, self.n, (*batch, k, n))
        c = low.buffer(self.a.x.dtype, [size[t] for t in self.order])
        low.block.nodes.append(Contract(c, left, right, m, n, k))
        return permuted(whole(c), [self.order.index(t) for t in self.out])

    def _matrix(self, side: _Side, rows: Sequence[str], columns: Sequence[str], shape: tuple[int, ...]) -> Access:
        ends = side.merged(rows), side.merged(columns)
        assert ends[0] is not None
        assert ends[1] is not None
        return Access(side.x.base, shape, (*[side.stride[t] for t in self.batch], ends[0], ends[1]), side.x.offset)


LOWER["contract"] = contract
