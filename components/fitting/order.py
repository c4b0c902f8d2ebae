"""The order in which pairs are trained on."""

from collections.abc import Iterator

import numpy as np

from ..core.seeds import derive_seed


def batches(count: int, size: int, updates: int, *seed: int | str) -> Iterator[list[int]]:
    """Indices of the pairs of each update: pass after pass over all pairs, each in an order of its own.

    The last update of a pass takes what is left. Update u is the same however often the training was restarted.
    """
    made = 0
    for epoch in range(updates):
        order = np.random.default_rng(derive_seed(*seed, "order", epoch)).permutation(count).tolist()
        for at in range(0, count, size):
            if made == updates:
                return
            yield order[at : at + size]
            made += 1
