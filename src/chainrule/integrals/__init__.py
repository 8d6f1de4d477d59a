"""Integrals and expectations that differentiate."""

from __future__ import annotations

from chainrule.integrals.adaptive import IntegrationError
from chainrule.integrals.integrate import Integral, integrate

__all__ = ["Integral", "IntegrationError", "integrate"]
