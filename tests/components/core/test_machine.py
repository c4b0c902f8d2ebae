"""What is said of the machine and of a process on it."""

import subprocess
import sys

from nashflow.components.core.machine import peak_gib


def test_the_peak_is_the_processes_own_and_not_that_of_what_started_it() -> None:
    held = bytearray(b"x" * (512 << 20))
    assert peak_gib() > 0.5
    code = "from nashflow.components.core.machine import peak_gib; print(peak_gib())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.0 < float(told) < 0.4
    assert len(held) == 512 << 20
