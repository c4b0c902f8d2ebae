"""The steps among a workflow's nodes, and times that have not come."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from nashflow.pipelines.client.clock import in_words, known, seconds_between
from nashflow.pipelines.client.tasks import tasks_of
from nashflow.pipelines.graph import compile_graph
from nashflow.pipelines.recipe import load_recipe

from .server import node


def found(*nodes: Any) -> list[tuple[str, int | None, str]]:
    tasks = tasks_of(SimpleNamespace(run_details=SimpleNamespace(task_details=list(nodes))))
    return [(task.step, task.iteration, task.phase) for task in tasks]


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
    assert tasks_of(SimpleNamespace(run_details=None)) == []


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
