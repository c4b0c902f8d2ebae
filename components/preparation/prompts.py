"""Prompts for a run: hold some back, and deal the rest out to iterations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np

from ..core.seeds import derive_seed
from ..games.sandbox.given import labelled_pair, teacher_response
from ..games.sandbox.settings import WorldSettings
from ..games.sandbox.texts import context_index
from ..games.sandbox.world import make_world
from ..prompts.pool import Indices, Pool, Prompt
from ..prompts.uses import Uses, uses_of
from ..storage import records
from .settings import PromptSettings

ResponseSource = Callable[[int, list[records.Message]], list[str]]
"""The given responses of a prompt, by its row id and messages."""


def sandbox_responses(world: WorldSettings, given: str, seed: int) -> ResponseSource:
    """The given responses of the sandbox world: a teacher's response, or a labelled pair, for each row."""
    made = make_world(world)
    if given == "pairs":
        return lambda row_id, messages: list(labelled_pair(made, context_index(messages), seed, row_id))
    return lambda row_id, messages: [teacher_response(made, context_index(messages))]


def held_out(prompts: Sequence[Prompt], settings: PromptSettings, seed: int) -> list[records.Prompt]:
    """The record rows of the prompts that only evaluation sees; their row ids are negative.

    The sandbox has eight prompts in all: evaluation sees the same ones, equally often.
    """
    if not settings.path:
        chosen = [prompts[index % len(prompts)] for index in range(settings.held_out)]
    else:
        chosen = [prompts[int(index)] for index in _order(len(prompts), seed, "held out")[: settings.held_out]]
    return [{"row_id": -1 - index, "messages": prompt.messages, "given": []} for index, prompt in enumerate(chosen)]


@dataclass(frozen=True)
class Stream:
    """The prompts of the iterations: those of each part that are not held out, as often as it takes."""

    prompts: Sequence[Prompt]
    settings: PromptSettings
    seed: int
    held_out: int
    """How many evaluation takes of the prompts."""

    def kept(self, iteration: int) -> Indices:
        """The prompts that an iteration may take, by index: all that are not held out, or those of its own set."""
        if not self.settings.path:
            return np.arange(len(self.prompts))
        kept = np.sort(_order(len(self.prompts), self.seed, "held out")[self.held_out :])
        if self.settings.sets == 1:
            return kept
        return np.intersect1d(kept, cast(Pool, self.prompts).part(iteration - 1), assume_unique=True)

    def deal(self, iteration: int, source: ResponseSource | None = None) -> list[records.Prompt]:
        """The record rows of one iteration: the next `per_iteration` of an endless stream, row id = place in it.

        What comes with a prompt is its own, or the `source`'s. The stream runs through all prompts, each pass in an
        order of its own; where each iteration has a set of its own, through that.
        """
        kept, size = self.kept(iteration), self.settings.per_iteration
        first = (iteration - 1) * size
        name = ("pass",) if self.settings.sets == 1 else ("set", iteration, "pass")
        orders: dict[int, Indices] = {}
        rows: list[records.Prompt] = []
        for row_id in range(first, first + size):
            turn, place = divmod(row_id if self.settings.sets == 1 else row_id - first, len(kept))
            if turn not in orders:
                orders[turn] = _order(len(kept), self.seed, *name, turn)
            prompt = self.prompts[int(kept[orders[turn][place]])]
            given = source(row_id, prompt.messages) if source else prompt.given
            rows.append({"row_id": row_id, "messages": prompt.messages, "given": given})
        return rows

    def uses(self, iterations: int) -> Uses:
        """How often each prompt is used in so many iterations."""
        size = self.settings.per_iteration
        if self.settings.sets == 1:
            return uses_of([(len(self.kept(1)), size * iterations)])
        return uses_of([(len(self.kept(iteration)), size) for iteration in range(1, iterations + 1)])


def shards(rows: list[records.Prompt], count: int) -> list[list[records.Prompt]]:
    """Rows cut into `count` runs of neighbours, as even as possible."""
    edges = [len(rows) * index // count for index in range(count + 1)]
    return [rows[start:end] for start, end in pairwise(edges)]


def _order(count: int, *seed: int | str) -> Indices:
    return np.random.default_rng(derive_seed("prompts", *seed)).permutation(count)
