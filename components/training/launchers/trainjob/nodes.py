"""What the pods of a TrainJob say of its nodes: which have begun, which wait and why, and which failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....core.errors import one_line
from ....runtime.protocol import PENDING, TRY_AGAIN, USER_ERROR
from .api import CONTAINER

Json = dict[str, Any]

_INDEX = "batch.kubernetes.io/job-completion-index"
_TELLING = (USER_ERROR, PENDING, TRY_AGAIN)
"""Exit codes that say more than those of the nodes that waited for the one that left."""


@dataclass(frozen=True)
class Failure:
    """A node whose processes ended with an exit code other than 0, or whose pod is lost."""

    node: int
    pod: str
    code: int
    reason: str
    """Kubernetes' word for it, such as OOMKilled; empty where that says nothing."""
    ended: str
    """When, as Kubernetes writes it."""
    restarted: bool
    """Whether the pod has begun again since."""


def index_of(pod: Json) -> int:
    """The number of the node that a pod is."""
    return int(pod["metadata"]["labels"].get(_INDEX, 0))


def has_begun(pod: Json) -> bool:
    """Whether there is a log to read."""
    status = _container(pod)
    return bool(status.get("lastState") or {"running", "terminated"} & set(status.get("state", {})))


def has_ended(pod: Json) -> bool:
    """Whether its processes have ended, at least once."""
    status = _container(pod)
    return any("terminated" in (status.get(state) or {}) for state in ("state", "lastState"))


def failure(pods: Sequence[Json]) -> Failure | None:
    """The node that failed first, if any has: the others end because of it."""
    found = [each for pod in pods if (each := _failure(pod))]
    return min(found, key=lambda each: (each.code not in _TELLING, each.ended, -each.code), default=None)


def waiting(pods: Sequence[Json], nodes: int) -> str:
    """Why not all nodes have begun, in words; empty where they have."""
    reasons = [f"node {index_of(pod)}: {_why(pod)}" for pod in pods if not has_begun(pod)]
    return "; ".join(sorted(reasons) or ([] if len(pods) >= nodes else [f"{len(pods)} of {nodes} pods are made"]))


def _failure(pod: Json) -> Failure | None:
    container, status = _container(pod), pod.get("status", {})
    here = index_of(pod), str(pod["metadata"]["name"])
    for state, restarted in (("lastState", True), ("state", False)):
        end = container.get(state, {}).get("terminated") or {}
        if code := int(end.get("exitCode", 0)):
            reason = end.get("reason", "")
            return Failure(*here, code, "" if reason == "Error" else reason, str(end.get("finishedAt", "")), restarted)
    if status.get("phase") == "Failed":
        return Failure(*here, TRY_AGAIN, one_line(f"{status.get('reason', '')} {status.get('message', '')}"), "", False)
    return None


def _why(pod: Json) -> str:
    wait = _container(pod).get("state", {}).get("waiting") or {}
    if reason := wait.get("reason"):
        return one_line(f"{reason} {wait.get('message', '')}")
    conditions = pod.get("status", {}).get("conditions", [])
    return next((one_line(each.get("message", "")) for each in conditions if each["status"] == "False"), "") or "starts"


def _container(pod: Json) -> Json:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return next((dict(each) for each in statuses if each["name"] == CONTAINER), {})
