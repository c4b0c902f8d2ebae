"""IPO and online IPO: one regression on the reference, on given pairs or on one's own."""

from typing import Any

import pytest

from nashflow.components.methods.ipo import IPO
from nashflow.components.methods.online_ipo import OnlineIPO
from nashflow.components.methods.phases import PolicyRef, Sampling


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_ipo_reads_pairs_and_samples_nothing(iteration: int) -> None:
    (phase,) = IPO(tau=0.25, reduction="mean").phases(iteration)
    assert (phase.samples, phase.given, phase.comparisons) == ((), "pairs", "given")
    assert (phase.link, phase.target, phase.weights) == ("squared", 2.0, {"000/main": 1.0})
    assert (phase.start_from, phase.result, phase.reduction) == (PolicyRef(iteration - 1), PolicyRef(iteration), "mean")


@pytest.mark.parametrize("iteration", [1, 2, 5])
def test_online_ipo_takes_n_updates_on_pairs_of_the_policy_in_training(iteration: int) -> None:
    (phase,) = OnlineIPO(tau=0.25, updates=3).phases(iteration)
    assert phase.samples == (Sampling({PolicyRef(iteration - 1): 1.0}, 2),)
    assert (phase.link, phase.target, phase.weights) == ("squared", 2.0, {"000/main": 1.0})
    assert (phase.updates, phase.given, phase.comparisons) == (3, None, "iid")
    assert (phase.start_from, phase.result) == (PolicyRef(iteration - 1), PolicyRef(iteration))


def test_three_responses_as_the_egpo_paper_has_online_ipo() -> None:
    """Its first form: y, y' from anywhere, y'' from the live policy, (D − D_ref − (P(y ≻ y'') − P(y' ≻ y''))/τ)².

    The phase's labels are 2P − 1, and half their difference is that of the probabilities.
    """
    settings: dict[str, Any] = {"comparisons": "versus_opponent", "labels": "soft", "temperature": 2.0}
    (phase,) = OnlineIPO(tau=0.25, updates=1, **settings).phases(2)
    assert [(drawn.count, drawn.role, drawn.temperature) for drawn in phase.samples] == [
        (2, "pair", 2.0),
        (1, "opponent", 1.0),
    ]
    assert phase.target == 1 / 0.25
