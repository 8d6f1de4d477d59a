"""Reinforcement learning: exact values, learning from steps, policy gradients; each algorithm one file."""

from __future__ import annotations

from chainrule.rl.actor_critic import actor_critic
from chainrule.rl.advantage import generalised_advantages
from chainrule.rl.agent import Agent, History
from chainrule.rl.environment import Box, Discrete, Environment, cart_pole, frozen_lake, frozen_lake_table
from chainrule.rl.episodes import TabularAgent, epsilon_greedy
from chainrule.rl.learning_curves import Curves, learning_curves
from chainrule.rl.policy_gradient import policy_gradient_estimate, policy_gradient_exact, policy_objective
from chainrule.rl.ppo import ppo
from chainrule.rl.q_learning import double_q_learning, q_learning
from chainrule.rl.reinforce import reinforce
from chainrule.rl.sarsa import expected_sarsa, sarsa
from chainrule.rl.saved import load_agent, save_agent
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
from chainrule.rl.td_lambda import Prediction, td_lambda

__all__ = [
    "Agent", "Box", "Curves", "Discrete", "Environment", "History", "Prediction", "Solution", "Table", "TabularAgent",
    "actor_critic", "backup", "bellman", "bellman_optimality", "cart_pole", "double_q_learning", "epsilon_greedy",
    "expected_sarsa", "frozen_lake", "frozen_lake_table", "generalised_advantages", "greedy", "learning_curves",
    "load_agent", "policy_evaluation", "policy_gradient_estimate", "policy_gradient_exact", "policy_iteration",
    "policy_objective", "policy_values", "ppo", "q_learning", "reinforce", "sarsa", "save_agent", "table",
    "td_lambda", "value_iteration",
]  # fmt: skip
