"""The outcome of a run in NashFlow's terms: KFP calls a cancelled run failed, and a skipped one succeeded."""

from itertools import pairwise
from typing import Any

from nashflow.components.storage.outcome import Outcome

from ...steps import only
from .tasks import FINISHED, begun_tasks

_CANCELLING = ("CANCELING", "CANCELED")


def is_cancelled(run: Any) -> bool:
    """Whether somebody has stopped the run, or is stopping it; not if it succeeded all the same, or was begun again."""
    states = [entry.state for entry in run.state_history or ()] + [run.state]
    again = [
        number for number, (one, next) in enumerate(pairwise(states), 1) if one in FINISHED and next not in FINISHED
    ]
    return run.state != "SUCCEEDED" and any(state in _CANCELLING for state in states[max(again, default=0) :])


def outcome_in_words(run: Any, recorded: Outcome | None) -> str:
    """One of pending, running, being cancelled, succeeded, failed, cancelled; or skipped, or pending for people's
    answers, with the reason.

    `recorded` is the outcome that the run itself wrote down; None where it is not known.
    """
    if run.state not in FINISHED:
        return "being cancelled" if is_cancelled(run) else (run.state or "unknown").lower()
    word = recorded.outcome if recorded else ""
    if is_cancelled(run) or (word == "cancelled" and run.state != "SUCCEEDED"):
        return "cancelled"
    if run.state == "SUCCEEDED" and (word == "skipped" or _did_nothing(run)):
        return f"skipped: {recorded.reason if recorded and recorded.reason else 'no new prompts'}"
    if recorded and word == "pending":
        return f"pending: {recorded.reason}"
    return str(run.state.lower())


def _did_nothing(run: Any) -> bool:
    """Whether preparation let nothing follow, by KFP's details of the run, as far as they are there."""
    steps = {task.step for task in begun_tasks(run) if task.state == "SUCCEEDED"}
    return steps == {only("beginning").name, only("exit").name}
