"""The machine that a process computes on."""

import os
import platform
import resource
import sys
from collections import Counter


def machine() -> str:
    """Its accelerators by name, if torch is loaded and sees any, otherwise its processors."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        names = Counter(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))
        return ", ".join(f"{count} × {name}" for name, count in names.items())
    return f"{os.cpu_count()} × {platform.machine()}"


def peak_gib() -> float:
    """The most memory that this process has held so far, in GiB: of its GPU, if torch is loaded and sees one."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
