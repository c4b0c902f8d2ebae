"""The head-to-head benchmark: how often the oracle prefers a policy's responses to the reference's."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from ..oracles.base import Oracle, Query
from ..oracles.oracle_settings import OracleSettings
from ..oracles.settings import AnyOracle
from ..oracles.usage import used_since
from ..sampling.rollouts import answer_length
from ..storage import layout
from ..storage.records import COMPARISONS, Comparison, Message, Rollout
from ..storage.run import without_endpoints
from ..storage.store import Store
from ..storage.units import require_manifest
from .base import Bench, Benchmark, Figure, Measured, Responses, renamed, with_interval
from .intervals import mean_interval, means_of
from .judge import require_there
from .shares import Shares, means


class HeadToHead(Benchmark):
    """Win rate against the reference under the oracle, on the held-out prompts."""

    version: ClassVar[int] = 2
    kind: Literal["head_to_head"] = "head_to_head"
    figures: ClassVar[tuple[Figure, ...]] = (
        *with_interval(
            "win_rate",
            "win rate",
            better="higher",
            meaning="against the reference, with its 95 % interval",
            headline=True,
        ),
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
    alone: ClassVar[str] = "versus"

    judge: AnyOracle | None = Field(None, exclude_if=lambda judge: judge is None)
    """Who compares; null: the recipe's oracle. Of another judge, the name stands in those of the figures."""

    _is_there = field_validator("judge")(require_there)

    @property
    def name(self) -> str:
        """With the name of a judge that is not the recipe's oracle."""
        return f"{self.kind}/{self.judge.short_name}" if self.judge else self.kind

    @property
    def oracles(self) -> tuple[OracleSettings, ...]:
        """The judge, where it is not the recipe's oracle."""
        return (self.judge,) if self.judge else ()

    def asked_of(self, oracle: OracleSettings) -> tuple[OracleSettings, ...]:
        """The judge."""
        return (self.judge or oracle,)

    def measures(self, oracle: OracleSettings | None) -> tuple[Figure, ...]:
        """Those of a judge that is not the recipe's oracle are `head_to_head/<figure>/<judge>`."""
        names = {figure.name: self._named(figure.name) for figure in self.figures}
        return tuple(renamed(figure, names) for figure in self.figures)

    def shares(self, store: Store, iteration: int, oracle: OracleSettings | None) -> Mapping[str, Shares]:
        """The mean probability of each prompt."""
        rows = require_manifest(store, layout.evaluation(iteration, self.name)).rows(store, COMPARISONS)
        judged = [row for row in rows if not row["abstained"]]
        values = means_of((row["row_id"], row["probability"]) for row in judged)
        prompts = dict.fromkeys(row["row_id"] for row in judged)
        return {self._named("win_rate"): means(dict(zip(prompts, values, strict=True)))} if judged else {}

    def _named(self, figure: str) -> str:
        return f"{self.kind}/{figure}/{self.judge.short_name}" if self.judge else figure

    def check(self) -> None:
        """Refuse a judge that cannot be loaded."""
        for oracle in self.oracles:
            oracle.check()

    def depends_on(self, bench: Bench) -> Any:
        """The oracle."""
        oracle = self.judge or bench.oracle
        return {"oracle": without_endpoints(oracle.model_dump(mode="json")), "oracle_digest": oracle.digest()}

    def measure(self, bench: Bench) -> Measured:
        """Ask the oracle about every two responses to one prompt with the same sample index."""
        ours, theirs = bench.responses["responses"], bench.responses["opponents"]
        messages = {prompt["row_id"]: prompt["messages"] for prompt in bench.prompts}
        oracle = bench.judge()
        before = dict(oracle.usage)
        figures, rows = compare(oracle, messages, ours, theirs, (self.judge or bench.oracle).signature)
        length = answer_length(bench.policy.folder, bench.rollout.thinking)
        figures = {"mean_length": sum(map(length, ours)) / len(ours), **figures}
        named = {self._named(name): value for name, value in figures.items()}
        return Measured(named, {COMPARISONS: rows}, used_since(oracle, before))


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
