"""Sample responses of the reference and of the latest policy to the same held-out prompts."""

from collections.abc import Sequence
from typing import NamedTuple

from ..iterations.units import Shape
from ..storage import layout
from ..storage.records import COMPARISONS, PROMPTS, ROLLOUTS, Message
from ..storage.store import Store
from ..storage.units import require_manifest

_COUNT = 8


class Answer(NamedTuple):
    """A held-out prompt and two answers to it."""

    messages: Sequence[Message]
    reference: str
    policy: str
    probability: float | None
    """The oracle's P(policy ≻ reference); None where it abstained, and where the benchmark is not run."""


def sample_answers(store: Store, shape: Shape, iteration: int, count: int | None = _COUNT) -> list[Answer]:
    """The first answers to the first `count` prompts that differ, of the reference and of an iteration's policy; None:
    to all of them.

    None where no benchmark has the two compared.
    """
    if not {"responses", "opponents"} <= {*shape.sampled(0)} or "responses" not in shape.sampled(iteration):
        return []
    prompts = require_manifest(store, layout.held_out()).rows(store, PROMPTS)
    distinct = {str(row["messages"]): row for row in reversed(prompts)}
    chosen = [row for row in prompts if distinct[str(row["messages"])] is row][:count]
    reference, policy = _texts(store, 0, "opponents"), _texts(store, iteration, "responses")
    parts = (require_manifest(store, unit) for unit in shape.evaluations(iteration))
    compared = [row for part in parts if COMPARISONS.name in part.files for row in part.rows(store, COMPARISONS)]
    judged = [row for row in compared if (row["first"], row["second"]) == (0, 0) and not row["abstained"]]
    probability = {row["row_id"]: row["probability"] for row in judged}
    return [
        Answer(row["messages"], reference[row["row_id"]], policy[row["row_id"]], probability.get(row["row_id"]))
        for row in chosen
    ]


def _texts(store: Store, iteration: int, part: str) -> dict[int, str]:
    """The first response to each prompt, by row."""
    rows = require_manifest(store, layout.evaluation(iteration, part)).rows(store, ROLLOUTS)
    return {row["row_id"]: row["text"] for row in rows if row["sample"] == 0}
