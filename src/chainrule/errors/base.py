"""The base of every error: where it happened, and how it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from chainrule.errors.frames import point, user_frame, within_chainrule
from chainrule.errors.source import Spot, spot
from chainrule.ir.where import Where, here

_WIDTH = 77
_equation: list[Callable[[], Where | None]] = []


def locate_by(finder: Callable[[], Where | None]) -> None:
    """Have errors ask `finder` first: it knows which equation is being transformed, if one is."""
    _equation[:] = [finder]


class ChainruleError(Exception):
    """Base of every error that chainrule raises on purpose.

    Catch it to catch them all.  Every one has a `title` and a `code` that stay the same from version to version, and shows
    the line of your program with carets under the expression, what was `seen`, what is `needed`, and a `fix` where one was
    found that works.  ``CHAINRULE_ERRORS=short`` in the environment prints each on one line, ``CHAINRULE_ERRORS=full`` adds
    chainrule's own frames to the traceback.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: np.sum(x + np.ones(3)))(np.ones(2))
    Traceback (most recent call last):
    ...
    chainrule.errors.ShapeError: -- SHAPES DISAGREE ... CR203
    ...

    Works:

    >>> try:
    ...     cr.grad(lambda x: np.sum(x + np.ones(3)))(np.ones(2))
    ... except cr.errors.ChainruleError as e:
    ...     print(e.code, e.seen)
    CR203 Shapes (2,) and (3,) do not broadcast: x is (2,), np.ones(3) is (3,).
    """

    code: ClassVar[str] = "CR001"
    title: ClassVar[str] = "THIS CANNOT BE DONE"
    doing: ClassVar[str | None] = None

    def __init__(self, seen: str = "", needed: str = "", fix: str = "", *, where: Where | None = None) -> None:
        """`seen` and `needed` are sentences, `fix` is code that has been checked; `where` is found if it is not given."""
        Exception.__init__(self, seen)
        self.seen = seen
        self.needed = needed
        self.fix = fix
        equation = where or next((found for f in _equation if (found := f()) is not None), None)
        frame = user_frame()
        self.where = equation or point(frame) or here()
        self._doing = self.doing or (
            "While differentiating" if equation else "While tracing" if within_chainrule(frame) else "In"
        )
        self._spot: Spot | None = None

    @property
    def spot(self) -> Spot | None:
        """The place in the user's file as plain data."""
        if self._spot is None and self.where is not None:
            self._spot = spot(self.where)
        return self._spot

    def without_place(self) -> ChainruleError:
        """The same error, saying nothing of where it happened."""
        self.where, self._spot = None, None
        return self

    def __str__(self) -> str:
        return self._short() if os.environ.get("CHAINRULE_ERRORS") == "short" else self._long()

    def _short(self) -> str:
        place = f", {self.spot}" if self.spot else ""
        fix = f"Did you mean {self.fix} ?" if self.fix else ""
        says = " ".join(filter(None, (self.seen, self.needed, fix))).split()
        return f"{self.code} {self.title.lower()}{place}: {' '.join(says)}"

    def _long(self) -> str:
        lines = [f"-- {self.title} ".ljust(_WIDTH - len(self.code) - 1, "-") + f" {self.code}"]
        if self.spot:
            lines += [f"{self._doing} {self.spot.title}", self.spot.picture()]
        fix = f"Did you mean  {' '.join(self.fix.split()) if chr(10) in self.fix else self.fix} ?" if self.fix else ""
        return "\n".join(filter(None, (*lines, self.seen, self.needed, fix)))

    def __reduce__(self) -> Any:
        _ = self.spot  # code objects cannot be pickled, the place as data can
        return _restored, (type(self), self.args, {**self.__dict__, "where": None})


def _restored(cls: type[ChainruleError], args: tuple[Any, ...], state: dict[str, Any]) -> ChainruleError:
    e = cls.__new__(cls, *args)
    e.args = args
    e.__dict__.update(state)
    return e
