"""Sentences: the cause in the user's own words, the correction in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.explain.doctor import known
from chainrule.explain.doctor.bends import Bend, addend, reduces
from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.lab import Instance, Lab
from chainrule.explain.doctor.onelines import expression
from chainrule.explain.doctor.regions import Region, between, dominators, is_named
from chainrule.explain.doctor.scale import Factor, nice
from chainrule.explain.doctor.scene import Scene
from chainrule.ir import hints
from chainrule.ir.graph import Eqn, Graph, Var

_LONG = 64


def made(s: Scene, v: Var) -> Eqn | None:
    """The equation that made a value."""
    k = s.maker.get(v)
    return None if k is None else s.graph.eqns[k]


def source(s: Scene, v: Var) -> str:
    """The user's expression for a value; the operation's name where there is no source to be read."""
    e = made(s, v)
    if e is None:
        return hints.text(v.hint) or "an input"
    text = " ".join(e.where.source.split()) if e.where is not None else ""
    if not text:
        inner = [called(s, a) for a in e.ins if isinstance(a, Var)]
        text = f"{e.prim}({', '.join(inner)})" if len(inner) <= 3 else e.prim
    return text if len(text) <= _LONG else f"{text[: _LONG - 4]} ..."


def called(s: Scene, v: Var) -> str:
    """Its name, or the expression."""
    return (hints.text(v.hint) if is_named(v) else None) or source(s, v)


def factor(s: Scene, v: Var) -> str:
    """The name of a value before it was broadcast."""
    e = made(s, v)
    while e is not None and e.prim in ("spread", "reshape", "cast") and isinstance(e.ins[0], Var):
        v = e.ins[0]
        e = made(s, v)
    return called(s, v)


def place(s: Scene, v: Var) -> str:
    """``file:line`` of what made it."""
    e = made(s, v)
    return str(e.where) if e is not None and e.where is not None and not e.where.file.startswith("<") else ""


def symbol(name: str) -> str:
    """A name as a formula."""
    from chainrule.emit.symbols import symbol as latex

    return latex(name).text if name.isidentifier() else rf"\text{{{name}}}"


def derivative(argument: str) -> str:
    """How the gradient itself is written in formulas."""
    return rf"\frac{{\partial L}}{{\partial {symbol(argument)}}}" if argument else r"\nabla L"


def d(argument: str) -> str:
    """``dW``; ``grad`` for all arguments together."""
    return f"d{argument}" if argument else "grad"


# --- constants --------------------------------------------------------------------------------------------------------


def scaled(lab: Lab, c: Factor, argument: str) -> Diagnosis:
    """The whole gradient is c times what it should be."""
    what = f"The gradient for {argument}" if argument else "The whole gradient"
    right = derivative(argument)
    if c.is_number(-1):
        return Diagnosis("sign", f"{what} has the wrong sign.", f"-{d(argument)}",
                         rf"{right} \quad\text{{and not}}\quad -{right}", argument, rank=0)  # fmt: skip
    if c.number == 0:
        return Diagnosis("term", f"{what} is zero, and should not be.", "", rf"{right} \ne 0", argument, rank=0)
    message = f"{what} is {c.text} times what it should be: {_missing(lab, c)}."
    if c.number < 0:
        message = f"{what} has the wrong sign and is {_positive(c).text} times too large: {_missing(lab, _positive(c))}."
    rank = 0.0 if _short(c) and c.number > 0 else 1.5 if _short(c) else 8.0
    return Diagnosis(
        "scale",
        message,
        times(c.inverse, d(argument)),
        rf"{right} \quad\text{{and not}}\quad {c.latex} \cdot {right}",
        argument,
        rank=rank,
    )


def _short(c: Factor) -> bool:
    """Is it a number that people write?"""
    number = nice(abs(c.number))
    return not isinstance(number, str) or not number[-1:].isdigit()


def _positive(c: Factor) -> Factor:
    return Factor(abs(c.number), c.powers)


def times(c: Factor, what: str) -> str:
    """``dW / n``, ``2 * dW``"""
    text = c.text
    if text.startswith("1/"):
        return f"{what} / {text[2:]}"
    return f"-{what}" if text == "-1" else f"{text} * {what}"


def _missing(lab: Lab, c: Factor) -> str:
    """Which factor is missing or too much."""
    inverse = c.inverse.text
    known_sizes = dict(lab.letters)
    sizes = sorted({p.name for p in c.powers if p.size})
    meaning = f", {' and '.join(f'{n} = {known_sizes[n]}' for n in sizes)}" if sizes else ""
    mean = [p for p in c.powers if p.size]
    if len(c.powers) == 1 and mean and abs(mean[0].exponent) == 1 and not mean[0].shift and abs(abs(c.number) - 1) < 1e-9:
        if mean[0].exponent > 0:
            return f"the factor {inverse} of a mean is missing{meaning}"
        return f"there is a factor {c.text} too many (a mean where a sum is meant){meaning}"
    if inverse.startswith("1/") or c.text.startswith("1/"):
        return f"the factor {inverse} is missing{meaning}"
    return f"multiply it by {inverse}{meaning}"


# --- paths ------------------------------------------------------------------------------------------------------------


def path(lab: Lab, s: Scene, bend: Bend, c: Factor, argument: str, sizes: Mapping[str, int]) -> list[Diagnosis]:
    """A path that is taken c times instead of once."""
    nodes: Sequence[Var] = bend.story["nodes"]
    inner = next((v for v in reversed(nodes) if is_named(v) and v not in s.wrt), None)
    top = nodes[0] if nodes else None
    if top is not None and addend(s, top):
        return _term(lab, s, top, c, argument, sizes)
    if not bend.story["edges"] and all(v in s.wrt for v in nodes):
        return [scaled(lab, c, s.names[s.wrt.index(nodes[0])])]
    subject, where = _through(s, bend, inner)
    target = d(argument)
    if c.number == 0:
        return _dropped(s, bend, inner, subject, where, argument, sizes)
    if c.is_number(-1):
        message = f"The part of the gradient that flows through {subject} has the wrong sign."
        return [
            Diagnosis(
                "sign",
                message,
                f"{target} with minus the part through {subject}",
                _flow(argument, subject, "-1"),
                argument,
                where,
                rank=2,
            )
        ]
    if c.is_number(2):
        message = f"The part of the gradient that flows through {subject} is counted twice."
        return [
            Diagnosis(
                "term",
                message,
                f"{target} with the part through {subject} once",
                _flow(argument, subject, "2"),
                argument,
                where,
                rank=2,
            )
        ]
    message = f"The part of the gradient that flows through {subject} is {c.text} times what it should be: {_missing(lab, c)}."
    rank = 2.5 if _short(c) else 9.0
    return [
        Diagnosis(
            "scale",
            message,
            times(c.inverse, f"(the part through {subject})"),
            _flow(argument, subject, c.latex),
            argument,
            where,
            rank=rank,
        )
    ]


def _flow(argument: str, subject: str, c: str) -> str:
    text = subject.strip("`").replace("_", r"\_").replace("`", "")
    return rf"{derivative(argument)}: \quad \text{{through {text} once, and not}}\ {c}\ \text{{times}}"


def _through(s: Scene, bend: Bend, named: Var | None) -> tuple[str, str]:
    if named is not None:
        return f"`{hints.text(named.hint)}`", place(s, named)
    nodes: Sequence[Var] = bend.story["nodes"]
    inner = [v for v in nodes if v not in s.wrt]
    if inner:
        statistic = next((v for v in reversed(inner) if reduces(s, v)), inner[0])
        return f"`{source(s, statistic)}`", place(s, statistic)
    k, i = bend.story["edges"][0]
    e = s.graph.eqns[k]
    a = e.ins[i]
    assert isinstance(a, Var)
    return f"`{called(s, a)}` in `{source(s, e.outs[0])}`", place(s, e.outs[0])


def _dropped(
    s: Scene, bend: Bend, inner: Var | None, subject: str, where: str, argument: str, sizes: Mapping[str, int]
) -> list[Diagnosis]:
    nodes: Sequence[Var] = bend.story["nodes"]
    constant = f"{subject} is treated as a constant, but it changes with {argument or _sources(s)}."
    missing = f"The term through {subject} is missing from the gradient."
    shown = inner if inner is not None else next((v for v in nodes if v not in s.wrt), None)
    correction = local_rule(s, shown, sizes) if shown is not None else ""
    correction = correction or f"{d(argument)} + the part through {subject}"
    statistic = any(reduces(s, v) for v in nodes)
    first = statistic or (inner is not None and not any(v in s.wrt for v in nodes))
    latex = _flow(argument, subject, "0")
    out = [
        Diagnosis("constant", constant, correction, latex, argument, where, rank=1.0 if statistic else 1.5 if inner else 3.2),
        Diagnosis("term", missing, correction, latex, argument, where, rank=1.6 if not first else 3.1),
    ]
    return sorted(out, key=lambda x: x.rank)


def _sources(s: Scene) -> str:
    return " and ".join(s.names[:3]) if len(s.names) <= 3 else "the arguments"


def _term(lab: Lab, s: Scene, top: Var, c: Factor, argument: str, sizes: Mapping[str, int]) -> list[Diagnosis]:
    text, where = source(s, top), place(s, top)
    label = f"`{hints.text(top.hint)}`" if is_named(top) else f"`{text}`"
    part = _gradient_text(s, top, argument, sizes)
    by = symbol(argument or "x")
    latex = rf"{derivative(argument)} = \dots + \frac{{\partial}}{{\partial {by}}} \left( {_math(s, top)} \right)"
    if c.number == 0:
        fix = f"{d(argument)} + {part}" if part else f"{d(argument)} + the derivative of {text}"
        return [Diagnosis("term", f"The derivative of the term {label} is missing.", fix, latex, argument, where, rank=0.5)]
    if c.is_number(-1):
        fix = f"{d(argument)} + 2 * ({part})" if part else ""
        return [
            Diagnosis("sign", f"The derivative of the term {label} has the wrong sign.", fix, latex, argument, where, rank=0.5)
        ]
    if c.is_number(2):
        fix = f"{d(argument)} - {part}" if part else ""
        return [Diagnosis("term", f"The derivative of the term {label} is counted twice.", fix, latex, argument, where, rank=0.6)]
    message = f"The derivative of the term {label} is {c.text} times what it should be: {_missing(lab, c)}."
    fix = f"... + {part}" if part else f"multiply its part by {c.inverse.text}"
    return [Diagnosis("scale", message, fix, latex, argument, where, rank=(0.7 if c.number > 0 else 2.5) if _short(c) else 8.0)]


def _math(s: Scene, v: Var) -> str:
    from chainrule.emit.latex import to_latex

    try:
        text = to_latex(_cone(s, v), "f")
    except Exception:
        return rf"\text{{{called(s, v)}}}"
    last = text.replace(r"\begin{aligned}", "").replace(r"\end{aligned}", "").strip().split(r"\\")[-1]
    return last.split("&=")[-1].strip()


def _cone(s: Scene, v: Var) -> Graph:
    from chainrule.transform.simplify import simplify

    return simplify(Graph(s.graph.ins, s.graph.eqns, (v,)))


# --- one-line formulas ------------------------------------------------------------------------------------------------


def _gradient_text(s: Scene, top: Var, argument: str, sizes: Mapping[str, int]) -> str:
    """NumPy code for the derivative of a term of the loss with respect to one argument, where it is one expression."""
    if argument not in s.names:
        if len(s.names) != 1:
            return ""
        argument = s.names[0]
    from chainrule.transform.vjp import vjp

    scale = _outer_sign(s, top)
    v = s.wrt[s.names.index(argument)]
    try:
        g = vjp(Graph(s.graph.ins, s.graph.eqns, (top,)), [s.graph.ins.index(v)])
        return expression(Graph(g.ins, g.eqns, g.outs[1:]), {g.ins[-1]: scale}, sizes)
    except Exception:
        return ""


def _outer_sign(s: Scene, top: Var) -> float:
    from chainrule.explain.doctor.scene import Backward

    return float(Backward(s).cts[top])


def local_rule(s: Scene, v: Var, sizes: Mapping[str, int]) -> str:
    """``dh += dmu / 5``: how the cotangent of a value is carried back to the nearest named value it is a function of."""
    from chainrule.transform.vjp import vjp

    up, z = dominators(s), dominators(s).get(v)
    while z is not None and not is_named(z):
        z = up.get(z)
    if z is None or not is_named(v):
        return ""
    new = Var(z.type, hint=hints.text(z.hint))
    eqns = between(s, z, v)
    rest = [a for e in eqns for a in e.ins if isinstance(a, Var) and a is not z and all(a not in q.outs for q in eqns)]
    outer = list(dict.fromkeys(rest))
    renamed = [e._replace(ins=tuple(new if a is z else a for a in e.ins)) for e in eqns]
    name = hints.text(v.hint)
    try:
        g = vjp(Graph((new, *outer), tuple(renamed), (v,)), [0])
        g.ins[-1].hint = f"d{name}"
        text = expression(Graph(g.ins, g.eqns, g.outs[1:]), {}, sizes)
    except Exception:
        return ""
    return f"d{hints.text(z.hint)} += {text}" if text and len(text) <= 90 else ""


# --- local derivatives ------------------------------------------------------------------------------------------------


def local(s: Scene, bend: Bend, argument: str) -> list[Diagnosis]:
    """Another local derivative than the right one."""
    r: Region = bend.story["region"]
    z, a = called(s, r.start), called(s, r.end)
    name = known.recognised(s.value(r.start), s.value(r.end))
    how = bend.story["how"]
    if z == a:  # two steps inside one call
        return []
    what = f"the {name}" if name else f"`{source(s, r.end)}`"
    fix = _right(name, s, r)
    latex = known.LATEX.get(name or "", "")
    where = place(s, r.end)
    e = made(s, r.end)
    masks = [x for x in (e.ins if e else ()) if isinstance(x, Var) and x not in s.active]
    bonus = -0.5 if name else 0.0
    if how == "skip":
        if e is not None and e.prim == "mul" and masks and not name:
            message = f"The factor `{called(s, masks[0])}` of `{source(s, r.end)}` is missing from the gradient."
        elif name == "ReLU":
            message = f"The mask of the ReLU is missing: where `{z}` is negative nothing flows back."
        else:
            message = f"The derivative of {what} is missing: the gradient is passed from `{a}` to `{z}` unchanged."
        return [Diagnosis("local_derivative", message, fix, latex, argument, where, rank=2 + bonus)]
    if how == "at output":
        message = f"The derivative of {what} is taken at its output `{a}` instead of its input `{z}`."
        return [Diagnosis("local_derivative", message, fix, latex, argument, where, rank=2.6 + bonus)]
    if how == "input for output":
        message = (
            f"The derivative of {what} is written in terms of its output, and `{z}`, its input, was put in instead of `{a}`."
        )
        return [Diagnosis("local_derivative", message, fix, latex, argument, where, rank=2.7 + bonus)]
    if how == "twice":
        message = f"The derivative of {what} is multiplied in twice."
        return [Diagnosis("local_derivative", message, fix, latex, argument, where, rank=3.4 + bonus)]
    other = bend.story["function"]
    if name == other:
        return []
    message = f"The derivative of the {other} is used for {what}."
    return [Diagnosis("local_derivative", message, fix, latex, argument, where, rank=3.5 + bonus)]


def _right(name: str | None, s: Scene, r: Region) -> str:
    z, a = called(s, r.start), called(s, r.end)
    da = f"d{a}" if a.isidentifier() else "da"
    dz = f"d{z}" if z.isidentifier() else "dz"
    z = z if z.isidentifier() else f"({z})"
    a = a if a.isidentifier() else f"({a})"
    if name in known.RIGHT:
        return f"{dz} = " + known.RIGHT[name].format(z=z, a=a, da=da)
    e = made(s, r.end)
    if e is not None and e.prim == "mul" and isinstance(e.ins[0], Var) and isinstance(e.ins[1], Var):
        other = e.ins[1] if e.ins[0] in s.active else e.ins[0]
        if other not in s.active:
            return f"{dz} = {da} * {called(s, other)}"
    return f"{dz} = {da} * (derivative of {called(s, r.end) if is_named(r.end) else source(s, r.end)} at {z})"


def jacobian(s: Scene, bend: Bend, argument: str) -> list[Diagnosis]:
    """The diagonal in place of the Jacobian."""
    r: Region = bend.story["region"]
    z, a = called(s, r.start), called(s, r.end)
    axis = known.softmax_axis(s.value(r.start), s.value(r.end))
    what = "the softmax" if axis is not None else f"`{source(s, r.end)}`"
    message = f"Only the diagonal of the Jacobian of {what} is used; every element of `{a}` depends on several elements of `{z}`."
    if bend.story["how"] == "no jacobian":
        message = f"The Jacobian of {what} is missing: the gradient is passed from `{a}` to `{z}` unchanged."
    da, dz = (f"d{a}" if a.isidentifier() else "da"), (f"d{z}" if z.isidentifier() else "dz")
    fix = f"{dz} = J.T @ {da} with the whole Jacobian J"
    if axis is not None:
        fix = f"{dz} = " + known.RIGHT["softmax"].format(a=a if a.isidentifier() else "p", da=da, axis=axis)
    return [
        Diagnosis(
            "jacobian",
            message,
            fix,
            known.LATEX["softmax"] if axis is not None else "",
            argument,
            place(s, r.end),
            rank=1.2 + 0.1 * (not z.isidentifier()) if axis is not None else 3.5 if bend.story["how"] == "no jacobian" else 2.1,
        )
    ]


def others(s: Scene, bend: Bend, argument: str) -> list[Diagnosis]:
    """Stops, swaps and factors too many."""
    v: Var = bend.story["var"]
    name = called(s, v)
    if bend.key[0] == "stop":
        message = f"The gradient flows through `{name}`, which stop_gradient holds constant."
        fix = f"treat {name} as a constant"
        return [
            Diagnosis(
                "constant",
                message,
                fix,
                rf"\partial\, \operatorname{{stop}}({symbol(name)}) = 0",
                argument,
                place(s, v),
                rank=0.8,
            )
        ]
    if bend.key[0] in ("left out", "negated"):
        how = "is missing from the gradient" if bend.key[0] == "left out" else "enters the gradient with the wrong sign"
        kind = "term" if bend.key[0] == "left out" else "sign"
        return [Diagnosis(kind, f"`{name}` {how}.", f"put {name} in as the function has it", "", argument, "", rank=2.4)]
    if bend.key[0] == "no factor":
        other, out = factor(s, bend.story["other"]), bend.story["out"]
        message = f"The factor `{other}` of `{source(s, out)}` is missing from the gradient."
        e = made(s, out)
        sign = "/" if e is not None and e.prim == "div" else "*"
        fix = f"d{name} = d({called(s, out)}) {sign} {other}"
        return [Diagnosis("local_derivative", message, fix, "", argument, place(s, out), rank=2.2)]
    if bend.key[0] == "swap":
        other, out = called(s, bend.story["other"]), bend.story["out"]
        message = f"In `{source(s, out)}` the derivative by `{name}` is `{other}`, and `{name}` itself was used."
        fix = f"d{name} += d({called(s, out)}) * {other}"
        return [Diagnosis("local_derivative", message, fix, "", argument, place(s, out), rank=3.3)]
    link = bend.story["function"]
    message = f"The derivative of the {link} is multiplied in at `{name}` where none belongs: the loss has taken it in already."
    return [
        Diagnosis(
            "local_derivative",
            message,
            f"d{name} without the factor {link}'({name})",
            known.LATEX.get(link, ""),
            argument,
            place(s, v),
            rank=2.8 if link == "sigmoid" else 4.0,
        )
    ]


def say(lab: Lab, i: Instance, bend: Bend, c: Factor | None, argument: str) -> list[Diagnosis]:
    """The diagnoses that one bend stands for, the most human first."""
    s = i.scene
    assert s is not None
    if bend.free:
        assert c is not None
        return path(lab, s, bend, c, argument, i.sizes)
    if bend.kind == "jacobian":
        return jacobian(s, bend, argument)
    if "region" in bend.story:
        return local(s, bend, argument)
    return others(s, bend, argument)
