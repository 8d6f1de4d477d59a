"""Where batches come from: arrays in memory, arrays on disk, and batches that somebody else makes.

A source hands out pieces: which rows belong to which step, and where they can be had.  What a step computes does not depend on
how an epoch was cut into pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule import errors, random
from chainrule.build.tree import flatten, map_tree, paths, unflatten
from chainrule.front.operands import refuse
from chainrule.train.model import Parts, Tree

Array = np.ndarray[Any, np.dtype[Any]]
BLOCK = 1024  # rows on disk that are read together
_MANY = 1 << 30  # steps left where nobody knows how many
WINDOW = 1 << 26  # bytes of rows on disk that are shuffled among each other, and held in memory at once


class Rows(Protocol):
    """Where rows can be had by their numbers."""

    def local(self, rows: Array, /) -> tuple[Parts, Array]:
        """Data in memory, and where in it these rows are."""
        ...


class Piece(NamedTuple):
    """Some steps of an epoch: which rows belong to which of them.

    Attributes:
        source: where the rows are.
        groups: int64[steps, micro-batches, batch size], the rows of steps of full size; None if this is a step of odd size.
        odd: the rows of one step of odd size, int64[count, size] for each size of micro-batch.
    """

    source: Rows
    groups: Any = None
    odd: tuple[Any, ...] = ()

    @property
    def steps(self) -> int:
        """How many steps."""
        return 1 if self.groups is None else len(self.groups)

    @property
    def examples(self) -> int:
        """Examples in each step."""
        return sum([r[0].size for r in self.runs])

    @property
    def runs(self) -> list[Array]:
        """The rows as int64[steps, count, size] for each size of micro-batch."""
        return [r[None] for r in self.odd] if self.groups is None else [self.groups]

    def only(self, k: int) -> Piece:
        """Step number k of it."""
        return self if self.groups is None else Piece(self.source, self.groups[k : k + 1])

    def local(self) -> tuple[Parts, list[Array]]:
        """Data in memory, and its runs as rows of these data."""
        runs = self.runs
        data, rows = self.source.local(np.concatenate([r.ravel() for r in runs]))
        parts = np.split(rows, np.cumsum([r.size for r in runs])[:-1])
        return data, [part.reshape(r.shape) for part, r in zip(parts, runs, strict=True)]


class Ask(Protocol):
    """How many steps the next piece should have, of those that are left."""

    def __call__(self, left: int) -> int: ...


def parts_of(data: Any) -> Parts:
    """The parts of data: a tuple is as it is, ``{"x": ..., "y": ...}`` is a pair, anything else is one part."""
    if type(data) is tuple:
        return data  # pyright: ignore[reportUnknownVariableType]
    if isinstance(data, dict) and set(data) == {"x", "y"}:  # pyright: ignore[reportUnknownArgumentType]
        return data["x"], data["y"]  # pyright: ignore[reportUnknownVariableType]
    return (data,)


def is_stream(data: Any) -> bool:
    """Are these batches that come one after another?"""
    if callable(data) and not hasattr(data, "shape"):
        return True
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], tuple | dict)
    return isinstance(data, Iterable) and not isinstance(data, tuple | dict | str) and not _is_table(data)


def _is_table(x: Any) -> bool:
    return hasattr(x, "shape") or hasattr(x, "__array__") or hasattr(x, "to_numpy")


def as_rows(x: Any, name: str) -> Any:
    """An array of examples along the first axis; arrays on disk stay there."""
    if type(x).__module__.startswith("scipy.sparse"):
        raise TypeError(f"fit: {name} is a sparse matrix; chainrule computes with dense arrays: {name}.toarray()")
    refuse(x, f"fit: {name}")
    if not isinstance(x, np.ndarray) and hasattr(x, "shape") and hasattr(x, "dtype") and not hasattr(x, "__array__"):
        a = x
    else:
        a = x if isinstance(x, np.ndarray) else np.asarray(x)
    if a.dtype.kind not in "biuf":
        hint = "text must be encoded as numbers" if a.dtype.kind in "OUS" else "complex numbers are not supported"
        raise errors.DtypeError(f"fit: {name} has dtype {a.dtype}; {hint}")
    if len(a.shape) == 0:
        raise errors.ShapeError(f"fit: {name} is one number; the first axis must run over examples")
    return a


def on_disk(a: Any) -> bool:
    """Is this array read from a file piece by piece?"""
    return isinstance(a, np.memmap) or not isinstance(a, np.ndarray)


def named(parts: Parts) -> list[str]:
    """A name for every array of the data."""
    first = ("x", "y") if len(parts) == 2 else ("x",) if len(parts) == 1 else tuple(f"part {k + 1}" for k in range(len(parts)))
    return [name + path for name, part in zip(first, parts, strict=True) for path in paths(part)]


@dataclass(frozen=True)
class Arrays:
    """Arrays with one example per row.

    Attributes:
        leaves: the arrays.
        spec: their containers.
        n: how many rows.
        dtype: what arrays of floating-point numbers are converted to, None for nothing.
        disk: is one of them on disk?
    """

    leaves: Sequence[Any]
    spec: Any
    n: int
    dtype: np.dtype[Any] | None
    disk: bool

    @classmethod
    def of(cls, data: Any, dtype: np.dtype[Any] | None) -> Arrays:
        """Arrays, or containers of arrays, as a source."""
        parts = tuple([_listed(p) for p in parts_of(data)])
        names = named(parts)
        given, spec = flatten(parts)
        leaves = [as_rows(x, name) for x, name in zip(given, names, strict=True)]
        sizes = {x.shape[0] for x in leaves}
        if len(sizes) != 1:
            each = ", ".join(f"{name} has {x.shape[0]}" for name, x in zip(names, leaves, strict=True))
            raise errors.ShapeError(
                f"fit: every array must have the same number of rows: {each}" if leaves else "fit: there is no data"
            )
        n = sizes.pop()
        if n == 0:
            raise errors.ShapeError("fit: the data has no rows")
        disk = any(map(on_disk, leaves))
        return cls(leaves if disk else [_ready(x, dtype) for x in leaves], spec, n, dtype, disk)

    @property
    def width(self) -> int:
        """Bytes of one example."""
        return max(1, sum([x.dtype.itemsize * int(np.prod(x.shape[1:])) for x in self.leaves]))

    def rows(self, which: Array) -> Parts:
        """These rows, in memory."""
        return unflatten(self.spec, [_ready(_read(x, which), self.dtype) for x in self.leaves])

    def targets(self) -> Any:
        """The second part, of arrays on disk the first rows."""
        return (self.rows(np.arange(min(self.n, BLOCK))) if self.disk else unflatten(self.spec, self.leaves))[1]

    def part(self, which: Array) -> Arrays:
        """These rows as a source of their own (arrays on disk are read)."""
        return Arrays(flatten(self.rows(which))[0], self.spec, len(which), self.dtype, False)

    def order(self, key: Any, shuffle: bool) -> Array:
        """The order of the rows in one epoch: each once.

        Rows in memory are permuted.  Of rows on disk, blocks are permuted and then the rows within windows of many blocks, so
        that what is read lies together.
        """
        if not shuffle:
            return np.arange(self.n)
        if not self.disk:
            return random.permutation(key, self.n)
        order = _blocks(random.fold_in(key, 0), self.n)
        window = max(BLOCK, WINDOW // self.width)
        for k, low in enumerate(range(0, self.n, window)):
            part = order[low : low + window]
            order[low : low + window] = part[random.permutation(random.fold_in(key, k + 1), len(part))]
        return order

    def pieces(self, order: Array, size: int, count: int, start: int, ask: Ask) -> Iterator[Piece]:
        """Steps number `start` and on of an epoch; a step is `count` micro-batches of `size` rows."""
        group = size * count
        full, s = self.n // group, start
        most = max(1, WINDOW // (self.width * group)) if self.disk else full
        while s < full:
            steps = min(ask(full - s), most, full - s)
            yield Piece(self, order[s * group : (s + steps) * group].reshape(steps, count, size))
            s += steps
        if self.n % group and s == full:
            yield self._odd(order[full * group :], size)

    def _odd(self, rows: Array, size: int) -> Piece:
        whole = len(rows) // size * size
        runs = (rows[:whole].reshape(-1, size), rows[whole:].reshape(1, -1))
        return Piece(self, None, tuple([r for r in runs if r.size]))

    def local(self, rows: Array) -> tuple[Parts, Array]:
        """Data in memory, and where in it these rows are."""
        if not self.disk:
            return unflatten(self.spec, self.leaves), rows
        at = np.argsort(rows, kind="stable")
        place = np.empty_like(rows)
        place[at] = np.arange(len(rows))
        return self.rows(rows[at]), place

    def signature(self) -> dict[str, Any]:
        """What tells this data from other data: shapes, dtypes and the bytes of some rows."""
        some = np.unique(np.linspace(0, self.n - 1, min(self.n, 64)).astype(np.int64))
        return {"arrays": [[str(x.dtype), list(x.shape)] for x in self.leaves], "sample": checksum(self.rows(some))}


def _listed(part: Tree) -> Tree:
    """A list of numbers is an array."""
    if not isinstance(part, list) and (not _is_table(part) or hasattr(part, "dtype")):
        return part
    try:
        return np.asarray(part)
    except ValueError:
        raise TypeError(
            "fit: the data holds a list of arrays of several shapes; arrays that belong together are a tuple (x, y)"
        ) from None


def _read(x: Any, which: Array) -> Array:
    return np.asarray(x[which])


def _ready(x: Any, dtype: np.dtype[Any] | None) -> Array:
    return np.ascontiguousarray(x, dtype if dtype is not None and x.dtype.kind == "f" else None)


def _blocks(key: Any, n: int) -> Array:
    """0, ..., n - 1 in blocks, the blocks in random order."""
    starts = random.permutation(key, -(-n // BLOCK)) * BLOCK
    return np.concatenate([np.arange(s, min(s + BLOCK, n)) for s in starts])


def checksum(tree: Tree) -> str:
    """A digest of all arrays of a tree."""
    import hashlib

    digest = hashlib.sha256()
    for x in flatten(tree)[0]:
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Stream:
    """Batches that come one after another: an iterable of them, or a function of the epoch that returns one.

    Attributes:
        source: the iterable or the function.
        dtype: what arrays of floating-point numbers are converted to.
    """

    source: Any
    dtype: np.dtype[Any] | None

    def batches(self, epoch: int) -> Iterator[Parts]:
        """The batches of an epoch."""
        made: Any = self.source(epoch) if callable(self.source) else self.source
        found: Iterator[Any] = iter(made)
        if found is self.source and epoch > 0:
            raise ValueError(
                "fit: the data is an iterator, which can be run through once, and training needs it in every epoch. "
                "Pass a list, or a function of the epoch that returns a new iterator"
            )
        none = True
        for batch in found:
            none = False
            arrays = Arrays.of(batch, self.dtype)
            yield unflatten(arrays.spec, arrays.leaves)
        if none:
            raise errors.ShapeError(f"fit: the data of epoch {epoch + 1} has no batches")

    def first(self) -> tuple[Parts, Stream]:
        """The first batch, and a stream that still has it."""
        if callable(self.source) or iter(self.source) is not self.source:
            return next(self.batches(0)), self
        from itertools import chain

        found = iter(self.source)
        head = next(found, None)
        if head is None:
            raise errors.ShapeError("fit: the data has no batches")
        return next(Stream([head], self.dtype).batches(0)), Stream(_Once(chain([head], found)), self.dtype)

    def pieces(self, epoch: int, count: int, start: int, ask: Ask) -> Iterator[Piece]:
        """Steps number `start` and on of an epoch; a step is `count` batches, fewer at the end."""
        group, held, wanted = list[Parts](), list[list[Parts]](), 0
        for k, batch in enumerate(self.batches(epoch)):
            if k < start * count:
                continue
            group.append(batch)
            if len(group) < count:
                continue
            if len({_shapes(b) for b in (*group, *(held[0][:1] if held else []))}) > 1:
                yield from _joined(held)
                held = []
                if len({_shapes(b) for b in group}) > 1:
                    yield _unequal(group)
                    group = []
                    continue
            wanted = wanted or min(ask(_MANY), max(1, WINDOW // sum(map(_bytes, group))))
            held.append(group)
            group = []
            if len(held) >= wanted:
                yield from _joined(held)
                held, wanted = [], 0
        yield from _joined(held)
        if group:
            yield _unequal(group)


class Held(NamedTuple):
    """Rows that are in memory already."""

    data: Parts

    def local(self, rows: Array) -> tuple[Parts, Array]:
        """The data, and the rows as they are."""
        return self.data, rows


class _Once:
    """An iterator that has been looked into."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator

    def __iter__(self) -> _Once:
        return self

    def __next__(self) -> Any:
        return next(self.iterator)


def _shapes(batch: Parts) -> tuple[Any, ...]:
    return tuple([(x.shape, x.dtype) for x in flatten(batch)[0]])


def _size(batch: Parts) -> int:
    return len(flatten(batch)[0][0])


def _bytes(batch: Parts) -> int:
    return max(1, sum([x.nbytes for x in flatten(batch)[0]]))


def _joined(groups: Sequence[Sequence[Parts]]) -> Iterator[Piece]:
    """Steps of batches of one shape as one piece."""
    if groups:
        flat = [b for group in groups for b in group]
        n = _size(flat[0])
        yield Piece(Held(_concatenated(flat)), np.arange(len(flat) * n).reshape(len(groups), -1, n))


def _unequal(group: Sequence[Parts]) -> Piece:
    """One step of batches of different sizes."""
    sizes = [_size(b) for b in group]
    ends = np.cumsum(sizes)
    runs = tuple([np.arange(e - n, e).reshape(1, -1) for n, e in zip(sizes, ends, strict=True)])
    return Piece(Held(_concatenated(group)), None, runs)


def _concatenated(batches: Sequence[Parts]) -> Parts:
    return map_tree(lambda *xs: np.concatenate(xs), *batches)
