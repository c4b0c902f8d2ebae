"""DNO-Prct's phase: the teacher joins, and small margins are dropped."""

import pytest

from nashflow.components.methods.dno import DNO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.phases import PolicyRef, Sampling


@pytest.mark.parametrize("iteration", [1, 2, 5])
@pytest.mark.parametrize("teacher", [True, False])
def test_the_phase(iteration: int, teacher: bool) -> None:
    (phase,) = DNO(beta=0.3, margin=0.4, teacher=teacher, samples=5).phases(iteration)
    current = PolicyRef(iteration - 1)
    assert phase.samples == (Sampling({current: 1.0}, 5),)
    assert phase.given == ("responses" if teacher else None)
    assert (phase.comparisons, phase.labels, phase.margin) == ("all_pairs", "binary", 0.4)
    assert (phase.link, phase.beta, phase.label_smoothing) == ("logistic", 0.3, 0.0)
    assert phase.weights == {str(current): 1.0}
    assert (phase.start_from, phase.result) == (current, PolicyRef(iteration))


@pytest.mark.parametrize("iteration", [1, 3])
def test_without_teacher_and_margin_it_is_iterative_dpo(iteration: int) -> None:
    dno = DNO(margin=0.0, teacher=False, samples=4, comparisons="max_min", labels="sampled")
    dpo = IterativeDPO(samples=4, comparisons="max_min")
    assert dno.phases(iteration) == dpo.phases(iteration)
