"""The machine that a process computes on."""

import os
import platform
import sys
from collections import Counter


def machine() -> str:
    """Its accelerators by name, if torch is loaded and sees any, otherwise its processors."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        names = Counter(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))
        return ", ".join(f"{count} × {name}" for name, count in names.items())
    return f"{os.cpu_count()} × {platform.machine()}"
