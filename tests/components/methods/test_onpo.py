"""ONPO's two phases: an auxiliary policy that lives on, and the one that is played."""

import pytest

from nashflow.components.methods.onpo import ONPO
from nashflow.components.methods.phases import REFERENCE, PolicyRef, Sampling


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_both_phases_regress_on_the_pairs_of_the_played_policy(iteration: int) -> None:
    auxiliary, main = ONPO(eta=0.5, samples=4, temperature=0.8, labels="soft", reduction="mean").phases(iteration)
    assert auxiliary.samples == (Sampling({PolicyRef(iteration - 1): 1.0}, 4, temperature=0.8),)
    assert (main.samples, main.data_from) == ((), "auxiliary")
    assert (auxiliary.labels, auxiliary.comparisons) == ("soft", "iid")
    assert auxiliary.reduction == main.reduction == "mean"
    assert auxiliary.link == main.link == "squared"
    assert auxiliary.target == main.target == 0.25


@pytest.mark.parametrize(
    ("iteration", "previous"), [(1, REFERENCE), (2, PolicyRef(1, "auxiliary")), (5, PolicyRef(4, "auxiliary"))]
)
def test_the_auxiliary_policy_goes_on_from_its_own_past(iteration: int, previous: PolicyRef) -> None:
    """π'_1 = π_ref; π_t is the opponent, and in no anchor."""
    auxiliary, main = ONPO(eta=0.5).phases(iteration)
    made = PolicyRef(iteration, "auxiliary")
    assert (auxiliary.weights, auxiliary.start_from, auxiliary.result) == ({str(previous): 1.0}, previous, made)
    assert (main.weights, main.start_from, main.result) == ({str(made): 1.0}, made, PolicyRef(iteration))


def test_eta_is_a_learning_rate() -> None:
    """The paper's 1/η = 0.01 is a target of 50 nats; on an opponent's word it counts twice."""
    assert [phase.target for phase in ONPO(eta=100).phases(1)] == [50, 50]
    assert [phase.target for phase in ONPO(eta=100, comparisons="versus_opponent").phases(1)] == [100, 100]
