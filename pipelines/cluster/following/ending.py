"""How a run that was followed ended, and what to do then."""

import sys
from typing import Any

from rich.console import Console

from nashflow.components.runtime.protocol import PENDING

from ..api.clock import in_words, seconds_between
from ..api.connection import Connection
from ..pods.reasons import Failure
from ..runs.outcomes import outcome_in_words
from ..runs.run_root import FOUND_AGAIN, run_root_of
from .progress import Progress


def conclude(connection: Connection, run: Any, progress: Progress, console: Console) -> int:
    """Say how the run ended; the exit code: 0, 1, or PENDING where it waits for people."""
    duration = in_words(seconds_between(run.created_at, run.finished_at))
    link, flags = connection.link(run.run_id), connection.access.flags
    outcome, _, reason = outcome_in_words(run, progress.outcome).partition(": ")
    if progress.outcome and progress.outcome.warning:
        print(f"nashflow: warning: {progress.outcome.warning}", file=sys.stderr)
    if run.state == "SUCCEEDED":
        console.print(f"{outcome} in {duration}{f', {reason}' if reason else ''}: {link}", soft_wrap=True)
        return 0
    if _waits(outcome, progress.failures):
        said = reason or "; ".join(failure.said for failure in progress.failures)
        print(f"nashflow: {run.display_name} is pending: {said}; then {_retry(run, flags)}; {link}", file=sys.stderr)
        return PENDING
    if outcome == "cancelled":
        how, said, advice = "was cancelled", "", _after_cancelling(run, progress, flags)
    else:
        said = "; ".join(map(str, progress.failures)) or (run.error.message if run.error else "")
        how, advice = run.state.lower(), _after_failing(run, progress.failures, flags)
    print(f"nashflow: {run.display_name} {how} after {duration}: {f'{said}; ' if said else ''}{link}", file=sys.stderr)
    print(f"nashflow: {advice}", file=sys.stderr)
    return 1


def _waits(outcome: str, failures: list[Failure]) -> bool:
    """Whether the run waits for people; not where a step is known to have failed besides."""
    codes = [failure.code for failure in failures if failure.code is not None]
    return (outcome == "pending" or bool(codes)) and all(code == PENDING for code in codes)


def _after_cancelling(run: Any, progress: Progress, flags: str) -> str:
    return _submit_again(run) if progress.in_recipe else _retry(run, flags)


def _after_failing(run: Any, failures: list[Failure], flags: str) -> str:
    """Advice for the user: a retry uses the same settings again, which does not always help."""
    if not failures:
        return _retry(run, flags)
    failure, again = failures[0], _retry(run, flags)
    log = f"its log: `nashflow logs {run.run_id} --step {failure.node} {flags}`; " if failure.has_log else ""
    if failure.is_the_recipes:
        return f"{log}a retry would fail again: correct the recipe or the run's settings, and submit it again"
    if failure.advice.in_recipe:
        return f"{log}{failure.advice.text}, and {_submit_again(run)}"
    if failure.advice.text:
        return f"{log}{failure.advice.text}; then {again}"
    if not failure.said:
        return f"{log}if it names a mistake in the recipe, correct it and submit again; otherwise {again}"
    return f"{log}{again}"


def _retry(run: Any, flags: str) -> str:
    return f"resume it with `nashflow retry {run.run_id} {flags}`"


def _submit_again(run: Any) -> str:
    return f"submit the recipe again with --run-root {run_root_of(run)}, {FOUND_AGAIN}: a retry would ask for the same"
