"""The machine that a process computes on."""

import os
import platform
import re
import resource
import sys
from collections import Counter
from pathlib import Path


def machine() -> str:
    """Its accelerators by name, if torch is loaded and sees any, otherwise its processors."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        names = Counter(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))
        return ", ".join(f"{count} × {name}" for name, count in names.items())
    return f"{os.cpu_count()} × {platform.machine()}"


def accelerators(said: str) -> int | None:
    """How many accelerators a machine has, by what `machine` said of it; None where nothing was said.

    Their names have several words, such as NVIDIA H200; those of processors, such as x86_64, have one.
    """
    parts = [part.split(" × ") for part in said.split(", ")] if said else []
    return sum(int(count) for count, name in parts if " " in name) if parts else None


def peak_gib() -> float:
    """The most memory that this process has held so far, in GiB: of its GPU, if torch is loaded and sees one."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**30
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # On Linux getrusage begins with what the process that started this one has held.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
    return int(peak) / 2**20
