"""What is said of the machine and of a process on it."""

import subprocess
import sys

import pytest

from nashflow.components.core.machine import accelerators, machine, peak_gib


def test_the_peak_is_the_processes_own_and_not_that_of_what_started_it() -> None:
    held = bytearray(b"x" * (512 << 20))
    assert peak_gib() > 0.5
    code = "from nashflow.components.core.machine import peak_gib; print(peak_gib())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.0 < float(told) < 0.4
    assert len(held) == 512 << 20


@pytest.mark.parametrize(
    ("said", "count"),
    [("8 × NVIDIA H200", 8), ("1 × Tesla T4, 2 × NVIDIA L4", 3), ("2 × x86_64", 0), ("10 × arm64", 0), ("", None)],
)
def test_accelerators_are_told_from_processors(said: str, count: int | None) -> None:
    assert accelerators(said) == count


def test_this_machine_says_what_it_has() -> None:
    torch = sys.modules.get("torch")
    assert accelerators(machine()) == (torch.cuda.device_count() if torch and torch.cuda.is_available() else 0)
