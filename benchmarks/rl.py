"""CartPole PPO in steps per second: chainrule's compiled loop beside loops of the CleanRL kind in PyTorch and JAX.

    python benchmarks/rl.py [--steps N]

All have the same work: 4 copies x 128 steps, 4 epochs of 4 minibatches, two networks 4-64-64 with tanh in single precision, Adam,
gradients clipped to norm 0.5.  A peer that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from harness import machine

import chainrule as cr

COPIES, HORIZON, EPOCHS, MINIBATCHES = 4, 128, 4, 4
GAMMA, LAMBDA, CLIP, RATE, NORM, VALUE, ENTROPY = 0.99, 0.95, 0.2, 2.5e-4, 0.5, 0.5, 0.01
SIZE = COPIES * HORIZON
Update = Callable[..., None]
OURS: dict[str, Any] = {
    "envs": COPIES, "horizon": HORIZON, "epochs": EPOCHS, "minibatches": MINIBATCHES, "discount": GAMMA, "decay": LAMBDA,
    "clip": CLIP, "learning_rate": RATE, "max_norm": NORM, "value": VALUE, "entropy": ENTROPY,
}  # fmt: skip


def ours(env: Any, engine: str, steps: int) -> float:
    """Steps per second of `cr.rl.ppo`, compiled before the clock starts."""
    make = env if callable(env) else lambda: env
    cr.rl.ppo(make(), key=cr.random.key(0), steps=SIZE, engine=engine, **OURS)
    start = time.perf_counter()
    agent = cr.rl.ppo(make(), key=cr.random.key(1), steps=steps, engine=engine, **OURS)
    return float(agent.history.steps[-1]) / (time.perf_counter() - start)


def gymnasium_loop(act: Callable[[Any], Any], update: Update, steps: int) -> float:
    """Steps per second of a loop over Gymnasium's own vector of environments; act and update are the peer's."""
    envs = gymnasium.make_vec("CartPole-v1", num_envs=COPIES, vectorization_mode="sync")
    seen, _ = envs.reset(seed=1)
    over = np.zeros(COPIES, np.float32)

    def iteration() -> None:
        nonlocal seen, over
        kept: list[Any] = []
        for _ in range(HORIZON):
            action, log_prob, value = act(seen)
            after, reward, terminated, truncated, _ = envs.step(action)
            kept.append((seen, action, log_prob, value, reward.astype(np.float32), over))
            seen, over = after, (terminated | truncated).astype(np.float32)
        update(*map(np.stack, zip(*kept, strict=True)), seen, over)

    for _ in range(2):
        iteration()
    start = time.perf_counter()
    for _ in range(steps // SIZE):
        iteration()
    return steps // SIZE * SIZE / (time.perf_counter() - start)


def advantages(reward: Any, value: Any, over: Any, last: Any, ended: Any) -> Any:
    """Generalised advantages in NumPy, as CleanRL's loop has them."""
    found, a = np.zeros_like(reward), np.zeros(COPIES, np.float32)
    for t in reversed(range(HORIZON)):
        after, goes_on = (last, 1 - ended) if t == HORIZON - 1 else (value[t + 1], 1 - over[t + 1])
        a = reward[t] + GAMMA * goes_on * after - value[t] + GAMMA * LAMBDA * goes_on * a
        found[t] = a
    return found


def pytorch(steps: int) -> float:
    """CleanRL's loop: eager PyTorch."""
    import torch
    from torch import nn

    def net(outputs: int) -> Any:
        return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the networks are too small to be shared out: more threads are slower
    actor, critic = net(2), net(1)
    parameters = [*actor.parameters(), *critic.parameters()]
    adam = torch.optim.Adam(parameters, lr=RATE, eps=1e-5)
    Categorical: Any = torch.distributions.Categorical

    def act(x: Any) -> Any:
        with torch.no_grad():
            x = torch.as_tensor(x)
            d = Categorical(logits=actor(x))
            a = d.sample()
            return a.numpy(), d.log_prob(a).numpy(), critic(x)[:, 0].numpy()

    def update(x: Any, a: Any, log_p: Any, v: Any, r: Any, over: Any, seen: Any, ended: Any) -> None:
        with torch.no_grad():
            last = critic(torch.as_tensor(seen))[:, 0].numpy()
        adv = advantages(r, v, over, last, ended)
        x, a, log_p, adv, target = (
            torch.as_tensor(y.reshape(SIZE, *y.shape[2:])) for y in (x, a, log_p, adv, (adv + v).astype(np.float32))
        )
        for _ in range(EPOCHS):
            for rows in torch.randperm(SIZE).reshape(MINIBATCHES, -1):
                d = Categorical(logits=actor(x[rows]))
                ratio = (d.log_prob(a[rows]) - log_p[rows]).exp()
                b = adv[rows]
                b = (b - b.mean()) / (b.std() + 1e-8)
                policy = torch.max(-b * ratio, -b * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
                value = 0.5 * ((critic(x[rows])[:, 0] - target[rows]) ** 2).mean()
                loss = policy + VALUE * value - ENTROPY * d.entropy().mean()
                adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, NORM)
                adam.step()

    return gymnasium_loop(act, update, steps)


def jax(steps: int) -> float:
    """The same loop with the policy, and the whole update, compiled by JAX."""
    import jax
    import jax.numpy as jnp
    import optax

    def init(key: Any, outputs: int) -> Any:
        sizes = [(4, 64), (64, 64), (64, outputs)]
        return [
            (jax.random.normal(k, s) / np.sqrt(s[0]), jnp.zeros(s[1]))
            for k, s in zip(jax.random.split(key, 3), sizes, strict=True)
        ]

    def net(p: Any, x: Any) -> Any:
        for w, b in p[:-1]:
            x = jnp.tanh(x @ w + b)
        return x @ p[-1][0] + p[-1][1]

    rule = optax.chain(optax.clip_by_global_norm(NORM), optax.adam(RATE, eps=1e-5))
    key = jax.random.key(0)
    params = (init(key, 2), init(jax.random.key(1), 1))
    state = [params, rule.init(params), key]

    @jax.jit
    def choose(params: Any, x: Any, key: Any) -> Any:
        key, now = jax.random.split(key)
        logits = jax.nn.log_softmax(net(params[0], x))
        a = jax.random.categorical(now, logits)
        return a, jnp.take_along_axis(logits, a[:, None], 1)[:, 0], net(params[1], x)[:, 0], key

    def loss(params: Any, x: Any, a: Any, log_p: Any, adv: Any, target: Any) -> Any:
        logits = jax.nn.log_softmax(net(params[0], x))
        ratio = jnp.exp(jnp.take_along_axis(logits, a[:, None], 1)[:, 0] - log_p)
        b = (adv - adv.mean()) / (adv.std() + 1e-8)
        policy = jnp.maximum(-b * ratio, -b * jnp.clip(ratio, 1 - CLIP, 1 + CLIP)).mean()
        value = 0.5 * ((net(params[1], x)[:, 0] - target) ** 2).mean()
        return policy + VALUE * value + ENTROPY * (jnp.exp(logits) * logits).sum(-1).mean()

    @jax.jit
    def improve(params: Any, s: Any, key: Any, *data: Any) -> Any:
        def step(carry: Any, rows: Any) -> Any:
            params, s = carry
            moves, s = rule.update(jax.grad(loss)(params, *[d[rows] for d in data]), s)
            return (optax.apply_updates(params, moves), s), None

        keys = jax.random.split(key, EPOCHS + 1)
        order = jnp.concatenate([jax.random.permutation(k, SIZE).reshape(MINIBATCHES, -1) for k in keys[1:]])
        (params, s), _ = jax.lax.scan(step, (params, s), order)
        return params, s, keys[0]

    def act(x: Any) -> Any:
        a, log_p, v, state[2] = choose(state[0], x, state[2])
        return np.asarray(a), np.asarray(log_p), np.asarray(v)

    def update(x: Any, a: Any, log_p: Any, v: Any, r: Any, over: Any, seen: Any, ended: Any) -> None:
        last = np.asarray(choose(state[0], seen, state[2])[2])
        adv = advantages(r, v, over, last, ended)
        data = [y.reshape(SIZE, *y.shape[2:]) for y in (x, a, log_p, adv, (adv + v).astype(np.float32))]
        state[0], state[1], state[2] = improve(*state, *data)

    return gymnasium_loop(act, update, steps)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--steps", type=int, default=32_768)
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    contenders: dict[str, Callable[[], float]] = {
        "chainrule, native, environment in the graph": lambda: ours("CartPole-v1", "native", 4 * args.steps),
        "chainrule, native, Gymnasium's environment": lambda: ours(lambda: gymnasium.make("CartPole-v1"), "native", args.steps),
        "PyTorch, Gymnasium's environment": lambda: pytorch(args.steps),
        "JAX, Gymnasium's environment": lambda: jax(args.steps),
        "chainrule, numpy, environment in the graph": lambda: ours("CartPole-v1", "numpy", min(args.steps, 2_048)),
    }
    missing = [name for name, module in (("PyTorch", "torch"), ("JAX", "jax")) if find_spec(module) is None]
    found: dict[str, list[float]] = {n: [] for n in contenders if not any(n.startswith(m) for m in missing)}
    for _ in range(args.rounds):
        for name, rates in found.items():
            rates.append(contenders[name]())
    first = max(next(iter(found.values())))
    print(f"CartPole-v1, PPO, steps per second: best and median of {args.rounds}\n{machine()}\n")
    for name, rates in found.items():
        print(f"{name:45} {max(rates):10,.0f} {statistics.median(rates):10,.0f}   {first / max(rates):7.1f} times as long")
    print(f"\nNot installed: {', '.join(missing) or 'nothing'}")


if __name__ == "__main__":
    main()
