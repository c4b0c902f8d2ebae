"""The judge of a benchmark, opened when it is asked first."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..core.digests import canonical_json
from ..oracles.base import Oracle, Query, Verdict
from ..oracles.llm_judge.completions import Completions
from ..oracles.oracle_settings import OracleSettings
from ..storage.store import Store


class Judge:
    """An oracle that judges the answers of a benchmark: two against each other, or in the benchmark's own words."""

    def __init__(self, settings: OracleSettings | None, store: Store | None = None) -> None:
        """What it answers is kept beside `store`, if it is dear to ask; None: rules judge, and nobody is asked."""
        self._settings, self._store = settings, store
        self._oracle: Oracle | None = None
        self._completions: dict[str, Completions | None] = {}
        self._part = ""

    @property
    def settings(self) -> OracleSettings:
        """The oracle's."""
        assert self._settings, "a benchmark that asks its judge says so: asks_judge"
        return self._settings

    @property
    def fills(self) -> int:
        """How many comparisons keep it busy."""
        return self._settings.fills if self._settings else 1

    @cached_property
    def signature(self) -> str:
        """Stands on its judgments."""
        return self.settings.signature

    def compare(self, queries: Sequence[Query]) -> list[Verdict]:
        """Its verdicts, each of both orders, in its own words where it has some."""
        if self._oracle is None:
            self._oracle = self.settings.load(self._store)
            self._oracle.begin(self._part)
        return self._oracle.compare(queries)

    def completions(self, request: Mapping[str, Any]) -> Completions | None:
        """The judge asked in the benchmark's words, by requests with these fields, such as temperature and max_tokens;
        None if it is no model that writes, and can only `compare`."""
        key = canonical_json(dict(request))
        if key not in self._completions:
            made = self._completions[key] = self.settings.completions(request, self._store)
            if made:
                made.begin(self._part)
        return self._completions[key]

    @property
    def usage(self) -> Mapping[str, float]:
        """What it has used since it was opened, such as tokens, by name."""
        total: dict[str, float] = {}
        for each in self._opened:
            for name, value in each.usage.items():
                total[name] = total.get(name, 0) + value
        return total

    def begin(self, part: str) -> None:
        """What is asked from now on is for this part of a unit of work; see `Oracle.begin`."""
        self._part = part
        for each in self._opened:
            each.begin(part)

    @property
    def _opened(self) -> list[Oracle | Completions]:
        made: list[Oracle | Completions | None] = [self._oracle, *self._completions.values()]
        return [each for each in made if each]


def require_there(judge: OracleSettings | None) -> OracleSettings | None:
    """The judge of a benchmark, unless runs have to fit it first.

    Raises:
        ValueError: they have.
    """
    if judge and judge.judges:
        raise ValueError("is fitted by runs, which no benchmark waits for: give an oracle that is there")
    return judge
