"""Shared parts of formulas get names, once: the user's own where there are some, customary letters for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from chainrule.explain import tensor as tn
from chainrule.explain.algebra import common, match
from chainrule.explain.reading import Constant
from chainrule.explain.sizes import ONE
from chainrule.explain.tensor import Apply, Atom, Bracket, Delta, Leaf, Op, Tensor, Term

Definition = tuple[str, Tensor]
_LETTERS = {
    "expit": "a", "tanh": "a", "maximum": "a", "logaddexp": "a", "softmax": "p", "logsumexp": "c", "exp": "u", "erf": "u", "inv": "M",
    "det": "c", "cholesky": "L", "solve": "v", "reduce_max": "c", "sin": "s", "cos": "c",
}  # fmt: skip
_SPARE = "uvqghbcdeklmst"


@dataclass
class Named:
    """Definitions in order, and the formulas in terms of them."""

    definitions: list[Definition]
    targets: list[Tensor]
    value: Tensor
    letters: set[str] = field(default_factory=set[str])
    """Names that were made up here."""


def leaves(x: Tensor) -> float:
    """How many letters there are to read."""
    total = 0.0
    for t in x.terms:
        total += 0.5 * (not t.factors or bool(t.coef.powers)) + 0.5 * any(i not in x.free for i in t.indices)
        for f in t.factors:
            parts = f.atom.parts
            total += sum(map(leaves, parts)) + (0.5 if isinstance(f.atom, Apply | Op) else 0) if parts else 1
    return total


def substituted(x: Tensor, key: str, leaf: Leaf) -> Tensor:
    """`x` with every occurrence of the expression of this key replaced by a name."""
    if x.key == key:
        return tn.leaf_tensor(leaf).at(x.free)
    if x.negative.key == key:
        return tn.leaf_tensor(leaf).at(x.free).negative
    return tn.replaced(x, lambda a: _by(a, key, leaf))


def divided(x: Tensor, part: Tensor, leaf: Leaf) -> Tensor:
    """`x` with a product replaced by a name wherever it is part of a product."""
    if len(part.terms) != 1:
        return x
    (p,) = part.terms
    if sum(1 for f in p.factors if f.at) < 2 and all(i in part.free for i in p.indices):
        return x

    def by(a: Atom) -> Tensor | None:
        if not a.parts or isinstance(a, Leaf):
            return tn.leaf_tensor(a)
        parts = [divided(q, part, leaf) for q in a.parts]
        if all(q is r for q, r in zip(parts, a.parts, strict=True)):
            return tn.leaf_tensor(a)
        return parts[0] if isinstance(a, Bracket) and not a.held else tn.with_parts(a, parts)

    x = tn.replaced(x, by)
    changed, out = False, list[Term]()
    for t in x.terms:
        for _ in range(3):
            u = _taken_out(p, part.free, t, leaf, set(x.free))
            if u is None:
                break
            t, changed = u, True
        out.append(t)
    return tn.tensor(x.free, out) if changed else x


def _taken_out(p: Term, free: Sequence[tn.Index], t: Term, leaf: Leaf, own: set[tn.Index]) -> Term | None:
    """`t` with the factors of `p` replaced by the name of their product; None if `t` does not have them all."""
    to: dict[tn.Index, tn.Index] = {}
    left = list(t.factors)
    inner = [i for i in p.indices if i not in free]
    for f in p.factors:
        for k, g in enumerate(left):
            enough = (g.power >= f.power > 0) or (g.power <= f.power < 0)
            enough = g.power == f.power if any(i in f.at for i in inner) else enough
            if enough and match(f, g, to, set()):
                left[k] = tn.Factor(g.atom, g.at, g.power - f.power)
                break
        else:
            return None
    left = [g for g in left if g.power != 0]
    if any(to[i] in own or any(to[i] in g.at for g in left) for i in inner):
        return None
    at = tuple(to[i] for i in free)
    return Term(t.coef / p.coef, (tn.Factor(leaf, at), *left))


def _by(a: Atom, key: str, leaf: Leaf) -> Tensor:
    same = tn.leaf_tensor(a)
    if not a.parts:
        return same
    if same.key == key or (isinstance(a, Bracket) and a.inner.key == key):
        return tn.leaf_tensor(leaf)
    if isinstance(a, Bracket) and a.inner.negative.key == key:
        return tn.leaf_tensor(leaf).negative
    parts = [substituted(p, key, leaf) for p in a.parts]
    if all(p is q for p, q in zip(parts, a.parts, strict=True)):
        return same
    if isinstance(a, Bracket) and not a.held:
        return parts[0]
    return tn.with_parts(a, parts)


def subtracted(x: Tensor, part: Tensor, leaf: Leaf) -> Tensor:
    """`x` with a sum replaced by a name where it is part of a longer one: y - m - z as r - z."""
    k = len(part.terms)
    if k < 2 or len(x.terms) <= k or [i.size for i in x.free] != [i.size for i in part.free]:
        return x
    table = {tn.term_key(t, x.free): t for t in x.terms}
    pairs = [(table.get(tn.term_key(t, x.free)), t) for t in part.at(x.free).terms]
    found = [(t, u) for t, u in pairs if t is not None]
    if len(found) < k or len({str(t.coef / u.coef) for t, u in found}) > 1:
        return x
    place = min(i for i, t in enumerate(x.terms) if any(t is s for s, _ in found))
    rest = [t for t in x.terms if all(t is not s for s, _ in found)]
    rest.insert(place, Term(found[0][0].coef / found[0][1].coef, (tn.Factor(leaf, x.free),)))
    return tn.tensor(x.free, rest)


def named(targets: Sequence[Tensor], value: Tensor, user: Sequence[Definition], taken: Iterable[str]) -> Named:
    """Give names to what the user named and to what occurs twice."""
    taken = set(taken)
    used = set(taken)
    n = Named([], list(targets), value)
    pending = list(user)
    while pending:
        name, x = pending.pop(0)
        if leaves(x) < 1.5 or x.key == value.key or any(isinstance(a, Leaf) and a.name == name for a in tn.atoms(x)):
            continue
        _define(n, _unique(name, used), x, pending)
    for _ in range(8):
        if not _shared_product(n, used):
            break
    pick = 0
    while pick < 30:
        found = _shared(n)
        if found is None:
            break
        pick += 1
        _define(n, _letter(found, n, used), found, [])
    renumber(n, taken, {k for k, _ in user})
    return n


def _shared_product(n: Named, used: set[str]) -> bool:
    """Name a product that is part of two derivatives."""
    single = [(k, t.terms[0]) for k, t in enumerate(n.targets) if len(t.terms) == 1]
    single.reverse()  # what is nearest to the result first: the others are made of it
    for a, (i, s) in enumerate(single):
        for j, t in single[a + 1 :]:
            pairs = common(s, t, ())
            inside, wanted = [f for f, _ in pairs], [g for _, g in pairs]
            if sum(1 for f in inside if f.at) < 2 or any(f.power != g.power for f, g in pairs):
                continue
            first, second = _boundary(s, inside, n.targets[i]), _boundary(t, wanted, n.targets[j])
            to = {x: y for f, g in pairs for x, y in zip(f.at, g.at, strict=True)}
            if not 1 <= len(first) <= 2 or {to[x] for x in first} != set(second):
                continue
            x = tn.tensor(tuple(first), [Term(ONE, tuple(inside))])
            if leaves(x) < 2.5 or not _connected(inside):
                continue
            _define(n, _unique("delta", used), x, [])
            return True
    return False


def _connected(factors: Sequence[tn.Factor]) -> bool:
    """Do they hang together by their letters?  An outer product is none worth a name."""
    reach, left = set(factors[0].at), list(factors[1:])
    while more := [f for f in left if reach & set(f.at)]:
        reach |= {i for f in more for i in f.at}
        left = [f for f in left if f not in more]
    return not any(f.at for f in left)


def _boundary(t: Term, inside: Sequence[tn.Factor], whole: Tensor) -> list[tn.Index]:
    """Letters of some factors that are letters of the result, or of other factors."""
    rest = [f for f in t.factors if not any(f.atom == g.atom and f.at == g.at for g in inside)]
    outside = {i for f in rest for i in f.at} | set(whole.free)
    return [i for i in dict.fromkeys(i for f in inside for i in f.at) if i in outside]


def _define(n: Named, name: str, x: Tensor, pending: list[Definition]) -> None:
    leaf, key = Leaf(name, tuple(i.size for i in x.free), tn.is_symmetric(x)), x.key

    def put(t: Tensor) -> Tensor:
        t = divided(substituted(t, key, leaf), x, leaf)
        return subtracted(tn.replaced(t, inside), x, leaf)

    def inside(a: Atom) -> Tensor | None:
        if not isinstance(a, Bracket) or a.rank != x.rank:
            return None
        new = subtracted(a.inner, x, leaf)
        return None if new is a.inner else new

    n.targets = [put(t) for t in n.targets]
    if n.value.key != key:
        n.value = put(n.value)
    n.definitions = [(m, put(d)) for m, d in n.definitions]
    pending[:] = [(m, put(d)) for m, d in pending]
    n.definitions.append((name, x))


def _shared(n: Named) -> Tensor | None:
    """The innermost expression that occurs twice and is worth a name."""
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    order: list[Atom] = []

    def visit(x: Tensor) -> None:
        for t in x.terms:
            for f in t.factors:
                counts[f.atom.key] += 1
                if f.atom.key not in seen:
                    seen.add(f.atom.key)
                    for p in f.atom.parts:
                        visit(p)
                        if isinstance(f.atom, Apply | Op) and len(p.terms) > 1:
                            counts[f"[{p.key}]"] += 1
                            if counts[f"[{p.key}]"] == 2 and leaves(p) >= 3:
                                order.append(_wrapped(p))
                    order.append(f.atom)

    for x in [*n.targets, *[d for _, d in _needed(n)]]:
        visit(x)
    for a in order:
        if isinstance(a, Bracket) and a.held:
            return a.inner
        if counts[a.key] >= 2 and _worth(a):
            return a.inner if isinstance(a, Bracket) else tn.leaf_tensor(a)
    return None


def _wrapped(x: Tensor) -> Bracket:
    return Bracket(x, tuple(i.size for i in x.free), held=True)


def _worth(a: Atom) -> bool:
    if isinstance(a, Leaf | Delta | Constant | tn.Basis):
        return False
    size = leaves(tn.leaf_tensor(a))
    if isinstance(a, Bracket):
        plain = len(a.inner.terms) == 1 and not a.rank and len(a.inner.terms[0].factors) == 1
        return size >= 3 and not plain and not a.inner.constant
    if isinstance(a, Op) and a.prim in ("inv", "det", "slogdet"):
        return size >= 3
    return size >= (1.5 if isinstance(a, Op) and a.prim == "softmax" else 2)


def _letter(x: Tensor, n: Named, used: set[str]) -> str:
    base = (
        "z"
        if any(
            p.key == x.key
            for t in [*n.targets, n.value, *[d for _, d in n.definitions]]
            for a in tn.atoms(t)
            if isinstance(a, Apply)
            for p in a.parts
        )
        else "r"
    )
    if len(x.terms) == 1 and len(x.terms[0].factors) == 1:
        a = x.terms[0].factors[0].atom
        base = _LETTERS.get(a.row if isinstance(a, Apply) else a.prim if isinstance(a, Op) else "", "u")
    if x.rank == 0 and base == "r":
        base = "s"
    base = base.upper() if x.rank == 2 else base
    if base in used and base not in n.letters:
        spare = [c.upper() if x.rank == 2 else c for c in _SPARE]
        base = next((c for c in spare if c not in used), base)
    n.letters.add(base)
    return _unique(base, used)


def _unique(name: str, used: set[str]) -> str:
    out, k = name, 1
    while out in used:
        k += 1
        out = f"{name}_{k}"
    used.add(out)
    return out


def renumber(n: Named, taken: Container[str], given: Container[str]) -> None:
    """a, a_2, a_3 as a_1, a_2, a_3; backward values, which come last layer first, the other way round."""
    n.definitions = _needed(n, with_value=True)
    names = [m for m, _ in n.definitions]
    groups: dict[str, list[str]] = {}
    for m in names:
        base, _, k = m.rpartition("_")
        groups.setdefault(base if base and k.isdigit() and m not in given else m, []).append(m)
    for base, group in groups.items():
        if len(group) > 1 and base in given:
            continue  # the user's own a, and another
        if base == "delta":
            group = group[::-1]
        wanted = [f"{base}_{j}" for j in range(1, len(group) + 1)] if len(group) > 1 else [base]
        if any(w in taken or (w in names and w not in group) for w in wanted):
            continue
        new = dict(zip(group, wanted, strict=True))

        def by(a: Atom, new: dict[str, str] = new) -> Tensor | None:
            return tn.leaf_tensor(Leaf(new[a.name], a.sizes, a.mirrored)) if isinstance(a, Leaf) and a.name in new else None

        n.targets = [tn.replaced(t, by) for t in n.targets]
        n.value = tn.replaced(n.value, by)
        n.definitions = [(new.get(k, k), tn.replaced(d, by)) for k, d in n.definitions]


def _needed(n: Named, with_value: bool = False) -> list[Definition]:
    """The definitions that the targets rest on, in an order in which each is made of earlier ones."""
    table = dict(n.definitions)
    out: dict[str, Tensor] = {}

    def need(x: Tensor) -> None:
        for a in tn.atoms(x):
            if isinstance(a, Leaf) and a.name in table and a.name not in out:
                need(table[a.name])
                out[a.name] = table[a.name]

    for t in [*n.targets, *([n.value] if with_value else [])]:
        need(t)
    return list(out.items())


def needed_by(xs: Sequence[Tensor], definitions: Sequence[Definition]) -> list[Definition]:
    """The definitions that expressions rest on."""
    return _needed(Named(list(definitions), list(xs), xs[0]))
