"""INPO's phase against the paper's equations, and its loss against the form that public implementations have."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.objective import pair_losses
from nashflow.components.methods.phases import REFERENCE, PolicyRef, Sampling

constants = st.floats(1e-3, 1e2).flatmap(lambda eta: st.tuples(st.just(eta), st.floats(0.0, eta)))
logits = st.lists(st.floats(-20, 20), min_size=4, max_size=4)


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_the_phase_samples_the_current_policy_and_makes_the_next(iteration: int) -> None:
    method = INPO(
        eta=0.5, tau=0.1, samples=8, temperature=0.7, comparisons="bracket", labels="binary", reduction="mean"
    )
    (phase,) = method.phases(iteration)
    current = PolicyRef(iteration - 1)
    assert phase.samples == (Sampling({current: 1.0}, 8, role="pair", temperature=0.7),)
    assert (phase.name, phase.start_from, phase.result) == ("main", current, PolicyRef(iteration))
    assert (phase.comparisons, phase.labels, phase.reduction) == ("bracket", "binary", "mean")
    assert (phase.link, phase.target, phase.updates) == ("squared", 1.0, None)


@pytest.mark.parametrize(
    ("tau", "iteration", "weights"),
    [
        (0.1, 1, {"000/main": 1.0}),
        (0.1, 2, {"000/main": 0.2, "001/main": 0.8}),
        (0.1, 5, {"000/main": 0.2, "004/main": 0.8}),
        (0.0, 1, {"000/main": 1.0}),
        (0.0, 2, {"001/main": 1.0}),
        (0.0, 5, {"004/main": 1.0}),
        (0.5, 1, {"000/main": 1.0}),
        (0.5, 5, {"000/main": 1.0}),
    ],
)
def test_the_anchors(tau: float, iteration: int, weights: dict[str, float]) -> None:
    """At t = 1 the reference is the current policy, once; a weight of zero costs no log-probabilities."""
    (phase,) = INPO(eta=0.5, tau=tau).phases(iteration)
    assert phase.weights == pytest.approx(weights, abs=1e-15)


@given(constants, st.integers(1, 50))
def test_weights_sum_to_one_and_the_target_is_half_the_learning_rate(pair: tuple[float, float], t: int) -> None:
    eta, tau = pair
    (phase,) = INPO(eta=eta, tau=tau).phases(t)
    assert sum(phase.weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert all(weight > 0.0 for weight in phase.weights.values())
    assert phase.target == pytest.approx(1.0 / (2.0 * eta), rel=1e-15)


def test_the_papers_recipe() -> None:
    """Table 1: η = 0.005, τ = η/3, so that the reference weighs one third and the regression's target is 100 nats."""
    (phase,) = INPO(eta=0.005, tau=0.005 / 3).phases(2)
    assert phase.weights == pytest.approx({"000/main": 1 / 3, "001/main": 2 / 3})
    assert phase.target == pytest.approx(100.0)


@given(st.floats(1e-3, 10), st.integers(1, 1000))
def test_decreasing_steps(tau: float, t: int) -> None:
    """η_t = τ(t + 2)/2: the reference weighs 2/(t + 2) and the target is 1/(τ(t + 2)), whatever came before."""
    (phase,) = INPO(eta="decreasing", tau=tau).phases(t)
    assert phase.target == pytest.approx(1 / (tau * (t + 2)))
    expected = {"000/main": 2 / (t + 2), str(PolicyRef(t - 1)): t / (t + 2)} if t > 1 else {"000/main": 1.0}
    assert phase.weights == pytest.approx(expected)


@given(constants, logits, st.integers(1, 5))
def test_h_before_the_first_step(pair: tuple[float, float], logs: list[float], t: int) -> None:
    """With π = π_t, h = (1 − w_t) D_t − w_ref D_ref; at t = 1 both are one policy and h vanishes."""
    eta, tau = pair
    (phase,) = INPO(eta=eta, tau=tau).phases(t)
    d_ref, d_t = logs[0] - logs[1], logs[2] - logs[3]
    if t == 1:
        d_ref = d_t
    margin = {str(PolicyRef(t - 1)): d_t, str(REFERENCE): d_ref}
    h = d_t - sum(weight * margin[policy] for policy, weight in phase.weights.items())
    assert h == pytest.approx((tau / eta) * (d_t - d_ref), abs=1e-9)


@given(constants, st.integers(0, 2**32 - 1), st.integers(2, 9))
@settings(max_examples=25)
def test_the_loss_is_that_of_sums_of_log_probabilities_with_the_ratio_of_tau_and_eta(
    pair: tuple[float, float], seed: int, t: int
) -> None:
    """(u_w − u_l − 1/(2η))², u = log π − r log π_ref − (1 − r) log π_t of a response, r = τ/η: each the sum over its
    tokens, EOS included; and so are the gradients."""
    eta, tau = pair
    random = torch.Generator().manual_seed(seed)
    tokens = -10 * torch.rand(3, 2, 5, 12, generator=random, dtype=torch.float64)  # policies, sides, pairs, tokens
    lengths = torch.randint(1, 13, (2, 5, 1), generator=random)
    sums = torch.where(torch.arange(12) < lengths, tokens, 0.0).sum(-1)
    live = sums[0].clone().requires_grad_()
    r = tau / eta
    u_won, u_lost = live - r * sums[1] - (1 - r) * sums[2]
    wanted = (u_won - u_lost - 1 / 2 / eta) ** 2
    (phase,) = INPO(eta=eta, tau=tau).phases(t)
    policies = {REFERENCE: sums[1], PolicyRef(t - 1): sums[2]}
    anchors = {policy: (both[0], both[1]) for policy, both in policies.items()}
    losses = pair_losses(phase, live[0], live[1], anchors)
    torch.testing.assert_close(losses, wanted, rtol=1e-10, atol=1e-10)
    (expected,), (found,) = (torch.autograd.grad(each.sum(), [live]) for each in (wanted, losses))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
