"""A contender in a process of its own: it opens once, then does its work each time that it is told to.

`python -m tests.bench.contender MODULE CLASS FOLDER`: for each line that it reads it answers with one, a JSON object:
the seconds that its work took, how much it has done, the most memory that it has held so far, in GiB, and what else it
says of the work.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from nashflow.components.core.machine import peak_gib


class Work(Protocol):
    """What a contender does again and again; making it opens models, which is not measured."""

    def __call__(self) -> int:
        """Do it once: how many tokens or comparisons that were."""


class Measuring(Work, Protocol):
    """Work that says more of itself."""

    def figures(self) -> dict[str, float]:
        """Of the last time."""


@dataclass(frozen=True)
class Round:
    """What doing the work once has shown."""

    rate: float
    """How much in a second."""
    peak_gib: float
    """The most memory held so far: of the GPU where there is one, of the process otherwise."""
    figures: dict[str, float]


class Contender:
    """A contender, seen from outside."""

    def __init__(self, work: type[Work], folder: Path) -> None:
        """Start it; `folder` is what the class is made with."""
        command = [sys.executable, "-m", __name__, work.__module__, work.__name__, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def round(self) -> Round:
        """Let it do its work once. The first time is not to be counted: it warms up."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"the contender ended: {self._process.wait()}")
        done: dict[str, Any] = json.loads(answer)
        return Round(done["amount"] / done["seconds"], done["peak_gib"], done["figures"])


def main(module: str, name: str, folder: str) -> None:
    """Serve."""
    with os.fdopen(os.dup(1), "w") as answers, contextlib.redirect_stdout(sys.stderr):
        os.dup2(2, 1)  # libraries write what they like
        work = getattr(importlib.import_module(module), name)(Path(folder))
        for _ in sys.stdin:
            started = time.perf_counter()
            amount = work()
            told = {"amount": amount, "seconds": time.perf_counter() - started, "peak_gib": peak_gib()}
            answers.write(json.dumps({**told, "figures": getattr(work, "figures", dict)()}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
