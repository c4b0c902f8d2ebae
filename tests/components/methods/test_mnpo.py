"""MNPO's phase: the weights of the past, and what it says while there is too little of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.mnpo import MNPO
from nashflow.components.methods.phases import PolicyRef, Sampling

histories = st.lists(st.floats(0.01, 1), min_size=1, max_size=5).map(
    lambda shares: tuple(share / sum(shares) for share in shares)
)


@pytest.mark.parametrize(
    ("iteration", "weights"),
    [
        (1, {"000/main": 1.0}),
        # π_1 with 0.2/0.5 and π_ref = π_0 with 0.3/0.5 of what τ/η = 0.25 leaves
        (2, {"000/main": 0.25 + 0.75 * 0.6, "001/main": 0.75 * 0.4}),
        (3, {"000/main": 0.25 + 0.75 * 0.5, "001/main": 0.75 * 0.3, "002/main": 0.75 * 0.2}),
        (5, {"000/main": 0.25, "002/main": 0.75 * 0.5, "003/main": 0.75 * 0.3, "004/main": 0.75 * 0.2}),
    ],
)
def test_the_anchors(iteration: int, weights: dict[str, float]) -> None:
    (phase,) = MNPO(eta=0.4, tau=0.1, history=(0.2, 0.3, 0.5)).phases(iteration)
    assert phase.weights == pytest.approx(weights)
    assert (phase.link, phase.target) == ("squared", 1 / (2 * 0.4))
    assert (phase.start_from, phase.result) == (PolicyRef(iteration - 1), PolicyRef(iteration))
    assert phase.samples == (Sampling({PolicyRef(iteration - 1): 1.0}, 2),), "the opponent is the current policy alone"


def test_published_code_as_settings() -> None:
    """Its second iteration: η = 0.005, ratio 0.85 on the reference, a quarter of the rest on the newest policy."""
    (phase,) = MNPO(eta=0.005, tau=0.85 * 0.005, history=(0.25, 0.75), samples=4).phases(7)
    assert phase.weights == pytest.approx({"000/main": 0.85, "005/main": 0.1125, "006/main": 0.0375})
    assert phase.target == pytest.approx(100)


@pytest.mark.parametrize(
    ("iteration", "note"),
    [
        (1, "history names 3 policies, of which 1 exist: rescaled to [1]"),
        (2, "history names 3 policies, of which 2 exist: rescaled to [0.4, 0.6]"),
        (3, ""),
        (4, ""),
    ],
)
def test_a_history_longer_than_the_run_is_rescaled_and_says_so(iteration: int, note: str) -> None:
    (phase,) = MNPO(eta=0.4, tau=0.1, history=(0.2, 0.3, 0.5)).phases(iteration)
    assert phase.note == note


@given(histories, st.integers(1, 8), st.floats(0, 1))
def test_the_weights_sum_to_one_and_name_policies_that_exist(
    history: tuple[float, ...], iteration: int, ratio: float
) -> None:
    (phase,) = MNPO(eta=0.5, tau=0.5 * ratio, history=history).phases(iteration)
    assert sum(phase.weights.values()) == pytest.approx(1)
    assert set(phase.anchors) <= {PolicyRef(past) for past in range(iteration)}


@given(st.integers(1, 6), st.floats(0, 1))
def test_a_history_of_one_is_inpo(iteration: int, ratio: float) -> None:
    mnpo, inpo = MNPO(eta=0.5, tau=0.5 * ratio, history=(1.0,)), INPO(eta=0.5, tau=0.5 * ratio)
    assert mnpo.phases(iteration) == inpo.phases(iteration)
