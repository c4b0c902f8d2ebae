"""One line for each task that ends, as `nashflow run` and `submit --wait` print it."""

from collections.abc import Mapping
from typing import Any

from .client.clock import in_words

_SHOWN: Mapping[str, tuple[str, ...]] = {
    "preparation": ("prompts",),
    "rollout": ("responses", "mean_length"),
    "judging": ("pairs", "comparisons"),
    "logprobs": ("sequences", "cache_hits"),
    "training": ("updates", "loss", "accuracy"),
    "evaluation": ("win_rate", "duality_gap", "kl"),
}
"""The figures that stand in a step's line."""
OF_NO_ITERATION = ("preparation", "reporting", "closing")
"""Steps that a run has once."""


def finished_line(record: Mapping[str, Any], shards: int = 1) -> str:
    """The line of a task that is done: `record` is what its step printed, or the same of all its shards together."""
    shown = ((key, record["metrics"].get(key)) for key in _SHOWN.get(record["step"], ()))
    figures = [f"{key} {_number(value)}" for key, value in shown if value is not None]
    state = "finished before" if record["skipped"] else _duration(record["seconds"])
    many = [f"{shards} shards"] if shards > 1 else []
    return task_line(record["step"], record["iteration"], record["phase"], state, ", ".join(many + figures))


def task_line(step: str, iteration: int | None, phase: str, state: str, rest: str) -> str:
    """The columns of a line: where the task belongs, how it gets on, and what else there is to say."""
    place = "" if iteration is None or step in OF_NO_ITERATION else f"iteration {iteration}"
    return f"{place:<13}{phase:<10}{step:<12}{state:>15}  {rest}".rstrip()


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else in_words(seconds)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
