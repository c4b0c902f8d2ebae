"""Record how a run ended: in its store, in the tracker, and by giving its lock back; and tell the webhooks."""

import json
from collections.abc import Sequence

from ..core.errors import UserError
from ..iterations.tracked import catch_up
from ..runtime import lock
from ..runtime.ledger import Ledger
from ..runtime.protocol import Call, Result
from ..storage import outcome, waits
from ..storage.run import read_run
from ..storage.store import Store
from ..tracking.tracker import Tracker
from .settings import ClosingStep, Told
from .telling import tell, tell_of_failure, tell_of_other

SETTINGS = ClosingStep
FLAGS = ("job-id", "takes-over", "status", "notifications")
"""`--job-id`: KFP's; `--takes-over`: the run whose lock this one took; `--status`: KFP's word on the run, JSON;
`--notifications`: whom it tells, JSON; empty: nobody."""

_STOPPED = "Kubeflow was not told of its end: it was cancelled, or one of its tasks could not be started"
_WORDS: dict[str, tuple[outcome.Word, str]] = {
    # A cluster speaks as the metadata store does.
    "COMPLETE": ("succeeded", ""),
    "CACHED": ("succeeded", ""),
    "FAILED": ("failed", ""),
    "CANCELED": ("cancelled", ""),
    "NEW": ("failed", _STOPPED),
    "RUNNING": ("failed", _STOPPED),
    # The local orchestrator's words; it says FAILED, too.
    "SUCCEEDED": ("succeeded", ""),
    "SUCCESS": ("succeeded", ""),
}


def run(call: Call[ClosingStep]) -> Result:
    """Close a run that succeeded, failed or waits; one that does not hold its run root's lock changes nothing there.

    Raises:
        UserError: Kubeflow has a word for how the run ended that is not known here, or the run root cannot be used.
    """
    word, reason = _ending(call.flags["status"])
    told, holder = Told.of(call.flags["notifications"]), lock.lock_identity(call.flags)
    try:
        if word == "failed" and (waited_for := waits.noted(call.store, call.flags["job-id"])):
            word, reason = "pending", _together(waited_for)
        if lock.held_by(call.store) == holder:
            _record(call.store, word, reason, holder[1])
            _add_warnings(call.store, tell(told, word, reason, holder, call.store))
            lock.release(call.store, *holder)
        else:
            tell_of_other(told, word, reason, holder, call.store)
    except UserError as error:  # the run has failed by the same, since its root cannot be used
        tell_of_failure(told, str(error), holder, call.store)
        raise
    return Result(figures={"succeeded": int(word == "succeeded")})


def close(store: Store, holder: tuple[str, str], word: outcome.Word, reason: str) -> bool:
    """Record how the run of the lock's `holder` (owner and job) ended, and release its lock.

    False, and nothing is changed, if it does not hold its run root's lock.
    """
    owner, job = holder
    if lock.held_by(store) != holder:
        return False
    _record(store, word, reason, job)
    lock.release(store, owner, job)
    return True


def _ending(status: str) -> tuple[outcome.Word, str]:
    """How the run ended, and why, by KFP's final status."""
    said = json.loads(status or "{}")
    state = said.get("state")
    if state not in _WORDS:
        raise UserError(
            f"--status: Kubeflow says {state!r} of the run; known are {', '.join(_WORDS)}: what became of it is not "
            "recorded, and it keeps its lock"
        )
    word, reason = _WORDS[state]
    error = said.get("error") or {}
    return word, reason or (str(error.get("message", "")) if isinstance(error, dict) else str(error))


def _together(waited_for: list[str]) -> str:
    """The first reason to wait, and how many tasks have others."""
    first, *others = waited_for
    return f"{first}; {len(others)} more tasks wait likewise" if others else first


def _record(store: Store, word: outcome.Word, reason: str, job: str) -> None:
    """Tell run root and tracker, and where it failed the ledger; unless preparation did not get far enough."""
    known = read_run(store)
    if not known:
        return
    outcome.write(store, word, reason, job)
    if word not in ("succeeded", "pending"):
        Ledger(store, known.name).fail()
    missing, tracker = _caught_up(store), Tracker.of(store)
    tracker.close(word, reason)
    if warning := missing or tracker.warning:
        outcome.write(store, word, reason, job, warning)


def _add_warnings(store: Store, lines: Sequence[str]) -> None:
    """Add to what failed at the run's end, if that is recorded."""
    if lines and (ended := outcome.read(store)):
        warning = "; ".join(filter(None, (ended.warning, *lines)))
        outcome.write(store, ended.outcome, ended.reason, ended.job, warning)


def _caught_up(store: Store) -> str:
    """Tell the tracker what it has missed; why it could not be. A damaged file must not keep the lock."""
    try:
        return catch_up(store)
    except UserError as error:
        return str(error)
