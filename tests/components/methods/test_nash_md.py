"""Nash-MD's phase: a mixture samples, and the same mixture is the base."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.methods.nash_md import NashMD
from nashflow.components.methods.phases import REFERENCE, PolicyRef, Sampling


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_a_fixed_step(iteration: int) -> None:
    (phase,) = NashMD(eta=0.5, tau=0.4, samples=8, comparisons="bracket").phases(iteration)
    current = PolicyRef(iteration - 1)
    mixture = {REFERENCE: 0.2, current: 0.8} if iteration > 1 else {REFERENCE: 1.0}
    (sampling,) = phase.samples
    assert (sampling.policies, sampling.count, sampling.role) == (pytest.approx(mixture), 8, "pair")
    assert phase.anchors == sampling.policies
    assert (phase.link, phase.target) == ("squared", 0.25)
    assert (phase.start_from, phase.result) == (current, PolicyRef(iteration))


@given(st.floats(1e-3, 10), st.integers(1, 1000))
def test_decreasing_steps(tau: float, t: int) -> None:
    """η_t = 2 / (τ(t + 2)): the reference weighs 2 / (t + 2), in the anchors and in the mixture that samples."""
    (phase,) = NashMD(tau=tau).phases(t)
    expected = {"000/main": 2 / (t + 2), str(PolicyRef(t - 1)): t / (t + 2)} if t > 1 else {"000/main": 1.0}
    assert phase.weights == pytest.approx(expected)
    assert phase.samples[0].weights == pytest.approx(expected)
    assert phase.target == pytest.approx(1 / (tau * (t + 2)))


def test_an_opponent_comes_from_the_mixture_too() -> None:
    (phase,) = NashMD(eta=0.5, tau=0.4, comparisons="versus_opponent", temperature=2.0).phases(3)
    mixture = {REFERENCE: 0.2, PolicyRef(2): 0.8}
    assert phase.samples == (
        Sampling(mixture, 2, temperature=2.0),
        Sampling(mixture, 1, role="opponent", temperature=1.0),
    )
    assert phase.target == 0.5
