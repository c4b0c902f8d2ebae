"""Pairs from comparisons of earlier runs: this run's rules, and the verdicts that are there."""

from collections.abc import Iterator, Sequence

from ..core.digests import canonical_json
from ..oracles.base import Oracle, Query, Verdict
from ..oracles.referee import PromptSamples, Rules, Sample
from ..oracles.rounds import Judged, judge
from ..storage.records import COMPARISONS, PROMPTS, ROLLOUTS, Comparison
from ..storage.store import Store
from ..storage.units import Manifest


class Recorded(Oracle):
    """Knows the verdicts of comparisons, and is asked nothing else."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, str, str], Verdict] = {}

    def learn(self, query: Query, row: Comparison) -> None:
        """Note a verdict on two answers, in the order in which they were compared."""
        verdict = Verdict(
            row["forward"], row["backward"], row["probability"], row["abstained"], members=tuple(row["members"])
        )
        self._verdicts[_key(query)] = verdict if query.ordered else verdict.swapped()

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        """The verdicts that are known."""
        return [self._verdicts[_key(query)] for query in queries]


def _key(query: Query) -> tuple[str, str, str]:
    return canonical_json(list(query.messages)), *query.pair


def judged_before(store: Store, reused: Manifest, rules: Rules) -> Judged:
    """The pairs of a shard's reused comparisons, by this run's rules."""
    oracle = Recorded()
    prompts = list(_prompts(store, reused, oracle))
    return judge(prompts, "iid", rules, oracle)


def _prompts(store: Store, reused: Manifest, oracle: Recorded) -> Iterator[PromptSamples]:
    rollouts, rows = reused.rows(store, ROLLOUTS), reused.rows(store, COMPARISONS)
    for number, (prompt, row) in enumerate(zip(reused.rows(store, PROMPTS), rows, strict=True)):
        first, second = rollouts[2 * number : 2 * number + 2]
        oracle.learn(Query(prompt["messages"], first["text"], second["text"]), row)
        samples = [Sample(side["text"], side["response_ids"]) for side in (first, second)]
        yield PromptSamples(prompt["row_id"], prompt["messages"], first["prompt_ids"], samples)
