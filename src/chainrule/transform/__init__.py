"""One function from Graph to Graph per file."""

from __future__ import annotations

from chainrule.transform import branches, loops, user_rules

__all__ = ["branches", "loops", "user_rules"]
