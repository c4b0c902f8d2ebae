"""`report/outcome.json`: how a run ended, for people and programs that did not follow it."""

import json
import time
from dataclasses import asdict, dataclass
from typing import Literal

from . import layout
from .store import Store

Word = Literal["succeeded", "failed", "cancelled", "skipped", "pending"]
"""skipped: a scheduled run that found too few new prompts; pending: one that waits for people, and goes on when it is
started again."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    outcome: Word
    reason: str
    """In words, where there is one."""
    job: str
    """Id of the KFP run that ended so; empty for a run on this machine."""
    ended: float
    """Seconds since the epoch."""
    warning: str = ""
    """What failed at its end, such as an update of MLflow."""


def write(store: Store, word: Word, reason: str, job: str, warning: str = "") -> None:
    """Record how the run under a run root ended, with the current time."""
    made = Outcome(word, reason, job, time.time(), warning)
    store.write(layout.OUTCOME, json.dumps(asdict(made), indent=1).encode())


def read(store: Store) -> Outcome | None:
    """How the run under a run root ended; None while it is running, or if the file is not readable as an outcome."""
    try:
        return Outcome(**json.loads(store.read(layout.OUTCOME)))
    except (FileNotFoundError, ValueError, TypeError):
        return None
