"""The oracle of rules: a Python function says with what probability one answer is better than the other."""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

from ...core.errors import UserError, one_line
from ..base import ABSTENTION, Oracle, Query, Verdict

_SHOWN = 80
"""Characters of a prompt in messages."""


class RulesOracle(Oracle):
    """Preferences of `function`, which is asked in both orders; one that answers None in either abstains."""

    def __init__(self, named: str, function: Callable[..., Any]) -> None:
        """`named`: how the settings name it."""
        self._named, self._function = named, function

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Call the function twice a query.

        Raises:
            UserError: it raises, or returns what is no probability; names the function and the prompt.
        """
        return [self._verdict(query) for query in queries]

    def _verdict(self, query: Query) -> Verdict:
        forward, swapped = self._called(query), self._called(query.swapped())
        return ABSTENTION if forward is None or swapped is None else Verdict.of(forward, 1 - swapped)

    def _called(self, query: Query) -> float | None:
        messages = [dict(message) for message in query.messages]
        try:
            value = self._function(messages, query.first, query.second)
        except (Exception, SystemExit) as error:
            raise self._refused(query, f"raised {type(error).__name__}: {one_line(error)}") from error
        if value is None:
            return None
        if not isinstance(value, Real) or not 0 <= float(value) <= 1:  # which refuses NaN too
            shown = one_line(repr(value))[:_SHOWN]
            raise self._refused(query, f"returned {shown}, which is no probability from 0 to 1, nor None")
        return float(value)

    def _refused(self, query: Query, what: str) -> UserError:
        said = one_line(query.messages[-1]["content"])
        prompt = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
        return UserError(f"oracle.function {self._named} {what}; the prompt was {prompt!r}")
