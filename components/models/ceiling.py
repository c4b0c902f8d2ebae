"""How many floating-point operations a second this machine can do at best: the ceiling of a training's speed."""

import functools
import time

from .folders import Dtype

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
_SIDE, _TIMES = 1024, 3


@functools.cache
def ceiling(dtype: Dtype) -> float:
    """Operations a second in a precision, of one accelerator or of the processors that torch uses here.

    By the data sheet where the accelerator is known; otherwise the best of a few products of two large matrices.
    """
    import torch

    if dtype == "bfloat16" and torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if known := next((speed for part, speed in _TENSOR_CORES.items() if part in name), None):
            return known
    return max(_measured(dtype) for _ in range(_TIMES))


def _measured(dtype: Dtype) -> float:
    import torch

    gpu = torch.cuda.is_available()
    side = 8 * _SIDE if gpu else _SIDE
    matrix = torch.full((side, side), 0.5, dtype=getattr(torch, dtype), device="cuda" if gpu else "cpu")
    started = time.perf_counter()
    (matrix @ matrix).sum().item()
    return 2 * side**3 / (time.perf_counter() - started)
