"""Why a pod does not start, or what has ended it from outside: in Kubernetes' words, read off its status and events."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nashflow.components.core.errors import one_line

from .pods import Json, is_driver, main_container

CANNOT_START, NO_ROOM = "cannot start", "waits for room"

_ON_ITS_WAY = ("ContainerCreating", "PodInitializing", "")
_ALIKE = {"ErrImagePull": "image", "ImagePullBackOff": "image", "RunContainerError": "command", "StartError": "command"}
"""Reasons that a pod goes back and forth between."""
_NOT_STARTED = ("StartError", "ContainerCannotRun", "OOMKilled")
_SCHEDULER = re.compile(r"\.? *(no new claims to deallocate, *)?preemption: .*|(?<=not found)\. not found")


@dataclass(frozen=True)
class Trouble:
    """The problem of a pod."""

    kind: str
    """The part of its message that stays the same while it lasts."""
    state: str
    """A short name of the problem."""
    said: str
    """Kubernetes' reason and message."""
    kubeflows: bool = False
    """Whether it is about a part of KFP or Argo, not of the step."""


def held_up_by(pod: Json, events: Sequence[Json]) -> Trouble | None:
    """Why a pod does not start; None while nothing speaks against it."""
    if pod["status"]["phase"] not in ("Pending", "Running"):
        return None
    return next(_waiting(pod), None) or _unscheduled(pod, events) or _unmounted(pod, events)


def ended_by(pod: Json) -> Trouble | None:
    """Why Kubernetes ended a failed pod; empty if the step itself failed."""
    status = pod["status"]
    if status.get("reason"):
        return Trouble(status["reason"], "failed", _joined(status["reason"], status.get("message")))
    for name, state in _states(pod):
        ended = state.get("terminated") or {}
        if ended.get("reason") in _NOT_STARTED:
            said = _joined(ended["reason"], ended.get("message"))
            return Trouble(_kind(ended["reason"]), "failed", said, _is_kubeflows(pod, name))
    return None


def needs_events(pod: Json) -> bool:
    """Whether only events can say why a pod does not start."""
    return pod["status"]["phase"] == "Pending" and not next(_waiting(pod), None)


def _waiting(pod: Json) -> Iterator[Trouble]:
    """The containers that wait for something other than their turn."""
    for name, state in _states(pod):
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason not in _ON_ITS_WAY:
            said = _joined(reason, waiting.get("message"))
            yield Trouble(_kind(reason), CANNOT_START, said, _is_kubeflows(pod, name))


def _unscheduled(pod: Json, events: Sequence[Json]) -> Trouble | None:
    """Why no node takes the pod."""
    conditions = pod["status"].get("conditions", ())
    found = next((c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"), None)
    if not found:
        return None
    message = found.get("message") or ""
    said = _joined(found.get("reason") or "", _SCHEDULER.sub("", message).rstrip(". "))
    kubeflows = is_driver(pod)
    if any(event.get("reason") == "TriggeredScaleUp" for event in events):
        return Trouble("no room", NO_ROOM, f"{said}; the autoscaler is adding a node", kubeflows)
    # The scheduler only thinks of evicting other pods where the node would be large enough without them.
    if "Insufficient" in message and "No preemption victims found" in message:
        return Trouble("no room", NO_ROOM, f"{said}; it starts when other pods have ended", kubeflows)
    return Trouble("no node", CANNOT_START, said, kubeflows)


def _unmounted(pod: Json, events: Sequence[Json]) -> Trouble | None:
    """The latest reason why a pod does not start on its node."""
    if pod["status"]["phase"] != "Pending":
        return None
    last = events[-1] if events else {}
    if last.get("type") != "Warning" or last.get("reason") == "FailedScheduling":
        return None
    said = _joined(last["reason"], last.get("message"))
    # The only volume that a recipe names is the one with models.
    claims = [v["name"] for v in pod["spec"].get("volumes", ()) if "persistentVolumeClaim" in v]
    return Trouble(last["reason"], CANNOT_START, said, not any(f'"{claim}"' in said for claim in claims))


def _states(pod: Json) -> Iterator[tuple[str, Json]]:
    """The containers with their states, in the order in which they start."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in pod["status"].get(kind, ()):
            yield status["name"], status.get("state") or {}


def _is_kubeflows(pod: Json, container: str) -> bool:
    return container != main_container(pod)["name"] or is_driver(pod)


def _kind(reason: str) -> str:
    return _ALIKE.get(reason, reason)


def _joined(reason: str, message: str | None) -> str:
    return ": ".join(part for part in (reason, one_line(message or "")) if part)
