"""Which units an iteration consists of, read off the phases."""

from typing import Literal

from nashflow.components.methods.base import Method
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.phases import Phase, PolicyRef, Sampling
from nashflow.components.methods.units import units_of


class TwoSteps(Method):
    """ONPO's shape: two regressions on the same pairs, the second anchored on the first's result."""

    name: Literal["two_steps"] = "two_steps"

    def phases(self, iteration: int) -> tuple[Phase, ...]:
        current, auxiliary = PolicyRef(iteration - 1), PolicyRef(iteration, "auxiliary")
        sampled = (Sampling({current: 1.0}, 2),)
        return (
            Phase("auxiliary", {current: 1.0}, "squared", current, auxiliary, samples=sampled),
            Phase("main", {auxiliary: 1.0}, "squared", current, PolicyRef(iteration), data_from="auxiliary"),
        )


def test_an_iteration_of_one_phase_in_the_order_of_work() -> None:
    for method in (INPO(eta=0.5, tau=0.1), IterativeDPO()):
        assert list(units_of(method, 2, shards=2).items()) == [
            ("main/rollout", ["iterations/002/main/rollouts/00000", "iterations/002/main/rollouts/00001"]),
            ("main/judging", ["iterations/002/main/pairs/00000", "iterations/002/main/pairs/00001"]),
            ("main/logprobs", ["iterations/002/main/logprobs/00000", "iterations/002/main/logprobs/00001"]),
            ("main/training", ["policies/002/main"]),
            ("evaluation", ["iterations/002/evaluation/benchmarks/00000"]),
        ]


def test_a_phase_on_earlier_data_samples_and_judges_nothing() -> None:
    units = units_of(TwoSteps(), 1, shards=1)
    assert list(units) == [
        "auxiliary/rollout",
        "auxiliary/judging",
        "auxiliary/logprobs",
        "auxiliary/training",
        "main/logprobs",
        "main/training",
        "evaluation",
    ]
    assert (units["auxiliary/training"], units["main/training"]) == (["policies/001/auxiliary"], ["policies/001/main"])
    assert units["main/logprobs"] == ["iterations/001/main/logprobs/00000"]


def test_the_reference_is_evaluated_and_nothing_else() -> None:
    assert units_of(INPO(eta=0.5, tau=0.1), 0, 8) == {"evaluation": ["iterations/000/evaluation/benchmarks/00000"]}


def test_no_unit_of_a_run_is_written_twice() -> None:
    for method in (INPO(eta=0.5, tau=0.1), TwoSteps()):
        keys = [key for t in range(4) for units in units_of(method, t, 3).values() for key in units]
        assert len(keys) == len(set(keys))
