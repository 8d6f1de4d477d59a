"""The doctor: one hypothesis after the other, each held against fresh experiments, until one explains every number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explain.doctor import layout, lost, words
from chainrule.explain.doctor.bends import Bend, bends, bent, effect, signature
from chainrule.explain.doctor.diagnosis import Diagnosis, both, ranked
from chainrule.explain.doctor.lab import Instance, Lab, vector
from chainrule.explain.doctor.scale import Factor, coefficients, read
from chainrule.explain.doctor.scene import Backward, settled, tangents
from chainrule.ir.graph import Array, Var

Progress = Callable[[str, float], None]
_MOST_PAIRED = 90
_LIKELY = ("path", "stop", "skip", "at output", "input for output", "diagonal", "no jacobian", "no factor")
_TIMES = (0.0, -1.0, 2.0, 0.5)


@dataclass
class Hypothesis:
    """Bends that are taken together; `whole` scales the sum as well; `first` is in place before the other is judged."""

    bends: tuple[tuple[Any, ...], ...] = ()
    whole: bool = False
    first: tuple[Any, ...] | None = None
    times: float = 1.0


class Doctor:
    """Looks for the cause of a wrong gradient.

    Args:
        lab: where experiments are made.
        user: the user's own point.
        only: the claimed gradient is an array, so that there is no experiment but the user's point.
        seconds: when to give up looking for pairs.
    """

    def __init__(
        self, lab: Lab, user: Instance | None, only: bool, seconds: float = 8.0, progress: Progress | None = None
    ) -> None:
        self.lab = lab
        self.only = only
        self.user = user
        self.deadline = time.monotonic() + seconds
        self.progress = progress or (lambda what, done: None)
        found = [user] if only else [lab.other(0), lab.other(1), lab.other(2)]
        fresh = [i for i in found if i is not None]
        if not fresh:
            fresh = [i for i in (lab.same(0, True), lab.same(1, True), lab.same(2, True), user) if i is not None]
        self.instances = self._alike(fresh)
        self.fixed: dict[int, layout.Fix] = {}

    @staticmethod
    def _alike(found: Sequence[Instance]) -> list[Instance]:
        if not found or found[0].scene is None:
            return list(found)
        first = signature(found[0].scene)
        return [i for i in found if i.scene is not None and signature(i.scene) == first]

    # --- numbers --------------------------------------------------------------------------------------------------------------

    def claim(self, i: Instance, chosen: Sequence[int]) -> Array | None:
        """What was claimed, its layout put right where that was found wrong."""
        out: list[Array] = []
        for k in chosen:
            x = i.claim[k]
            if k in self.fixed:
                y = self.fixed[k].apply(x, i.truth[k].shape)
                if y is None:
                    return None
                x = y
            if x.shape != i.truth[k].shape:
                return None
            out.append(x)
        return vector(out, range(len(out)))

    def bar(self, i: Instance, chosen: Sequence[int]) -> float:
        """How large a difference rounding makes."""
        return float(np.linalg.norm(vector(i.noise, chosen))) + 1e-10 * float(np.linalg.norm(vector(i.truth, chosen)))

    def bends_of(self, i: Instance) -> dict[tuple[Any, ...], Bend]:
        """The single edits at an instance, by key."""
        if "bends" not in i.extra:
            ok = i.scene is not None and self._agrees(i)
            if ok and i.scene is not None:
                i.scene = settled(i.scene)
                vars(i).pop("backward", None)
            i.extra["bends"] = {b.key: b for b in bends(i.backward)} if ok else {}
        return i.extra["bends"]

    def _agrees(self, i: Instance) -> bool:
        """Does the plain backward pass give the gradient? It does not where the library rewrote the function first."""
        a, b = vector(i.backward.total, range(len(i.truth))), vector(i.truth, range(len(i.truth)))
        return bool(np.allclose(a, b, rtol=1e-6, atol=1e-8 * float(np.max(np.abs(b), initial=0))))

    def effect(self, i: Instance, key: tuple[Any, ...], chosen: Sequence[int], back: Backward | None = None) -> Array | None:
        """What a bend adds to the chosen gradients."""
        bend = self.bends_of(i).get(key)
        if bend is None:
            return None
        if back is None:
            known = i.extra.setdefault("effects", {})
            if key not in known:
                known[key] = self._try(i.backward, bend)
            leaves = known[key]
        else:
            leaves = self._try(back, bend)
        return None if leaves is None else vector(leaves, chosen)

    @staticmethod
    def _try(back: Backward, bend: Bend) -> list[Array] | None:
        with np.errstate(all="ignore"):
            try:
                found = effect(back, bend)
            except Exception:
                return None
        return found if found is not None and all(np.all(np.isfinite(x)) for x in found) else None

    def parts(self, i: Instance, h: Hypothesis, chosen: Sequence[int]) -> tuple[Array, list[Array]] | None:
        """Target and free columns of a hypothesis at an instance."""
        claim = self.claim(i, chosen)
        if claim is None:
            return None
        truth, back = vector(i.truth, chosen), None
        if h.first is not None:
            bend = self.bends_of(i).get(h.first)
            back = None if bend is None else bent(i.backward, bend, h.times - 1 if bend.free else 1.0)
            if back is None:
                return None
            truth = vector(back.total, chosen)
        fixed, free = truth, list[Array]()
        for key in h.bends:
            x = self.effect(i, key, chosen, back)
            if x is None:
                return None
            if self.bends_of(i)[key].free:
                free.append(x)
            else:
                fixed = fixed + x
        return (claim, [fixed, *free]) if h.whole else (claim - fixed, free)

    def coefficient(self, h: Hypothesis, chosen: Sequence[int]) -> Callable[[Instance], Sequence[float] | None]:
        """The factors that a hypothesis needs at an instance."""

        def find(i: Instance) -> Sequence[float] | None:
            p = self.parts(i, h, chosen)
            c = None if p is None else coefficients(p[0], p[1], 3 * self.bar(i, chosen))
            if c is None:
                return None
            return c if h.whole and len(c) == 1 else [c[0], *[1 + x / c[0] for x in c[1:]]] if h.whole else [1 + x for x in c]

        return find

    def screened(self, h: Hypothesis, chosen: Sequence[int]) -> bool:
        """Does it explain all instances at once with the same factors?"""
        targets, rows, bar = list[Array](), list[list[Array]](), 0.0
        for i in self.instances:
            p = self.parts(i, h, chosen)
            if p is None:
                return False
            targets.append(p[0])
            rows.append(p[1])
            bar += self.bar(i, chosen)
        columns = [np.concatenate(c) for c in zip(*rows, strict=True)] if rows[0] else []
        target = np.concatenate(targets)
        if len(target) <= len(columns) and not (len(columns) == 1 and self.only):
            return False
        return coefficients(target, columns, 3 * bar) is not None

    def read(self, h: Hypothesis, chosen: Sequence[int]) -> list[Factor] | None:
        """The factors as formulas, if the hypothesis holds in every experiment."""
        return read(self.lab, self.instances[0], self.coefficient(h, chosen), self.only)

    # --- the search -----------------------------------------------------------------------------------------------------------

    def wrong(self) -> list[int]:
        """Leaves whose gradient is wrong somewhere."""
        every = [*self.instances, *([self.user] if self.user is not None else [])]
        out: list[int] = []
        for k in range(len(self.lab.problem.names)):
            for i in every:
                if not i.fits(k) or np.any(np.abs(i.claim[k] - i.truth[k]) > i.noise[k] + 1e-9 * np.abs(i.truth[k])):
                    out.append(k)
                    break
        return out

    def diagnose(self) -> list[Diagnosis]:
        """All that is wrong, best explanation first."""
        wrong, names = self.wrong(), self.lab.problem.names
        if not wrong:
            return []
        joint = list(range(len(names)))
        if len(joint) > 1 and all(self.instances and self.instances[0].fits(k) for k in joint):
            found = self.explain(joint, names[wrong[0]] if len(wrong) == 1 else "")
            if len(wrong) == 1 and all(i.fits(wrong[0]) for i in self.instances):
                found = ranked(self._whole(wrong, names[wrong[0]]) + [x for x in found if not x.parts]) or found
            if found:
                return found
        out: list[Diagnosis] = []
        for k in wrong:
            found = self.explain([k], names[k]) or [self.unexplained(k, names[k])]
            out += found
        return sorted(out, key=lambda x: x.same_numbers)

    def unexplained(self, k: int, name: str) -> Diagnosis:
        """Nothing fits."""
        i = next((i for i in (self.user, *self.instances) if i is not None and i.fits(k) and self._differs(i, k)), None)
        if i is not None:
            return lost.unknown(i, k, name)
        i = next((i for i in (self.user, *self.instances) if i is not None), None)
        claim, wanted = (i.claim[k].shape, i.truth[k].shape) if i is not None else ((), ())
        text = f"The gradient for {name} has shape {claim}; {name} has shape {wanted}."
        return Diagnosis("shape", text, f"return an array of shape {wanted}", "", name, rank=19)

    def _differs(self, i: Instance, k: int) -> bool:
        return bool(np.any(np.abs(i.claim[k] - i.truth[k]) > i.noise[k] + 1e-9 * np.abs(i.truth[k])))

    def explain(self, chosen: list[int], argument: str) -> list[Diagnosis]:
        """The diagnoses for these leaves together, [] if nothing fits."""
        if not self.instances:
            return []
        if len(chosen) == 1 and not all(i.fits(chosen[0]) for i in self.instances):
            return self._layouts(chosen, argument)
        found = self._plain(chosen, argument)
        if not found and len(chosen) == 1:
            found = self._layouts(chosen, argument)
        return found or self._pairs(chosen, argument)

    def _layouts(self, chosen: list[int], argument: str) -> list[Diagnosis]:
        """The right numbers in the wrong places, or wrong ones there too."""
        k = chosen[0]
        i = self.instances[0]
        show = self.user if self.user is not None else i
        shown = list(layout.fixes(show.claim[k].shape, show.truth[k].shape, argument))
        tried = {f.name: f for f in shown}
        later: list[layout.Fix] = []
        for fix in layout.fixes(i.claim[k].shape, i.truth[k].shape, argument):
            if all(fix.apply(j.claim[k], j.truth[k].shape) is not None for j in self.instances):
                self.fixed = {k: fix}
                if self.screened(Hypothesis(), chosen):
                    self.fixed = {}
                    return [self._layout(tried.get(fix.name, fix), argument)]
                later.append(fix)
        out: list[Diagnosis] = []
        for fix in later[:6]:
            self.fixed = {k: fix}
            inner = self._plain(chosen, argument)
            if inner:
                first = self._layout(tried.get(fix.name, fix), argument)
                out = [both(first, inner[0])]
                break
        self.fixed = {}
        return out

    def _layout(self, fix: layout.Fix, argument: str) -> Diagnosis:
        transposed = rf"\left( {words.derivative(argument)} \right)^\top" if "transpose" in fix.name else ""
        latex = (
            rf"{words.derivative(argument)} \quad\text{{and not}}\quad {transposed}" if transposed else words.derivative(argument)
        )
        return Diagnosis("layout", fix.message, fix.correction, latex, argument, rank=0)

    def _plain(self, chosen: list[int], argument: str) -> list[Diagnosis]:
        """One cause: a factor on everything, or one bend."""
        return ranked(self._whole(chosen, argument) + self._singles(chosen, argument, False))

    def _whole(self, chosen: list[int], argument: str) -> list[Diagnosis]:
        """A factor on everything."""
        h = Hypothesis(whole=True)
        factors = self.read(h, chosen) if self.screened(h, chosen) else None
        return [] if factors is None else [words.scaled(self.lab, factors[0], argument)]

    def keys(self) -> list[tuple[Any, ...]]:
        """The bends there are."""
        return list(self.bends_of(self.instances[0])) if self.instances and self.instances[0].scene is not None else []

    def _singles(self, chosen: list[int], argument: str, whole: bool) -> list[Diagnosis]:
        """The bends that explain everything alone; the far-fetched ones are tried where the others fail."""
        likely = [k for k in self.keys() if k[0] in _LIKELY]
        rest = [k for k in self.keys() if k[0] not in _LIKELY]
        return self._tried(likely, chosen, argument, whole) or self._tried(rest, chosen, argument, whole)

    def _tried(self, keys: Sequence[tuple[Any, ...]], chosen: list[int], argument: str, whole: bool) -> list[Diagnosis]:
        out: list[Diagnosis] = []
        for n, key in enumerate(keys):
            if n % 16 == 0:
                self.progress("trying single mistakes", n / len(keys))
            if time.monotonic() > self.deadline:
                break
            h = Hypothesis((key,), whole)
            if not self._first(h, chosen) or not self.screened(h, chosen):
                continue
            factors = self.read(h, chosen)
            if factors is not None:
                out += self._said(key, factors, argument, whole)
        return out

    def _first(self, h: Hypothesis, chosen: Sequence[int]) -> bool:
        """Does it explain the first instance along a few random directions?

        By the chain rule <J' d, u> = <d, J u>: how all values move along u is computed once, and every bend costs one product.
        """
        i = self.instances[0]
        claim, (bend,) = self.claim(i, chosen), [self.bends_of(i)[key] for key in h.bends]
        seeds = self._seeds(i, bend)
        if claim is None or seeds is None:
            return False
        probes = self._probes(i, chosen)
        moved = np.array([sum(float(np.sum(x * t[v])) for v, x in seeds.items()) for _, t in probes])
        target = np.array([u @ claim for u, _ in probes])
        truth = np.array([u @ vector(i.truth, chosen) for u, _ in probes])
        if not np.all(np.isfinite(moved)):
            return False
        bar = 3 * self.bar(i, chosen) * float(np.linalg.norm([np.linalg.norm(u) for u, _ in probes])) + 1e-12 * float(
            np.linalg.norm(truth)
        )
        fixed = truth if bend.free else truth + moved
        free = [moved] if bend.free else []
        return (
            coefficients(target, [fixed, *free], bar) is not None
            if h.whole
            else coefficients(target - fixed, free, bar) is not None
        )

    def _seeds(self, i: Instance, bend: Bend) -> Mapping[Var, Array] | None:
        known = i.extra.setdefault("seeds", {})
        if bend.key not in known:
            with np.errstate(all="ignore"):
                try:
                    known[bend.key] = bend.seeds(i.backward)
                except Exception:
                    known[bend.key] = None
        return known[bend.key]

    def _probes(self, i: Instance, chosen: Sequence[int]) -> list[tuple[Array, dict[Var, Array]]]:
        """Random directions of the chosen leaves, and how every value moves along them."""
        known = i.extra.setdefault("probes", {})
        key = tuple(chosen)
        if key not in known:
            assert i.scene is not None
            rng = np.random.default_rng(11)
            directions = [[rng.normal(size=x.shape) * (k in chosen) for k, x in enumerate(i.truth)] for _ in range(5)]
            moves = tangents(i.scene, directions)
            known[key] = [(vector(d, chosen), t) for d, t in zip(directions, moves, strict=True)]
        return known[key]

    def _said(self, key: tuple[Any, ...], factors: list[Factor], argument: str, whole: bool) -> list[Diagnosis]:
        i = self.instances[0]
        assert i.scene is not None
        bend = self.bends_of(i)[key]
        own = factors[1:] if whole else factors
        if bend.free and own[0].is_number(1):
            return []
        said = words.say(self.lab, i, bend, own[0] if own else None, argument)
        if not whole:
            return said
        if factors[0].is_number(1):
            return said
        outer = words.scaled(self.lab, factors[0], argument)
        return [both(x, outer) for x in said]

    # --- pairs -----------------------------------------------------------------------------------------------------------------

    def _pairs(self, chosen: list[int], argument: str) -> list[Diagnosis]:
        """Two mistakes: side by side first (they add up), then one below the other."""
        found = ranked([*self._singles(chosen, argument, True), *self._beside(chosen, argument)])
        return found or ranked(list(self._below(chosen, argument)))

    def _beside(self, chosen: list[int], argument: str) -> Iterator[Diagnosis]:
        i = self.instances[0]
        claim = self.claim(i, chosen)
        if claim is None:
            return
        target, bar = claim - vector(i.truth, chosen), 3 * self.bar(i, chosen)
        keys = [key for key in self.keys() if not self._leaf(key)]
        table = [(key, x) for key in keys if (x := self.effect(i, key, chosen)) is not None and np.any(x)]
        size = float(np.linalg.norm(target))
        found = 0
        for a in range(len(table)):
            if time.monotonic() > self.deadline or found >= 6:
                return
            self.progress("trying pairs of mistakes", a / len(table))
            for b in self._partners(target, table, a, 1e-6 * size + bar):
                keys = (table[a][0], table[b][0])
                h = Hypothesis(keys)
                if not self.screened(h, chosen):
                    continue
                factors = self.read(h, chosen)
                pair = None if factors is None else self._together(keys, factors, argument)
                if pair is not None:
                    found += 1
                    yield pair

    def _leaf(self, key: tuple[Any, ...]) -> bool:
        """Is it the whole gradient for one argument?"""
        story = self.bends_of(self.instances[0])[key].story
        return key[0] == "path" and not story["edges"] and all(v in story["wrt"] for v in story["nodes"])

    def _partners(self, target: Array, table: Sequence[tuple[tuple[Any, ...], Array]], a: int, bar: float) -> list[int]:
        """Later entries that leave nothing of the target together with entry a."""
        i = self.instances[0]
        free = [self.bends_of(i)[key].free for key, _ in table]
        x = table[a][1]
        unit = x / np.linalg.norm(x)
        out: list[int] = []
        rest = target - unit * (unit @ target) if free[a] else target - x
        for b in range(a + 1, len(table)):
            y = table[b][1]
            if free[b]:
                z = y - unit * (unit @ y) if free[a] else y
                n = float(np.linalg.norm(z))
                if n <= 1e-9 * float(np.linalg.norm(y)):
                    continue
                left = rest - z * (z @ rest) / n**2
            else:
                z = target - y
                left = z - unit * (unit @ z) if free[a] else z - x
            if float(np.linalg.norm(left)) <= bar:
                out.append(b)
        return out

    def _together(self, keys: Sequence[tuple[Any, ...]], factors: list[Factor], argument: str) -> Diagnosis | None:
        i = self.instances[0]
        assert i.scene is not None
        rest = list(factors)
        said: list[Diagnosis] = []
        for key in keys:
            bend = self.bends_of(i)[key]
            c = rest.pop(0) if bend.free else None
            if c is not None and c.is_number(1):
                return None
            options = words.say(self.lab, i, bend, c, argument)
            if not options:
                return None
            said.append(options[0])
        return both(*said)

    def _below(self, chosen: list[int], argument: str) -> Iterator[Diagnosis]:
        keys = self.keys()
        i = self.instances[0]
        firsts = [k for k in keys if (x := self.effect(i, k, chosen)) is not None and np.any(x)]
        if len(firsts) > _MOST_PAIRED:
            firsts = [k for k in firsts if k[0] in ("path", "skip", "at output", "diagonal", "stop")][:_MOST_PAIRED]
        found = 0
        for n, key in enumerate(firsts):
            self.progress("trying mistakes on top of mistakes", n / len(firsts))
            for times in _TIMES if self.bends_of(i)[key].free else (1.0,):
                for second in firsts:
                    if time.monotonic() > self.deadline or found >= 3:
                        return
                    h = Hypothesis((second,), False, key, times)
                    if second == key or not self._first_below(h, chosen) or not self.screened(h, chosen):
                        continue
                    factors = self.read(h, chosen)
                    if factors is None:
                        continue
                    first = [Factor(times)] if self.bends_of(i)[key].free else []
                    pair = self._together((key, second), [*first, *factors], argument)
                    if pair is not None:
                        found += 1
                        yield pair

    def _first_below(self, h: Hypothesis, chosen: Sequence[int]) -> bool:
        i = self.instances[0]
        known = i.extra.setdefault("below", {})
        key = (h.first, h.times)
        if key not in known:
            assert h.first is not None
            bend = self.bends_of(i)[h.first]
            known[key] = bent(i.backward, bend, h.times - 1 if bend.free else 1.0)
        back, claim = known[key], self.claim(i, chosen)
        if back is None or claim is None:
            return False
        x = self.effect(i, h.bends[0], chosen, back)
        if x is None:
            return False
        target = claim - vector(back.total, chosen)
        free = self.bends_of(i)[h.bends[0]].free
        return coefficients(target if free else target - x, [x] if free else [], 3 * self.bar(i, chosen)) is not None
