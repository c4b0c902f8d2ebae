"""Micro-batches of sequences to score."""

from collections.abc import Sequence

from .groups import Group, Pair
from .layouts.base import Layout


def bucket(pairs: Sequence[Pair], max_tokens: int, layout: Layout) -> list[list[int]]:
    """Micro-batches of similar lengths: lists of indices, each at most `max_tokens` in the layout, or one sequence.

    A function of prompts and lengths alone: by length, then by index. Responses that share their prompt's computation
    are neighbours.
    """
    batches: list[list[int]] = []
    room = count = 0
    for cost, unit in sorted(_units(pairs, max_tokens, layout)):
        # Padded ones, the longest being the last, all take as much as it does.
        left = max_tokens - (count + 1) * cost if layout.padded else room - cost
        if batches and left >= 0:
            batches[-1] += unit
            room, count = left, count + 1
        else:
            batches.append(unit)
            room, count = max_tokens - cost, 1
    return batches


def _units(pairs: Sequence[Pair], max_tokens: int, layout: Layout) -> list[tuple[int, list[int]]]:
    """What is never taken apart, as indices, and its tokens: a sequence, or as many responses to one prompt as share
    its computation and fit."""
    units: list[tuple[int, list[int]]] = []
    open_units: dict[tuple[int, ...], int] = {}
    for index, (prompt, response) in enumerate(pairs):
        at = open_units.get(tuple(prompt)) if layout.shares else None
        if at is not None:
            indices = [*units[at][1], index]
            cost = layout.tokens(Group(prompt, [pairs[each][1] for each in indices]))
            if cost <= max_tokens:
                units[at] = (cost, indices)
                continue
        open_units[tuple(prompt)] = len(units)
        units.append((layout.tokens(Group(prompt, [response])), [index]))
    return units
