"""A mixture of oracles: the weighted mean of their preferences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...storage.store import Store
from ..base import ABSTENTION, Oracle, Query, Verdict
from ..unanswered import Unanswered
from .members import member


class MixtureOracle(Oracle):
    """P = Σ_i w_i P_i, in either order; an abstention where a member abstains. Verdicts keep every member's P_i."""

    def __init__(self, members: Sequence[Oracle], weights: Sequence[float], kinds: Sequence[str]) -> None:
        """The weights sum to one; `kinds` are the members', for messages and the figures of `usage`."""
        self._members, self._weights = members, weights
        self._kinds = kinds
        self._names = [f"abstentions_{number}_{name}" for number, name in enumerate(kinds)]
        self._abstained = Counter[str]()

    @property
    def usage(self) -> Mapping[str, float]:
        """What the members have used together, and how often each has abstained."""
        used: dict[str, float] = {name: self._abstained[name] for name in self._names}
        for oracle in self._members:
            for name, value in oracle.usage.items():
                used[name] = used.get(name, 0) + value
        return used

    def begin(self, part: str) -> None:
        """Tell it to every member."""
        for oracle in self._members:
            oracle.begin(part)

    def waits_for(self, query: Query) -> bool:
        """Whether a member waits for an answer."""
        return any(oracle.waits_for(query) for oracle in self._members)

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """Ask every member about all queries: none of them, where one waits for an answer.

        Raises:
            Unanswered: of all members that wait.
            UserError, TryAgain: a member's, with its place in the recipe.
        """
        self._require_answers(queries)
        judged = []
        for number, (kind, oracle) in enumerate(zip(self._kinds, self._members, strict=True)):
            with member(number, kind):
                judged.append(oracle.judge(queries))
        verdicts = list(zip(*judged, strict=True))
        for each in verdicts:
            self._abstained.update(name for name, one in zip(self._names, each, strict=True) if one.abstained)
        return [self._mean(each) for each in verdicts]

    def _require_answers(self, queries: Sequence[Query]) -> None:
        found: list[tuple[Oracle, Unanswered]] = []
        for oracle in self._members:
            if waiting := list(filter(oracle.waits_for, queries)):
                try:
                    oracle.judge(waiting)
                except Unanswered as unanswered:
                    found.append((oracle, unanswered))

        def export(store: Store, name: str, questions: Sequence[Query]) -> str:
            """Each member its own; members that ask people alike ask once."""
            said = (each.export(store, name, list(filter(oracle.waits_for, questions))) for oracle, each in found)
            return "; ".join(dict.fromkeys(said))

        if found:
            raise Unanswered([query for query in queries if self.waits_for(query)], export)

    def _mean(self, verdicts: Sequence[Verdict]) -> Verdict:
        members = tuple(verdict.probability for verdict in verdicts)
        if any(verdict.abstained for verdict in verdicts):
            return replace(ABSTENTION, members=members)
        weighted = list(zip(self._weights, verdicts, strict=True))
        forward = sum(weight * verdict.forward for weight, verdict in weighted)
        backward = sum(weight * verdict.backward for weight, verdict in weighted)
        mean = Verdict.of(min(forward, 1.0), min(backward, 1.0), truncated=any(each.truncated for each in verdicts))
        return replace(mean, members=members)
