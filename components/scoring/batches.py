"""Micro-batches of sequences to score."""

from collections.abc import Sequence

from .groups import Group, Pair
from .layouts.base import Layout


def bucket(pairs: Sequence[Pair], max_tokens: int, layout: Layout) -> list[list[int]]:
    """Micro-batches of similar lengths: lists of indices, each at most `max_tokens` in the layout, or one sequence.

    A function of prompts and lengths alone: by length, then by index.
    """
    costs = [layout.tokens(Group(prompt, [response])) for prompt, response in pairs]
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(pairs)), key=lambda index: (costs[index], index)):
        cost = costs[index]
        after = max_tokens - (len(batches[-1]) + 1) * cost if batches and layout.padded else room - cost
        if after >= 0 and batches:
            batches[-1].append(index)
            room = after
        else:
            batches.append([index])
            room = max_tokens - cost
    return batches
