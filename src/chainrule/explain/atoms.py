"""What tensor expressions are made of: indices, atoms, factors, terms; and keys that tell equal ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from chainrule.explain.sizes import Monomial


class Index:
    """A letter that runs over one axis."""

    __slots__ = ("size",)

    def __init__(self, size: Monomial) -> None:
        self.size = size


At = tuple[Index, ...]


class Atom:
    """What has indices: equal if the keys are."""

    key: str
    sizes: tuple[Monomial, ...]

    @property
    def rank(self) -> int:
        """Number of indices."""
        return len(self.sizes)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The expressions inside."""
        return ()

    @cached_property
    def symmetric(self) -> bool:
        """Does it not matter in which order its two indices come?"""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False)
class Leaf(Atom):
    """An argument, or a value that has been given a name."""

    name: str
    sizes: tuple[Monomial, ...]
    mirrored: bool = False

    @cached_property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.name}"

    @property
    def symmetric(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.mirrored


@dataclass(frozen=True, eq=False)
class Delta(Atom):
    """The identity: 1 where both indices agree."""

    sizes: tuple[Monomial, ...]

    @property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"\x00I:{self.sizes[0]}"

    @property
    def symmetric(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True


@dataclass(frozen=True, eq=False)
class Basis(Atom):
    """A unit vector: 1 at one place, counted from 0."""

    place: int
    sizes: tuple[Monomial, ...]

    @property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"\x00e{self.place}:{self.sizes[0]}"


@dataclass(frozen=True, eq=False)
class Pattern(Atom):
    """A constant array that every size has: ``below``, ones under the diagonal; ``range``, 0, 1, 2, ..."""

    kind: str
    sizes: tuple[Monomial, ...]

    @property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"\x00{self.kind}:{self.sizes[0]}"


@dataclass(frozen=True, eq=False)
class Apply(Atom):
    """A function element by element; the arguments have the atom's indices, in order."""

    row: str
    args: tuple[Tensor, ...]
    sizes: tuple[Monomial, ...]

    @cached_property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return short(f"{self.row}({';'.join(a.key for a in self.args)})")

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.args


@dataclass(frozen=True, eq=False)
class Bracket(Atom):
    """A sum as one factor.  `held` brackets are not multiplied out even if they have one term: they will be named."""

    inner: Tensor
    sizes: tuple[Monomial, ...]
    held: bool = False

    @cached_property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return short(f"[{self.inner.key}]")

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return (self.inner,)

    @cached_property
    def symmetric(self) -> bool:
        return is_symmetric(self.inner)


@dataclass(frozen=True, eq=False)
class Op(Atom):
    """An operation on whole arrays."""

    prim: str
    params: tuple[tuple[str, Any], ...]
    args: tuple[Tensor, ...]
    sizes: tuple[Monomial, ...]
    output: int = 0

    @cached_property
    def symmetric(self) -> bool:
        return self.prim == "inv" and is_symmetric(self.args[0])

    @cached_property
    def key(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return short(f"{self.prim}{self.output}<{self.params}|{'; '.join(a.key for a in self.args)}>")

    @property
    def parts(self) -> tuple[Tensor, ...]:
        return self.args


@dataclass(frozen=True, eq=False)
class Factor:
    """An atom at indices, to a power."""

    atom: Atom
    at: At
    power: Fraction = Fraction(1)

    def renamed(self, to: Mapping[Index, Index]) -> Factor:
        """With other letters."""
        return Factor(self.atom, tuple(to.get(i, i) for i in self.at), self.power)


@dataclass(frozen=True, eq=False)
class Term:
    """A coefficient times factors."""

    coef: Monomial
    factors: tuple[Factor, ...] = ()

    @property
    def indices(self) -> list[Index]:
        """Each index once, in order."""
        return list(dict.fromkeys(i for f in self.factors for i in f.at))

    def renamed(self, to: Mapping[Index, Index]) -> Term:
        """With other letters."""
        return Term(self.coef, tuple(f.renamed(to) for f in self.factors))

    def fresh(self, free: Iterable[Index]) -> Term:
        """With new letters for all but `free`."""
        kept = set(free)
        return self.renamed({i: Index(i.size) for i in self.indices if i not in kept})


@dataclass(frozen=True, eq=False)
class Tensor:
    """A sum of terms with these indices of its own."""

    free: At
    terms: tuple[Term, ...]
    _keys: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def rank(self) -> int:
        """Number of indices."""
        return len(self.free)

    @property
    def key(self) -> str:
        """Equal for expressions that differ in the order of terms and factors and in letters only."""
        if "" not in self._keys:
            parts = sorted(f"{t.coef}*{term_key(t, self.free)}" for t in self.terms)
            sizes = ",".join(str(i.size) for i in self.free)
            self._keys[""] = f"{sizes}:{'+'.join(parts)}"
        return self._keys[""]

    @property
    def zero(self) -> bool:
        """Is it 0?"""
        return not self.terms

    @property
    def constant(self) -> Monomial | None:
        """The number it is everywhere, if it is one."""
        if not self.terms:
            return Monomial(Fraction(0))
        return self.terms[0].coef if len(self.terms) == 1 and not self.terms[0].factors else None

    def at(self, free: Sequence[Index]) -> Tensor:
        """The same with these letters."""
        to = dict(zip(self.free, free, strict=True))
        terms = [t.fresh(self.free).renamed(to) for t in self.terms]
        if len(set(free)) != len(free):
            from chainrule.explain.tensor import tensor

            return tensor(tuple(dict.fromkeys(free)), terms)
        return Tensor(tuple(free), tuple(terms))

    def scaled(self, m: Monomial) -> Tensor:
        """Times a number."""
        if m.number == 0:
            return Tensor(self.free, ())
        return Tensor(self.free, tuple(Term(t.coef * m, t.factors) for t in self.terms))

    @property
    def negative(self) -> Tensor:
        """Times -1."""
        return self.scaled(Monomial(Fraction(-1)))


def short(key: str) -> str:
    """A long key by its digest, so that nested expressions have short ones."""
    return key if len(key) < 80 else hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


# --- keys --------------------------------------------------------------------------------------------------------------------


def term_key(t: Term, free: Sequence[Index]) -> str:
    """The factors, letters replaced by numbers in an order that does not depend on theirs."""
    labels: dict[Index, int] = {i: k for k, i in enumerate(free)}
    rest = list(t.factors)
    out: list[str] = []

    def text(f: Factor) -> str:
        said = [str(labels.get(i, "?")) for i in f.at]
        at = ",".join(sorted(said) if f.atom.symmetric else said)
        return f"{f.atom.key}_{at}^{f.power}"

    while rest:
        best = min(rest, key=text)
        rest.remove(best)
        for i in best.at if best.atom.symmetric is False else sorted(best.at, key=lambda i: i not in labels):
            labels.setdefault(i, len(labels))
        out.append(text(best))
    return "*".join(out)


# --- making expressions ---------------------------------------------------------------------------------------------------


def is_symmetric(x: Tensor) -> bool:
    """Is it a matrix that equals its transpose whatever its operands are?"""
    return x.rank == 2 and x.free[0].size == x.free[1].size and x.key == Tensor(x.free[::-1], x.terms).key
