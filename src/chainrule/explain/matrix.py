"""From indices to matrix algebra: products, transposes, traces, outer products, diagonals, row sums.

Each term is a graph: its factors join the indices they carry.  Indices are removed one after the other, every removal being
an operation of matrix algebra; where an index joins three matrices there is none, and the term stays a sum with indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from chainrule.explain import nodes as nd
from chainrule.explain.nodes import Node
from chainrule.explain.reading import Constant
from chainrule.explain.sizes import ONE, Monomial
from chainrule.explain.tensor import Apply, Atom, Basis, Bracket, Delta, Factor, Index, Leaf, Op, Pattern, Tensor, Term, content

HALF = Fraction(1, 2)
LETTERS = "ijklmnpqrstuvabcdefgh"


class _NoMatrixError(Exception):
    """This term is no matrix algebra."""


def lower(x: Tensor) -> Node:
    """An expression as a tree; a number everywhere is that many times the vector (or matrix) of ones."""
    y = _lowered(x)
    if y.rank or not 1 <= x.rank <= 2 or (isinstance(y, nd.Num) and y.m.number == 0):
        return y
    sizes = tuple(i.size for i in x.free)
    ones = nd.Ones(sizes[:1])
    body = ones if len(sizes) == 1 else outer(ones, nd.Ones(sizes[1:]))
    if isinstance(y, nd.Num):
        return scaled(y.m, (), (), body, sizes)
    if isinstance(y, nd.Scaled) and y.body is None:
        return scaled(y.m, y.top, y.bottom, body, sizes)
    return scaled(ONE, (y,), (), body, sizes)


def _lowered(x: Tensor) -> Node:
    sizes = tuple(i.size for i in x.free)
    if not x.terms:
        return nd.Scaled(sizes, Monomial(Fraction(0)), (), (), None) if sizes else nd.Num((), Monomial(Fraction(0)))
    m, y = shared_content(x)
    if not m.one:
        body = _lowered(y)
        if isinstance(body, nd.Scaled):
            return scaled(m * body.m, body.top, body.bottom, body.body, sizes)
        return scaled(m, (), (), body, sizes) if sizes else scaled(m, (body,), (), None, ())
    parts = [term(t, x.free) for t in x.terms]
    signed = [_signed(p) for p in parts]
    signed.sort(key=lambda sp: sp[0] < 0 if all(s < 0 for s, _ in signed[:1]) else 0)  # something positive first, if there is
    if all(s > 0 and isinstance(y, nd.Name | nd.Turn | nd.Call) for s, y in signed):
        signed.sort(key=lambda sp: isinstance(sp[1], nd.Turn))  # A + A^T
    if len(signed) == 1 and signed[0][0] > 0:
        return signed[0][1]
    return nd.Total(sizes, tuple(signed))


def shared_content(x: Tensor) -> tuple[Monomial, Tensor]:
    """What to write in front of a sum: powers of sizes that all terms have, or the number that all have."""
    if len(x.terms) < 2:
        return ONE, x
    m, y = content(x)
    same = len({(abs(t.coef.number), t.coef.powers) for t in x.terms}) == 1
    return (m, y) if (m.powers or same) and abs(m.number) != 0 and not (m.number == -1 and not m.powers) else (ONE, x)


def _signed(x: Node) -> tuple[int, Node]:
    if isinstance(x, nd.Scaled) and x.m.number < 0:
        m = -x.m
        return -1, scaled(m, x.top, x.bottom, x.body, x.sizes)
    if isinstance(x, nd.Num) and x.m.number < 0:
        return -1, nd.Num((), -x.m)
    return 1, x


def scaled(m: Monomial, top: Sequence[Node], bottom: Sequence[Node], body: Node | None, sizes: tuple[Monomial, ...]) -> Node:
    """A product of numbers and one thing that is none."""
    if not top and not bottom:
        if body is None:
            return nd.Num((), m)
        if m.one:
            return body
    if m.one and len(top) == 1 and not bottom and body is None:
        return top[0]
    return nd.Scaled(sizes if body is not None else (), m, tuple(top), tuple(bottom), body)


def node(a: Atom) -> Node:
    """An atom as a tree, its axes in order."""
    if isinstance(a, Leaf):
        return nd.Name(a.sizes, a.name, a.mirrored)
    if isinstance(a, Delta):
        return nd.Eye(a.sizes)
    if isinstance(a, Pattern):
        return nd.Known(a.sizes, a.kind)
    if isinstance(a, Basis):
        return nd.Unit(a.sizes, a.place)
    if isinstance(a, Constant):
        return nd.Literal(a.sizes, a.value)
    if isinstance(a, Bracket):
        return lower(a.inner)
    if isinstance(a, Apply):
        return nd.Func(a.sizes, a.row, tuple(_argument(x) for x in a.args))
    assert isinstance(a, Op)
    return nd.Call(a.sizes, a.prim, a.params, tuple(lower(x) for x in a.args), a.output)


def _argument(x: Tensor) -> Node:
    """An argument of a function: a number, where all elements are the same."""
    same = all(i not in t.indices for t in x.terms for i in x.free)
    return _lowered(Tensor((), x.terms)) if same else lower(x)


def term(t: Term, free: Sequence[Index]) -> Node:
    """One term."""
    sizes = tuple(i.size for i in free)
    top: list[Node] = []
    bottom: list[Node] = []
    groups: list[tuple[list[Factor], list[Index]]] = []
    for factors, own in _components(t, free):
        if own:
            groups.append((factors, own))
            continue
        above, x = _scalar(factors)
        (top if above else bottom).append(x)
    top, bottom = _powers(top), _powers(bottom)
    if not groups:
        return scaled(t.coef, top, bottom, None, ())
    try:
        if len(free) > 2:
            raise _NoMatrixError
        body = _joined(groups, free)
    except _NoMatrixError:
        body = einsum([f for factors, _ in groups for f in factors], free)
    m = t.coef
    if isinstance(body, nd.Scaled):
        m, top, bottom, body = m * body.m, [*top, *body.top], [*bottom, *body.bottom], body.body
    return scaled(m, top, bottom, body, sizes)


def _powers(xs: Sequence[Node]) -> list[Node]:
    """Equal numbers as one power."""
    return [nd.Power((), x, Fraction(n)) if (n := xs.count(x)) > 1 else x for x in dict.fromkeys(xs)]


def _components(t: Term, free: Sequence[Index]) -> list[tuple[list[Factor], list[Index]]]:
    """Factors that are joined by indices, with the free indices they carry; a free index joins what carries it."""
    left = list(t.factors)
    out: list[tuple[list[Factor], list[Index]]] = []
    while left:
        group = [left.pop(0)]
        reach = set(group[0].at)
        while True:
            more = [f for f in left if reach & set(f.at)]
            if not more:
                break
            group += more
            left = [f for f in left if f not in more]
            reach |= {i for f in more for i in f.at}
        group.sort(key=t.factors.index)
        out.append((group, [i for i in free if i in reach]))
    return out


def _scalar(factors: Sequence[Factor]) -> tuple[bool, Node]:
    """A number: is it above the line, and what is it?"""
    if len(factors) == 1 and factors[0].power != 1 and not factors[0].at:
        f = factors[0]
        x, p = node(f.atom), f.power
        above = p > 0
        p = abs(p)
        if isinstance(x, nd.Norm) and (x.p * p).denominator == 1:
            return above, nd.Norm((), x.x, int(x.p * p))
        return above, x if p == 1 else nd.Power((), x, p)
    if len(factors) == 1 and factors[0].power == 2 and len(set(factors[0].at)) == len(factors[0].at) <= 2:
        return True, nd.Norm((), node(factors[0].atom), 2)
    try:
        return True, _reduced(factors, ())
    except _NoMatrixError:
        return True, einsum(factors, ())


def _joined(groups: Sequence[tuple[list[Factor], list[Index]]], free: Sequence[Index]) -> Node:
    """Components that share no index: outer products, broadcasting."""
    if len(groups) == 1:
        factors, own = groups[0]
        x = _reduced(factors, own)
        if len(own) == len(free):
            return x
        i, j = free
        return outer(x, nd.Ones((j.size,))) if own == [i] else outer(nd.Ones((i.size,)), x)
    (f, a), (g, b) = groups
    u, v = _reduced(f, a), _reduced(g, b)
    return outer(u, v) if a == [free[0]] else outer(v, u)


def outer(u: Node, v: Node) -> Node:
    """u v^T"""
    return chain([u, nd.Turn((v.sizes[0],), v)], (u.sizes[0], v.sizes[0]))


# --- removing indices -------------------------------------------------------------------------------------------------------

_Item = tuple[Node, "tuple[Index, ...]"]


def _reduced(factors: Sequence[Factor], free: Sequence[Index]) -> Node:
    items = [_item(f) for f in factors]
    if any(len(at) > 2 for _, at in items):
        raise _NoMatrixError
    own = set(free)
    while True:
        step = _step(items, own)
        if step is None:
            break
        if isinstance(step, Node):
            return step
        items = step
    if len(items) != 1:
        raise _NoMatrixError
    x, at = items[0]
    if tuple(at) == tuple(free):
        return x
    if len(at) == 2 and tuple(at) == tuple(free[::-1]):
        return turned(x)
    raise _NoMatrixError


def _item(f: Factor) -> _Item:
    x = node(f.atom)
    at = f.at
    if len(at) == 2 and at[0] is at[1]:
        x, at = nd.DiagOf((at[0].size,), x), at[:1]
    if len(set(at)) != len(at):
        raise _NoMatrixError
    return (x if f.power == 1 else _powered(x, f.power)), at


def _powered(x: Node, p: Fraction) -> Node:
    if p < 0:
        return nd.Had(x.sizes, (), (x if p == -1 else nd.Power(x.sizes, x, -p),))
    return nd.Power(x.sizes, x, p)


def _count(items: Sequence[_Item], i: Index, own: set[Index]) -> int:
    return sum(i in at for _, at in items) + (i in own)


def _step(items: list[_Item], own: set[Index]) -> list[_Item] | Node | None:
    """One removal: the other items and the new one; a node where nothing is left to remove."""
    for find in (_trace, _same, _vector, _matrix, _lonely, _diagonal):
        found = find(items, own)
        if found is not None:
            return found
    return None


def _rest(items: Sequence[_Item], *gone: int) -> list[_Item]:
    return [x for k, x in enumerate(items) if k not in gone]


def _pairs(items: Sequence[_Item]) -> list[tuple[int, int]]:
    return [(a, b) for a in range(len(items)) for b in range(a + 1, len(items))]


def _trace(items: list[_Item], own: set[Index]) -> Node | None:
    """The last item, a diagonal that is summed."""
    if len(items) == 1 and len(items[0][1]) == 1 and items[0][1][0] not in own and isinstance(items[0][0], nd.DiagOf):
        return nd.Trace((), items[0][0].x)
    return None


def _same(items: list[_Item], own: set[Index]) -> list[_Item] | Node | None:
    """Two items with the same indices."""
    for a, b in _pairs(items):
        (x, at), (y, to) = items[a], items[b]
        if set(at) != set(to):
            continue
        if len(items) == 2 and not (set(at) & own):
            return _inner(x, y) if len(at) == 1 else _frobenius(x, at, y, to)
        y = y if at == to else turned(y)
        new = (had(x, y), at)
        return [*items[:a], new, *_rest(items[a + 1 :], b - a - 1)]
    return None


def _inner(x: Node, y: Node) -> Node:
    if isinstance(x, nd.Had) and not x.top:
        x, y = y, x
    for u, v in ((x, y), (y, x)):
        if isinstance(u, nd.Had) and not u.top:  # 1/u against v: sum of the quotients
            return chain([nd.Turn((v.sizes[0],), nd.Ones(v.sizes)), had(v, u)], ())
    return chain([nd.Turn((x.sizes[0],), x), y], ())


def _frobenius(x: Node, at: tuple[Index, ...], y: Node, to: tuple[Index, ...]) -> Node:
    left = turned(x) if at == to else x
    product = chain([left, y], (y.sizes[1], y.sizes[1]) if at == to else (x.sizes[0], x.sizes[0]))
    return nd.Trace((), product)


def _vector(items: list[_Item], own: set[Index]) -> list[_Item] | None:
    """A matrix times a vector."""
    for a, b in [*_pairs(items), *[(b, a) for a, b in _pairs(items)]]:
        (x, at), (v, to) = items[a], items[b]
        if len(at) == 2 and len(to) == 1 and to[0] in at and _count(items, to[0], own) == 2 and to[0] not in own:
            left = x if at[1] is to[0] else turned(x)
            kept = at[0] if at[1] is to[0] else at[1]
            return [*_rest(items, a, b), (chain([left, v], (kept.size,)), (kept,))]
    return None


def _matrix(items: list[_Item], own: set[Index]) -> list[_Item] | None:
    """A matrix times a matrix."""
    for a, b in _pairs(items):
        (x, at), (y, to) = items[a], items[b]
        if len(at) != 2 or len(to) != 2:
            continue
        for i in at:
            if i in to and i not in own and _count(items, i, own) == 2:
                left = x if at[1] is i else turned(x)
                right = y if to[0] is i else turned(y)
                j, k = (at[0] if at[1] is i else at[1]), (to[1] if to[0] is i else to[0])
                if j is k:
                    continue
                new = (chain([left, right], (j.size, k.size)), (j, k))
                return [*items[:a], new, *_rest(items[a + 1 :], b - a - 1)]
    return None


def _lonely(items: list[_Item], own: set[Index]) -> list[_Item] | Node | None:
    """A sum over an index that one item has."""
    for a, (x, at) in enumerate(items):
        for i in at if isinstance(x, nd.Turn) else at[::-1]:
            if i in own or _count(items, i, own) != 1:
                continue
            if len(at) == 1:
                return chain([nd.Turn((i.size,), nd.Ones((i.size,))), x], ()) if len(items) == 1 else None
            j = at[0] if at[1] is i else at[1]
            left = x if at[1] is i else turned(x)
            return [*_rest(items, a), (chain([left, nd.Ones((i.size,))], (j.size,)), (j,))]
    return None


def _diagonal(items: list[_Item], own: set[Index]) -> list[_Item] | None:
    """A vector that scales the rows or columns of a matrix."""
    for a, b in [*_pairs(items), *[(b, a) for a, b in _pairs(items)]]:
        (x, at), (v, to) = items[a], items[b]
        if len(at) == 2 and len(to) == 1 and to[0] in at:
            d = nd.Diag((v.sizes[0], v.sizes[0]), v)
            factors = [d, x] if at[0] is to[0] else [x, d]
            first = min(a, b)
            rest = [*_rest(items, a, b)]
            rest.insert(first, (chain(factors, (at[0].size, at[1].size)), at))
            return rest
    return None


# --- making nodes -------------------------------------------------------------------------------------------------------------


def turned(x: Node) -> Node:
    """Transpose of a matrix."""
    if isinstance(x, nd.Turn):
        return x.x
    if isinstance(x, nd.Diag | nd.Eye) or (isinstance(x, nd.Name) and x.mirrored):
        return x
    if isinstance(x, nd.Call) and x.prim == "inv" and turned(x.args[0]) == x.args[0]:
        return x
    sizes = x.sizes[::-1]
    if (
        isinstance(x, nd.Total)
        and all(p.rank == 2 for _, p in x.parts)
        and any(isinstance(p, nd.Turn | nd.Diag | nd.Eye) for _, p in x.parts)
    ):
        parts = [(k, turned(p)) for k, p in x.parts]
        parts.sort(key=lambda kp: (kp[0] < 0, isinstance(kp[1], nd.Turn)))
        return nd.Total(sizes, tuple(parts))
    if isinstance(x, nd.Chain):
        return nd.Chain(sizes, tuple(_turned_factor(f) for f in reversed(x.factors)))
    if isinstance(x, nd.Scaled) and x.body is not None:
        return nd.Scaled(sizes, x.m, x.top, x.bottom, turned(x.body))
    return nd.Turn(sizes, x)


def row(x: Node) -> Node:
    """A column as a row: c X^T u as c u^T X."""
    if isinstance(x, nd.Scaled) and x.body is not None:
        return nd.Scaled(x.sizes, x.m, x.top, x.bottom, row(x.body))
    if isinstance(x, nd.Total) and all(p.rank for _, p in x.parts):
        return nd.Total(x.sizes, tuple((sign, row(p)) for sign, p in x.parts))
    if isinstance(x, nd.Chain):
        return nd.Chain(x.sizes, tuple(_turned_factor(f) for f in reversed(x.factors)))
    return nd.Turn(x.sizes, x)


def _turned_factor(f: Node) -> Node:
    if isinstance(f, nd.Turn):
        return f.x
    return nd.Turn(f.sizes, f) if f.rank == 1 else turned(f)


def chain(factors: Sequence[Node], sizes: tuple[Monomial, ...]) -> Node:
    """A matrix product, products within products opened, identities left out, numbers in front."""
    flat: list[Node] = []
    m, top, bottom = ONE, list[Node](), list[Node]()
    for f in factors:
        turn = isinstance(f, nd.Turn)
        inner = f.x if isinstance(f, nd.Turn) else f
        if isinstance(inner, nd.Scaled) and inner.body is not None:
            m, top, bottom = m * inner.m, [*top, *inner.top], [*bottom, *inner.bottom]
            inner = inner.body
            f = (nd.Turn(inner.sizes[::-1], inner) if inner.rank == 1 else turned(inner)) if turn else inner
        if isinstance(f, nd.Chain):
            flat += f.factors
        elif isinstance(f, nd.Turn) and isinstance(f.x, nd.Chain):
            flat += [_turned_factor(g) for g in reversed(f.x.factors)]
        else:
            flat.append(f)
    kept: list[Node] = []
    for f in flat:
        if isinstance(f, nd.Eye):
            continue
        last = kept[-1] if kept else None
        if isinstance(f, nd.Diag) and isinstance(last, nd.Diag):
            kept[-1] = nd.Diag(f.sizes, had(last.x, f.x))
        else:
            kept.append(f)
    if not kept:
        body: Node = nd.Eye(sizes)
    elif len(kept) == 1:
        body = kept[0]
    else:
        body = nd.Chain(sizes, tuple(kept))
    if not m.one or top or bottom:
        return (
            nd.Scaled(sizes, m, tuple(top), tuple(bottom), body) if sizes else nd.Scaled((), m, (*top, body), tuple(bottom), None)
        )
    return body


def had(x: Node, y: Node) -> Node:
    """Element by element, flat."""
    top: list[Node] = []
    bottom: list[Node] = []
    for z in (x, y):
        if isinstance(z, nd.Had):
            top += z.top
            bottom += z.bottom
        else:
            top.append(z)
    if len(top) == 2 and top[0] == top[1] and not bottom:
        return nd.Power(x.sizes, top[0], Fraction(2))
    return nd.Had(x.sizes, tuple(top), tuple(bottom))


def einsum(factors: Sequence[Factor], free: Sequence[Index]) -> Node:
    """A sum with indices."""
    letters: dict[Index, str] = {}
    for i in [*free, *[i for f in factors for i in f.at]]:
        if i not in letters:
            if len(letters) >= len(LETTERS):
                raise _NoMatrixError
            letters[i] = LETTERS[len(letters)]
    pieces = tuple(nd.Piece(node(f.atom), "".join(letters[i] for i in f.at), f.power) for f in factors)
    extent = tuple((s, i.size) for i, s in letters.items())
    return nd.Einsum(tuple(i.size for i in free), pieces, "".join(letters[i] for i in free), extent)
