"""Pods that do not start, told while a run is followed: each trouble once, and when it is over."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from nashflow.components.core.errors import one_line

from ...lines import task_line
from ..runs.planned import Planned
from ..runs.tasks import Place, place_of
from .attempts import Attempts
from .pod_trouble import CANNOT_START, Trouble, ended_by, held_up_by, needs_events
from .pods import NOT_DONE, Json, Pods, main_state, messages_of, node_of, path_of
from .reasons import advice_of


class _Found(NamedTuple):
    """A trouble of a node of the graph: of one of its pods, and how many more have it."""

    trouble: Trouble
    pod: Json | None
    pods: int


_LOOKS = 2
"""Between two tasks, or two pods of one task, there is none for a moment."""

_Key = tuple[str, str]
"""Node and kind of trouble."""


class HeldUp:
    """The problems that keep pods of a run from starting."""

    def __init__(self, pods: Pods, planned: Mapping[str, Planned]) -> None:
        self._pods, self._planned = pods, planned
        self._attempts = Attempts(pods, planned)
        self._before: dict[_Key, _Found] = {}
        self._told: dict[_Key, bool] = {}
        """The reported problems that still last, and whether the recipe is the cause."""
        self._lost: set[str] = set()
        self._without: dict[str, int] = {}
        """How many looks in a row found no pod of a task that is at work."""
        self._by_argo: dict[str, str] = {}
        self._elsewhere: bool | None = None
        """Whether the cluster that is looked at does not know the run; None before that is known."""

    @property
    def in_recipe(self) -> bool:
        """Whether something that was told is a matter of the recipe, so that this run will not get over it."""
        return any(self._told.values())

    def look(self, at_work: Collection[str]) -> list[str]:
        """What is new: a trouble that was there the last time already, or that is over, or an attempt that failed.

        `at_work` are the tasks that are, as far as KFP shows them.
        """
        pods = self._pods.find(NOT_DONE)
        begun = [pod for pod in pods if pod["status"]["phase"] != "Failed"]
        found = self._troubles(begun) | self._without_pods(begun, at_work)
        lines = [*self._lost_pods(pods), *self._no_pods_at_all(), *self._attempts.look(begun)]
        for key, now in found.items():
            if key in self._before and key not in self._told:
                # Of the two reasons that it goes back and forth between, one says more.
                fuller = max(now, self._before[key], key=lambda found: len(found.trouble.said))
                line, self._told[key] = self._told_of(key[0], fuller)
                lines.append(line)
        running = {node_of(pod) for pod in pods if "running" in main_state(pod)}
        for key in self._told.keys() - found.keys():
            del self._told[key]
            if key[0] in running:
                lines.append(_line(key[0], "started", "it is no longer held up"))
        self._before = found
        return lines

    def _troubles(self, pods: list[Json]) -> dict[_Key, _Found]:
        found: dict[_Key, _Found] = {}
        asked: set[str] = set()
        for pod in pods:
            node, name = node_of(pod), pod["metadata"]["name"]
            # Shards are alike: the events of one of them will do.
            events = self._pods.events(name) if node not in asked and needs_events(pod) else []
            asked.add(node)
            if trouble := held_up_by(pod, events):
                key = (node, trouble.kind)
                first = found.get(key, _Found(trouble, pod, 0))
                found[key] = first._replace(pods=first.pods + 1)
        return found

    def _without_pods(self, begun: list[Json], at_work: Collection[str]) -> dict[_Key, _Found]:
        """What keeps Argo from making a pod at all, such as a quota: it says so of the node that waits for one.

        The workflow is large: while there are other pods, it is read only if a task goes without one for some looks.
        """
        without = set(at_work) - set(map(node_of, begun))
        self._without = {task: self._without.get(task, 0) + 1 for task in without}
        if not begun or any(looks % _LOOKS == 0 for looks in self._without.values()):
            self._by_argo = messages_of(self._pods.workflow(), "Pending")
        said = {node: message for node, message in self._by_argo.items() if not begun or node in without}
        return {
            (node, "no pod"): _Found(
                Trouble("no pod", CANNOT_START, one_line(message), node.endswith("-driver")), None, 1
            )
            for node, message in said.items()
        }

    def _no_pods_at_all(self) -> list[str]:
        """Once: that there never was a pod here of a run whose tasks are at work, so that none can be looked at."""
        if self._elsewhere is not None or not any(looks >= _LOOKS for looks in self._without.values()):
            return []
        self._elsewhere = not self._pods.workflow() and not self._pods.find()
        how = "if it runs elsewhere, name its --kube-context or --namespace"
        return [f"no pods of this run in {self._pods.where}: {how}"] if self._elsewhere else []

    def _lost_pods(self, pods: list[Json]) -> list[str]:
        """Pods that were taken away from their step, such as evicted ones, and that others have followed."""
        newest = {path_of(pod): pod for pod in pods}
        lines = []
        for pod in pods:
            name = pod["metadata"]["name"]
            if pod["status"]["phase"] != "Failed" or newest[path_of(pod)] is pod or name in self._lost:
                continue
            self._lost.add(name)
            if trouble := ended_by(pod):
                line, _ = self._told_of(node_of(pod), _Found(replace(trouble, state="tried again"), pod, 1))
                lines.append(line)
        return lines

    def _told_of(self, node: str, found: _Found) -> tuple[str, bool]:
        """The line, and whether it is a matter of the recipe."""
        trouble = found.trouble
        advice = advice_of(trouble.said, node, found.pod, trouble, self._pods.namespace, self._planned)
        many = f"{found.pods} pods: " if found.pods > 1 else ""
        said = f"{many}{trouble.said}{': ' if advice.text else ''}{advice.text}"
        return _line(node, trouble.state, said), advice.in_recipe


def _line(node: str, state: str, said: str) -> str:
    place = place_of(node) or Place(node)
    return task_line(*place[:3], state, f"{'its driver: ' if place.driver else ''}{said}")
