"""IFBench: instructions of 58 kinds that no training set has, which rules check (arXiv 2507.02833)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from ..base import Figure
from ..checks import Check
from ..data import DataFile
from ..instructions import SCORED, InstructionBenchmark, refusals
from .constraints import CONSTRAINTS


class IFBench(InstructionBenchmark):
    """How many prompts have all their instructions followed, and how many instructions are; by rules, greedily.

    Its authors report `prompt_loose`.
    """

    kind: Literal["ifbench"] = "ifbench"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            "IFBench_test.jsonl",
            "the prompts and their instructions",
            sha256="a2bf7b8e7ed11d39c65b4ec781da8b99663ed0121f97033d70fcecb61f8a9d85",
            source="https://raw.githubusercontent.com/allenai/IFBench/db69a6f05689830b0068b8f1529ebcfd2f3b164c/"
            "data/IFBench_test.jsonl",
        ),
    )
    scored: ClassVar[tuple[Figure, ...]] = (
        *SCORED,
        *refusals([name for name, check in CONSTRAINTS.items() if check.needs]),
    )
    total: ClassVar[int] = 300
    longest: ClassVar[int] = 2048
    made_with: ClassVar[tuple[str, ...]] = ("nltk", "emoji", "syllapy")

    def checks(self) -> Mapping[str, Check]:
        """The constraints."""
        return CONSTRAINTS
