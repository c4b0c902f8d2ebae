"""The head-to-head benchmark: how often the oracle prefers a policy's responses to the reference's."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from ..oracles.base import Oracle, Query
from ..oracles.usage import used_since
from ..sampling.rollouts import answer_length
from ..storage.records import COMPARISONS, Comparison, Message, Rollout
from ..storage.run import without_endpoints
from .base import Bench, Benchmark, Figure, Measured, Responses
from .intervals import mean_interval, means_of


class HeadToHead(Benchmark):
    """Win rate against the reference under the oracle, on the held-out prompts."""

    version: ClassVar[int] = 2
    kind: Literal["head_to_head"] = "head_to_head"
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure(
            "win_rate",
            "win rate",
            better="higher",
            meaning="against the reference, with its 95 % interval",
            headline=True,
            interval=("win_rate_low", "win_rate_high"),
        ),
        Figure("win_rate_low"),
        Figure("win_rate_high"),
        Figure("mean_length", "length", unit="tokens", digits=1, meaning="mean, in tokens"),
        Figure("evaluated_prompts", digits=0),
        Figure(
            "abstentions",
            "no verdict",
            better="lower",
            digits=0,
            meaning="comparisons with the reference that the oracle could not judge, and that no win rate counts",
            fault=True,
        ),
        Figure(
            "truncated",
            "cut",
            better="lower",
            digits=0,
            meaning="comparisons with the reference that it judged by a part of a text",
            fault=True,
        ),
    )
    reads: ClassVar[tuple[Responses, ...]] = ("responses", "opponents")
    asks_oracle: ClassVar[bool] = True

    def depends_on(self, bench: Bench) -> Any:
        """The oracle."""
        oracle = without_endpoints(bench.oracle.model_dump(mode="json"))
        return {"oracle": oracle, "oracle_digest": bench.oracle.digest()}

    def measure(self, bench: Bench) -> Measured:
        """Ask the oracle about every two responses to one prompt with the same sample index."""
        ours, theirs = bench.responses["responses"], bench.responses["opponents"]
        messages = {prompt["row_id"]: prompt["messages"] for prompt in bench.prompts}
        oracle = bench.judge()
        before = dict(oracle.usage)
        figures, rows = compare(oracle, messages, ours, theirs, bench.oracle.signature)
        length = answer_length(bench.policy.folder, bench.rollout.thinking)
        figures = {"mean_length": sum(map(length, ours)) / len(ours), **figures}
        return Measured(figures, {COMPARISONS: rows}, used_since(oracle, before))


def compare(
    oracle: Oracle,
    prompts: Mapping[int, Sequence[Message]],
    ours: Sequence[Rollout],
    theirs: Sequence[Rollout],
    signature: str = "",
) -> tuple[dict[str, float | None], list[Comparison]]:
    """Win rate of `ours` over `theirs`, rollouts with equal rows and samples; the figures and every comparison.

    `signature` is the oracle's.
    Prompts are the independent units: the responses to one prompt count as one value, their mean. Comparisons on which
    the oracle abstained say nothing and are left out; the win rate is None where it abstained on all.
    """
    queries = [
        Query(prompts[our["row_id"]], our["text"], their["text"]) for our, their in zip(ours, theirs, strict=True)
    ]
    verdicts = oracle.compare(queries)
    rows: list[Comparison] = [
        {
            "row_id": our["row_id"],
            "index": index,
            "first": our["sample"],
            "second": their["sample"],
            "forward": verdict.forward,
            "backward": verdict.backward,
            "probability": verdict.probability,
            "abstained": verdict.abstained,
            "repeated": False,
            "winner": int(verdict.probability <= 0.5),
            "oracle": signature,
            "members": list(verdict.members),
        }
        for index, (our, their, verdict) in enumerate(zip(ours, theirs, verdicts, strict=True))
    ]
    means = means_of((row["row_id"], row["probability"]) for row in rows if not row["abstained"])
    low, high = mean_interval(means) if means else (None, None)
    figures = {
        "win_rate": sum(means) / len(means) if means else None,
        "win_rate_low": None if low is None else float(low),
        "win_rate_high": None if high is None else float(high),
        "evaluated_prompts": len(means),
        "abstentions": sum(verdict.abstained for verdict in verdicts),
        "truncated": sum(verdict.truncated for verdict in verdicts),
    }
    return figures, rows
