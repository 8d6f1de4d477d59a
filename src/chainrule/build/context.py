"""Which builder equations go to now."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.build.builder import Builder

CURRENT: ContextVar[Builder | None] = ContextVar("chainrule_builder", default=None)
