"""The KL benchmark: how far a policy is from the reference, by its own samples."""

from typing import Any, ClassVar, Literal

from .base import Bench, Benchmark, Figure, Measured, Responses


class MonteCarloKL(Benchmark):
    """KL(π‖π_ref) in nats a response: the mean of log π(y|x) − log π_ref(y|x) over y ~ π(·|x), on held-out prompts."""

    kind: Literal["kl"] = "kl"
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("kl", "KL", unit="nats", meaning="to the reference, in nats", headline=True),
    )
    reads: ClassVar[tuple[Responses, ...]] = ("responses",)
    scores: ClassVar[int] = 2

    def depends_on(self, bench: Bench) -> Any:
        """How responses are scored, and whether they are samples of the policy itself."""
        return {
            "logprobs": bench.logprobs.model_dump(mode="json"),
            "scorer": bench.logprobs.engine.digest(),
            "exact_samples": _of_the_policy(bench),
        }

    def measure(self, bench: Bench) -> Measured:
        """Score the policy's responses twice; None where they were sampled at another temperature or from a nucleus."""
        if not _of_the_policy(bench):
            return Measured({"kl": None})
        if bench.policy.weights_digest == bench.reference.weights_digest:
            return Measured({"kl": 0.0})
        pairs = [(row["prompt_ids"], row["response_ids"]) for row in bench.responses["responses"]]
        ours, theirs = (
            bench.scorer(policy).score(pairs, bench.logprobs.batch_tokens) for policy in (bench.policy, bench.reference)
        )
        return Measured({"kl": sum(ours) / len(ours) - sum(theirs) / len(theirs)})


def _of_the_policy(bench: Bench) -> bool:
    return bench.evaluation.temperature == 1.0 and bench.rollout.top_p == 1.0
