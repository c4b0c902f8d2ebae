"""The tasks of a run, found among the nodes of its workflow as KFP's API shows them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from nashflow.components.core.errors import one_line

from ...steps import STEPS, task_name
from ..api.clock import known, seconds_between

FINISHED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""States that a run or a task does not leave any more."""

_NAME = re.compile(r"(?P<step>[a-z]\w*(-[a-z]\w*)*)(-(?P<iteration>\d+)(-(?P<phase>[^()]+))?)?")

_DRIVERS_OF_LOOPS = ("iteration-driver", "iteration-item-driver")
_SHARDS = re.compile(r"shards-(?P<iteration>\d+)(-(?P<phase>[^()]+))?")


class Place(NamedTuple):
    """Where a node of a workflow belongs."""

    step: str
    """A step; or the name of a graph, of which only drivers have a place: `shards` for each graph of them."""
    iteration: int | None = None
    phase: str = ""
    driver: bool = False
    """Whether it is KFP's driver, which goes before a task or a graph."""


@dataclass(frozen=True)
class Task:
    """A task of the graph, all its shards together: where it belongs, and how it gets on."""

    name: str
    place: Place
    states: tuple[str, ...]
    """The states of the shards that have begun."""
    start: datetime
    end: datetime | None
    """The last shard's; None while one of them is at work."""
    error: str
    """The failure in KFP's API; usually empty."""

    @property
    def step(self) -> str:
        """The step's name."""
        return self.place.step

    @property
    def iteration(self) -> int | None:
        """The iteration; None outside of them."""
        return self.place.iteration

    @property
    def state(self) -> str:
        """FAILED as soon as one shard has failed; SUCCEEDED when all that have begun have succeeded."""
        if "FAILED" in self.states:
            return "FAILED"
        return next((state for state in self.states if state not in FINISHED), self.states[-1])

    @property
    def seconds(self) -> float:
        """Seconds from the first shard's beginning to the last one's end."""
        return seconds_between(self.start, self.end)


def is_of_shards(name: str) -> bool:
    """Whether a graph of this name holds the tasks of all shards of a phase."""
    return bool(_SHARDS.fullmatch(name))


def name_in(graph: str, node: str) -> str:
    """The name of a task or driver of which there is one for each shard, in this graph of shards: as outside of one."""
    match = _SHARDS.fullmatch(graph)
    bare = node.removesuffix("-driver")
    if match and node in _DRIVERS_OF_LOOPS:
        return f"{graph}-driver"
    if not match or bare not in STEPS or STEPS[bare].once:
        return node
    return task_name(bare, int(match["iteration"]), match["phase"] or "main") + node.removeprefix(bare)


def place_of(name: str) -> Place | None:
    """Where the node of this name belongs; None if it is no step's and no driver's, such as a graph or an attempt."""
    bare = name.removesuffix("-driver")
    step = match["step"].replace("-", "_") if (match := _NAME.fullmatch(bare)) else ""
    if match and step in STEPS:
        iteration = int(match["iteration"]) if match["iteration"] else None
        return Place(step, iteration, match["phase"] or "", bare != name)
    if bare != name and (match := _SHARDS.fullmatch(bare)):
        return Place("shards", int(match["iteration"]), match["phase"] or "main", driver=True)
    return Place(bare, driver=True) if bare != name else None


def begun_tasks(run: Any) -> list[Task]:
    """The run's tasks that have begun, in the order of their beginning; of drivers those that have failed.

    Where Argo is told to retry, each node is there twice, as `x` and as its attempt `x(0)`, and only `x` counts. A node
    that is passed over has no state.
    """
    nodes = (run.run_details.task_details or ()) if run.run_details else ()
    shards: dict[str, list[Any]] = {}
    around = ""
    for node in sorted((node for node in nodes if known(node.start_time)), key=lambda node: node.start_time):
        # Nodes do not say which graph they are in; but one of shards ends before the next one begins.
        around = node.display_name if is_of_shards(node.display_name or "") else around
        name = name_in(around, node.display_name or "")
        place = place_of(name)
        if place and node.state and (not place.driver or node.state == "FAILED"):
            shards.setdefault(name, []).append(node)
    return [_task(name, nodes) for name, nodes in shards.items()]


def _task(name: str, nodes: list[Any]) -> Task:
    place = place_of(name)
    assert place
    ends = [known(node.end_time) for node in nodes]
    return Task(
        name,
        place,
        tuple(node.state for node in nodes),
        nodes[0].start_time,
        max(end for end in ends if end) if all(ends) else None,
        next(filter(None, map(_error, nodes)), ""),
    )


def _error(node: Any) -> str:
    errors: Iterable[Any] = [node.error, *(entry.error for entry in reversed(node.state_history or ()))]
    return next((one_line(error.message) for error in errors if error and error.message), "")
