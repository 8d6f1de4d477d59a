"""Agents in files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import random
from chainrule.build.tree import flatten, unflatten
from chainrule.rl.agent import Agent, History
from chainrule.rl.gymnasium import environment
from chainrule.rl.policy import actor_critic_network

_FORMAT = 1


def save_agent(agent: Agent, path: str | os.PathLike[str]) -> None:
    """Write an agent into a file (NumPy's .npz): its networks, its history and the name of its environment."""
    hidden = [layer.weight.shape[0] for layer in agent.net.actor.layers[:-1]]
    facts = {"format": _FORMAT, "algorithm": agent.algorithm, "env": agent.env.name, "hidden": hidden}
    arrays = {f"net{k}": np.asarray(x) for k, x in enumerate(flatten(agent.net)[0])}
    columns: dict[str, Any] = {f"history.{name}": c for name, c in agent.history.items()}
    target = Path(path)
    part = target.with_name(target.name + ".part")
    with open(part, "wb") as f:
        np.savez(f, facts=np.array(json.dumps(facts)), **arrays, **columns)
    os.replace(part, target)


def load_agent(path: str | os.PathLike[str], env: Any = None) -> Agent:
    """The agent that `save_agent` has written.

    Args:
        path: The file.
        env: Its environment; by default the one of this name.

    Raises:
        ValueError: It is no such file, or another environment.

    Example:
        >>> import os, tempfile, numpy as np, chainrule as cr
        >>> agent = cr.rl.ppo("CartPole-v1", key=cr.random.key(0), steps=2048)
        >>> path = os.path.join(tempfile.mkdtemp(), "agent.npz")
        >>> cr.rl.save_agent(agent, path)
        >>> cr.rl.load_agent(path).act(np.ones(4)) == agent.act(np.ones(4))
        True
    """
    with np.load(path, allow_pickle=False) as f:
        if "facts" not in f or (facts := json.loads(str(f["facts"]))).get("format") != _FORMAT:
            raise ValueError(f"{os.fspath(path)} holds no agent of this version of chainrule")
        e = environment(facts["env"] if env is None else env)
        net = actor_critic_network(e.observations, e.actions, facts["hidden"], random.key(0))
        leaves, spec = flatten(net)
        arrays = [f[f"net{k}"] for k in range(len(leaves))]
        if [a.shape for a in arrays] != [np.shape(x) for x in leaves]:
            raise ValueError(f"{os.fspath(path)} is an agent of {facts['env']}, and {e.name} has other spaces")
        history = {name.removeprefix("history."): f[name] for name in f.files if name.startswith("history.")}
    return Agent(facts["algorithm"], e, unflatten(spec, arrays), History(history))


__all__ = ["load_agent", "save_agent"]
