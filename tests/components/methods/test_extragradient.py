"""EGPO and Nash-MP: a half step and a full step from one base, in each paper's constants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.methods.base import PairedMethod
from nashflow.components.methods.egpo import EGPO
from nashflow.components.methods.nash_mp import NashMP
from nashflow.components.methods.phases import REFERENCE, PolicyRef, Sampling

METHODS = {"egpo": EGPO(eta=0.8, beta=0.25), "nash_mp": NashMP(beta=0.25, proximal_weight=1.0)}
"""Both take steps of 0.8, a fifth of the way to the reference."""


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_the_full_step_starts_where_the_half_step_did(method: PairedMethod, iteration: int) -> None:
    current, middle = PolicyRef(iteration - 1), PolicyRef(iteration, "half")
    half, full = method.phases(iteration)
    assert (half.name, half.result) == ("half", middle)
    assert (full.name, full.result) == ("main", PolicyRef(iteration))
    assert half.samples == (Sampling({current: 1.0}, 2),)
    assert full.samples == (Sampling({middle: 1.0}, 2),), "the opponent is the half step's policy"
    for phase in (half, full):
        assert phase.start_from == current
        assert phase.weights == pytest.approx(
            {"000/main": 0.2, str(current): 0.8} if iteration > 1 else {"000/main": 1.0}
        )
        assert (phase.link, phase.data_from, phase.updates) == ("squared", None, None)
        assert phase.target == pytest.approx(0.4)


@given(st.floats(1e-3, 10), st.floats(1e-3, 10), st.integers(1, 4))
def test_they_are_one_map_with_eta_one_over_beta_plus_lambda(beta: float, weight: float, iteration: int) -> None:
    egpo = EGPO(eta=1 / (beta + weight), beta=beta).phases(iteration)
    nash_mp = NashMP(beta=beta, proximal_weight=weight).phases(iteration)
    for one, other in zip(egpo, nash_mp, strict=True):
        assert (one.weights, one.target) == (pytest.approx(other.weights), other.target)


def test_nash_mp_has_the_papers_proximal_weight() -> None:
    half, _ = NashMP(beta=0.1).phases(3)
    assert half.weights == pytest.approx({"000/main": 0.1 / 0.6, "002/main": 0.5 / 0.6})
    assert half.target == pytest.approx(1 / 1.2)


def test_the_largest_step_is_the_best_response() -> None:
    half, full = EGPO(eta=4.0, beta=0.25).phases(3)
    assert half.weights == full.weights == {str(REFERENCE): 1.0}
