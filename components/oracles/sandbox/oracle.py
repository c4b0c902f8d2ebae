"""The sandbox world's oracle: it reads the preference matrix."""

from collections.abc import Sequence

from ...games.sandbox.texts import context_index, response_index
from ...games.sandbox.world import World
from ..base import Oracle, Query, Verdict


class MatrixOracle(Oracle):
    """P(first ≻ second) of the world's matrix. A text that is no response loses to any that is one; two such tie."""

    def __init__(self, world: World) -> None:
        self._world = world

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Look every pair up, once in each order."""
        return [self._look_up(query) for query in queries]

    def _look_up(self, query: Query) -> Verdict:
        context = context_index(query.messages)
        first, second = response_index(query.first), response_index(query.second)
        preference = self._world.preference
        return Verdict.of(preference(context, first, second), 1 - preference(context, second, first))
