"""dot, matmul, einsum and their relatives, as contractions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import UFUNCS, Value
from chainrule.front.arithmetic import conjugate
from chainrule.front.indexing import diagonal_of
from chainrule.front.operands import array, broadcast_shape, implements, no_out, retyped
from chainrule.front.reductions import ravelled, summed
from chainrule.front.shaping import axis_of, cut, moveaxis, reshaped
from chainrule.prims.linear import LETTERS, concat, contract, flip, pad, reshape

Shape = tuple[int, ...]


def promoted(*xs: Any) -> list[Value]:
    """Operands as values of one dtype."""
    vs = [array(x) for x in xs]
    dtypes = [v.atom.type.dtype for v in vs]
    if all(d is dtypes[0] for d in dtypes):
        return vs
    dtype = np.result_type(*dtypes)
    return [retyped(v, dtype) for v in vs]


# --- two operands ----------------------------------------------------------------------------------------------------------


@implements(np.matmul)
def matmul(a: Any, b: Any, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Value:
    """Matrix product over the last axis of a and the last but one of b; leading axes broadcast."""
    no_out(out)
    a, b = promoted(a, b)
    if dtype is not None:
        a, b = (retyped(x, np.dtype(dtype)) for x in (a, b))
    shape_a, shape_b, spec = _product(a.atom.type.shape, b.atom.type.shape)
    return contract(reshaped(a, shape_a), reshaped(b, shape_b), spec=spec)


@lru_cache(maxsize=1024)
def _product(a: Shape, b: Shape) -> tuple[Shape, Shape, str]:
    """The shapes that factors of a product are read in, and the letters of their axes."""
    if not a or not b:
        raise errors.ShapeError.product(a, b)
    try:
        lead = broadcast_shape([a[:-2], b[:-2]])
    except errors.ShapeError:
        raise errors.ShapeError.product(a, b) from None
    batch = LETTERS[26 : 26 + len(lead)]
    left, right = ("j" if len(a) == 1 else "ij"), ("j" if len(b) == 1 else "jk")
    a, letters_a = _factor(a, left, lead, batch)
    b, letters_b = _factor(b, right, lead, batch)
    return a, b, f"{letters_a},{letters_b}->{batch}{left[:-1]}{right[1:]}"


def _factor(shape: Shape, letters: str, lead: Shape, batch: str) -> tuple[Shape, str]:
    """The shape without the leading axes of size 1 that the other factor has longer, and its letters."""
    own = shape[: -len(letters)]
    names, sizes = batch[len(lead) - len(own) :], lead[len(lead) - len(own) :]
    kept = [k for k, n in enumerate(own) if n == sizes[k]]
    return (*[own[k] for k in kept], *shape[len(own) :]), "".join(names[k] for k in kept) + letters


@implements(np.dot, method="dot")
def dot(a: Any, b: Any, out: Any = None) -> Value:
    """Sum over the last axis of a and the last but one of b (the only one of a vector)."""
    no_out(out)
    a, b = promoted(a, b)
    if not a.ndim or not b.ndim:
        return UFUNCS[np.multiply](a, b)
    return _over(a, b, [a.ndim - 1], [max(b.ndim - 2, 0)])


def _over(a: Value, b: Value, axes_a: Sequence[int], axes_b: Sequence[int]) -> Value:
    """Sum of products over pairs of axes; the others of a, then those of b."""
    left = list(LETTERS[: a.ndim])
    right = list(LETTERS[a.ndim : a.ndim + b.ndim])
    for i, j in zip(axes_a, axes_b, strict=True):
        if a.shape[i] != b.shape[j]:
            raise errors.ShapeError.contraction([a.shape, b.shape])
        right[j] = left[i]
    free = [x for k, x in enumerate(left) if k not in axes_a] + [x for k, x in enumerate(right) if k not in axes_b]
    return contract(a, b, spec=f"{''.join(left)},{''.join(right)}->{''.join(free)}")


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Value:
    """Sum over the last axes."""
    a, b = promoted(a, b)
    if not a.ndim or not b.ndim:
        return UFUNCS[np.multiply](a, b)
    return _over(a, b, [a.ndim - 1], [b.ndim - 1])


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Value:
    """Sum of products of all elements, the first ones conjugated."""
    a, b = promoted(a, b)
    return contract(ravelled(conjugate(a)), ravelled(b), spec="i,i->")


@implements(np.vecdot)
def vecdot(a: Any, b: Any, out: Any = None, *, axis: Any = -1) -> Value:
    """Sum of products along an axis, the first ones conjugated."""
    no_out(out)
    a, b = (moveaxis(x, axis, -1) for x in promoted(a, b))
    return einsum("...i,...i->...", conjugate(a), b)


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Value:
    """Every element of a times every element of b."""
    no_out(out)
    a, b = promoted(a, b)
    return contract(ravelled(a), ravelled(b), spec="i,j->ij")


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Value:
    """Sum over pairs of axes: so many at the end of a and the start of b, or those given."""
    a, b = promoted(a, b)
    if np.ndim(axes) == 0 and not isinstance(axes, list | tuple):
        n = index(axes)
        return _over(a, b, range(a.ndim - n, a.ndim), range(n))
    first, second = (([k] if np.ndim(k) == 0 else list(k)) for k in axes)
    return _over(a, b, [axis_of(k, a.ndim) for k in first], [axis_of(k, b.ndim) for k in second])


@implements(np.kron)
def kron(a: Any, b: Any) -> Value:
    """Every element of a times the whole of b, in place."""
    a, b = promoted(a, b)
    n = max(a.ndim, b.ndim)
    a, b = (reshaped(x, (1,) * (n - x.ndim) + x.shape) for x in (a, b))
    left, right = LETTERS[:n], LETTERS[n : 2 * n]
    y = contract(a, b, spec=f"{left},{right}->{''.join(x + z for x, z in zip(left, right, strict=True))}")
    return reshaped(y, tuple([i * j for i, j in zip(a.shape, b.shape, strict=True)]))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: Any = -1, axisb: Any = -1, axisc: Any = -1, axis: Any = None) -> Value:
    """The vector at right angles to a and b, as long as the area between them."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promoted(a, b)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise errors.ShapeError(f"np.cross needs vectors of 3 elements, not {a.shape[-1]} and {b.shape[-1]}")

    def turned(x: Value, k: int) -> Value:
        return concat(cut(x, x.ndim - 1, k, 3), cut(x, x.ndim - 1, 0, k), axis=x.ndim - 1)

    c = turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)
    return moveaxis(c, -1, axisc)


# --- convolution -----------------------------------------------------------------------------------------------------------


def _full_convolution(a: Value, v: Value) -> Value:
    """sum_i a_i v_{k-i}: products of all pairs, each row shifted by one more, summed.

    A row that is n longer than the rows it is read in again shifts by one from row to row.  The shorter operand makes the
    rows, so the memory is that of its length times that of the result.
    """
    if a.size > v.size:
        a, v = v, a
    m, n = a.size, v.size
    rows = pad(contract(a, v, spec="i,j->ij"), low=(0, 0), high=(0, m), interior=(0, 0))
    sheared = reshape(cut(reshape(rows, shape=(m * (n + m),)), 0, 0, m * (n + m - 1)), shape=(m, n + m - 1))
    return summed(sheared, (0,))


def _convolved(a: Any, v: Any, mode: Any, backwards: bool) -> Value:
    a, v = promoted(a, v)
    a, v = (reshaped(x, (1,)) if not x.ndim else x for x in (a, v))
    if a.ndim != 1 or v.ndim != 1:
        raise ValueError("object too deep for desired array")
    if not a.size or not v.size:
        raise ValueError("an argument of a convolution cannot be empty")
    modes = {"v": "valid", "s": "same", "f": "full"}
    if not isinstance(mode, str) or modes.get(mode[:1]) is None:
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    y = _full_convolution(a, flip(conjugate(v), axes=(0,)) if backwards else v)
    long, short = max(a.size, v.size), min(a.size, v.size)
    if mode[0] == "v":
        return cut(y, 0, short - 1, long)
    if mode[0] == "f":
        return y
    # NumPy takes the middle, and of an even surplus the side that its exchange of the operands makes it.
    start = short // 2 if backwards and v.size > a.size else (short - 1) // 2
    return cut(y, 0, start, start + long)


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Value:
    """c_k = sum_i a_i v_{k-i}.

    Numerics: the work and the memory are those of all products of pairs; for two long operands use a transform.
    """
    return _convolved(a, v, mode, False)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Value:
    """c_k = sum_i a_{i+k} conj(v_i)."""
    return _convolved(a, v, mode, True)


# --- einsum ----------------------------------------------------------------------------------------------------------------


def _interleaved(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as letters."""
    arrays, lists = list(operands[0::2]), list(operands[1::2])
    out = arrays.pop() if len(operands) % 2 else None

    def word(axes: Any) -> str:
        return "".join("..." if k is Ellipsis else LETTERS[index(k)] for k in axes)

    ins = ",".join(map(word, lists))
    return (ins if out is None else f"{ins}->{word(out)}"), arrays


@lru_cache(maxsize=1024)
def _spelled(subscripts: str, ranks: Shape) -> tuple[tuple[str, ...], str]:
    """Letters of the operands and of the result, the ellipsis spelled out."""
    text = subscripts.replace(" ", "")
    ins, arrow, out = text.partition("->")
    words = ins.split(",")
    if len(words) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} names {len(words)} operands, and {len(ranks)} were given")
    spare = [x for x in LETTERS[::-1] if x not in text]
    wide = max(n - len(w.replace("...", "")) for w, n in zip(words, ranks, strict=True)) if "..." in ins else 0
    dots = "".join(spare[:wide][::-1])
    full: list[str] = []
    for w, n in zip(words, ranks, strict=True):
        missing = n - len(w.replace("...", ""))
        if missing < 0 or (missing and "..." not in w):
            raise errors.ShapeError(f"einsum: '{w}' names {len(w.replace('...', ''))} axes, and the operand has {n}")
        full.append(w.replace("...", dots[len(dots) - missing :]))
    every = "".join(words).replace("...", "")
    if not arrow:
        out = ("..." if "..." in ins else "") + "".join(sorted(x for x in set(every) if every.count(x) == 1))
    result = out.replace("...", dots)
    if any(x not in LETTERS for x in "".join(full) + result):
        raise ValueError(f"einsum: {subscripts!r} holds a character that is not a letter")
    if len(set(result)) != len(result) or any(x not in "".join(full) for x in result):
        raise ValueError(f"einsum: the result '{out}' repeats a letter or has one that no operand has")
    return tuple(full), result


def _diagonals(x: Value, word: str) -> tuple[Value, str]:
    """No letter twice: two axes of one letter become their diagonal, as a last axis."""
    for a in dict.fromkeys(word):
        while word.count(a) > 1:
            i = word.index(a)
            j = word.index(a, i + 1)
            if x.shape[i] != x.shape[j]:
                raise errors.ShapeError(f"einsum: the axes '{a}' of one operand are {x.shape[i]} and {x.shape[j]}")
            x = diagonal_of(x, 0, i, j)
            word = "".join(c for k, c in enumerate(word) if k not in (i, j)) + a
    return x, word


def _sizes(xs: Sequence[Value], words: Sequence[str]) -> dict[str, int]:
    size: dict[str, int] = {}
    for x, word in zip(xs, words, strict=True):
        for a, n in zip(word, x.shape, strict=True):
            m = size.get(a, 1)
            if n not in (1, m) and m != 1:
                raise errors.ShapeError(f"Axis '{a}' is {m} in one operand and {n} in another")
            size[a] = m if n == 1 and a in size else n
    return size


def _without_ones(x: Value, word: str, size: dict[str, int]) -> tuple[Value, str]:
    """Without the axes of size 1 that another operand has longer."""
    short = [k for k, (a, n) in enumerate(zip(word, x.shape, strict=True)) if n != size[a]]
    if not short:
        return x, word
    x = reshape(x, shape=tuple([n for k, n in enumerate(x.shape) if k not in short]))
    return x, "".join(a for k, a in enumerate(word) if k not in short)


@lru_cache(maxsize=1024)
def _path(words: tuple[str, ...], out: str, shapes: tuple[Shape, ...], optimize: Any) -> tuple[tuple[int, ...], ...]:
    """Which operands to multiply next, as NumPy plans it."""
    dummies = [np.broadcast_to(np.zeros(()), s) for s in shapes]
    how = "greedy" if optimize in (True, False) else optimize
    return tuple([tuple(p) for p in np.einsum_path(f"{','.join(words)}->{out}", *dummies, optimize=how)[0][1:]])


def _contracted(xs: list[Value], words: list[str], out: str, optimize: Any) -> Value:
    """Operands two at a time, every letter summed as soon as nobody else needs it."""
    steps = _path(tuple(words), out, tuple([x.shape for x in xs]), optimize) if len(xs) > 2 else [tuple(range(len(xs)))]
    for step in steps:
        picked = [(xs.pop(k), words.pop(k)) for k in sorted(step, reverse=True)][::-1]
        y, word = picked[0]
        for z, other in picked[1:]:
            needed = set(out).union(*words, *[w for v, w in picked if v is not y and v is not z])
            found = out if not xs and len(picked) == 2 else "".join(a for a in dict.fromkeys(word + other) if a in needed)
            y, word = contract(y, z, spec=f"{word},{other}->{found}"), found
        xs.append(y)
        words.append(word)
    (y,), (word,) = xs, words
    return y if word == out else contract(y, spec=f"{word}->{out}")


@implements(np.einsum)
def einsum(
    *operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, order: Any = "K", casting: Any = "safe"
) -> Value:
    """Einstein's sum: letters that the result lacks are summed over."""
    no_out(out)
    text, arrays = (operands[0], operands[1:]) if isinstance(operands[0], str) else _interleaved(operands)
    xs = promoted(*arrays)
    if dtype is not None:
        xs = [retyped(x, np.dtype(dtype)) for x in xs]
    try:
        words, result = _spelled(text, tuple([x.ndim for x in xs]))
        pairs = [_diagonals(x, w) for x, w in zip(xs, words, strict=True)]
        size = _sizes([x for x, _ in pairs], [w for _, w in pairs])
    except errors.ShapeError:
        raise errors.ShapeError.contraction([x.shape for x in xs]) from None
    pairs = [_without_ones(x, w, size) for x, w in pairs]
    kind = optimize if isinstance(optimize, bool | str) else True
    return _contracted([x for x, _ in pairs], [w for _, w in pairs], result, kind)
