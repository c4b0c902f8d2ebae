"""The head of a general preference model: embeddings of answers, and the score of two of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ...core.errors import UserError
from ..heads import head_shapes, read_head, require_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUE, GATE = "value_head.weight", "prompt_head.weight"
_KIND = "general preference model"


@dataclass(frozen=True)
class Head:
    """Of an embedding of 2k dimensions."""

    value: "NDArray[np.float64]"
    """(2k, hidden)."""
    gate: "NDArray[np.float64] | None"
    """(k, hidden); None: the scales of every prompt are one."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The head in a folder's weights."""
        tensors = read_head(folder, [VALUE, GATE])
        return cls(tensors[VALUE], tensors.get(GATE))

    def embeddings(self, states: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Of the answers that end with these hidden states, (answers, 2k), each of length one."""
        values = np.matmul(states, self.value.T)
        with np.errstate(invalid="ignore"):  # zeros have no direction: their preferences are refused
            found: NDArray[np.float64] = values / np.linalg.norm(values, axis=1, keepdims=True)
        return found

    def scales(self, states: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """The scales λ of prompts that end with these hidden states, (prompts, k)."""
        if self.gate is None:
            return np.ones((len(states), len(self.value) // 2))
        logits = states @ self.gate.T
        raised = np.exp(logits - logits.max(1, keepdims=True))
        found: NDArray[np.float64] = raised / raised.sum(1, keepdims=True)
        return found


def score(first: "NDArray[np.float64]", second: "NDArray[np.float64]", scales: "NDArray[np.float64]") -> float:
    """s = v_iᵀ R(x) v_j of two embeddings (2k,): R has a block λ_l (0 1; −1 0) for each pair of dimensions."""
    areas = first[0::2] * second[1::2] - first[1::2] * second[0::2]
    return float(scales @ areas)


def check_head(folder: Path, hidden: int) -> None:
    """Refuse a folder without a value head of 2k rows, or with a gate that has not k.

    Raises:
        UserError: says what is wrong.
    """
    shapes = head_shapes(folder, [VALUE, GATE])
    rows = shapes.get(VALUE, (2, hidden))[0]
    if rows % 2:
        raise UserError(
            f"oracle.model {folder} is no {_KIND}: {VALUE} has {rows} rows, and an embedding has an even number of "
            "dimensions"
        )
    expected = {VALUE: (rows, hidden), GATE: (rows // 2, hidden)}
    require_shapes(folder, _KIND, {name: shape for name, shape in expected.items() if name == VALUE or name in shapes})
