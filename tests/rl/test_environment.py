"""The environments in the graph against Gymnasium's own."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import chainrule as cr


@pytest.mark.parametrize("seed", range(3))
def test_cart_pole_is_gymnasiums_to_the_last_bit(seed: int) -> None:
    """From the same state, through the same actions, until the pole falls."""
    theirs: Any = gymnasium.make("CartPole-v1")
    ours = cr.rl.cart_pole()
    rng = np.random.default_rng(seed)
    for _ in range(8):
        seen, _ = theirs.reset(seed=int(rng.integers(2**31)))
        state, steps, over = theirs.unwrapped.state[None].copy(), 0, False
        np.testing.assert_array_equal(ours.observe(state)[0], seen)
        while not over:
            action = int(seen[2] + 0.3 * seen[3] + 0.1 * rng.normal() > 0) if seed else int(rng.integers(2))
            seen, reward, terminated, truncated, _ = theirs.step(action)
            state, r, t = ours.step(state, np.array([action]), cr.random.key(0))
            steps, over = steps + 1, terminated or truncated
            np.testing.assert_array_equal(state[0], theirs.unwrapped.state)
            assert ours.observe(state).dtype == seen.dtype
            np.testing.assert_array_equal(ours.observe(state)[0], seen)
            assert (r[0], t[0], steps == ours.limit) == (reward, terminated, truncated)


def test_cart_pole_compiled_is_the_same() -> None:
    """The numpy engine to the last bit, the native one (which has a cosine of its own) within rounding."""
    env = cr.rl.cart_pole()
    state = env.reset(cr.random.key(1), 1000) * 4
    action, key = cr.random.randint(cr.random.key(2), (1000,), 0, 2), cr.random.key(3)
    eager = env.step(state, action, key)
    for a, b in zip(cr.jit(env.step, engine="numpy")(state, action, key), eager, strict=True):
        np.testing.assert_array_equal(a, b)
    native = cr.jit(env.step, engine="native")(state, action, key)
    np.testing.assert_allclose(native[0], eager[0], rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(native[2], eager[2])


class Uniforms:
    """A random generator that gives the numbers it was given."""

    def __init__(self, u: Any) -> None:
        self.u = iter(u)

    def random(self) -> float:
        return float(next(self.u))


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("slippery", [True, False])
def test_frozen_lake_is_gymnasiums(size: int, slippery: bool) -> None:
    theirs: Any = gymnasium.make("FrozenLake-v1", map_name=f"{size}x{size}", is_slippery=slippery)
    assert cr.rl.frozen_lake_table(size, slippery) == theirs.unwrapped.P
    ours = cr.rl.frozen_lake(size, slippery)
    step = cr.jit(ours.step)
    seen, _ = theirs.reset(seed=0)
    state = ours.reset(cr.random.key(0), 1)
    np.testing.assert_array_equal(ours.observe(state), [seen])
    keys = cr.random.split(cr.random.key(1), 500)
    actions = np.random.default_rng(0).integers(0, 4, 500)
    for key, action in zip(keys, actions, strict=True):
        theirs.unwrapped.np_random = Uniforms(cr.random.uniform(key, (1,)))
        seen, reward, terminated, truncated, _ = theirs.step(action)
        state, r, t = step(state, np.array([action]), key)
        assert (ours.observe(state)[0], r[0], t[0]) == (seen, reward, terminated)
        if terminated or truncated:
            seen, _ = theirs.reset(seed=0)
            state = ours.reset(key, 1)
    assert ours.limit == gymnasium.spec("FrozenLake-v1" if size == 4 else "FrozenLake8x8-v1").max_episode_steps


def test_there_are_two_maps() -> None:
    with pytest.raises(ValueError, match="none of size 5"):
        cr.rl.frozen_lake(5)
