"""The steps among a workflow's nodes, and times that have not come."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nashflow.pipelines.cluster.api.clock import in_words, known, seconds_between
from nashflow.pipelines.cluster.pods.pods import node_at
from nashflow.pipelines.cluster.runs.outcomes import is_cancelled, outcome_in_words
from nashflow.pipelines.cluster.runs.tasks import Place, begun_tasks, name_in, place_of
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.recipe import load_recipe
from nashflow.pipelines.steps import STEPS, task_name

from ..server import node


def found(*nodes: Any) -> list[tuple[str, int | None, str]]:
    tasks = begun_tasks(SimpleNamespace(run_details=SimpleNamespace(task_details=list(nodes))))
    return [tuple(task.place[:3]) for task in tasks]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("preparation", ("preparation", None, "")),
        ("evaluation-000", ("evaluation", 0, "")),
        ("training-012-half", ("training", 12, "half")),
        ("rollout-001-with-dash", ("rollout", 1, "with-dash")),
        ("closing", ("closing", None, "")),
    ],
)
def test_a_steps_node_says_where_it_belongs(name: str, place: tuple[str, int | None, str]) -> None:
    assert found(node(name)) == [place]


@pytest.mark.parametrize(
    "name",
    [
        "preparation-driver", "evaluation-000-driver", "training-012-half-driver", "iteration-001", "for-loop-2",
        "iteration-item(3:3)", "condition-2", "exit-handler-1", "root", "executor", "executor(1)", "quickstart-x7k2p",
        "",
    ],
)  # fmt: skip
def test_what_is_no_step_is_left_out(name: str) -> None:
    assert found(node(name)) == []


def test_every_task_of_the_compiled_graph_that_runs_a_container_is_a_step(tmp_path: Path) -> None:
    """And nothing else in it is one: the names are the graph's."""
    compile_graph(load_recipe("quickstart", ["run.iterations=2"]), tmp_path / "p.yaml")
    spec = next(yaml.load_all((tmp_path / "p.yaml").read_text(), yaml.CSafeLoader))
    graphs = [spec["root"], *(part for part in spec["components"].values() if "dag" in part)]
    tasks = {name: task for graph in graphs for name, task in graph["dag"]["tasks"].items()}
    for name, task in tasks.items():
        runs = "executorLabel" in spec["components"][task["componentRef"]["name"]]
        assert bool(found(node(name))) == runs, name


def test_tasks_are_in_the_order_of_their_beginning_and_those_that_have_not_begun_are_none() -> None:
    waiting = node("rollout-001-main", "PENDING")
    waiting.start_time = datetime(1970, 1, 1, tzinfo=UTC)
    assert [place[0] for place in found(waiting, node("reporting", start=9), node("preparation", start=1))] == [
        "preparation",
        "reporting",
    ]
    assert begun_tasks(SimpleNamespace(run_details=None)) == []


def test_a_time_that_has_not_come_is_none() -> None:
    """The server writes 1970 for a run, the year 1 for a task."""
    now = datetime.now(UTC)
    begun = now - timedelta(seconds=50)
    assert [known(time) for time in (None, datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC))] == [
        None
    ] * 3
    assert known(now) == now
    for end in (None, datetime(1970, 1, 1, tzinfo=UTC)):
        assert 50 <= seconds_between(begun, end) <= (datetime.now(UTC) - begun).total_seconds()
    assert seconds_between(now, now + timedelta(seconds=7)) == 7.0
    assert seconds_between(datetime(1, 1, 1, tzinfo=UTC), now) == 0.0
    assert seconds_between(now + timedelta(hours=1), None) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (119.4, "119 s"),
        (119.6, "2 min 0 s"),
        (125, "2 min 5 s"),
        (3599.6, "1 h 0 min"),
        (93720, "26 h 2 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_shards_are_one_task_and_attempts_are_none() -> None:
    """Where Argo is told to retry, each node is there twice; a node that is passed over has no state."""
    nodes = [
        *(node(name, state, 5 + shard, 10) for shard, state in enumerate(("SUCCEEDED", "RUNNING", "SUCCEEDED"))
          for name in ("rollout-001-main", "rollout-001-main(0)")),
        node("training-001-main-driver(0)", "FAILED", 30, 1),
        node("training-001-main-driver", "FAILED", 30, 1),
        node("condition-2-driver", "FAILED", 31, 1),
        node("evaluation-001", None, 40, 0),
    ]  # fmt: skip
    nodes[2].end_time = datetime(1, 1, 1, tzinfo=UTC)
    tasks = begun_tasks(SimpleNamespace(run_details=SimpleNamespace(task_details=nodes)))
    assert [(task.name, task.state, len(task.states), task.place.driver) for task in tasks] == [
        ("rollout-001-main", "RUNNING", 3, False),
        ("training-001-main-driver", "FAILED", 1, True),
        ("condition-2-driver", "FAILED", 1, True),
    ]
    assert tasks[0].end is None
    assert [task.place[:3] for task in tasks[1:]] == [("training", 1, "main"), ("condition-2", None, "")]


@given(
    st.sampled_from(list(STEPS)),
    st.none() | st.integers(0, 999),
    st.none() | st.from_regex(r"[a-z]+(-[a-z]+)?", fullmatch=True).filter(lambda phase: not phase.endswith("driver")),
    st.booleans(),
)
def test_a_name_is_read_back_as_it_was_made(step: str, iteration: int | None, phase: str | None, driver: bool) -> None:
    named = (phase or "") if iteration is not None else ""
    name, expected = task_name(step, iteration, named), Place(step, iteration, named, driver)
    assert place_of(f"{name}-driver" if driver else name) == expected
    assert place_of(f"{name}(0)") is None


@pytest.mark.parametrize("graph", ["shards-1", "shards-1-half"])
def test_the_tasks_of_shards_are_named_by_their_graph(graph: str) -> None:
    """They are called the same in each graph; one ends before the next one begins."""
    later = "shards-12"
    nodes = [
        node("preparation", start=1, seconds=5),
        node(graph, start=10, seconds=100),
        node("each-shard", start=11, seconds=99),
        *(node("rollout", start=20 + shard, seconds=5) for shard in range(2)),
        node("judging", start=40, seconds=5),
        node("judging-driver", "FAILED", start=41, seconds=5),
        node("training-001-main", start=120, seconds=5),
        node(later, start=200, seconds=100),
        node(f"{later}(0)", start=200, seconds=100),
        node("rollout", start=210, seconds=5),
        node("reporting", start=310, seconds=5),
        node("closing", start=320, seconds=5),
    ]
    tasks = begun_tasks(SimpleNamespace(run_details=SimpleNamespace(task_details=nodes)))
    phase = "half" if graph.endswith("half") else "main"
    assert [(task.name, len(task.states)) for task in tasks] == [
        ("preparation", 1),
        (f"rollout-001-{phase}", 2),
        (f"judging-001-{phase}", 1),
        (f"judging-001-{phase}-driver", 1),
        ("training-001-main", 1),
        ("rollout-012-main", 1),
        ("reporting", 1),
        ("closing", 1),
    ]


def test_what_else_is_in_such_a_graph_keeps_its_name() -> None:
    for name in ("each-shard", "iteration-item", "executor", "rollout(0)", ""):
        assert name_in("shards-1", name) == name
    for name in ("iteration-driver", "iteration-item-driver"):
        assert place_of(name_in("shards-2-half", name)) == Place("shards", 2, "half", driver=True)
    assert name_in("for-loop-1", "rollout") == "rollout"


@pytest.mark.parametrize(
    ("states", "cancelled", "words"),
    [
        (["PENDING", "RUNNING"], False, "running"),
        (["PENDING", "RUNNING", "CANCELING"], True, "being cancelled"),
        (["PENDING", "RUNNING", "CANCELING", "FAILED"], True, "cancelled"),
        (["PENDING", "RUNNING", "CANCELING", "CANCELED"], True, "cancelled"),
        (["PENDING", "RUNNING", "CANCELING", "SUCCEEDED"], False, "succeeded"),
        (["PENDING", "RUNNING", "CANCELING", "FAILED", "RUNNING"], False, "running"),
        (["PENDING", "RUNNING", "CANCELING", "FAILED", "PENDING", "RUNNING", "FAILED"], False, "failed"),
        (["PENDING", "RUNNING", "CANCELING", "FAILED", "RUNNING", "SUCCEEDED"], False, "succeeded"),
        (["RUNNING", "FAILED", "RUNNING", "CANCELING", "FAILED"], True, "cancelled"),
        (["PENDING", "RUNNING", "SUCCEEDED"], False, "succeeded"),
        (["PENDING", "RUNNING", "FAILED"], False, "failed"),
    ],
)
def test_what_became_of_a_run_by_the_states_that_it_was_in(states: list[str], cancelled: bool, words: str) -> None:
    """KFP's own button retries a run in its place."""
    history = [SimpleNamespace(state=state) for state in states]
    run = SimpleNamespace(state=states[-1], state_history=history, run_details=None)
    assert (is_cancelled(run), outcome_in_words(run, None)) == (cancelled, words)


PATHS = {
    "quickstart-x(0).root(0).run(0).preparation(0).executor(0)": "preparation",
    "quickstart-x(0).root(0).run(0).iterations(0).training-001-main-driver(0)": "training-001-main-driver",
    "x(0).root(0).run(0).iterations(0).shards-1(0).each-shard(0).iteration-iterations(2:2)(0).iteration-item(0)"
    ".rollout(0).executor(1)": "rollout-001-main",
    "shards-8-x(0).root(0).run(0).iterations(0).shards-2-half(0).each-shard(0).iteration-iterations(0:0)(0)"
    ".iteration-item(0).logprobs-driver(0)": "logprobs-002-half-driver",
    "x(0).root(0).run(0).iterations(0).shards-2(0).each-shard(0).iteration-driver(0)": "shards-2-driver",
    "shards-8-x(0).root-driver(0)": "root-driver",
    "": "",
}


@pytest.mark.parametrize("path", PATHS)
def test_the_node_at_the_end_of_a_way_through_the_graph(path: str) -> None:
    """Also of a run that is called as a graph of shards is."""
    assert node_at(path) == PATHS[path]
