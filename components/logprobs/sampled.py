"""Log-probabilities that the sampler has recorded with its responses, which need not be scored again.

They are those of the policy that was sampled, in float32. Where the policy is an anchor of the same pairs, as π_t is,
and the anchors are scored in float32 too, they are taken for scored ones, if they are close to them where both are
known.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ..methods.phases import Phase
from ..storage.records import Pair, Rollout
from .cache import key_of

TOLERANCE = 0.01
"""Nats by which a recorded sum may differ from a scored one. Float32 engines differ by 0.005 at most (measured, 500
tokens), bfloat16 ones by 0.1 to 1.3."""

Recorded = Mapping[str, Mapping[str, float]]
"""Sums by policy and by cache key."""


def recorded(phase: Phase, pairs: Sequence[Pair], rollouts: Iterable[Rollout]) -> Recorded:
    """What the sampler has recorded of the responses in some pairs; `phase` is the one that sampled them."""
    sampled_by = _policies(phase)
    sums = {(row["row_id"], row["sample"]): row["logprob"] for row in rollouts if row["sample"] in sampled_by}
    found: dict[str, dict[str, float]] = {}
    for pair in pairs:
        sides = ((pair["chosen"], pair["chosen_ids"]), (pair["rejected"], pair["rejected_ids"]))
        for sample, response in sides:
            for value in sums.get((pair["row_id"], sample), []):
                found.setdefault(sampled_by[sample], {})[key_of((pair["prompt_ids"], response))] = value
    return found


def _policies(phase: Phase) -> dict[int, str]:
    """The policy of each sample of a prompt, by its number; those of mixtures have none."""
    found: dict[int, str] = {}
    first = 0
    for sampling in phase.samples:
        if len(sampling.weights) == 1:
            found.update(dict.fromkeys(range(first, first + sampling.count), next(iter(sampling.weights))))
        first += sampling.count
    return found


def close(
    own: Mapping[str, float], batches: Sequence[Sequence[str]], score: Callable[[Sequence[str]], Mapping[str, float]]
) -> tuple[dict[str, float], float]:
    """What is recorded of a policy, as it is stored, or nothing if it is not close to what `score` says; and how far
    apart they are, in nats.

    They are compared in the last micro-batch, that of the longest sequences, in which something is recorded.
    """
    probe = next((batch for batch in reversed(batches) if own.keys() & set(batch)), ())
    if not probe:
        return {}, 0.0
    scored = score(probe)
    apart = max(abs(own[key] - scored[key]) for key in own.keys() & scored.keys())
    return ({key: float(np.float32(value)) for key, value in own.items()} if apart <= TOLERANCE else {}), apart
