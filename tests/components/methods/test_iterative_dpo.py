"""Iterative DPO's phase: its anchors, and the policy that its loss leads to where its assumption holds."""

from typing import Literal

import numpy as np
import pytest

from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.phases import REFERENCE, PolicyRef, Sampling


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_the_phase_samples_the_current_policy_and_makes_the_next(iteration: int) -> None:
    method = IterativeDPO(beta=0.3, label_smoothing=0.1, samples=4, temperature=0.9, labels="binary", reduction="mean")
    (phase,) = method.phases(iteration)
    current = PolicyRef(iteration - 1)
    assert phase.samples == (Sampling({current: 1.0}, 4, role="pair", temperature=0.9),)
    assert (phase.start_from, phase.result) == (current, PolicyRef(iteration))
    assert (phase.link, phase.beta, phase.label_smoothing) == ("logistic", 0.3, 0.1)
    assert (phase.comparisons, phase.labels, phase.reduction) == ("iid", "binary", "mean")


@pytest.mark.parametrize(
    ("reference", "iteration", "anchor"),
    [
        ("moving", 1, REFERENCE),
        ("moving", 2, PolicyRef(1)),
        ("moving", 5, PolicyRef(4)),
        ("fixed", 1, REFERENCE),
        ("fixed", 2, REFERENCE),
        ("fixed", 5, REFERENCE),
    ],
)
def test_the_anchor(reference: Literal["moving", "fixed"], iteration: int, anchor: PolicyRef) -> None:
    (phase,) = IterativeDPO(reference=reference).phases(iteration)
    assert phase.weights == {str(anchor): 1.0}


@pytest.mark.parametrize("reference", ["moving", "fixed"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_gradient_vanishes_where_the_paper_says(reference: Literal["moving", "fixed"], smoothing: float) -> None:
    """Bradley-Terry preferences of rewards R: π_anchor exp(R/β) minimises the loss.

    With smoothing R gives way to the log-odds of p (1 − ε) + (1 − p) ε, which are differences of rewards for two
    responses, not for more.
    """
    random = np.random.default_rng(0)
    responses = 2 if smoothing else 6
    rewards, beta = random.normal(size=responses), 0.4
    logs = {str(ref): np.log(random.dirichlet(np.ones(responses))) for ref in (REFERENCE, PolicyRef(2))}
    (phase,) = IterativeDPO(beta=beta, reference=reference, label_smoothing=smoothing).phases(3)
    (anchor,) = (logs[policy] for policy in phase.weights)
    p = 1.0 / (1.0 + np.exp(rewards[None, :] - rewards[:, None]))
    mu = np.exp(logs["002/main"])

    def loss(policy: np.ndarray) -> float:
        ratio = policy - anchor
        h = phase.beta * (ratio[:, None] - ratio[None, :])
        eps = phase.label_smoothing
        return float(np.sum(mu[:, None] * mu * p * ((1 - eps) * np.logaddexp(0, -h) + eps * np.logaddexp(0, h))))

    noisy = p * (1 - smoothing) + (1 - p) * smoothing
    odds = np.log(noisy[:, 0] / noisy[0, :])
    minimiser = anchor + (odds if smoothing else rewards) / beta
    steps = 1e-5 * np.eye(responses)
    gradient = [(loss(minimiser + step) - loss(minimiser - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, 0.0, atol=1e-9)
    assert loss(minimiser) < min(loss(minimiser + 1e3 * step) for step in steps)
