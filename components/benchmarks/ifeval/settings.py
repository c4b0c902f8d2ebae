"""IFEval: instructions of 25 kinds that rules check (arXiv 2311.07911)."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, ClassVar, Literal

from ..base import Figure
from ..checks import Check
from ..data import DataFile
from ..instructions import SCORED, InstructionBenchmark, refusals
from ..nltk_data import PUNKT, without_download

NEED_SENTENCES = ("length_constraints:number_sentences", "change_case:capital_word_frequency")
"""The instructions that lm-eval checks by NLTK's sentences."""


class IFEval(InstructionBenchmark):
    """How many prompts have all their instructions followed, and how many instructions are; greedily, checked by
    lm-eval's rules.

    `prompt_strict` is what papers report most often.
    """

    kind: Literal["ifeval"] = "ifeval"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            "input_data.jsonl",
            "the prompts and their instructions",
            sha256="67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49",
            source="https://raw.githubusercontent.com/google-research/google-research/"
            "19638399cc9e03623c5b9087a1d6fa8813974ce9/instruction_following_eval/data/input_data.jsonl",
        ),
    )
    scored: ClassVar[tuple[Figure, ...]] = (*SCORED, *refusals(NEED_SENTENCES))
    total: ClassVar[int] = 541
    longest: ClassVar[int] = 1280
    made_with: ClassVar[tuple[str, ...]] = ("lm_eval", "langdetect", "nltk")

    def checks(self) -> Mapping[str, Check]:
        """Those of lm-eval."""
        return _of_lm_eval()


@cache
def _of_lm_eval() -> Mapping[str, Check]:
    import langdetect

    with without_download():
        from lm_eval.tasks.ifeval.instructions_registry import INSTRUCTION_DICT
    langdetect.DetectorFactory.seed = 0  # its guesses are drawn otherwise
    return {
        name: Check(partial(_holds, made), tuple(made(name).get_instruction_args_keys()), _needs(name))
        for name, made in INSTRUCTION_DICT.items()
    }


def _needs(name: str) -> tuple[str, ...]:
    return (PUNKT,) if name in NEED_SENTENCES else ()


def _holds(made: Any, answer: str, **arguments: object) -> bool:
    instruction = made("")
    instruction.build_description(**arguments)
    return bool(instruction.check_following(answer))
