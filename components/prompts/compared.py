"""Read labelled pairs: prompts with responses that somebody compared."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from ..core.errors import UserError
from ..core.seeds import derive_uniform
from ..storage.records import Message
from .counts import Counts
from .files import entries
from .layouts import LAYOUTS, layout_of
from .layouts.base import Answer, Bad, Entry, Layout, has
from .places import files_of
from .reading import first_layout, key_of, prompt_of, refusal
from .settings import PromptSource

PAIR = ("chosen", "rejected")
"""The fields of two responses, where the prompt has a field of its own."""
_CATEGORIES = ("subset", "category", "domain", "source", "language")
"""Fields that say what an entry is about; the first that there is counts."""
_NAME = "id"


@dataclass(frozen=True)
class Compared:
    """Responses to one prompt, compared with each other."""

    prompt: int
    """Equal numbers, equal prompts."""
    messages: Sequence[Message]
    answers: Sequence[Answer]
    """As `Layout.compared` gives them."""
    category: str
    where: str
    """The file and the place in it, for messages."""
    name: str = ""
    """The entry's field `id`, where that is a text."""

    def pairs(self) -> Iterator[tuple[int, int, float | None]]:
        """Each two different texts, by index, and the label: 1 if the first is better, 0 if the second is, 1/2 for a
        tie; None where nobody compared them."""
        for first, second in combinations(range(len(self.answers)), 2):
            if self.answers[first].text != self.answers[second].text:
                yield first, second, _label(self.answers[first].score, self.answers[second].score)


def _label(first: float | None, second: float | None) -> float | None:
    if first is None and second is None:
        return None
    if first is None or second is None:
        return float(second is None)
    return 0.5 if first == second else float(first > second)


def read_compared(source: PromptSource, limit: int | None = None, seed: int = 0) -> tuple[list[Compared], Counts]:
    """The compared responses of a source, and what was left out.

    Entries with one rated response each are joined by their prompts. `limit`: at most so many prompts, drawn by `seed`
    from all, whatever their order.

    Raises:
        UserError: a path is missing or cannot be read, an entry is refused, or nothing in it is compared.
    """
    drawn, counts = _Drawn(limit, seed), Counts()
    for path in source.paths:
        with files_of(path, source) as files:
            layout = first_layout(files, source, PAIR, lambda entry, where: _layout(entry, where, source))
            counts.found(layout.name)
            columns = {*layout.columns, *layout.answer_columns, *_CATEGORIES, _NAME}
            for file in files:
                for where, entry in entries(file, columns):
                    counts.read += 1
                    try:
                        found = _read(layout, source, where, entry, counts)
                    except Bad as bad:
                        if source.on_bad == "refuse":
                            raise refusal(where, bad) from None
                        counts.leave_out(bad.reason)
                        counts.examples.setdefault(bad.reason, f"{where}: {bad}")
                        continue
                    if found.answers:
                        drawn.take(found)
                    else:
                        counts.leave_out("uncompared")
    counts.leave_out("not_drawn", drawn.left)
    compared = [each for number, group in drawn.groups() for each in _joined(number, group, counts)]
    counts.kept = len({each.prompt for each in compared})
    if not compared:
        raise UserError(f"{source.named}: no two responses to a prompt were compared: {counts}")
    return compared, counts


def _layout(entry: Entry, where: str, source: PromptSource) -> Layout:
    """The layout of an entry with compared responses; of a prompt with two texts, those in the fields of `PAIR`."""
    for given in ((), PAIR) if has(entry, *PAIR) else ((),):
        try:
            found = layout_of(entry, source, given, where)
        except UserError:
            continue
        if found.gives in ("pairs", "rated"):
            return found
    near = max(
        (kind for kind in LAYOUTS if kind.gives in ("pairs", "rated")),
        key=lambda kind: sum(name in entry for name in kind.known) / len(kind.known),
    )
    lacking = [name for name in near.known if name not in entry]
    raise UserError(
        f"{where}: no responses that were compared (here: {', '.join(entry) or 'none'}); give the fields prompt, "
        f"chosen and rejected, or those of the nearest layout, {near.name}: {', '.join(near.known)}"
        + (f"; it lacks {', '.join(lacking)}" if lacking else "")
    )


def _read(layout: Layout, source: PromptSource, where: str, entry: Any, counts: Counts) -> Compared:
    messages, empty = prompt_of(layout, entry, source)
    counts.drop("empty_system", empty)
    category = next((entry[name] for name in _CATEGORIES if isinstance(entry.get(name), str)), "")
    name = entry.get(_NAME)
    return Compared(0, messages, layout.compared(entry), category, where, name if isinstance(name, str) else "")


class _Drawn:
    """Prompts in their order; of more than `limit`, those with the smallest random numbers."""

    def __init__(self, limit: int | None, seed: int) -> None:
        self._limit, self._seed = limit, seed
        self._groups: dict[bytes, list[Compared]] = {}
        self._numbers: list[tuple[float, bytes]] = []
        """A heap of the negative numbers of the prompts."""
        self.left = 0
        """Entries that were not drawn."""

    def take(self, each: Compared) -> None:
        """Add an entry, and let go of the prompt that is one too many."""
        key = key_of(each.messages)
        if key in self._groups:
            self._groups[key].append(each)
            return
        number = (-derive_uniform(self._seed, "prompt", key.hex()), key)
        # A prompt that was let go of has a number above all that are left, and stays out.
        if len(self._groups) == self._limit:
            out = heapq.heappushpop(self._numbers, number)[1]
            self.left += len(self._groups.pop(out, (each,)))
            if out == key:
                return
        else:
            heapq.heappush(self._numbers, number)
        self._groups[key] = [each]

    def groups(self) -> Iterator[tuple[int, list[Compared]]]:
        """The entries of each prompt, with its number."""
        return enumerate(self._groups.values())


def _joined(prompt: int, group: Sequence[Compared], counts: Counts) -> Iterator[Compared]:
    """The entries of a prompt that have pairs; those with one response each are one entry."""
    single = [each for each in group if len(each.answers) == 1]
    whole = [each for each in group if len(each.answers) > 1]
    if len(single) > 1:
        answers = [answer for each in single for answer in each.answers]
        whole.append(replace(single[0], answers=answers))
        counts.drop("joined", len(single) - 1)
    else:
        counts.leave_out("uncompared", len(single))
    for each in whole:
        if any(label is not None for *_, label in each.pairs()):
            yield replace(each, prompt=prompt)
        else:
            counts.leave_out("uncompared")
