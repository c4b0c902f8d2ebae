"""The pairs of a phase with the log-probabilities of its anchors, as arrays to train on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..methods.phases import Phase
from ..scoring.groups import Group, tokens_of
from ..storage import records
from ..storage.store import Store
from ..storage.units import Manifest


@dataclass(frozen=True)
class PairData:
    """N training pairs: a prompt with its chosen and its rejected response each, labels z, and the anchors'
    log-probabilities by policy, (N, 2)."""

    groups: list[Group]
    labels: NDArray[np.float64]
    anchors: dict[str, NDArray[np.float64]]
    rows: Sequence[tuple[int, int]] = ()
    """Of each pair the row_id of its prompt, and its number there."""

    def __len__(self) -> int:
        return len(self.groups)

    def tokens(self, indices: list[int]) -> int:
        """How many tokens the pairs with these indices have, prompts counted for both sides."""
        return tokens_of(pair for index in indices for pair in self.groups[index].pairs)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of both responses, (N, 2)."""
        return np.array([[len(response) for response in group.responses] for group in self.groups])

    def taken(self, order: Sequence[int]) -> "PairData":
        """The pairs in another order."""
        return PairData(
            groups=[self.groups[index] for index in order],
            labels=self.labels[list(order)],
            anchors={name: values[list(order)] for name, values in self.anchors.items()},
            rows=[self.rows[index] for index in order],
        )

    def base(self, phase: Phase) -> NDArray[np.float64]:
        """`Σ_j w_j log π_j` of both sides, (N, 2), in nats."""
        return sum((weight * self.anchors[name] for name, weight in phase.weights.items()), np.zeros((len(self), 2)))


_MORE = "sample more responses (method.samples), at a higher method.temperature"
_REMEDIES = {
    "dropped_identical": f"one text twice: {_MORE}, or set judging.drop_identical to false",
    "dropped_abstained": "without a verdict, because the oracle's context is too short for them, or it reads both "
    "answers as one: lower prompts.max_tokens or rollout.max_new_tokens, or set oracle.model to another folder",
    "dropped_tie": f"a tie: {_MORE}",
    "dropped_lost": f"of a best that lost to the worst: {_MORE}",
    "dropped_margin": "more even than method.margin: lower it",
}
"""What pairs were that the referee dropped, and what to do about it, by its counts."""


def _why_none(pairs: list[Manifest]) -> str:
    """The most frequent reason why the shards have no pairs, and what to do."""
    counts = {reason: sum(int(shard.metrics[reason]) for shard in pairs) for reason in _REMEDIES}
    reason = max(counts, key=counts.__getitem__)
    return f"{counts[reason]} of {sum(counts.values())} were {_REMEDIES[reason]}"


def load(store: Store, phase: Phase, pairs: list[Manifest], logprobs: list[Manifest]) -> PairData:
    """The shards' pairs, in the order of their prompts.

    Raises:
        UserError: there is not one pair.
        ValueError: pairs and log-probabilities do not belong together.
    """
    rows = [row for shard in pairs for row in shard.rows(store, records.PAIRS)]
    if not rows:
        raise UserError(f"phase {phase.name}: not one pair is left: {_why_none(pairs)}")
    scored = [row for shard in logprobs for row in shard.rows(store, records.LOGPROBS)]
    values = {(row["policy"], row["row_id"], row["pair"]): (row["chosen"], row["rejected"]) for row in scored}
    keys = [(row["row_id"], row["pair"]) for row in rows]
    if missing := [(name, *key) for name in phase.weights for key in keys if (name, *key) not in values]:
        raise ValueError(f"phase {phase.name}: no log-probability for (policy, row, pair) {missing[0]}")
    return PairData(
        groups=[Group(row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"])) for row in rows],
        labels=np.array([(row["chosen_label"], row["rejected_label"]) for row in rows]),
        anchors={name: np.array([values[(name, *key)] for key in keys]) for name in phase.weights},
        rows=keys,
    )
