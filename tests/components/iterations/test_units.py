"""Which units an iteration consists of, read off the phases."""

from nashflow.components.benchmarks import BENCHMARKS
from nashflow.components.benchmarks.base import BenchmarkSettings
from nashflow.components.benchmarks.game import ExactGame
from nashflow.components.benchmarks.head_to_head import HeadToHead
from nashflow.components.benchmarks.kl import MonteCarloKL
from nashflow.components.benchmarks.versus import Versus
from nashflow.components.iterations.units import Shape
from nashflow.components.methods.base import Method
from nashflow.components.methods.egpo import EGPO
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.ipo import IPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.onpo import ONPO
from nashflow.components.storage import layout
from nashflow.components.storage.run import Run

DEFAULT = (HeadToHead(), MonteCarloKL())


def units_of(
    method: Method, iteration: int, shards: int, benchmarks: tuple[BenchmarkSettings, ...] = DEFAULT
) -> dict[str, list[str]]:
    return Shape(method, shards, benchmarks).units(iteration)


def test_an_iteration_of_one_phase_in_the_order_of_work() -> None:
    """Given pairs are read by the rollout step too."""
    for method in (INPO(eta=0.5, tau=0.1), IterativeDPO(), IPO(tau=0.1)):
        assert list(units_of(method, 2, shards=2).items()) == [
            ("main/rollout", ["iterations/002/main/rollouts/00000", "iterations/002/main/rollouts/00001"]),
            ("main/judging", ["iterations/002/main/pairs/00000", "iterations/002/main/pairs/00001"]),
            ("main/logprobs", ["iterations/002/main/logprobs/00000", "iterations/002/main/logprobs/00001"]),
            ("main/training", ["policies/002/main"]),
            (
                "evaluation",
                [f"iterations/002/evaluation/{part}/00000" for part in ("responses", "head_to_head", "kl")],
            ),
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
    """Its second responses are the opponents of every policy's."""
    parts = ("responses", "opponents", "head_to_head", "kl")
    assert units_of(INPO(eta=0.5, tau=0.1), 0, 8) == {
        "evaluation": [f"iterations/000/evaluation/{part}/00000" for part in parts]
    }


def test_benchmarks_that_read_no_responses_have_none_sampled() -> None:
    shape = Shape(INPO(eta=0.5, tau=0.1), 8, (ExactGame(),))
    assert [shape.sampled(iteration) for iteration in (0, 1)] == [[], []]
    assert [shape.evaluations(iteration) for iteration in (0, 1)] == [
        [f"iterations/00{iteration}/evaluation/game/00000"] for iteration in (0, 1)
    ]
    divergence = Shape(INPO(eta=0.5, tau=0.1), 8, (MonteCarloKL(),))
    assert [divergence.sampled(iteration) for iteration in (0, 1)] == [["responses"], ["responses"]]


def test_one_more_benchmark_is_one_more_unit() -> None:
    method, every = INPO(eta=0.5, tau=0.1), tuple(benchmark() for benchmark in BENCHMARKS.members.values())
    for iteration in (0, 1):
        units = units_of(method, iteration, 2, every)["evaluation"]
        for dropped in every:
            others = tuple(benchmark for benchmark in every if benchmark is not dropped)
            assert set(units_of(method, iteration, 2, others)["evaluation"]) <= set(units)
            assert {layout.evaluation(iteration, part) for part in dropped.units(iteration)} <= set(units)


def test_the_policies_of_an_iteration_are_those_of_its_phases() -> None:
    shape = Shape(EGPO(eta=0.5, beta=0.1), 1, DEFAULT)
    assert [shape.policies(t) for t in (0, 3)] == [["policies/000/main"], ["policies/003/half", "policies/003/main"]]


def test_a_runs_shape_is_its_recipes() -> None:
    recipe = {
        "run": {"iterations": 3},
        "method": {"name": "inpo", "eta": 0.5, "tau": 0.1},
        "prompts": {"path": "", "shards": 4},
        "oracle": {"kind": "sandbox"},
        "evaluation": {"benchmarks": ["kl", {"kind": "game"}], "tau": 0.1},
    }
    measured = (MonteCarloKL(), ExactGame())
    assert Shape.of(Run("small", recipe, {}, {})) == Shape(INPO(eta=0.5, tau=0.1), 4, measured, last=3)


def test_no_unit_of_a_run_is_written_twice() -> None:
    for method in (INPO(eta=0.5, tau=0.1), ONPO(eta=0.5), EGPO(eta=0.5, beta=0.1)):
        keys = [key for t in range(4) for units in units_of(method, t, 3).values() for key in units]
        assert len(keys) == len(set(keys))


def test_a_benchmark_measures_as_often_as_it_says() -> None:
    """The reference and the last policy are measured in any case, and what is read is made where it is read."""
    method = INPO(eta=0.5, tau=0.1)
    seldom = Shape(method, 1, (ExactGame(every=3), HeadToHead(every="final")), last=5)
    made = {t: [key.split("/")[3] for key in seldom.evaluations(t)] for t in range(6)}
    assert made == {
        0: ["responses", "opponents", "game", "head_to_head"],
        1: [],
        2: [],
        3: ["game"],
        4: [],
        5: ["responses", "game", "head_to_head"],
    }
    assert "evaluation" not in seldom.units(1)
    longer = Shape(method, 1, (HeadToHead(every="final"),), last=7)
    assert [t for t in range(8) if longer.evaluations(t)] == [0, 7]


def test_stages_are_units_and_judges_share_the_answers() -> None:
    judges = ("sandbox", {"kind": "llm_judge", "model": "org/judge-7b", "endpoint": {"url": "http://judge:8000/v1"}})
    two = tuple(Versus.parse({"data": "d.jsonl", "questions": 9, "judge": judge}, "versus") for judge in judges)
    asked = [f"{judge}/{part}" for judge in ("sandbox", "judge-7b") for part in ("judgments", "canary", "scores")]
    once = ("questions", "sandbox/canary", "judge-7b/canary")
    every = ["questions", "answers", *asked]
    every.insert(4, "oracle/also")
    for iteration, parts in enumerate((every, [part for part in every if part not in once])):
        assert Shape(INPO(eta=0.5, tau=0.1), 1, two).evaluations(iteration) == [
            f"iterations/{iteration:03d}/evaluation/versus-9/{part}/00000" for part in parts
        ]
