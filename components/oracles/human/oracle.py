"""The oracle of people: it reads their verdicts, and says which comparisons lack some."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from ...storage.store import Store
from ..base import ABSTENTION, Oracle, Query, Verdict
from ..unanswered import Unanswered
from .comparison import Shown
from .export import Question, export

USAGE = ("votes", "pairs_of_votes", "agreeing_pairs")

_SHARE_OF_A = {"a": 1.0, "b": 0.0, "tie": 0.5}


class HumanOracle(Oracle):
    """Verdicts of people by comparison and annotator. A pair is shown in one order: forward and backward are one."""

    def __init__(
        self,
        votes: Mapping[str, Mapping[str, str]],
        instructions: str,
        annotators: int,
        majority: bool = False,
        seed: int = 0,
    ) -> None:
        """
        Args:
            votes: the verdicts: a, b, tie or skip.
            instructions: what annotators are asked.
            annotators: how many have to judge each comparison.
            majority: whether the majority decides; otherwise the probability is the share of the votes.
            seed: of the order in which texts are shown.
        """
        self._votes, self._instructions, self._annotators = votes, instructions, annotators
        self._majority, self._seed = majority, seed
        self._usage = dict.fromkeys(USAGE, 0)

    @property
    def usage(self) -> Mapping[str, float]:
        """The votes that its verdicts are made of, and how many of the pairs of votes on one comparison agree."""
        return self._usage

    def waits_for(self, query: Query) -> bool:
        """Whether not enough annotators have judged it."""
        return len(self._judged_by(query)) < self._annotators

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """The verdicts; skipped by all annotators: an abstention.

        Raises:
            Unanswered: some comparisons have not been judged by enough annotators.
        """
        if missing := list(filter(self.waits_for, queries)):
            raise Unanswered(missing, self.export)
        return [self._verdict(query) for query in queries]

    def export(self, store: Store, name: str, questions: Sequence[Query]) -> str:
        """Write questions for people under a run root; says in one line where, and how to go on."""
        asked = (self._question(query) for query in questions)
        return export(store, name, list({question.shown.id: question for question in asked}.values()))

    def _question(self, query: Query) -> Question:
        judged_by = tuple(sorted(self._judged_by(query)))
        return Question(Shown.of(query, self._instructions, self._seed), self._annotators, judged_by)

    def _judged_by(self, query: Query) -> set[str]:
        shown = Shown.both(query, self._instructions)
        return {annotator for each in shown for annotator in self._votes.get(each.id, ())}

    def _verdict(self, query: Query) -> Verdict:
        """The verdict on a question in the order of its texts."""
        low_first, high_first = (
            self._votes.get(shown.id, {}).values() for shown in Shown.both(query, self._instructions)
        )
        shares = [_SHARE_OF_A[word] for word in low_first if word != "skip"]
        shares += [1 - _SHARE_OF_A[word] for word in high_first if word != "skip"]
        self._count(shares)
        if not shares:
            return ABSTENTION
        probability = sum(shares) / len(shares)
        if self._majority:
            probability = (1.0 + (probability > 0.5) - (probability < 0.5)) / 2
        return Verdict.of(probability, probability)

    def _count(self, shares: Sequence[float]) -> None:
        pairs = list(combinations(shares, 2))
        agreeing = sum(one == other for one, other in pairs)
        for name, count in zip(USAGE, (len(shares), len(pairs), agreeing), strict=True):
            self._usage[name] += count
