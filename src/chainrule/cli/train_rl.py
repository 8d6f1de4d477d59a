"""``chainrule train --task rl``: from an environment to an agent and a page about it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.cli.common import INTERRUPTED, CommandError, finite, need, sizes, writable

if TYPE_CHECKING:
    from chainrule.rl import Agent

DIVERGED = 1
ALGORITHMS = ("ppo", "actor_critic", "reinforce")
EVALUATED = 100
"""Episodes that the agent is judged by."""
SHOWN = 20


def options(p: argparse.ArgumentParser) -> None:
    """Add what this task alone has."""
    g = p.add_argument_group("--task rl", "Learn to act in an environment of Gymnasium's; there is no DATA.")
    g.add_argument("--env", metavar="NAME", help="such as CartPole-v1")
    g.add_argument("--algorithm", choices=ALGORITHMS, default="ppo", help="default: ppo")
    g.add_argument("--steps", type=int, metavar="N", default=100_000, help="steps of the environment (default: 100000)")
    g.add_argument("--key", type=int, dest="seed", metavar="N", default=argparse.SUPPRESS, help="the same as --seed")


def run(args: argparse.Namespace) -> int:
    """Train as asked."""
    need("study,env", "gymnasium", "jinja2", "latex2mathml", "matplotlib")
    _check(args)
    writable(args.out)
    parts: list[Agent] = []
    code, start = 0, time.perf_counter()
    try:
        parts.append(_trained(args, parts))
    except KeyboardInterrupt:
        code = INTERRUPTED
        print("Interrupted; what was learned until then is kept.", file=sys.stderr)
    except ArithmeticError as e:
        code = DIVERGED
        print(f"chainrule: {e}", file=sys.stderr)
    if parts:
        _written(args, parts[-1], time.perf_counter() - start, code)
    return code


def _check(args: argparse.Namespace) -> None:
    """Raise for options that cannot be meant."""
    if args.data or args.target:
        raise CommandError("--task rl takes no data: name an environment with --env")
    if not args.env:
        raise CommandError("name the environment with --env, such as --env CartPole-v1")
    if args.steps < 1:
        raise CommandError(f"--steps must be 1 or more, and is {args.steps}")
    if args.resume:
        raise CommandError("--resume: trainings of agents are not resumed; they are short, and repeat themselves from --key")
    if args.learning_rate is not None and not args.learning_rate > 0:
        raise CommandError(f"--learning-rate must be above 0, and is {args.learning_rate:g}")


def _trained(args: argparse.Namespace, parts: list[Agent]) -> Agent:
    """The agent; `parts` gets what there is of it in between."""
    from chainrule import random, rl

    how: dict[str, Any] = {} if args.learning_rate is None else {"learning_rate": args.learning_rate}
    if args.hidden:
        how["hidden"] = sizes(args.hidden)
    watched = sys.stderr.isatty()

    def after(agent: Agent) -> None:
        parts[:] = [agent]
        if watched:
            ended = agent.history.returns[np.isfinite(agent.history.returns)]
            told = f"{int(agent.history.steps[-1]):,} of {args.steps:,} steps, return {ended[-1] if len(ended) else np.nan:.5g}"
            print(f"\r{told:60}", end="", file=sys.stderr, flush=True)

    try:
        return getattr(rl, args.algorithm)(args.env, key=random.key(args.seed), steps=args.steps, after=after, **how)
    except (ValueError, TypeError, ImportError) as e:
        raise CommandError(str(e)) from None
    finally:
        if watched:
            print(f"\r{'':60}\r", end="", file=sys.stderr)


def _written(args: argparse.Namespace, agent: Agent, seconds: float, code: int) -> None:
    """The agent, its history, the numbers and the page."""
    from chainrule import random, rl
    from chainrule.cli.predictor import write
    from chainrule.study.report import write as write_page

    h = agent.history
    returns = agent.evaluate(EVALUATED, key=random.fold_in(random.key(args.seed), 1)) if agent.env.limit else np.zeros(0)
    rl.save_agent(agent, args.out / "agent.npz")
    rows = [list(h), *zip(*[c.tolist() for c in h.values()], strict=True)]
    write(args.out / "history.csv", "".join(",".join(map(str, row)) + "\n" for row in rows).encode())
    path = write_page(args.out, _page(args, agent, returns), "index.html")
    facts = {
        "task": "rl",
        "env": args.env,
        "algorithm": args.algorithm,
        "key": args.seed,
        "steps": int(h.steps[-1]),
        "steps_per_second": float(h.steps[-1]) / seconds,
        "stopped": {0: "", INTERRUPTED: "interrupted", DIVERGED: "diverged"}[code],
        "evaluation": {"episodes": len(returns), **_summary(returns)},
        "history": {name: c.tolist() for name, c in h.items()},
        "page": str(path),
    }
    text = json.dumps(finite(facts), indent=1)
    write(args.out / "metrics.json", text.encode())
    print(text if args.json else _told(args, agent, returns, path))


def _summary(returns: Any) -> dict[str, float]:
    if not len(returns):
        return {}
    error = float(np.std(returns, ddof=1) / np.sqrt(len(returns)))
    return {
        "mean": float(np.mean(returns)),
        "standard_error": error,
        "min": float(np.min(returns)),
        "max": float(np.max(returns)),
    }


def _told(args: argparse.Namespace, agent: Agent, returns: Any, path: Path) -> str:
    s = _summary(returns)
    judged = f"mean return {s['mean']:.5g} ± {s['standard_error']:.2g} over {len(returns)} episodes" if s else "not judged"
    return f"{args.algorithm} on {args.env}, {int(agent.history.steps[-1]):,} steps: {judged}\n\nThe page: {path}"


def _page(args: argparse.Namespace, agent: Agent, returns: Any) -> str:
    """The page as HTML."""
    from chainrule import plot
    from chainrule.cli.train_page import Section
    from chainrule.study.model import Figure, Table
    from chainrule.study.report import filled

    h = agent.history
    ended = np.isfinite(h.returns)
    series = {"episodes that ended": (h.steps[ended], h.returns[ended])}
    fig, _ = plot.curves(series, "Learning curve", "steps", "mean return", yscale="linear")
    curve = Figure(
        plot.svg(fig, "returns"), "The mean return of the episodes that ended in each iteration.", "returns against steps"
    )
    keep = sorted({round(k) for k in np.linspace(0, len(h.steps) - 1, min(len(h.steps), SHOWN))})
    rows = [[str(int(h.steps[k])), *[float(c[k]) for name, c in h.items() if name != "steps"]] for k in keep]
    numbers = Table("The numbers", list(h), rows)
    judged = Table("Without exploration", ["Quantity", "Value"], [[k, v] for k, v in _summary(returns).items()])
    sections = [
        Section("results", "Results", f"Returns of {len(returns)} whole episodes after training.", (), [judged]),
        Section("training", "Training", "", [curve], [numbers]),
    ]
    lead = f"{agent.algorithm} after {int(h.steps[-1]):,} steps of {args.env}."
    return filled("train.html.jinja", {"title": f"An agent for {args.env}", "lead": lead, "sections": sections})
