"""Sample answers: what the reference and the latest policy say to the same held-out prompts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..models.chat import Message
from ..storage import layout, records
from ..storage.store import Store
from ..storage.units import require_manifest

_COUNT = 8


class Answer(NamedTuple):
    """A held-out prompt and two answers to it."""

    messages: Sequence[Message]
    reference: str
    policy: str
    probability: float | None
    """The oracle's P(policy ≻ reference); None where the benchmark is not run."""


def sample_answers(store: Store, iteration: int) -> list[Answer]:
    """The first answers to the first eight prompts that differ, of the reference and of an iteration's policy."""
    prompts = require_manifest(store, layout.held_out()).table(store, "prompts", records.PROMPTS).to_pylist()
    distinct = {str(row["messages"]): row for row in reversed(prompts)}
    chosen = [row for row in prompts if distinct[str(row["messages"])] is row][:_COUNT]
    reference, policy = _texts(store, 0, "opponent"), _texts(store, iteration, "pair")
    evaluated = require_manifest(store, layout.evaluation(iteration))
    compared = evaluated.table(store, "comparisons", records.COMPARISONS).to_pylist()
    probability = {row["row_id"]: row["probability"] for row in compared if (row["first"], row["second"]) == (0, 0)}
    return [
        Answer(row["messages"], reference[row["row_id"]], policy[row["row_id"]], probability.get(row["row_id"]))
        for row in chosen
    ]


def _texts(store: Store, iteration: int, role: str) -> dict[int, str]:
    """The first response to each prompt, by row."""
    rollouts = require_manifest(store, layout.evaluation(iteration)).table(store, "rollouts", records.ROLLOUTS)
    rows: list[dict[str, Any]] = rollouts.to_pylist()
    return {row["row_id"]: row["text"] for row in rows if row["role"] == role and row["sample"] == 0}
