"""Claims of 9.7: policy gradients, value functions, actor and critic.

All on one small decision process whose values, best actions and gradients can be computed without the formulas in question.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Derivative, Matches, Same, descend, distance, normals
from chainrule.special import softmax

STATES, ACTIONS, STEPS, DISCOUNT = 3, 2, 3, 0.9
P = softmax(2 * normals(81, (STATES, ACTIONS, STATES))[0], axis=-1)  # P[s, a, t]: the chance to get from s to t by action a
R = normals(82, (STATES, ACTIONS))[0] + 0.5
START = np.array([0.5, 0.3, 0.2])
THETAS = [(t,) for t in normals(83, (STATES, ACTIONS), (STATES, ACTIONS))]


def policy(theta: Any) -> Any:
    """The chance of each action in each state."""
    return softmax(theta, axis=-1)


def score(theta: Any, s: Any, a: Any) -> Any:
    """Derivative of log pi(a|s) in all parameters, by hand, for arrays of states and actions."""
    states, actions = np.eye(STATES)[s], np.eye(ACTIONS)[a]
    return states[..., :, None] * (actions - policy(theta)[s])[..., None, :]


def expected_rewards(theta: Any, steps: int) -> list[Any]:
    """The expected reward at each time, by following the distribution of the state."""
    chances = policy(theta)
    at, out = START, []
    for _ in range(steps):
        joint = at[:, None] * chances
        out.append(np.sum(joint * R))
        at = np.sum(joint[:, :, None] * P, axis=(0, 1))
    return out


def objective(theta: Any) -> Any:
    """Expected sum of three rewards."""
    return sum(expected_rewards(theta, STEPS))


def trajectories(theta: Any) -> tuple[Any, Any, Any, Any]:
    """All 216 ways an episode of three steps can go: states, actions, probability, sum of the rewards."""
    ways = np.array(list(product(*[range(STATES), range(ACTIONS)] * STEPS)))
    s, a = ways[:, ::2], ways[:, 1::2]
    chance = START[s[:, 0]] * np.prod(policy(theta)[s, a], axis=1) * np.prod(P[s[:, :-1], a[:, :-1], s[:, 1:]], axis=1)
    return s, a, chance, np.sum(R[s, a], axis=1)


def weighted_scores(weight: Any) -> Any:
    """The sum over all trajectories of a weight times the derivative of the log of their probability."""

    def gradient(theta: Any) -> Any:
        s, a, chance, reward = trajectories(theta)
        return np.einsum("n,ntij->ij", weight(chance, reward), score(theta, s, a))

    return gradient


def sampled(theta: Any, number: int) -> tuple[Any, Any]:
    """States and actions of some episodes that this policy plays."""
    rng = np.random.default_rng(84)
    pick = lambda p: np.sum(np.cumsum(p, axis=-1) < rng.random((*p.shape[:-1], 1)), axis=-1)
    s, states, actions = pick(np.tile(START, (number, 1))), [], []
    for _ in range(STEPS):
        a = pick(policy(theta)[s])
        states.append(s)
        actions.append(a)
        s = pick(P[s, a])
    return np.stack(states, 1), np.stack(actions, 1)


def estimates_the_gradient(estimate: Any) -> tuple[bool, dict[str, float]]:
    """Of 20 000 played episodes: is the mean of what each contributes within 4.5 standard errors of the exact gradient?"""
    (theta,) = THETAS[0]
    s, a = sampled(theta, 20_000)
    each = estimate(np.sum(R[s, a], 1), score(theta, s, a))
    error = np.std(each, axis=0) / np.sqrt(len(each))
    worst = float(np.max(np.abs(np.mean(each, axis=0) - cr.grad(objective)(theta)) / error))
    return worst < 4.5, {"largest distance in standard errors": worst, "standard error": float(error.max())}


def values_by_simulation_of_chances(theta: Any) -> Any:
    """V: the discounted expected rewards of 400 steps from each state, by following the distribution of the state."""
    chances = policy(theta)
    at, out = np.eye(STATES), np.zeros(STATES)
    for k in range(400):
        out = out + DISCOUNT**k * np.einsum("xs,sa,sa->x", at, chances, R)
        at = np.einsum("xs,sa,sat->xt", at, chances, P)
    return out


def weighted_return(weight: Any) -> Any:
    """The expected sum of the rewards of 400 steps, each with a weight."""
    return lambda theta: sum(weight(k) * r for k, r in enumerate(expected_rewards(theta, 400)))


def library_values(theta: Any) -> Any:
    """What `chainrule.rl.policy_evaluation` says of the policy, from the start distribution."""
    return START @ cr.rl.policy_evaluation((P, R), policy(theta), discount=DISCOUNT).values


def over_actions_alone(v: Any, theta: Any) -> Any:
    """The mean over actions of reward and discounted value of the likeliest next state."""
    return np.sum(policy(theta) * (R + DISCOUNT * v[np.argmax(P, axis=-1)]), axis=1)


def over_actions_and_next_states(v: Any, theta: Any) -> Any:
    """The mean over actions and next states."""
    return np.sum(policy(theta) * (R + DISCOUNT * P @ v), axis=1)


def leaves_the_values_as_they_are(operator: Any) -> tuple[bool, dict[str, float]]:
    """Applied to the policy's true values: does the right-hand side give them back?"""
    gap = max(distance(operator(values_by_simulation_of_chances(t), t), values_by_simulation_of_chances(t)) for (t,) in THETAS)
    return gap < 1e-9, {"largest difference": gap}


def best_action_values() -> Any:
    """Q*, from the best of all eight policies that choose one action in each state, each evaluated."""
    found = [policy_values(np.eye(ACTIONS)[list(choice)]) for choice in product(range(ACTIONS), repeat=STATES)]
    return R + DISCOUNT * P @ np.max(found, axis=0)


def policy_values(chances: Any) -> Any:
    """V of a policy, from its own rewards and transitions."""
    transitions = np.einsum("sa,sat->st", chances, P)
    return sum(DISCOUNT**k * np.linalg.matrix_power(transitions, k) @ np.sum(chances * R, 1) for k in range(300))


def learns_the_best_values(target: Any) -> tuple[bool, dict[str, float]]:
    """After 10 000 updates of every state and action with sampled next states and falling rates: is Q within 2 % of Q*?"""
    rng, q, best = np.random.default_rng(85), np.zeros((STATES, ACTIONS)), best_action_values()
    edges = np.cumsum(P, axis=-1)
    for k in range(10_000):
        after = np.sum(edges < rng.random((STATES, ACTIONS, 1)), axis=-1)
        q = q + (target(R, q[after]) - q) / (1 + (1 - DISCOUNT) * k)
    gap = float(np.max(np.abs(q - best)) / np.max(np.abs(best)))
    return gap < 0.02, {"relative distance from Q*": gap}


def values_a_last_step_by_its_reward(target: Any) -> tuple[bool, dict[str, float]]:
    """One state, reward 1, after which the episode ends in a state that is never updated, with Q there 5: does Q become 1?"""
    q, at_the_end = 0.0, 5.0
    for _ in range(400):
        q = q + 0.1 * (target(1.0, at_the_end) - q)
    return abs(q - 1) < 1e-9, {"value learnt": q}


def discounted_objective(theta: Any) -> Any:
    """J: the expected discounted return, from the linear system of the state's distribution."""
    chances = policy(theta)
    transitions = np.einsum("sa,sat->st", chances, P)
    return START @ np.linalg.solve(np.eye(STATES) - DISCOUNT * transitions, np.sum(chances * R, axis=1))


def advantages(theta: Any) -> Any:
    """Q - V."""
    v = values_by_simulation_of_chances(theta)
    return R + DISCOUNT * P @ v - v[:, None]


def scores_times_advantages(distribution: Any) -> Any:
    """The mean of score times advantage, the state drawn from this distribution, the action from the policy."""

    def gradient(theta: Any) -> Any:
        s, a = np.divmod(np.arange(STATES * ACTIONS), ACTIONS)
        weight = distribution(theta)[s] * policy(theta)[s, a] * advantages(theta)[s, a]
        return np.einsum("n,nij->ij", weight, score(theta, s, a))

    return gradient


def in_the_long_run(theta: Any) -> Any:
    """How often each state is seen when the policy is played for ever."""
    transitions = np.einsum("sa,sat->st", policy(theta), P)
    return np.linalg.matrix_power(transitions, 400)[0]


def discounted_visits(theta: Any) -> Any:
    """How often each state is seen, each visit at time t counted as gamma^t."""
    transitions = np.einsum("sa,sat->st", policy(theta), P)
    return np.linalg.solve(np.eye(STATES) - DISCOUNT * transitions.T, START)


def is_no_better_than_the_policy(function: Any) -> tuple[bool, dict[str, float]]:
    """Is its mean over the policy's actions zero in every state, and does score times it give the gradient?"""
    means, gaps = list[float](), list[float]()
    for (theta,) in THETAS:
        a = function(theta)
        means.append(float(np.max(np.abs(np.sum(policy(theta) * a, axis=1)))))
        weight = discounted_visits(theta)[:, None] * policy(theta) * a
        gradient = weight - policy(theta) * np.sum(weight, axis=1, keepdims=True)
        gaps.append(distance(gradient, cr.grad(discounted_objective)(theta)))
    return max(means) < 1e-9 and max(gaps) < 1e-9, {"largest mean": max(means), "distance from the gradient": max(gaps)}


def ends_at_the_values(target: Any) -> tuple[bool, dict[str, float]]:
    """Does descent on the mean squared error, over every state, action of the policy and next state, end at V?"""
    (theta,) = THETAS[0]
    weight = policy(theta)[:, :, None] * P / STATES

    def loss(v: Any) -> Any:
        return np.sum(weight * (v[:, None, None] - target(R[:, :, None] + DISCOUNT * v)) ** 2)

    end = descend(cr.jit(cr.grad(loss)), np.zeros(STATES), 0.5, 3000)
    exact = values_by_simulation_of_chances(theta)
    gap = float(np.max(np.abs(end - exact)) / np.max(np.abs(exact)))
    return gap < 1e-6, {"relative distance from V": gap, "slope at the end": float(np.max(np.abs(cr.grad(loss)(end))))}


CLAIMS = (
    Claim(
        id="9.7.objective", lines=(707, 710), kind="definition", verdict="true",
        statement="A policy is judged by the expected return of the trajectories it produces.", latex=r"J(\theta) = E_{\tau \sim \pi_\theta}[R(\tau)] = \sum_\tau p_\theta(\tau) R(\tau)",
        judge=Same(objective, THETAS, "expected rewards, step by step"),
        stated=lambda t: np.sum(trajectories(t)[2] * trajectories(t)[3]), other=lambda t: np.mean(trajectories(t)[3]),
        note="The probability of a trajectory is the policy's and the environment's together.",
    ),
    Claim(
        id="9.7.return", lines=(712, 712), kind="definition", verdict="imprecise",
        statement="R is the return, the rewards of a trajectory taken together; whether they are discounted is not said.", latex=r"R(\tau) = \sum_t r_t",
        judge=Same(library_values, THETAS, "the value of the start"), stated=weighted_return(lambda k: 1.0), other=weighted_return(lambda k: DISCOUNT**k),
        note="The value functions that follow are discounted. J is their value at the start only if R is too; the plain sum is another objective, and without an "
        "end of the episode it has no limit.",
        note_latex=r"R(\tau) = \sum_t \gamma^t r_t \Rightarrow J = E[V^\pi(s_0)]", source="Sutton and Barto 2018, section 3.3",
    ),
    Claim(
        id="9.7.policy_gradient", lines=(714, 718), kind="derivative", verdict="true",
        statement="The gradient is the expected product of the return and the gradient of the log-probability of the trajectory.", latex=r"\nabla_\theta J(\theta) = E_{\tau \sim \pi_\theta}[R(\tau) \nabla_\theta \log \pi_\theta(\tau)]",
        judge=Derivative(objective, THETAS), stated=weighted_scores(lambda chance, reward: chance * reward), other=weighted_scores(lambda chance, reward: reward / len(reward)),
        note="Whether π(τ) holds the environment's probabilities or not: they do not depend on θ, and drop out of the gradient of the logarithm. So must the "
        "return, given the trajectory. (The theorem of this name is usually the form with action values, from which the actor's update comes.)",
        note_latex=r"\nabla_\theta \log \pi_\theta(\tau) = \sum_t \nabla_\theta \log \pi_\theta(a_t \mid s_t)", source="Williams 1992; Sutton, McAllester, Singh and Mansour 2000",
    ),
    Claim(
        id="9.7.reinforce", lines=(720, 724), kind="update", verdict="true",
        statement="The mean over N trajectories estimates it.", latex=r"\nabla_\theta J \approx \frac1N \sum_{i=1}^N R(\tau_i) \nabla_\theta \log \pi_\theta(\tau_i)",
        judge=Matches(estimates_the_gradient), stated=lambda reward, scores: reward[:, None, None] * scores.sum(1), other=lambda reward, scores: reward[:, None, None] * scores.mean(1),
        note="Without bias, if they are drawn by this very policy, with an error of order one over the root of N. A baseline lowers the variance.",
        source="Williams 1992",
    ),
    Claim(
        id="9.7.bellman", lines=(728, 732), kind="identity", verdict="imprecise",
        statement="A state's value is the mean over the policy's actions of the reward and the discounted value of the next state.", latex=r"V^\pi(s) = E_{a \sim \pi}[r(s, a) + \gamma V^\pi(s')]",
        judge=Matches(leaves_the_values_as_they_are), stated=over_actions_alone, other=over_actions_and_next_states,
        note="The mean must be over the next state as well, which the environment draws; as it is written, s' is free. With s' fixed by s and a it is right.",
        note_latex=r"V^\pi(s) = E_{a \sim \pi(\cdot \mid s),\, s' \sim P(\cdot \mid s, a)}[r(s, a) + \gamma V^\pi(s')]", source="Sutton and Barto 2018, equation 3.14",
    ),
    Claim(
        id="9.7.q_learning", lines=(734, 738), kind="update", verdict="true",
        statement="Q-learning moves the value of an action toward the reward plus the discounted value of the best next action.", latex=r"Q(s, a) \leftarrow Q(s, a) + \alpha [r + \gamma \max_{a'} Q(s', a') - Q(s, a)]",
        judge=Matches(learns_the_best_values), stated=lambda r, after: r + DISCOUNT * after.max(-1), other=lambda r, after: r + DISCOUNT * after.mean(-1),
        note="It tends to Q* if every action is tried in every state again and again, and the rates sum to infinity and their squares do not.", source="Watkins and Dayan 1992",
    ),
    Claim(
        id="9.7.q_learning.end", lines=(736, 738), kind="update", verdict="conditional",
        statement="The same update serves at the end of an episode.", latex=r"Q(s, a) \leftarrow Q(s, a) + \alpha [r + \gamma \max_{a'} Q(s', a') - Q(s, a)], \; s' \text{ the end}",
        judge=Matches(values_a_last_step_by_its_reward), stated=lambda r, q: r + DISCOUNT * q, other=lambda r, q: r,
        note="If Q is zero at the end. No update ever corrects what an estimate says there, so the target of a last step is the reward alone. (A time limit is "
        "no end: there the target looks ahead.)",
        note_latex=r"Q(s_{\text{end}}, \cdot) = 0",
    ),
    Claim(
        id="9.7.actor", lines=(740, 746), kind="derivative", verdict="imprecise",
        statement="The gradient is the expected product of the score of an action and its advantage.", latex=r"\nabla_\theta J(\theta) = E[\nabla_\theta \log \pi_\theta(a \mid s)\, A(s, a)]",
        judge=Derivative(discounted_objective, THETAS, name="derivative of the discounted return"), stated=scores_times_advantages(in_the_long_run), other=scores_times_advantages(discounted_visits),
        note="What the mean runs over is not said. Actions come from the policy; states must be weighted by their discounted visits from the start, whose weights "
        "sum to 1/(1 - γ). Over the states as they are met in the long run, which is what most programs do, it is another direction. The actor climbs J, so its step is plus α.",
        note_latex=r"\nabla_\theta J = \sum_s \sum_t \gamma^t P(s_t = s)\, E_{a \sim \pi(\cdot \mid s)}[\nabla_\theta \log \pi_\theta(a \mid s)\, A^\pi(s, a)]", source="Sutton et al. 2000; Thomas 2014; Nota and Thomas 2020",
    ),
    Claim(
        id="9.7.advantage", lines=(748, 748), kind="definition", verdict="true",
        statement="A is the advantage function: how much better an action is than the policy's mean.", latex=r"A(s, a) = Q^\pi(s, a) - V^\pi(s)",
        judge=Matches(is_no_better_than_the_policy), stated=advantages, other=lambda t: R + DISCOUNT * P @ values_by_simulation_of_chances(t),
        note="It is named and not defined. Q itself in its place has the same expected gradient, with more variance.",
    ),
    Claim(
        id="9.7.critic", lines=(750, 754), kind="update", verdict="imprecise",
        statement="The critic minimises the expected squared difference between its value and the reward plus its discounted next value.", latex=r"L(\phi) = E[(V_\phi(s) - (r + \gamma V_\phi(s')))^2]",
        judge=Matches(ends_at_the_values), stated=lambda y: y, other=cr.stop_gradient,
        note="As a function of φ it is not what a critic descends: the target must be held constant. Where chance plays a part in the next state, the minimiser of the "
        "loss as it is written is not V: it pays to make the values of next states alike. At the end of an episode the target is the reward alone.",
        note_latex=r"L(\phi) = E[(V_\phi(s) - y)^2], \quad y = r + \gamma V_{\bar\phi}(s'), \; \bar\phi = \phi \text{ held constant}", source="Baird 1995; Sutton and Barto 2018, section 11.5",
    ),
)  # fmt: skip
