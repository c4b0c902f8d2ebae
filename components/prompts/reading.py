"""Read a set of prompts: find its layout, leave out what is no prompt, count why."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from ..core.digests import canonical_json
from ..core.errors import UserError
from ..storage.records import Message
from .counts import Counts
from .files import File, entries
from .layouts import KNOWN, layout_of
from .layouts.base import Answer, Bad, Empty, Entry, Layout, Messages
from .places import files_of
from .pool import Pool, Wanted
from .settings import PromptSource

_LOOKED_AT = 100
"""Entries in which a layout is looked for: the first may be a bad one."""


Find = Callable[[Entry, str], Layout]
"""From an entry and where it stands to its layout; raises a UserError where it has none."""


class Rendering(Protocol):
    """The policy's view of prompts and responses."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a prompt.

        Raises:
            Bad: a chat template refuses it, or loses something of it.
        """

    def response(self, messages: Sequence[Message], text: str) -> list[int]:
        """Token ids of a given response, with its end."""


@dataclass(frozen=True)
class Asked:
    """What a set of prompts is read for."""

    wanted: Wanted = None
    """The given responses that are needed with each prompt."""
    given: Sequence[str] = ()
    """The fields that hold them; none: as the layout has it."""
    rendering: Rendering | None = None
    """The policy's view, by which prompts are the same or too long; None: as they are written."""
    longest: int = 0
    """Longest prompt in tokens."""
    room: int = 0
    """Longest given response in tokens."""
    lenient: bool = False
    """Count bad entries that the source would refuse."""


def read(
    source: PromptSource, asked: Asked, section: str = "prompts", other: Pool | None = None
) -> tuple[Pool, Counts]:
    """The different prompts of a source, and what was left out; those of `other` are.

    One that occurs again counts once, with all that was given with it. `section`: the recipe's, for messages.

    Raises:
        UserError: a path is missing or cannot be read, an entry is refused, or the layout lacks what is wanted.
    """
    pool, counts = Pool(asked.wanted), Counts()
    for part, path in enumerate(source.paths):
        with files_of(path, source) as files:
            layout = first_layout(
                files, source, asked.given, lambda entry, where: layout_of(entry, source, asked.given, where)
            )
            _check_given(layout, path, asked)
            counts.found(layout.name)
            reader = _Reader(source, asked, section, layout, pool, counts, other, part)
            for file in files:
                for where, entry in entries(file, reader.columns):
                    reader.take(where, entry)
    counts.leave_out("without_given", pool.close())
    counts.kept = len(pool)
    return pool, counts


def first_layout(files: Sequence[File], source: PromptSource, given: Sequence[str], find: Find) -> Layout:
    """The layout of the first entry in which `find` finds one; `given`: further fields that it looks at.

    Raises:
        UserError: there are no entries, or what `find` says of the first of them.
    """
    refused = None
    for file in files:
        for where, entry in islice(entries(file, KNOWN | {source.field, *given}), _LOOKED_AT):
            if not isinstance(entry, dict):
                refused = refused or UserError(f"{where}: {_no_object(source, entry)}")
                continue
            try:
                return find(entry, where)
            except UserError as line:
                refused = refused or line
        if refused:
            raise refused
    raise UserError(f"{', '.join(file.name for file in files) or source.named}: there are no entries")


def _no_object(source: PromptSource, entry: Any) -> str:
    return f"a prompt is an object with the field {source.field!r}, not {type(entry).__name__}"


def _check_given(layout: Layout, path: str, asked: Asked) -> None:
    if asked.wanted == "pairs" and layout.gives not in ("pairs", "rated"):
        raise UserError(
            f"{path}: the method learns from given pairs, and entries of the layout {layout.name} have none: set "
            "prompts.given to the two fields that hold the chosen and the rejected response, such as [chosen, rejected]"
        )
    if asked.wanted == "responses" and not layout.gives:
        raise UserError(
            f"{path}: the method uses a teacher's responses, and entries of the layout {layout.name} have none: set "
            "prompts.given to the field that holds them, such as [response]"
        )


@dataclass(frozen=True)
class _Reader:
    """Takes the entries of one path into the pool."""

    source: PromptSource
    asked: Asked
    section: str
    layout: Layout
    pool: Pool
    counts: Counts
    other: Pool | None
    part: int

    @property
    def columns(self) -> set[str]:
        return {*self.layout.columns, *(self.layout.answer_columns if self.asked.wanted else ())}

    def take(self, where: str, entry: Any) -> None:
        """Add the entry's prompt to the pool, or count why not."""
        self.counts.read += 1
        try:
            messages, answers = self._read(entry)
            ids = self.asked.rendering.prompt(messages) if self.asked.rendering else None
        except Bad as bad:
            if self.source.on_bad == "refuse" and not self.asked.lenient:
                raise refusal(where, bad, self.section) from None
            self.counts.leave_out(bad.reason)
            self.counts.examples.setdefault(bad.reason, f"{where}: {bad}")
            return
        if ids and len(ids) > self.asked.longest:
            self.counts.leave_out("too_long")
            return
        key = key_of(messages if ids is None else ids)
        if self.other is not None and self.other.has(key):
            self.counts.leave_out("in_evaluation")
        elif not self.pool.add(key, self.part, messages, self._fitting(messages, answers), where, len(ids or ())):
            self._count_again()

    def _count_again(self) -> None:
        """Count an entry of a prompt that is there already: what is given with it is kept."""
        if self.asked.wanted:
            self.counts.drop("joined")
        else:
            self.counts.leave_out("duplicate")

    def _read(self, entry: Any) -> tuple[Messages, list[Answer]]:
        messages, empty = prompt_of(self.layout, entry, self.source, self.section)
        self.counts.drop("empty_system", empty)
        answers = self.layout.answers(entry) if self.asked.wanted else []
        if self.asked.wanted == "responses" and self.layout.gives == "pairs" and self.layout.name != "fields":
            answers = answers[:1]
        return messages, answers

    def _fitting(self, messages: Messages, answers: list[Answer]) -> list[Answer]:
        """The answers without those that are too long; a pair stays or goes as a whole."""
        rendering = self.asked.rendering
        if not rendering:
            return answers
        size = 2 if self.asked.wanted == "pairs" and self.layout.gives == "pairs" else 1
        groups = [answers[at : at + size] for at in range(0, len(answers), size)]
        fits = [
            all(len(rendering.response(messages, each.text)) <= self.asked.room for each in group) for group in groups
        ]
        self.counts.drop("given_too_long", fits.count(False))
        return [each for group, fit in zip(groups, fits, strict=True) if fit for each in group]


def prompt_of(layout: Layout, entry: Any, source: PromptSource, section: str = "prompts") -> tuple[Messages, int]:
    """The prompt of an entry, and how many empty system messages were dropped from it.

    Raises:
        Bad: there is none.
    """
    if not isinstance(entry, dict):
        raise Bad(_no_object(source, entry))
    said = layout.messages(entry)
    messages = [message for message in said if message["role"] != "system" or message["content"].strip()]
    if not messages or not all(message["content"].strip() for message in messages):
        raise Empty("the prompt is empty")
    if all(message["role"] == "system" for message in messages):
        raise Empty("the prompt has a system message and nothing else")
    if messages[-1]["role"] == "assistant":
        raise Bad(f"the dialogue ends with the assistant's answer: set {section}.drop_last_answer to true to cut it")
    return messages, len(said) - len(messages)


def refusal(where: str, bad: Bad, section: str = "prompts") -> UserError:
    """The line on an entry that is no prompt."""
    what = "remove the entry" if bad.reason == Empty.reason else "correct the entry"
    return UserError(f"{where}: {bad}; {what}, or set {section}.on_bad to skip")


def key_of(value: Any) -> bytes:
    """What tells prompts apart: a digest of messages or token ids."""
    return hashlib.sha256(canonical_json(value).encode()).digest()[:16]
