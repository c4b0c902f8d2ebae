"""What webhooks are told: one message for each event at the end of a run."""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ..core.digests import digest_json
from ..core.errors import one_line
from ..core.redaction import redact
from ..storage import layout
from ..storage.run import Run
from ..storage.store import Store

EventName = Literal["finished", "failed", "skipped", "pending", "promoted", "refused"]

_DECISION = f"{layout.PROMOTION}.json"
_LONGEST_REASON = 1000
_SHOWN = ("win_rate", "win_rate_low", "win_rate_high", "duality_gap", "kl", "mean_length")
"""The figures of an iteration that a message has, where they are known."""


@dataclass(frozen=True)
class Message:
    """A message; its id is the same however often it is sent."""

    event: EventName
    run: str
    run_root: str
    job: str = ""
    """Id of the run on Kubeflow; empty for a run on this machine."""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else is known, such as the last iteration's figures."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    about: str = ""
    """What makes it another event than an earlier one of this name: what was made or decided, or who failed."""

    @property
    def id(self) -> str:
        """By which a receiver knows that it has the message already."""
        return f"{self.event}-{digest_json([self.run_root, self.about])[:16]}"

    def to_json(self) -> dict[str, Any]:
        """The message as a JSON value, without secrets."""
        said = {name: value for name, value in asdict(self).items() if name != "about"}
        secret_free = {name: redact(value) if isinstance(value, str) else value for name, value in said.items()}
        return {"id": self.id, **secret_free, "reason": redact(one_line(self.reason))[:_LONGEST_REASON]}

    def in_words(self) -> str:
        """The message for people: what happened, why, how good the policy is, where the run is."""
        said = self.to_json()
        lines = [f"{said['run'] or 'A run'}: {said['event']}" + (f": {said['reason']}" if said["reason"] else "")]
        if self.details:
            lines.append(", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.details.items()))
        return "\n".join([*lines, said["run_root"]])


def figures_of(store: Store) -> dict[str, Any]:
    """The last iteration of a finished run, and its figures, as `report/summary.json` has them."""
    try:
        last = json.loads(store.read(layout.SUMMARY))["iterations"][-1]
    except (FileNotFoundError, ValueError, LookupError):
        return {}
    return {name: last[name] for name in ("iteration", *_SHOWN) if last.get(name) is not None}


def of_ending(
    word: str, reason: str, holder: tuple[str, str], store: Store, run: Run | None, name: str
) -> list[Message]:
    """The messages of how a run ended: an outcome, its reason, the owner and job of its lock; none for one that was
    cancelled, which somebody knows who did it.

    `name` is the run's where `run.json` is not there, or another's (`run` is None).
    """
    owner, job = holder
    message = functools.partial(Message, run=run.name if run else name, run_root=store.uri, job=job, reason=reason)
    if word == "succeeded":
        return [message("finished", details=figures_of(store), about=_made(store))]
    events: dict[str, EventName] = {"failed": "failed", "skipped": "skipped", "pending": "pending"}
    return [message(events[word], about=f"{owner} {job}")] if word in events else []


def of_decision(job: str, store: Store, run: Run) -> list[Message]:
    """The message of what was decided of the run's policy, if anything was; none for a decision that changed nothing
    (promotion.dry_run)."""
    try:
        said = json.loads(store.read(_DECISION))
    except (FileNotFoundError, ValueError):
        return []
    if said["dry_run"]:
        return []
    details = {name: said[name] for name in ("model", "version") if said.get(name)}
    details |= {name: said["figures"][name] for name in _SHOWN if name in said["figures"]}
    return [Message(said["decision"], run.name, store.uri, job, said["reason"], details, about=digest_json(said))]


def _made(store: Store) -> str:
    """The digest of what a finished run says of itself: sent once for each state of the run."""
    try:
        return digest_json(json.loads(store.read(layout.SUMMARY)))
    except (FileNotFoundError, ValueError):
        return ""


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
