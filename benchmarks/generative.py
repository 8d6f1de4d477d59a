"""An epoch of a variational autoencoder on the digits: `cr.generative.VAE` beside the same model written by hand in JAX and PyTorch.

python benchmarks/generative.py            # the tables
python benchmarks/generative.py --quick

The model: 64 pixels, a hidden layer, a Gaussian code, a Bernoulli decoder; the bound with the closed form of the divergence; Adam.
Each epoch shuffles the rows, draws new noise and takes a step per batch: a compiled loop in chainrule (`scan`) and in JAX
(`lax.scan` under `jit`), Python's loop over eager steps in PyTorch, as its users write it.  The contenders take turns, an epoch
each.  Before any time is taken, the gradients of the hand-written models are compared with chainrule's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import Result, machine, table
from sklearn.datasets import load_digits

import chainrule as cr
from chainrule.generative.vae import reparameterised

RATE, BETAS, EPSILON = 1e-3, (0.9, 0.999), 1e-8
LATENT = 8


def digits() -> Any:
    """Pixels in [0, 1]: (1797, 64)."""
    return load_digits(return_X_y=True)[0] / 16


def weights(model: cr.generative.VAE, dtype: Any) -> dict[str, Any]:
    """The parameters of the two layers of each network, as copies."""
    nets = {"encoder": model.net.encoder, "decoder": model.net.decoder}
    return {
        f"{name}{k}.{part}": np.array(getattr(layer, part), dtype)
        for name, net in nets.items()
        for k, layer in enumerate(net.layers)
        for part in ("weight", "bias")
    }


# --- JAX ------------------------------------------------------------------------------------------------------------------------


def jax_loss(p: dict[str, Any], x: Any, noise: Any) -> Any:
    """The negative bound, mean over the batch."""

    def network(name: str, h: Any) -> Any:
        h = jax.nn.relu(h @ p[f"{name}0.weight"].T + p[f"{name}0.bias"])
        return h @ p[f"{name}1.weight"].T + p[f"{name}1.bias"]

    mean, log_std = jnp.split(network("encoder", x), 2, axis=-1)
    out = network("decoder", mean + jnp.exp(log_std) * noise)
    fit = jnp.sum(x * out - jnp.logaddexp(0.0, out), -1)
    divergence = jnp.sum(0.5 * (mean**2 + jnp.exp(2 * log_std) - 1) - log_std, -1)
    return -jnp.mean(fit - divergence)


def jax_adam(p: Any, g: Any, m: Any, v: Any, t: Any) -> tuple[Any, Any, Any]:
    """One step."""
    a, b = BETAS
    m = jax.tree.map(lambda m, g: a * m + (1 - a) * g, m, g)
    v = jax.tree.map(lambda v, g: b * v + (1 - b) * g * g, v, g)
    scale = lambda m, v: RATE * (m / (1 - a**t)) / (jnp.sqrt(v / (1 - b**t)) + EPSILON)
    return jax.tree.map(lambda p, m, v: p - scale(m, v), p, m, v), m, v


def jax_epoch(start: dict[str, Any], x: Any, size: int) -> Callable[[], float]:
    """A function that trains for an epoch and returns the bound."""
    data = jnp.asarray(x, next(iter(start.values())).dtype)
    steps = len(x) // size

    def epoch(state: Any, key: Any) -> Any:
        shuffle, noise = jax.random.split(key)
        rows = jax.random.permutation(shuffle, len(x))[: steps * size].reshape(steps, size)

        def step(state: Any, at: Any) -> Any:
            p, m, v, t = state
            row, key = at
            eps = jax.random.normal(key, (size, LATENT), data.dtype)
            loss, g = jax.value_and_grad(jax_loss)(p, data[row], eps)
            return (*jax_adam(p, g, m, v, t), t + 1), loss

        return jax.lax.scan(step, state, (rows, jax.random.split(noise, steps)))

    compiled = jax.jit(epoch, donate_argnums=0)
    zeros = lambda: jax.tree.map(lambda a: jnp.zeros_like(a), start)
    held: list[Any] = [(jax.tree.map(jnp.array, start), zeros(), zeros(), jnp.ones((), data.dtype)), 0]

    def run() -> float:
        held[1] += 1
        held[0], losses = compiled(held[0], jax.random.key(held[1]))
        return -float(jnp.mean(losses))  # waits for the result

    return run


# --- PyTorch --------------------------------------------------------------------------------------------------------------------


def torch_epoch(start: dict[str, Any], x: Any, size: int) -> Callable[[], float] | None:
    """The same in PyTorch, where it is installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    t: Any = torch
    data = t.tensor(np.asarray(x, next(iter(start.values())).dtype))
    p = {k: t.tensor(a, requires_grad=True) for k, a in start.items()}
    adam = t.optim.Adam(list(p.values()), RATE, BETAS, EPSILON)

    def network(name: str, h: Any) -> Any:
        h = t.relu(h @ p[f"{name}0.weight"].T + p[f"{name}0.bias"])
        return h @ p[f"{name}1.weight"].T + p[f"{name}1.bias"]

    def step(batch: Any) -> float:
        mean, log_std = network("encoder", batch).chunk(2, -1)
        out = network("decoder", mean + log_std.exp() * t.randn_like(mean))
        fit = (batch * out - t.nn.functional.softplus(out)).sum(-1)
        loss = -(fit - (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return float(loss.detach())

    def run() -> float:
        order = t.randperm(len(data))
        return -float(np.mean([step(data[order[k : k + size]]) for k in range(0, len(data) - size + 1, size)]))

    return run


# --- the comparison ---------------------------------------------------------------------------------------------------------------


def same_gradient(model: cr.generative.VAE, x: Any) -> None:
    """The hand-written model is chainrule's: loss and gradient agree at the same weights and noise."""
    noise = cr.random.normal(cr.random.key(5), (len(x), LATENT))
    ours, g = cr.value_and_grad(lambda net: -np.mean(reparameterised(net, x, noise, 1.0, "analytic")))(model.net)
    theirs, h = jax.value_and_grad(jax_loss)(jax.tree.map(jnp.asarray, weights(model, np.float64)), x, noise)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    trained = cr.generative.VAE(model.features, latent=LATENT, likelihood="bernoulli", key=cr.random.key(0))
    trained.net = g
    for name, a in weights(trained, np.float64).items():
        np.testing.assert_allclose(a, h[name], rtol=1e-8, atol=1e-12, err_msg=name)


def compared(hidden: int, size: int, rounds: int, warm: int = 3) -> Result:
    """Epochs in turn: chainrule's `fit` stops after each to let the others run theirs."""
    x = digits()
    model = cr.generative.VAE(64, latent=LATENT, hidden=(hidden,), likelihood="bernoulli", key=cr.random.key(0))
    same_gradient(model, x[:50])
    others: dict[str, Any] = {
        "JAX": jax_epoch(weights(model, np.float64), x, size),
        "JAX, float32": jax_epoch(weights(model, np.float32), x, size),
        "PyTorch": torch_epoch(weights(model, np.float64), x, size),
    }
    others = {k: f for k, f in others.items() if f is not None}
    result = Result(f"{hidden} hidden units, batches of {size}", {n: [] for n in ("chainrule", *others)})
    bounds: dict[str, float] = {}
    since = time.perf_counter()

    def in_turn(model: cr.generative.VAE) -> None:
        nonlocal since
        spent = {"chainrule": time.perf_counter() - since}
        bounds["chainrule"] = model.history[-1]
        for name, run in others.items():
            start = time.perf_counter()
            bounds[name] = run()
            spent[name] = time.perf_counter() - start
        if len(model.history) > warm:  # the first epochs compile
            for name, seconds in spent.items():
                result.seconds[name].append(seconds)
        since = time.perf_counter()

    model.fit(x, epochs=warm + rounds, batch_size=size, key=cr.random.key(1), learning_rate=RATE, after_epoch=in_turn)
    told = ", ".join(f"{name} {b:.2f}" for name, b in bounds.items())
    result.note = f"Bound per digit after {warm + rounds} epochs: {told}."
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    rounds = 10 if parser.parse_args().quick else 60
    jax.config.update("jax_enable_x64", True)
    print(f"{machine()}, JAX {jax.__version__}\n")
    for hidden, size in ((128, 128), (128, 32), (512, 128)):
        print(table(compared(hidden, size, rounds)), flush=True)


if __name__ == "__main__":
    main()
