"""Comparisons for people under a run root: JSON lines for programs, and a page to work through with the keyboard."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...core.digests import sha256_bytes
from ...storage import layout
from ...storage.store import Store
from .comparison import Shown
from .page import page

_DIGITS = 12


@dataclass(frozen=True)
class Question:
    """A comparison that lacks verdicts."""

    shown: Shown
    annotators: int
    """How many people have to judge it."""
    judged_by: tuple[str, ...] = ()
    """The annotators who have."""

    def to_json(self) -> dict[str, Any]:
        """The question as a line of an export has it."""
        needed = {"annotators": self.annotators, "judged_by": list(self.judged_by)}
        return {"comparison": self.shown.id, **asdict(self.shown), **needed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Question":
        """The question in a line of an export."""
        shown = Shown(data["instructions"], data["messages"], data["a"], data["b"])
        return cls(shown, data["annotators"], tuple(data["judged_by"]))


def export(store: Store, name: str, questions: Sequence[Question]) -> str:
    """Write questions under a run root; says in one line where, and how to go on."""
    lines, html, digest = files(questions)
    key = f"{layout.EXPORTS}/{name}-{digest}"
    store.write(f"{key}.jsonl", lines)
    store.write(f"{key}.html", html)
    return (
        f"{said_of(questions)}: open {store.location(f'{key}.html')}, or what `nashflow human export {store.uri}` "
        f"writes, and hand in what it saves with `nashflow human import {store.uri} FILE`"
    )


def said_of(questions: Sequence[Question]) -> str:
    """How many comparisons lack verdicts, and of how many people."""
    begun = sum(1 for question in questions if question.judged_by)
    needed = max(question.annotators for question in questions)
    some = f", of which {begun} have some of the {needed} wanted" if needed > 1 else ""
    return f"comparisons that lack people's verdicts: {len(questions)}{some}"


def files(questions: Sequence[Question]) -> tuple[bytes, bytes, str]:
    """The JSON lines of an export, its page, and the id of both."""
    rows = [question.to_json() for question in questions]
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    digest = sha256_bytes(lines)[:_DIGITS]
    return lines, page(digest, rows).encode(), digest


def asked(store: Store) -> dict[str, Question]:
    """Everything that people have been asked under a run root, by the comparison's id."""
    keys = [key for key in store.list(layout.EXPORTS) if key.endswith(".jsonl")]
    return {question.shown.id: question for key in keys for question in _questions(store.read(key))}


def _questions(data: bytes) -> Iterable[Question]:
    return (Question.from_json(json.loads(line)) for line in data.decode().split("\n") if line)
