"""Heads that make numbers of a model's hidden states, read from the safetensors of its folder without custom code."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import UserError
from ..models.weights import shards

if TYPE_CHECKING:
    from numpy.typing import NDArray


def head_shapes(folder: Path, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of those of a head's tensors that the folder has; no weights are read."""
    from safetensors import safe_open

    found = {}
    for shard in shards(folder):
        with safe_open(shard, framework="np") as file:
            found.update({name: tuple(file.get_slice(name).get_shape()) for name in {*names} & {*file.keys()}})
    return found


def require_shapes(folder: Path, kind: str, expected: dict[str, tuple[int, ...]]) -> None:
    """Refuse a folder that lacks a tensor of its head, or has one of another shape.

    Raises:
        UserError: names the tensor, and says that the folder is no `kind`.
    """
    found = head_shapes(folder, list(expected))
    for name, shape in expected.items():
        if name not in found:
            raise UserError(
                f"oracle.model {folder} is no {kind}: its weights lack {name}; set oracle.model to a folder that has "
                "it, or oracle.kind to what the folder is"
            )
        if found[name] != shape:
            raise UserError(
                f"oracle.model {folder}: {name} is {list(found[name])} in its weights, and of a {kind} with this "
                f"configuration it is {list(shape)}: put back the files that were saved together"
            )


def read_head(folder: Path, names: Sequence[str]) -> dict[str, "NDArray[np.float64]"]:
    """Those of a head's tensors that the folder has."""
    from safetensors import safe_open

    found = {}
    for shard in shards(folder):
        with safe_open(shard, framework="pt") as file:
            found.update({name: file.get_tensor(name).double().numpy() for name in {*names} & {*file.keys()}})
    return found
