"""What was read, and what was left out and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .uses import Uses

REASONS = {
    "empty": "empty",
    "unreadable": "unreadable",
    "unrendered": "not kept whole by a chat template",
    "too_long": "too long",
    "too_long_for_oracle": "too long for the oracle's context",
    "duplicate": "duplicate",
    "without_given": "without given responses",
    "in_evaluation": "among those of evaluation",
    "uncompared": "without two different responses that were compared",
    "not_drawn": "not drawn",
}
"""Reasons for which prompts are left out, in words."""
NOTES = {
    "joined": "joined with an earlier entry of the same prompt",
    "given_too_long": "given responses or pairs too long",
    "empty_system": "empty system messages dropped",
}
"""What else was done to entries."""

WORDS = {**REASONS, **NOTES}


@dataclass
class Counts:
    """Entries of a set, by what became of them."""

    layout: str = ""
    """The layouts found."""
    read: int = 0
    """Entries."""
    kept: int = 0
    """Different prompts."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Entries that are no prompts of their own, by reason."""
    dropped: dict[str, int] = field(default_factory=dict)
    """What else was done, likewise."""

    examples: dict[str, str] = field(default_factory=dict)
    """The first bad entry of each reason, and what is wrong with it."""

    def found(self, layout: str) -> None:
        """Note the layout of a path."""
        self.layout = ", ".join(dict.fromkeys([*filter(None, self.layout.split(", ")), layout]))

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count entries that are left out."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def drop(self, what: str, count: int = 1) -> None:
        """Count what else was done."""
        if count:
            self.dropped[what] = self.dropped.get(what, 0) + count

    def to_json(self) -> dict[str, Any]:
        """The counts as a JSON value."""
        return asdict(self)

    def __str__(self) -> str:
        return said(self.to_json())


def said(counts: Mapping[str, Any]) -> str:
    """The counts in words, such as `805 entries, 182 prompts; left out: 600 too long, 23 duplicate`."""
    words = f"{counts['read']:,} entries, {counts['kept']:,} prompts"
    reasons = [f"{count:,} {REASONS[reason]}" for reason, count in counts["left_out"].items()]
    parts = [f"{count:,} {NOTES[what]}" for what, count in counts["dropped"].items()]
    return "; ".join([words, *(["left out: " + ", ".join(reasons)] if reasons else []), *parts])


def whole(prompts: Mapping[str, Any]) -> str:
    """All that `run.json` says of a run's prompts, in words."""
    uses = Uses(*(prompts[name] for name in Uses._fields))
    own = [f"evaluation's own: {said(prompts['held_out'])}"] if "held_out" in prompts else []
    return "; ".join([said(prompts), str(uses), *own])


def figures(prompts: Mapping[str, Any] | None) -> dict[str, float]:
    """The same as numbers by name; `most_uses` only where a prompt is used again. None for the sandbox world."""
    if prompts is None:
        return {}
    again = {"most_uses": prompts["most"]} if prompts["most"] > 1 else {}
    return {"read": prompts["read"], "kept": prompts["kept"], **prompts["left_out"], **prompts["dropped"], **again}
