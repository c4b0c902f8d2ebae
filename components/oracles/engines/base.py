"""The interface of models that oracles ask."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ids = Sequence[int]
"""Token ids."""


class OracleModel(ABC):
    """An opened model that reads sequences of token ids and answers each with some numbers."""

    longest: int
    """The most tokens that it reads at once."""

    @abstractmethod
    def read(self, sequences: Sequence[Ids], prompts: Sequence[Hashable]) -> "NDArray[np.float64]":
        """What it answers, (sequences, numbers).

        `prompts` says which prompt each sequence is about. Those about one prompt begin alike, and an engine that can
        reads their common beginning once.

        Raises:
            UserError: a number is infinite or NaN.
        """
