"""Micro-batches: the pairs of one update, dealt by their tokens to ranks and to forward and backward passes."""

from bisect import bisect_left
from collections.abc import Sequence


def micro_batches(tokens: Sequence[int], budget: int, ranks: int = 1, padded: bool = False) -> list[list[list[int]]]:
    """The places of the pairs by rank and by pass: `[rank][pass]` is a list of places, in their order.

    Every rank gets equally many passes, as few as the budget allows, and the largest one is little above their mean: by
    less than one pair. Where there are fewer pairs than passes, the last pass of the last ranks is empty. A function of
    its arguments alone.

    Args:
        tokens: of each pair.
        budget: the tokens of a pass, at most.
        ranks: how many processes share the update.
        padded: whether pairs are padded to the longest one of their pass, so that similar ones are put together.

    Raises:
        ValueError: one pair alone is above the budget.
    """
    longest = max(tokens)
    if longest > budget:
        raise ValueError(f"a pair has {longest} tokens, more than the budget of {budget}")
    count = -(-len(_passes(tokens, budget, padded)) // ranks) * ranks
    # No lower than the mean: the lowest limit found that needs no more passes.
    limits = range(min(budget, max(longest, -(-sum(tokens) // count))), budget)
    best = bisect_left(limits, True, key=lambda limit: len(_passes(tokens, limit, padded)) <= count)
    passes = _passes(tokens, limits.start + best, padded)
    passes += [[] for _ in range(count - len(passes))]
    return [[sorted(each) for each in passes[rank::ranks]] for rank in range(ranks)]


def _passes(tokens: Sequence[int], limit: int, padded: bool) -> list[list[int]]:
    """Passes that are filled up to a limit, longest pairs first, each into the first pass that has room for it.

    Where they are padded, only the newest pass is looked at.
    """
    passes: list[list[int]] = []
    sizes: list[int] = []
    for place in sorted(range(len(tokens)), key=lambda place: (-tokens[place], place)):
        more = tokens[passes[-1][0]] if padded and passes else tokens[place]
        looked_at = range(len(passes))[-1 if padded else 0 :]
        into = next((each for each in looked_at if sizes[each] + more <= limit), None)
        if into is None:
            passes.append([place])
            sizes.append(tokens[place])
        else:
            passes[into].append(place)
            sizes[into] += more
    return passes
