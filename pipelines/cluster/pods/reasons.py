"""Why a task failed: what Kubernetes says of its pod, or the last words of its step, or what Argo says of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from kubernetes.client import ApiException

from nashflow.components.core.errors import one_line
from nashflow.components.runtime.protocol import PENDING, USER_ERROR

from ..runs.planned import Planned
from ..runs.tasks import place_of
from .advice import ASK_THE_ADMINISTRATOR, NO_ADVICE, Advice, Case, advice_on
from .log_lines import exit_code, last_words
from .pod_trouble import NO_ROOM, Trouble, ended_by
from .pods import FAILED, Json, Pods, is_driver, messages_of, node_of, path_of

_NO_NEWS = re.compile(r"(\w+: )?Error \(exit code \d+\)")


@dataclass(frozen=True)
class Failure:
    """A task, or the driver of one, that failed."""

    node: str
    """Its name in the graph."""
    said: str = ""
    """Why, in one line; empty where it is not known."""
    advice: Advice = NO_ADVICE
    code: int | None = None
    """The step's exit code, where it is known."""
    has_log: bool = True
    """Whether its log may say more: not where Kubernetes ended its pod, or made none."""

    @property
    def is_the_recipes(self) -> bool:
        """Whether the step says that its input is wrong, which it is the next time, too."""
        return self.code == USER_ERROR

    @property
    def waits(self) -> bool:
        """Whether the step waits for something from outside."""
        return self.code == PENDING

    def __str__(self) -> str:
        return f"{self.node}: {self.said}" if self.said else self.node


def failed_nodes(pods: Pods) -> list[str]:
    """The tasks and drivers with a failed last pod, in the order of their pods, if KFP's API does not report them."""
    newest = {path_of(pod): pod for pod in pods.find()}
    return list(dict.fromkeys(node_of(pod) for pod in newest.values() if pod["status"]["phase"] == "Failed"))


def failures(pods: Pods, nodes: Iterable[str], planned: Mapping[str, Planned]) -> list[Failure]:
    """Why these tasks or drivers failed."""
    newest = {node_of(pod): pod for pod in pods.find(FAILED)}

    @cache
    def by_argo() -> dict[str, str]:
        return messages_of(pods.workflow(), "Failed", "Error")

    found = []
    for node in nodes:
        pod = newest.get(node)
        ended, log = (ended_by(pod), "") if pod else (None, "")
        if pod and not ended:
            log = _log(pods, pod)
        said = ended.said if ended else last_words(log, is_driver(pod)) if pod else ""
        if not said and not _NO_NEWS.fullmatch(message := one_line(by_argo().get(node, ""))):
            said = message
        advice = advice_of(said, node, pod, ended, pods.namespace, planned)
        found.append(Failure(node, said, advice, exit_code(log), not ended and bool(pod or not said)))
    return found


def advice_of(
    said: str, node: str, pod: Json | None, trouble: Trouble | None, namespace: str, planned: Mapping[str, Planned]
) -> Advice:
    """Advice on a message about a node of the graph; empty if waiting is enough."""
    if trouble and trouble.state == NO_ROOM:
        return NO_ADVICE
    place = place_of(node)
    kubeflows = trouble.kubeflows if trouble else node.endswith("-driver")
    image = planned[node].image if node in planned else ""
    advice = advice_on(said, Case(place.step if place else node, image, namespace, kubeflows, pod))
    return ASK_THE_ADMINISTRATOR if trouble and trouble.kubeflows and not advice.text else advice


def _log(pods: Pods, pod: Json) -> str:
    """A failed pod's log; empty where it is gone, or was never begun."""
    try:
        return pods.log(pod["metadata"]["name"])
    except ApiException as error:
        if error.status in (400, 404):
            return ""
        raise
