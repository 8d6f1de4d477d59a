"""The table of calculus: one row per operation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from chainrule.build.row import Row
from chainrule.prims import elementwise, kinked, linear
from chainrule.prims.kinds import rows_of

TABLE: Mapping[str, Row] = MappingProxyType(dict(rows_of(elementwise, kinked, linear)))
"""Every row, by name."""

__all__ = ["TABLE"]
