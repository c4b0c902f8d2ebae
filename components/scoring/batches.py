"""Micro-batches of sequences to score, and what of them is computed together."""

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
    for cost, unit in sorted(units([Group(prompt, [response]) for prompt, response in pairs], max_tokens, layout)):
        # Padded ones, the longest being the last, all take as much as it does.
        left = max_tokens - (count + 1) * cost if layout.padded else room - cost
        if batches and left >= 0:
            batches[-1] += unit
            room, count = left, count + 1
        else:
            batches.append(unit)
            room, count = max_tokens - cost, 1
    return batches


def units(groups: Sequence[Group], max_tokens: int, layout: Layout) -> list[tuple[int, list[int]]]:
    """What no pass takes apart, as its tokens and the groups' indices: a group, or as many groups of one prompt as
    share its computation and fit."""
    found: list[tuple[int, list[int]]] = []
    open_units: dict[tuple[int, ...], int] = {}
    for index, (prompt, responses) in enumerate(groups):
        at = open_units.get(tuple(prompt)) if layout.shares else None
        if at is not None:
            indices = [*found[at][1], index]
            cost = layout.tokens(Group(prompt, [each for place in indices for each in groups[place].responses]))
            if cost <= max_tokens:
                found[at] = (cost, indices)
                continue
        open_units[tuple(prompt)] = len(found)
        found.append((layout.tokens(Group(prompt, responses)), [index]))
    return found
