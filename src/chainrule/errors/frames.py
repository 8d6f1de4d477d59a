"""The user's frames: where an error is to be shown, and which frames of a traceback are nobody's business."""

from __future__ import annotations

import builtins
import os
import random
import sys
from collections.abc import Callable
from functools import wraps
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any, TypeVar

import numpy as np

from chainrule.ir.where import Where, is_internal

_QUIET = (ModuleType, random.Random, np.random.Generator, np.random.RandomState)
"""What may be asked for an attribute without running anything of the user's."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FRONT = _PACKAGE + "front" + os.sep
_EXAMPLES = _PACKAGE + "study" + os.sep
_Callable = TypeVar("_Callable", bound=Callable[..., Any])


def _ours(code: CodeType) -> bool:
    """Is this code in chainrule (its chapters apart, which are programs that use it)?"""
    return code.co_filename.startswith(_PACKAGE) and not code.co_filename.startswith(_EXAMPLES)


def _hidden(code: CodeType) -> bool:
    return _ours(code) or is_internal(code)


def user_frame() -> FrameType | None:
    """The nearest frame that is neither chainrule's nor NumPy's."""
    f: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while f is not None and _hidden(f.f_code):
        f = f.f_back
    return f


def within_chainrule(f: FrameType | None) -> bool:
    """Was this frame called by chainrule, as a function that is being traced is?"""
    while f is not None:
        if _ours(f.f_code):
            return True
        f = f.f_back
    return False


def point(f: FrameType | None) -> Where | None:
    """Where a frame is now."""
    return None if f is None else Where(f.f_code, f.f_lasti)


def lookup(f: FrameType | None, path: str) -> Any:
    """What a dotted name means in a frame; attributes of modules and generators only, so that nothing of the user's runs."""
    if f is None:
        return None
    first, *rest = path.split(".")
    for names in (f.f_locals, f.f_globals, vars(builtins)):
        if first in names:
            found = names[first]
            break
    else:
        return None
    for name in rest:
        found = getattr(found, name, None) if isinstance(found, _QUIET) else None
    return found


# --- tracebacks ----------------------------------------------------------------------------------------------------------


def _entries(tb: TracebackType | None) -> list[TracebackType]:
    found: list[TracebackType] = []
    while tb is not None:
        found.append(tb)
        tb = tb.tb_next
    return found


def _theirs(tb: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that are hidden."""
    kept: TracebackType | None = None
    for entry in reversed(_entries(tb)):
        if not _hidden(entry.tb_frame.f_code):
            entry.tb_next = kept
            kept = entry
    return kept


def hide(e: BaseException, deliberate: bool) -> None:
    """Take chainrule's frames out of the traceback of `e`.

    An exception that chainrule did not mean to raise keeps them: they are what a bug report needs.
    """
    if os.environ.get("CHAINRULE_ERRORS") == "full":
        return
    entries = _entries(e.__traceback__)
    if entries and isinstance(e, ValueError | IndexError):  # what NumPy would raise here, raised in its place
        deliberate = deliberate or entries[-1].tb_frame.f_code.co_filename.startswith(_FRONT)
    if not deliberate and entries and _ours(entries[-1].tb_frame.f_code):
        return
    e.__traceback__ = _theirs(e.__traceback__)
    inner = _entries(e.__context__.__traceback__) if e.__context__ is not None else []
    if deliberate and e.__cause__ is None and inner and _hidden(inner[0].tb_frame.f_code):
        e.__suppress_context__ = True


def boundary(f: _Callable) -> _Callable:
    """Decorate a public function: what is raised below it shows the user's frames only (all with ``CHAINRULE_ERRORS=full``)."""
    from chainrule.errors.base import ChainruleError

    @wraps(f)
    def public(*args: Any, **kwargs: Any) -> Any:
        try:
            try:
                return f(*args, **kwargs)
            except (TypeError, ValueError) as e:
                if isinstance(e.__cause__, ChainruleError):  # NumPy has wrapped it
                    raise e.__cause__.with_traceback(e.__traceback__) from None
                raise
        except Exception as e:
            hide(e, isinstance(e, ChainruleError))
            raise  # a bare raise adds no entry for this frame

    return public  # pyright: ignore[reportReturnType]
