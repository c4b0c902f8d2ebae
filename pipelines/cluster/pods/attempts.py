"""Attempts at a step that failed inside its pod, told while a run is followed: for Kubernetes the pod runs on."""

import re
from collections.abc import Collection, Mapping

from kubernetes.client import ApiException

from ...lines import task_line
from ..runs.planned import Planned
from ..runs.tasks import Place, place_of
from .log_lines import shown_lines
from .pods import Json, Pods, is_driver, main_state, node_of
from .reasons import advice_of

_ATTEMPT = re.compile(r"[\w-]+: (?P<said>attempt \d+ of \d+ ended with exit code (?P<code>\d+); again in [\d.]+ s)")
_KILLED = 137
_AT_ONCE = 8
"""Logs that are read in one look; the others have their turn in the next ones."""
_SECONDS = 300
"""How far back they are read: past the turns of many shards, and past the wait after an attempt."""


class Attempts:
    """The attempts of a run's steps that failed and were followed by another one in the same pod."""

    def __init__(self, pods: Pods, planned: Mapping[str, Planned]) -> None:
        self._pods, self._planned = pods, planned
        self._told: set[tuple[str, str]] = set()
        self._turn = 0

    def look(self, found: Collection[Json]) -> list[str]:
        """What is new in the logs of some of these pods: a line for each task and number of its attempt."""
        running = [pod for pod in found if "running" in main_state(pod) and not is_driver(pod)]
        turn = [running[(self._turn + place) % len(running)] for place in range(min(_AT_ONCE, len(running)))]
        self._turn += len(turn)
        return [line for pod in turn for line in self._of(pod)]

    def _of(self, pod: Json) -> list[str]:
        try:
            log = self._pods.log(pod["metadata"]["name"], _SECONDS)
        except ApiException as error:
            if error.status in (400, 403, 404):  # it has ended meanwhile; or pods may be seen here, but not their logs
                return []
            raise
        lines, before, node = [], "", node_of(pod)
        for line in shown_lines(log.splitlines(), driver=False):
            match = _ATTEMPT.fullmatch(line)
            if match and (node, match["said"]) not in self._told:
                self._told.add((node, match["said"]))
                lines.append(self._line(pod, node, match["said"], int(match["code"]), before))
            before = "" if match else line
        return lines

    def _line(self, pod: Json, node: str, said: str, code: int, before: str) -> str:
        place = place_of(node) or Place(node)
        if code == _KILLED:
            advice = advice_of("OOMKilled", node, pod, None, self._pods.namespace, self._planned)
            said = f"{said}; its process was killed, most likely for want of memory: {advice.text}"
        elif before.startswith(f"{place.step}: "):
            said = f"{before.removeprefix(f'{place.step}: ')}; {said}"
        return task_line(*place[:3], "tried again", said)
