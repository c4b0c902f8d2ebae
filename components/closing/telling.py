"""Tell the recipe's webhooks how a run ended."""

import sys

from ..notifications.messages import of_decision, of_ending
from ..notifications.sending import notify
from ..storage import outcome
from ..storage.run import read_run
from ..storage.store import Store
from .settings import Told

Holder = tuple[str, str]
"""The owner and the job of a run's lock."""


def tell(told: Told, word: outcome.Word, reason: str, holder: Holder, store: Store) -> list[str]:
    """Tell of a run's end under its own run root, where it is noted; the lines of what failed, which are printed."""
    if not told.webhooks:
        return []
    run = read_run(store)
    messages = of_ending(word, reason, holder, store, run, told.run) + (
        of_decision(holder[1], store, run) if run else []
    )
    return _said(notify(told.webhooks, messages, store))


def tell_of_other(told: Told, word: outcome.Word, reason: str, holder: Holder, store: Store) -> None:
    """Tell of a run without the lock: one that was skipped, which takes none, or was refused by the lock's holder."""
    if not told.webhooks:
        return
    ended = outcome.read(store)
    if word == "succeeded" and ended and (ended.outcome, ended.job) == ("skipped", holder[1]):
        tell(told, "skipped", ended.reason, holder, store)
    elif word == "failed":
        tell_of_failure(told, reason, holder, store)


def tell_of_failure(told: Told, reason: str, holder: Holder, store: Store) -> None:
    """Tell of a run whose run root is not its own, or cannot be used: nothing is read or noted there."""
    _said(notify(told.webhooks, of_ending("failed", reason, holder, store, None, told.run), None))


def _said(lines: list[str]) -> list[str]:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr, flush=True)
    return lines
