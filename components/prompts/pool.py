"""Prompts on disk: as many as there are, in the memory of a few."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from ..storage.records import Message
from .layouts.base import Answer

Wanted = Literal["responses", "pairs"] | None
"""The given responses that a method learns from."""
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Prompt:
    """A dialogue to be continued, and given responses: a teacher's, or pairs of a chosen and a rejected one."""

    messages: list[Message]
    given: list[str]
    where: str = field(default="", compare=False)
    """The file and the place in it, for messages."""


_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE prompts
    (place INTEGER PRIMARY KEY, key BLOB UNIQUE, part INTEGER, messages TEXT, stands TEXT, tokens INTEGER);
CREATE TABLE given (place INTEGER, part INTEGER, text TEXT, score REAL);
"""
_WITHOUT_GIVEN = """DELETE FROM prompts WHERE place NOT IN
    (SELECT place FROM given GROUP BY place, part HAVING max(score) IS NULL OR min(score) < max(score) OR ?)"""


class Pool(Sequence[Prompt]):
    """Distinct prompts in the order in which they were added; a sequence once `close` was called.

    They lie in a temporary database that SQLite deletes with the last reference.
    """

    def __init__(self, wanted: Wanted = None) -> None:
        """`wanted`: of responses that are rated, the best alone, or the best and the worst, are given."""
        self._wanted = wanted
        self._data = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._data.executescript(_TABLES)
        self._data.execute("BEGIN")
        self._places: Indices = np.zeros(0, np.int64)

    def add(
        self, key: bytes, part: int, messages: list[Message], given: Sequence[Answer], where: str, tokens: int = 0
    ) -> bool:
        """Add a prompt, or the responses that come with it where one with the same key is there; whether it is new."""
        row = (key, part, json.dumps(messages), where, tokens)
        done = self._data.execute(
            "INSERT OR IGNORE INTO prompts (key, part, messages, stands, tokens) VALUES (?, ?, ?, ?, ?)", row
        )
        if given:
            (place,) = self._data.execute("SELECT place FROM prompts WHERE key = ?", (key,)).fetchone()
            self._data.executemany(
                "INSERT INTO given VALUES (?, ?, ?, ?)", ((place, part, answer.text, answer.score) for answer in given)
            )
        return done.rowcount > 0

    def has(self, key: bytes) -> bool:
        """Whether a prompt with this key is there."""
        return self._data.execute("SELECT 1 FROM prompts WHERE key = ?", (key,)).fetchone() is not None

    def close(self) -> int:
        """Take leave of prompts that come without the responses wanted; how many those are."""
        before = self._count()
        if self._wanted:
            self._data.execute("CREATE INDEX by_place ON given (place)")
            self._data.execute(_WITHOUT_GIVEN, (self._wanted == "responses",))
        self._data.execute("COMMIT")
        self._places = self._column("place")
        return before - len(self._places)

    def _count(self) -> int:
        (count,) = self._data.execute("SELECT count(*) FROM prompts").fetchone()
        return int(count)

    def only(self, indices: Indices) -> "Pool":
        """The prompts of these indices alone; the files are the same."""
        made = object.__new__(Pool)
        made._wanted, made._data, made._places = self._wanted, self._data, self._places[indices]
        return made

    def part(self, number: int) -> Indices:
        """The indices of the prompts of one part, in order."""
        parts = self._column("part")[np.searchsorted(self._column("place"), self._places)]
        return np.flatnonzero(parts == number)

    @property
    def lengths(self) -> Indices:
        """Tokens of each prompt."""
        return self._column("tokens")[np.searchsorted(self._column("place"), self._places)]

    def _column(self, name: str) -> Indices:
        found = self._data.execute(f"SELECT {name} FROM prompts ORDER BY place")
        return np.fromiter((value for (value,) in found), np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Prompt]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prompt]: ...
    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        place = int(self._places[index])
        found = self._data.execute("SELECT messages, stands FROM prompts WHERE place = ?", (place,)).fetchone()
        return Prompt(json.loads(found[0]), self._given(place) if self._wanted else [], found[1])

    def _given(self, place: int) -> list[str]:
        """The responses of each part, which has marks of its own."""
        rows = self._data.execute("SELECT part, text, score FROM given WHERE place = ? ORDER BY rowid", (place,))
        parts = dict[int, list[Answer]]()
        for part, *answer in rows:
            parts.setdefault(part, []).append(Answer(*answer))
        return [text for answers in parts.values() for text in self._best(answers)]

    def _best(self, answers: list[Answer]) -> list[str]:
        if answers[0].score is None:
            return [answer.text for answer in answers]
        ranked = sorted(answers, key=lambda answer: -(answer.score or 0.0))
        if self._wanted == "responses":
            return [ranked[0].text]
        return [ranked[0].text, ranked[-1].text] if ranked[0].score != ranked[-1].score else []
