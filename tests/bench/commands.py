"""What the client takes before anything runs."""

import subprocess
import sys
from pathlib import Path


class Plan:
    """`nashflow plan` of the paper's recipe."""

    arguments: tuple[str, ...] = ("plan", "inpo-llama3-8b")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self) -> int:
        code = "from nashflow.pipelines.cli import main; main()"
        output = ("-o", str(self._folder / "pipeline.yaml")) if self.arguments[0] == "compile" else ()
        command = [sys.executable, "-c", code, *self.arguments, *output]
        subprocess.run(command, check=True, capture_output=True)
        return 1


class Compile(Plan):
    """`nashflow compile` of it."""

    arguments = ("compile", "inpo-llama3-8b")
