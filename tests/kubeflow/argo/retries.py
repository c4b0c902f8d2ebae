"""Whether Argo makes another attempt, and when."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .nodes import Node


class Decision(NamedTuple):
    """What follows the last attempt."""

    again: bool
    wait: float = 0.0
    """Seconds until the next attempt."""
    message: str = ""
    """Why there is none."""


def decide(strategy: dict[str, Any], attempts: list[Node], moment: datetime, pace: float) -> Decision:
    """Another attempt after the last one, which did not succeed: by the policy, the limit and the backoff.

    The backoff's maximum bounds all attempts together, from the start of the first one. It is waited for before the
    policy is looked at. Times pass at `pace`.
    """
    last = attempts[-1]
    if backoff := strategy.get("backoff"):
        finished = _time(last["finishedAt"])
        wait = (
            timedelta(seconds=int(backoff["duration"]) * max(int(backoff["factor"]), 1) ** (len(attempts) - 1)) / pace
        )
        if longest := int(backoff["maxDuration"]):
            deadline = _time(attempts[0]["startedAt"]) + timedelta(seconds=longest) / pace
            if moment > deadline:
                return Decision(False, message="Max duration limit exceeded")
            if finished + wait > deadline:
                return Decision(False, message="Backoff would exceed max duration limit")
        if moment < finished + wait and len(attempts) <= int(strategy["limit"]):
            return Decision(True, wait=(finished + wait - moment).total_seconds())
    if strategy["retryPolicy"] == "OnError" and last["phase"] != "Error":
        return Decision(False, message=last.get("message", ""))
    if len(attempts) > int(strategy["limit"]):
        return Decision(False, message="No more retries left")
    return Decision(True)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
