"""Which units an iteration consists of, read off the phases."""

from nashflow.components.methods.egpo import EGPO
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.ipo import IPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.onpo import ONPO
from nashflow.components.methods.units import units_of


def test_an_iteration_of_one_phase_in_the_order_of_work() -> None:
    """Given pairs are read by the rollout step too."""
    for method in (INPO(eta=0.5, tau=0.1), IterativeDPO(), IPO(tau=0.1)):
        assert list(units_of(method, 2, shards=2).items()) == [
            ("main/rollout", ["iterations/002/main/rollouts/00000", "iterations/002/main/rollouts/00001"]),
            ("main/judging", ["iterations/002/main/pairs/00000", "iterations/002/main/pairs/00001"]),
            ("main/logprobs", ["iterations/002/main/logprobs/00000", "iterations/002/main/logprobs/00001"]),
            ("main/training", ["policies/002/main"]),
            ("evaluation", ["iterations/002/evaluation/benchmarks/00000"]),
        ]


def test_a_phase_on_earlier_data_samples_and_judges_nothing() -> None:
    units = units_of(ONPO(eta=0.5), 1, shards=1)
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


def test_two_phases_with_data_of_their_own_repeat_every_step() -> None:
    units = units_of(EGPO(eta=0.5, beta=0.1), 4, shards=1)
    steps = ["rollout", "judging", "logprobs", "training"]
    assert list(units) == [*(f"half/{step}" for step in steps), *(f"main/{step}" for step in steps), "evaluation"]
    assert (units["half/training"], units["main/training"]) == (["policies/004/half"], ["policies/004/main"])


def test_the_reference_is_evaluated_and_nothing_else() -> None:
    assert units_of(INPO(eta=0.5, tau=0.1), 0, 8) == {"evaluation": ["iterations/000/evaluation/benchmarks/00000"]}


def test_no_unit_of_a_run_is_written_twice() -> None:
    for method in (INPO(eta=0.5, tau=0.1), ONPO(eta=0.5), EGPO(eta=0.5, beta=0.1)):
        keys = [key for t in range(4) for units in units_of(method, t, 3).values() for key in units]
        assert len(keys) == len(set(keys))
