"""Responses that come with the sandbox's prompts: a teacher's, and pairs that were labelled beforehand."""

import numpy as np

from ...core.seeds import derive_seed
from .texts import response_text
from .world import World


def teacher_response(world: World, context: int) -> str:
    """The response that wins most often against the world's target distribution."""
    return response_text(int(np.argmax(world.matrix[context] @ np.exp(world.log_target[context]))))


def labelled_pair(world: World, context: int, *seed: int | str) -> tuple[str, str]:
    """Two independent responses from the world's target distribution, first the one that the oracle's coin prefers.

    Draws, by default_rng of the derived seed: both responses, then a uniform number for the coin.
    """
    random = np.random.default_rng(derive_seed("given", *seed))
    first, second = random.choice(len(world.matrix[context]), 2, p=np.exp(world.log_target[context]))
    if random.random() >= world.matrix[context, first, second]:
        first, second = second, first
    return response_text(int(first)), response_text(int(second))
