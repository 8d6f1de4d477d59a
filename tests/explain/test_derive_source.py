"""The NumPy source of derivations: run by an interpreter that has no chainrule, at sizes it was not derived at."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.explain.instances import arguments
from derivation_cases import derived

RUN = """
import pickle, sys
sys.modules["chainrule"] = None  # an import of it would fail
import numpy as np
with open(sys.argv[1], "rb") as file:
    jobs = pickle.load(file)
done = []
for source, args, moves in jobs:
    space = {}
    exec(source, space)
    value, gradient = space["value"], space["gradient"]
    told = gradient(*args)
    quotients = []
    for k, v, h in moves:  # the derivative of the source's own value along a direction
        at = lambda t: np.asarray(value(*[x + t * h * v if j == k else x for j, x in enumerate(args)]))
        quotients.append((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h))
    done.append((value(*args), told, quotients))
with open(sys.argv[2], "wb") as file:
    pickle.dump(done, file)
"""


def at_other_sizes(d: cr.Derivation, seed: int) -> tuple[dict[str, int], list[Any]]:
    rng = np.random.default_rng(seed)
    sizes = dict(zip(d.problem.sizes, rng.permutation(np.arange(6, 7 + len(d.problem.sizes))).tolist(), strict=False))
    xs = arguments(d.problem, sizes, rng)
    assert xs is not None
    return sizes, xs


def test_it_runs_without_chainrule_and_is_right_at_every_size(tmp_path: Path) -> None:
    import pickle

    found = list(derived().items())
    jobs, points = [], []
    for seed, (_, d) in enumerate(found):
        sizes, xs = at_other_sizes(d, seed)
        rng = np.random.default_rng(seed)
        moves = [(k, rng.normal(size=np.shape(xs[k])), 1e-5) for k in d.problem.wrt] if d.order == 1 else []
        points.append((sizes, xs, moves))
        jobs.append((d.source, xs, moves))
    (tmp_path / "jobs").write_bytes(pickle.dumps(jobs))
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, "-I", "-W", "error", str(tmp_path / "run.py"), str(tmp_path / "jobs"), str(tmp_path / "done")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    done = pickle.loads((tmp_path / "done").read_bytes())
    for (name, d), (sizes, xs, moves), (value, told, quotients) in zip(found, points, done, strict=True):
        p = d.problem
        np.testing.assert_allclose(value, p.call(xs, sizes), rtol=1e-9, err_msg=name)
        assert isinstance(told, tuple) is not p.single, name
        for k, g in zip(p.wrt, [told] if p.single else told, strict=True):
            transform: Any = cr.hessian if d.order == 2 else cr.grad if d.scalar else cr.jacobian
            truth = np.asarray(transform(lambda *a, p=p, s=sizes: p.call(a, s), k)(*xs))
            truth = truth.T if d.layout == "numerator" else truth
            assert np.shape(g) == truth.shape, name
            np.testing.assert_allclose(g, truth, rtol=1e-7, atol=1e-9 * max(np.max(np.abs(truth)), 1e-300), err_msg=name)
        for (k, v, _), q in zip(moves, quotients, strict=True):
            g = np.asarray(told if p.single else told[p.wrt.index(k)])
            g = g.T if d.layout == "numerator" and d.scalar else g
            np.testing.assert_allclose(np.tensordot(g, v, np.ndim(v)), q, rtol=1e-5, atol=1e-7, err_msg=name)


def test_it_carries_the_users_names_and_says_what_each_line_is() -> None:
    d = cr.derive("mean((sigmoid(W @ x + b) - y)**2)", wrt=("W", "b"), shapes={"W": "m,n", "x": "n", "b": "m", "y": "m"})
    assert "def value(W, x, b, y):" in d.source
    assert "def gradient(W, x, b, y):" in d.source
    assert "chainrule" not in d.source
    body = d.source[d.source.index("def gradient") :].splitlines()[1:]
    assert all("#" in line or '"""' in line or ".shape" in line for line in body if line.strip()), d.source
    assert "return 2 / m * np.outer(delta, x), 2 / m * delta  # df/dW: (m, n); df/db: (m,)" in d.source


@pytest.mark.parametrize("names", [("np", "value"), ("special", "gradient"), ("n", "d"), ("lambda", "e"), ("x", "_")])
def test_arguments_may_have_any_names(names: tuple[str, str]) -> None:
    """Names that the source could stumble over: of modules, of its own functions, of sizes, Python's own words."""

    def f(x: Any, y: Any) -> Any:
        return np.sum(np.tanh(x @ y) ** 2) + cr.special.logsumexp(y)

    d = cr.derive(f, np.ones((3, 2)), np.ones(2), names=names, wrt=1)
    space: dict[str, Any] = {}
    exec(d.source, space)
    x, y = np.random.default_rng(0).normal(size=(4, 5)), np.random.default_rng(1).normal(size=5)
    np.testing.assert_allclose(space["gradient"](x, y), cr.grad(f, 1)(x, y))
    np.testing.assert_allclose(space["value"](**dict(zip(d.problem.names, (x, y), strict=True))), f(x, y))


def test_the_compiled_function_agrees_at_every_size() -> None:
    rng = np.random.default_rng(0)
    d = cr.derive("mean((X @ w + b - y)**2)", wrt=("w", "b"), shapes={"X": "n,d", "w": "d", "y": "n"})
    for n, k in ((3, 2), (7, 4), (1, 1)):
        args = rng.normal(size=(n, k)), rng.normal(size=k), rng.normal(), rng.normal(size=n)
        got = d.function(*args)
        assert isinstance(got, tuple)
        np.testing.assert_allclose(got[0], 2 / n * args[0].T @ (args[0] @ args[1] + args[2] - args[3]))
        np.testing.assert_allclose(got[1], 2 * np.mean(args[0] @ args[1] + args[2] - args[3]))
    with pytest.raises(cr.errors.ShapeError, match=r"w has shape \(3,\)"):
        d.function(np.ones((3, 2)), np.ones(3), 0.0, np.ones(3))
