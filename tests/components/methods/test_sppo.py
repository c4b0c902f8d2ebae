"""SPPO's phase: each response regresses on its own win rate."""

import pytest

from nashflow.components.methods.phases import PolicyRef, Sampling
from nashflow.components.methods.sppo import SPPO


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_the_phase(iteration: int) -> None:
    (phase,) = SPPO(eta=3.0).phases(iteration)
    current = PolicyRef(iteration - 1)
    assert phase.samples == (Sampling({current: 1.0}, 8),)
    assert (phase.comparisons, phase.labels, phase.link) == ("win_rates", "soft", "unpaired")
    assert phase.weights == {str(current): 1.0}
    assert (phase.start_from, phase.result) == (current, PolicyRef(iteration))


def test_eta_is_a_learning_rate() -> None:
    """The published code's β = 0.001 is η = 1000: targets up to ±500 nats."""
    (phase,) = SPPO(eta=1000).phases(1)
    assert phase.target == 500


def test_the_hard_variant() -> None:
    """Best against worst at ±η/2."""
    (phase,) = SPPO(eta=4.0, samples=5, comparisons="max_min", labels="binary").phases(1)
    assert (phase.comparisons, phase.labels, phase.target) == ("max_min", "binary", 2.0)
