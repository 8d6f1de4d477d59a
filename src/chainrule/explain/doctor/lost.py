"""Where nothing fits: which elements are wrong, honestly."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.lab import Instance


def unknown(i: Instance, k: int, name: str) -> Diagnosis:
    """Which elements are wrong, honestly."""
    g, t, bar = i.claim[k], i.truth[k], i.noise[k]
    wrong = np.abs(g - t) > bar + 1e-9 * np.abs(t)
    at = tuple(int(x) for x in np.unravel_index(np.argmax(np.abs(g - t)), t.shape)) if t.ndim else ()
    spot = f"{name}[{', '.join(map(str, at))}]" if at else name
    worst = f"{spot} should be {t[at]:.6g} and is {g[at]:.6g}"
    where = _blocks(wrong, name)
    return Diagnosis("unknown", f"No single mistake explains the gradient for {name}. {where}; {worst}.", "", "", name, rank=20)


def _blocks(wrong: Any, name: str) -> str:
    if wrong.ndim == 0 or wrong.all():
        return "Every element is wrong" if wrong.ndim else "It is wrong"
    for axis, word in enumerate(("rows", "columns") if wrong.ndim == 2 else ()):
        hit = wrong.any(axis=1 - axis)
        if not hit.all() and wrong[hit if axis == 0 else slice(None)][:, slice(None) if axis == 0 else hit].all():
            return f"Wrong are the {word} {_list(np.flatnonzero(hit))} of {name}; the rest is right"
    return f"{int(wrong.sum())} of {wrong.size} elements are wrong"


def _list(xs: Any) -> str:
    text = [str(int(x)) for x in xs[:6]]
    return ", ".join(text) + (", ..." if len(xs) > 6 else "")
