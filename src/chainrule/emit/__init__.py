"""One reader of graphs per target."""

from __future__ import annotations

from chainrule.emit import numpy_structured

__all__ = ["numpy_structured"]
