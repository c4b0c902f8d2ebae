"""An oracle whose verdicts are journalled as they come: a unit of work that goes on asks for none of them again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..storage.journal import Journal
from .base import Oracle, Query, Verdict
from .unanswered import Unanswered

_AT_ONCE = 128
"""Pairs of one entry of the journal: few enough to lose, and enough to keep an engine or a server busy."""


class JournalledOracle(Oracle):
    """Asks an oracle piece by piece. Every attempt at the unit has to ask the same questions in the same order."""

    def __init__(self, oracle: Oracle, journal: Journal, unit: str) -> None:
        """`unit` names the unit of work that the journal belongs to."""
        self._oracle, self._journal, self._unit = oracle, journal, unit
        self._read = 0
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
        for start in range(0, len(queries), _AT_ONCE):
            try:
                entry = self._entry(queries[start : start + _AT_ONCE])
            except Unanswered:
                self._oracle.judge(queries[start:])
                raise
            verdicts += [Verdict(**{**said, "members": tuple(said["members"])}) for said in entry["verdicts"]]
            for name, value in entry["used"].items():
                self._used[name] += value
        return verdicts

    def _entry(self, queries: Sequence[Query]) -> Any:
        """The journal's next entry; where there is none yet, the oracle is asked."""
        if self._read == len(self._journal):
            before = dict(self._oracle.usage)
            self._oracle.begin(f"{self._unit}/{self._read}")
            verdicts = [asdict(verdict) for verdict in self._oracle.judge(queries)]
            used = {name: value - before[name] for name, value in self._oracle.usage.items()}
            self._journal.append({"verdicts": verdicts, "used": used})
        self._read += 1
        return next(self._journal.read(self._read - 1))
