"""An oracle whose verdicts are journalled as they come: a unit of work that goes on asks for none of them again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..storage.journal import Journal
from .base import Oracle, Query, Verdict

_AT_LEAST = 32
"""Pairs of one entry of the journal, where fewer would keep the oracle busy."""


class JournalledOracle(Oracle):
    """Asks an oracle piece by piece. Every attempt at the unit has to ask the same questions in the same order."""

    def __init__(self, oracle: Oracle, fills: int, journal: Journal, unit: str) -> None:
        """`fills`: how many comparisons keep it busy; `unit` names the unit of work that the journal belongs to."""
        self._oracle, self._journal, self._unit = oracle, journal, unit
        self._at_once, self._read = max(fills, _AT_LEAST), 0
        self._used = dict.fromkeys(oracle.usage, 0.0)

    @property
    def usage(self) -> Mapping[str, float]:
        """What the oracle has used for the verdicts that were given, those of earlier attempts among them."""
        return self._used

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """The verdicts, from the journal as far as that goes.

        Raises:
            Unanswered: there are open questions; all of them are named.
        """
        verdicts: list[Verdict] = []
        while left := queries[len(verdicts) :]:
            if self._read == len(self._journal):
                self._journal.append(self._asked(left))
            entry = next(self._journal.read(self._read))
            self._read += 1
            verdicts += [Verdict(**{**said, "members": tuple(said["members"])}) for said in entry["verdicts"]]
            for name, value in entry["used"].items():
                self._used[name] += value
        return verdicts

    def _asked(self, queries: Sequence[Query]) -> dict[str, Any]:
        """The journal's next entry: of the first of some queries."""
        before = dict(self._oracle.usage)
        self._oracle.begin(f"{self._unit}/{self._read}")
        piece = queries[: self._at_once]
        if any(map(self._oracle.waits_for, piece)):
            piece = list(filter(self._oracle.waits_for, queries))  # all of them are named
        verdicts = self._oracle.judge(piece)
        used = {name: value - before[name] for name, value in self._oracle.usage.items()}
        return {"verdicts": [asdict(verdict) for verdict in verdicts], "used": used}
