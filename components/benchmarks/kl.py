"""The KL benchmark: how far a policy is from the reference, by its own samples."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from ..storage.records import Rollout
from .base import Bench, Benchmark, Figure, Measured, Responses
from .intervals import standard_error


class MonteCarloKL(Benchmark):
    """KL(π‖π_ref) in nats a response, by samples y ~ π(·|x) on held-out prompts, with r = π_ref(y|x) / π(y|x).

    Two estimators without bias: the plain mean of −log r, which may come out negative, and Schulman's k3, the mean of
    r − 1 − log r, of which no term is negative. k3 varies less near the reference, and more far from it. Prompts are
    the independent units of their standard errors.
    """

    version: ClassVar[int] = 2
    kind: Literal["kl"] = "kl"
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("kl", "KL", unit="nats", meaning="to the reference, in nats", headline=True, error="kl_error"),
        Figure("kl_error", unit="nats", better="lower"),
        Figure(
            "kl_k3",
            "KL k3",
            unit="nats",
            meaning="estimated by the mean of r − 1 − log r, r = π_ref/π, never negative; KL by the mean of −log r",
            error="kl_k3_error",
        ),
        Figure("kl_k3_error", unit="nats", better="lower"),
    )
    reads: ClassVar[tuple[Responses, ...]] = ("responses",)
    scores: ClassVar[int] = 2

    def depends_on(self, bench: Bench) -> Any:
        """How responses are scored, and whether they are samples of the policy itself."""
        return {
            "logprobs": bench.logprobs.model_dump(mode="json", exclude={"layout"}),
            "scorer": bench.logprobs.engine.digest(),
            "exact_samples": _of_the_policy(bench),
        }

    def measure(self, bench: Bench) -> Measured:
        """Score the policy's responses twice; None where they were sampled at another temperature or from a nucleus."""
        if not _of_the_policy(bench):
            return Measured({})
        rows = bench.responses["responses"]
        if bench.policy.digest == bench.reference.digest:
            return Measured(estimates(rows, [0.0] * len(rows)))
        pairs = [(row["prompt_ids"], row["response_ids"]) for row in rows]
        ours, theirs = (
            bench.scorer(policy).score(pairs, bench.logprobs.batch_tokens) for policy in (bench.policy, bench.reference)
        )
        return Measured(estimates(rows, [their - our for our, their in zip(ours, theirs, strict=True)]))


def estimates(rows: Sequence[Rollout], log_ratios: Sequence[float]) -> Mapping[str, float | None]:
    """The figures, from each response's log r = log π_ref(y|x) − log π(y|x)."""
    by_prompt: dict[int, list[float]] = {}
    for row, log_ratio in zip(rows, log_ratios, strict=True):
        by_prompt.setdefault(row["row_id"], []).append(log_ratio)
    log_r = np.array(list(by_prompt.values()))  # (prompts, samples)
    plain, k3 = -log_r.mean(axis=1), (np.expm1(log_r) - log_r).mean(axis=1)
    return {
        "kl": float(plain.mean()),
        "kl_error": standard_error(plain),
        "kl_k3": float(k3.mean()),
        "kl_k3_error": standard_error(k3),
    }


def _of_the_policy(bench: Bench) -> bool:
    return bench.evaluation.temperature == 1.0 and bench.rollout.top_p == 1.0
