"""Containerfiles, read as far as the tests look into them."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNTIMES = ("steps", "client", "vllm", "training")


@dataclass
class Stage:
    """What one FROM begins: (instruction, arguments) in their order."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such instruction."""
        return [arguments for name, arguments in self.instructions if name == instruction]

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(re.findall(r'(\w+)="?([^\s"]+)"?', " ".join(self.all("ENV"))))

    def labels(self) -> dict[str, str]:
        """What LABEL sets."""
        return dict(re.findall(r'([\w.]+)="([^"]*)"', " ".join(self.all("LABEL"))))

    def command(self, instruction: str) -> list[str]:
        """The command of CMD or HEALTHCHECK, in its JSON form."""
        (arguments,) = self.all(instruction)
        found: list[str] = json.loads(arguments[arguments.index("[") :])
        return found


def stages(text: str) -> list[Stage]:
    """The stages of a Containerfile."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.M))
    found: list[Stage] = []
    for line in joined.splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            found.append(Stage(base, name))
        elif instruction and found:
            found[-1].instructions.append((instruction, arguments))
    return found


STAGES = stages((ROOT / "images/Containerfile").read_text())
"""The builder's stage, and the image's own."""


def installs(runtime: str) -> list[str]:
    """The words after `install.sh dependencies` of a runtime's build: the runtime, the extra, and what it adds."""
    text = (ROOT / "images" / runtime / "build.sh").read_text()
    (line,) = [line for line in text.splitlines() if "install.sh dependencies" in line]
    return line.partition("install.sh dependencies ")[2].split()


def install(*arguments: str) -> list[str]:
    """A command line of images/install.sh."""
    return ["sh", str(ROOT / "images/install.sh"), *arguments]
