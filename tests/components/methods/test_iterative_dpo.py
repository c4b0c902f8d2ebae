"""Iterative DPO's phase: its anchors and its constants."""

from typing import Literal

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


def test_the_published_constants_are_the_usual_ones() -> None:
    """RLHF Workflow: β = 0.1, the anchor moves, no label is taken to be wrong."""
    (phase,) = IterativeDPO().phases(3)
    assert (phase.beta, phase.label_smoothing, phase.weights) == (0.1, 0.0, {"002/main": 1.0})
