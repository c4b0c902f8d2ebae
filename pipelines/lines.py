"""One line for each task that ends, as `nashflow run` and `submit --wait` print it."""

from collections.abc import Mapping
from typing import Any

from nashflow.components.benchmarks import is_headline
from nashflow.components.oracles.usage import usage_in

from .cluster.api.clock import in_words
from .steps import STEPS


def finished_line(record: Mapping[str, Any], shards: int = 1) -> str:
    """The line of a task that is done: `record` is what its step printed, or the same of all its shards together."""
    step = STEPS.get(record["step"])
    metrics, (shown, faults) = record["metrics"], (step.shown, step.faults) if step else ((), ())
    said = [key for key in shown if metrics.get(key) is not None] + [key for key in faults if metrics.get(key)]
    said += [key for key in metrics if is_headline(key)] + [*usage_in(metrics)]
    figures = [f"{key} {_number(metrics[key])}" for key in said]
    state = "finished before" if record["skipped"] else _duration(record["seconds"])
    many = [f"{shards} shards"] if shards > 1 else []
    return task_line(record["step"], record["iteration"], record["phase"], state, ", ".join(many + figures))


def task_line(step: str, iteration: int | None, phase: str, state: str, rest: str) -> str:
    """The columns of a line: where the task belongs, how it gets on, and what else there is to say."""
    place = "" if iteration is None or (step in STEPS and STEPS[step].once) else f"iteration {iteration}"
    return f"{place:<13}{phase:<10}{step:<15}{state:>15}  {rest}".rstrip()


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else in_words(seconds)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
