"""Reinforcement learning: exact values, learning from steps, policy gradients; each algorithm one file."""

from __future__ import annotations

from chainrule.rl.environment import Box, Discrete, Environment, cart_pole, frozen_lake, frozen_lake_table
from chainrule.rl.table import Table, table
from chainrule.rl.tabular import (
    Solution,
    backup,
    bellman,
    bellman_optimality,
    greedy,
    policy_evaluation,
    policy_iteration,
    policy_values,
    value_iteration,
)

__all__ = [
    "Box", "Discrete", "Environment", "Solution", "Table", "backup", "bellman", "bellman_optimality", "cart_pole",
    "frozen_lake", "frozen_lake_table", "greedy", "policy_evaluation", "policy_iteration", "policy_values", "table",
    "value_iteration",
]  # fmt: skip
