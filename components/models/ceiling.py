"""How many floating-point operations a second this machine can do at best: the ceiling of a training's speed."""

import functools
import time
from typing import TYPE_CHECKING

from .folders import Dtype

if TYPE_CHECKING:
    import torch

_TENSOR_CORES = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "L4": 121e12,
}
"""Dense products of bfloat16 by the makers' data sheets, by a part of the accelerator's name; the first that fits."""
_SIDE, _SECONDS = 1024, 0.3
"""Of the matrices, times 8 on an accelerator; and how long their products are repeated, in seconds."""


@functools.cache
def ceiling(dtype: Dtype) -> float:
    """Operations a second in a precision, of one accelerator or of the processors that torch uses here.

    By the data sheet where the accelerator is known; otherwise the best of several products of two large matrices, of
    which the first does not count: it loads kernels.
    """
    import torch

    if dtype == "bfloat16" and torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if known := next((speed for part, speed in _TENSOR_CORES.items() if part in name), None):
            return known
    gpu = torch.cuda.is_available()
    side = 8 * _SIDE if gpu else _SIDE
    matrix = torch.full((side, side), 0.5, dtype=getattr(torch, dtype), device="cuda" if gpu else "cpu")
    seconds = [_seconds(matrix)]
    while len(seconds) < 3 or sum(seconds) < _SECONDS:
        seconds.append(_seconds(matrix))
    return 2 * side**3 / min(seconds[1:])


def _seconds(matrix: "torch.Tensor") -> float:
    """How long a product of the matrix with itself takes; waits for its end."""
    started = time.perf_counter()
    (matrix @ matrix)[0, 0].item()
    return time.perf_counter() - started
