"""The referee of one prompt's tournament: what it asks the oracle, and what it makes of the verdicts.

A verdict depends only on the prompt and the unordered pair of texts. It is requested once, in one order. The prompt and
the pair also seed the random number of a sampled label, so if the two texts meet again, the outcome is the same.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core.seeds import derive_uniform
from ..methods.phases import Labels
from ..methods.tournament import Candidate, Match, Outcome, Tournament
from ..storage.records import Comparison, Message, Pair
from .base import ABSTENTION, EVEN, Query, Verdict
from .conduct import CONDUCT, conduct_of

COUNTS = (
    "comparisons",
    "oracle_calls",
    "abstentions",
    "truncated",
    "pairs",
    "dropped_identical",
    "dropped_abstained",
    "dropped_tie",
    "dropped_lost",
    "dropped_margin",
    "dropped_length",
    *CONDUCT,
)
"""Comparisons made; unordered pairs sent to the oracle, among them abstentions and pairs with a truncated text; pairs
kept; candidates dropped, by reason; the oracle's conduct."""

_GIVEN_PREFERENCE = Verdict(1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Sample:
    """One response: its text and its token ids."""

    text: str
    response_ids: Sequence[int]


@dataclass(frozen=True)
class PromptSamples:
    """A prompt and its K responses, in their order."""

    row_id: int
    messages: Sequence[Message]
    prompt_ids: Sequence[int]
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Rules:
    """How verdicts become outcomes, and candidates pairs."""

    labels: Labels
    seed: int
    """Seed of the sampled labels."""
    drop_identical: bool
    """Drop pairs of one text, which carry no gradient unless each side has a label of its own (a bracket never keeps
    them)."""
    margin: float = 0.0
    """Pairs with |2p − 1| below this are dropped."""
    length_ratio: float | None = None
    """Pairs of which one response has more than this many times the tokens of the other are dropped."""

    def label(self, row_id: int, query: Query, verdict: Verdict) -> float:
        """z of the first text against the second, in [-1, 1] but for scores; 0 where they are one or the oracle
        abstained."""
        if query.identical or verdict.abstained:
            return 0.0
        if self.labels == "soft":
            return 2 * verdict.probability - 1
        if self.labels == "score":
            return verdict.score
        if self.labels == "binary":
            return float((verdict.probability > 0.5) - (verdict.probability < 0.5))
        (low, high), probability = query.pair, (verdict if query.ordered else verdict.swapped()).probability
        low_wins = derive_uniform(self.seed, "label", row_id, low, high) < probability
        return 1.0 if low_wins == query.ordered else -1.0

    def reason_to_drop(self, row_id: int, candidate: Candidate, query: Query, verdict: Verdict) -> str | None:
        """Why a candidate makes no pair: the name of its count, or None where it makes one."""
        if query.identical and not candidate.against and (self.drop_identical or not candidate.stands):
            return "dropped_identical"
        if verdict.abstained:
            return "dropped_abstained"
        if not candidate.stands:
            return "dropped_lost" if self.label(row_id, query, verdict) else "dropped_tie"
        return "dropped_margin" if abs(2 * verdict.probability - 1) < self.margin else None

    def too_unequal(self, one: int, other: int) -> bool:
        """Whether two responses of so many tokens make no pair."""
        return self.length_ratio is not None and max(one, other) > self.length_ratio * min(one, other)


class Table:
    """The running tournament of one prompt, its rows, and the oracle's verdicts on the prompt's texts."""

    def __init__(
        self,
        prompt: PromptSamples,
        tournament: Tournament,
        rules: Rules,
        signature: str,
        waits_for: Callable[[Query], bool],
    ) -> None:
        """`signature` and `waits_for` are the oracle's."""
        self.prompt = prompt
        self._tournament = tournament
        self._rules = rules
        self._signature = signature
        self._waits_for = waits_for
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._met: set[tuple[str, str]] = set()
        self._dropped: Counter[str] = Counter()
        self._matches: list[Match] = next(tournament)
        self.finished = False
        self.open: list[Query] = []
        """The round's comparisons that the oracle can judge and has not, with the texts in the oracle's order."""
        self.waiting: list[Query] = []
        """Those that wait for somebody's answer."""
        self.comparisons: list[Comparison] = []
        self.pairs: list[Pair] = []

    def learn(self, query: Query, verdict: Verdict) -> None:
        """Note the answer to a question."""
        self._verdicts[query.pair] = verdict

    def play(self) -> None:
        """Play until a verdict is missing, or to the end."""
        while not self.finished:
            unknown = self._open_questions()
            self.waiting = list(filter(self._waits_for, unknown))
            self.open = [query for query in unknown if query not in self.waiting]
            if unknown:
                return
            self._play_round()

    def _open_questions(self) -> list[Query]:
        queries = [self._query(match) for match in self._matches]
        unknown = {query.pair for query in queries if not query.identical} - self._verdicts.keys()
        return [Query(self.prompt.messages, *texts) for texts in sorted(unknown)]

    def _play_round(self) -> None:
        """Decide the round's matches and draw the next one."""
        outcomes = [self._play(match) for match in self._matches]
        try:
            self._matches = self._tournament.send(outcomes)
        except StopIteration as stop:
            self.finished = True
            self._settle(stop.value)

    def _settle(self, candidates: Sequence[Candidate]) -> None:
        """Make the candidates pairs, or drop them."""
        for candidate in candidates:
            query, verdict = self._query((candidate.chosen, candidate.rejected)), self._candidate_verdict(candidate)
            sides = (self.prompt.samples[side].response_ids for side in (candidate.chosen, candidate.rejected))
            reason = self._rules.reason_to_drop(self.prompt.row_id, candidate, query, verdict)
            if reason is None and self._rules.too_unequal(*map(len, sides)):
                reason = "dropped_length"
            if reason:
                self._dropped[reason] += 1
            else:
                self.pairs.append(self._pair(candidate, verdict))

    def counts(self) -> dict[str, int]:
        """The counts of this tournament."""
        return {
            "comparisons": len(self.comparisons),
            "oracle_calls": len(self._verdicts),
            "abstentions": sum(verdict.abstained for verdict in self._verdicts.values()),
            "truncated": sum(verdict.truncated for verdict in self._verdicts.values()),
            "pairs": len(self.pairs),
            **conduct_of((Query(self.prompt.messages, *pair), verdict) for pair, verdict in self._verdicts.items()),
            **self._dropped,
        }

    def _play(self, match: Match) -> Outcome:
        query = self._query(match)
        verdict = self._verdict(query)
        outcome = self._rules.label(self.prompt.row_id, query, verdict)
        first, second = match
        self.comparisons.append(
            {
                "row_id": self.prompt.row_id,
                "index": len(self.comparisons),
                "first": first,
                "second": second,
                "forward": verdict.forward,
                "backward": verdict.backward,
                "probability": verdict.probability,
                "abstained": verdict.abstained,
                "repeated": query.identical or query.pair in self._met,
                "winner": second if outcome < 0 else first,
                "oracle": self._signature,
                "members": list(verdict.members),
            }
        )
        self._met.add(query.pair)
        return outcome

    def _pair(self, candidate: Candidate, verdict: Verdict) -> Pair:
        samples, (chosen_label, rejected_label) = self.prompt.samples, self._labels(candidate, verdict)
        return {
            "row_id": self.prompt.row_id,
            "pair": len(self.pairs),
            "chosen": candidate.chosen,
            "rejected": candidate.rejected,
            "prompt_ids": list(self.prompt.prompt_ids),
            "chosen_ids": list(samples[candidate.chosen].response_ids),
            "rejected_ids": list(samples[candidate.rejected].response_ids),
            "probability": verdict.probability,
            "chosen_label": chosen_label,
            "rejected_label": rejected_label,
        }

    def _candidate_verdict(self, candidate: Candidate) -> Verdict:
        """The verdict on a candidate; measured against others, 1/2 and half the difference of the two win rates.

        An abstention where the oracle has judged a side against none of the others.
        """
        if candidate.given:
            return _GIVEN_PREFERENCE
        if not candidate.against:
            return self._verdict(self._query((candidate.chosen, candidate.rejected)))
        rates = []
        for side in (candidate.chosen, candidate.rejected):
            if not (judged := self._judged(side, candidate.against)):
                return ABSTENTION
            rates.append(sum(verdict.probability for _, verdict in judged) / len(judged))
        probability = (1 + rates[0] - rates[1]) / 2
        return Verdict.of(probability, probability)

    def _labels(self, candidate: Candidate, verdict: Verdict) -> tuple[float, float]:
        """z of the chosen and of the rejected response."""
        if not candidate.against:
            label = {"soft": 2 * verdict.probability - 1, "score": verdict.score}.get(self._rules.labels, 1.0)
            return label, -label
        chosen, rejected = (
            sum(self._rules.label(self.prompt.row_id, *asked) for asked in judged) / len(judged)
            for judged in (self._judged(side, candidate.against) for side in (candidate.chosen, candidate.rejected))
        )
        return chosen, rejected

    def _judged(self, side: int, against: Sequence[int]) -> list[tuple[Query, Verdict]]:
        """A sample's comparisons with others, without abstentions; none if all but those with its own text are."""
        queries = [self._query((side, other)) for other in against]
        asked = [(query, self._verdict(query)) for query in queries]
        judged = [(query, verdict) for query, verdict in asked if not verdict.abstained]
        told = len(judged) == len(asked) or not all(query.identical for query, _ in judged)
        return judged if told else []

    def _query(self, match: Match) -> Query:
        first, second = (self.prompt.samples[sample].text for sample in match)
        return Query(self.prompt.messages, first, second)

    def _verdict(self, query: Query) -> Verdict:
        if query.identical:
            return EVEN
        verdict = self._verdicts[query.pair]
        return verdict if query.ordered else verdict.swapped()
