"""Benchmarks of prompts with instructions that rules check, in the format of IFEval."""

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from ..core.errors import UserError
from ..core.settings import nearest
from ..storage.records import CATEGORIES, CategoryFigure, Judgment
from .base import Figure, Measured
from .checks import Check
from .data import Data, DataFile, json_lines
from .extra import require_extra
from .intervals import ratio_interval
from .judge import Judge
from .questions import Answer, Answered, Question, QuestionBenchmark, Sampling
from .shares import Shares, means

_logger = logging.getLogger(__name__)

FOLLOWED: Mapping[str, tuple[str, ...]] = {"strict": ("strict",), "loose": ("strict", "loose")}
"""By what a judgment says, whether an instruction counts as followed."""
LEVELS = {
    "prompt": "prompts all of whose instructions are followed",
    "instruction": "instructions that are followed",
}
SCORED = tuple(
    figure
    for level, meaning in LEVELS.items()
    for manner in FOLLOWED
    for figure in (
        Figure(
            f"{level}_{manner}",
            f"{level}s, {manner}",
            unit="%",
            better="higher",
            digits=2,
            meaning=f"{meaning}, as {manner}ly checked",
            headline=level == "prompt" and manner == "strict",
            interval=(f"{level}_{manner}_low", f"{level}_{manner}_high"),
            error=f"{level}_{manner}_error",
        ),
        *(Figure(f"{level}_{manner}_{end}", unit="%", digits=2) for end in ("error", "low", "high")),
    )
)


@dataclass(frozen=True)
class Instruction:
    """An instruction of a prompt, and how it is checked."""

    name: str
    check: Check
    arguments: Mapping[str, Any]

    @property
    def group(self) -> str:
        """The first part of its name."""
        return self.name.partition(":")[0]


class InstructionBenchmark(QuestionBenchmark):
    """Interface of the benchmarks of instructions that rules check; no judge is asked."""

    scored: ClassVar[tuple[Figure, ...]] = SCORED
    asks_judge: ClassVar[bool] = False
    longest: ClassVar[int]
    """Longest answer, in tokens."""
    made_with: ClassVar[tuple[str, ...]]
    """The packages that check."""

    @abstractmethod
    def checks(self) -> Mapping[str, Check]:
        """The checks by the names of instructions, where `made_with` is installed."""

    def judged_with(self) -> dict[str, str]:
        """The versions of the packages that check, and NLTK's data that are not here."""
        lacking = sorted({check.lacking for check in self._checks().values()} - {""})
        return {**{name: version(name) for name in self.made_with}, "lacking": ", ".join(lacking)}

    def _checks(self) -> Mapping[str, Check]:
        require_extra(self.kind, *self.made_with)
        return self.checks()

    def read(self, data: Data) -> list[Question]:
        """The prompts."""
        rows, groups = _rows(data, self.files[0]), self._instructions(data)
        return [Question(str(row["key"]), _category(groups[str(row["key"])]), (row["prompt"],)) for row in rows]

    def read_answers(self, content: bytes, where: str, questions: Sequence[Question]) -> list[Answer]:
        """As of all benchmarks, or as the authors of these have them: {"prompt": …, "response": …}; such answers to
        other prompts are passed over."""
        asked = {question.turns[0].strip(): question.id for question in questions}
        answers = []
        for _, value in json_lines(content, where):
            match value:
                case {"prompt": str(prompt), "response": str(text)}:
                    answers += [Answer(asked[key], (text,))] if (key := prompt.strip()) in asked else []
                case _:
                    return super().read_answers(content, where, questions)
        return answers

    def sampling(self, question: Question) -> Sampling:
        """Greedily."""
        return Sampling(temperature=0.0, max_new_tokens=self.longest)

    def judgments(self, answered: Sequence[Answered], judge: Judge, data: Data) -> list[Judgment]:
        """A judgment of each instruction, whose number is its `game`.

        Those that cannot be checked here, because NLTK's data is not, have the outcome "refused".
        """
        instructions = self._instructions(data)
        named = {each.name: each for answer in answered for each in instructions[answer.question.id]}
        lacking = {name: each.check.lacking for name, each in named.items()}
        for name in (name for name, data_name in lacking.items() if data_name):
            _logger.warning(
                "%s: %s cannot be checked: NLTK's data %s is not here; set NLTK_DATA to a folder that has it",
                *(self.kind, name, lacking[name]),
            )
        return [
            _judgment(answer, game, each, lacking[each.name])
            for answer in answered
            for game, each in enumerate(instructions[answer.question.id])
        ]

    def parts(self, judged: Sequence[Answered]) -> Mapping[str, Shares]:
        """Whether all instructions of a prompt are followed, and how many of them."""
        parts: dict[str, Shares] = {}
        for manner, followed in FOLLOWED.items():
            said = {each.question.id: [row["verdict"] in followed for row in _made(each)] for each in judged}
            whole = {each.question.id for each in judged if len(_made(each)) == len(each.judgments)}
            parts[f"prompt_{manner}"] = means({name: float(all(said[name])) for name in said if name in whole}, 100.0)
            counted: dict[Hashable, tuple[float, float]] = {
                name: (float(sum(each)), float(len(each))) for name, each in said.items() if each
            }
            parts[f"instruction_{manner}"] = Shares(counted, 100.0)
        return parts

    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """The shares of prompts and of instructions that are followed, in per cent, with intervals over prompts.

        A prompt with an instruction that could not be checked counts for the instructions alone.
        """
        instructions = self._instructions(data)
        refused = Counter(
            instructions[row["question"]][row["game"]].name
            for answer in judged
            for row in answer.judgments
            if row["outcome"] != "verdict"
        )
        figures: dict[str, float | None] = {f"refused/{name}": float(count) for name, count in refused.items()}
        groups: dict[str, dict[str, list[str]]] = {}
        for answer in judged:
            for row in _made(answer):
                each = instructions[row["question"]][row["game"]]
                groups.setdefault(each.group, {}).setdefault(row["question"], []).append(row["verdict"])
        said = [[row["verdict"] for row in _made(answer)] for answer in judged]
        whole = [
            verdicts for answer, verdicts in zip(judged, said, strict=True) if len(verdicts) == len(answer.judgments)
        ]
        for manner, followed in FOLLOWED.items():
            figures |= _shares(f"prompt_{manner}", [[all(each in followed for each in verdicts)] for verdicts in whole])
            figures |= _shares(f"instruction_{manner}", [[each in followed for each in verdicts] for verdicts in said])
        return Measured(figures, {CATEGORIES: [row for name in sorted(groups) for row in _rows_of(name, groups[name])]})

    def _instructions(self, data: Data) -> dict[str, list[Instruction]]:
        """The instructions of each prompt, by its key."""
        checks, where = self._checks(), data.where(self.files[0].name)
        return {
            str(row["key"]): [
                _instruction(f"{where}: prompt {row['key']}", name, kwargs, checks)
                for name, kwargs in zip(row["instruction_id_list"], row["kwargs"], strict=True)
            ]
            for row in _rows(data, self.files[0])
        }


def refusals(names: Sequence[str]) -> tuple[Figure, ...]:
    """The figures that name the instructions that could not be checked."""
    meaning = "instructions of this kind that could not be checked, because NLTK's data is not there"
    return tuple(Figure(f"refused/{name}", better="lower", digits=0, meaning=meaning, fault=True) for name in names)


def _rows(data: Data, file: DataFile) -> list[Any]:
    rows = data.json_lines(file.name)
    for number, row in enumerate(rows, start=1):
        if not _has_form(row):
            raise UserError(
                f"{data.where(file.name)}: prompt number {number} is none: it needs key, prompt, instruction_id_list "
                "and, of the same length, kwargs"
            )
    return rows


def _has_form(row: Any) -> bool:
    if not isinstance(row, dict) or row.get("key") is None or not isinstance(row.get("prompt"), str):
        return False
    names, kwargs = row.get("instruction_id_list"), row.get("kwargs")
    return isinstance(names, list) and isinstance(kwargs, list) and 0 < len(names) == len(kwargs)


def _instruction(where: str, name: str, kwargs: Mapping[str, Any], checks: Mapping[str, Check]) -> Instruction:
    if name not in checks:
        raise UserError(f"{where}: instruction {name!r} is unknown{nearest(name, checks)}")
    check = checks[name]
    given = {key: value for key in check.arguments if (value := _whole(kwargs.get(key))) not in (None, "", [])}
    if missing := [key for key in check.arguments if key not in given]:
        raise UserError(f"{where}: its instruction {name} lacks {missing[0]}: the prompt cannot be checked without it")
    return Instruction(name, check, given)


def _whole(value: Any) -> Any:
    """A number that lost its being whole in another file format, as a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _category(instructions: Sequence[Instruction]) -> str:
    groups = {each.group for each in instructions}
    return groups.pop() if len(groups) == 1 else "several"


def _judgment(answered: Answered, game: int, instruction: Instruction, lacking: str) -> Judgment:
    verdict = "" if lacking else instruction.check.follows(answered.answer.turns[0], **instruction.arguments)
    return {
        "question": answered.question.id,
        "turn": 0,
        "game": game,
        "first": True,
        "outcome": "refused" if lacking else "verdict",
        "verdict": verdict,
        "probability": 0.5,
        "grade": float(verdict == "strict"),
        "output": instruction.name,
        "judge": "",
    }


def _made(answered: Answered) -> list[Judgment]:
    """The judgments of instructions that could be checked."""
    return [row for row in answered.judgments if row["outcome"] == "verdict"]


def _shares(name: str, followed: Sequence[Sequence[bool]]) -> dict[str, float | None]:
    """The share of what is followed, in per cent, from a list for each prompt; with error and interval."""
    known = [each for each in followed if each]
    if not known:
        return {}
    hits, counts = [sum(each) for each in known], [len(each) for each in known]
    interval = ratio_interval(hits, counts)
    error = None if interval.error is None else 100 * interval.error
    share = 100 * sum(hits) / sum(counts)
    return {name: share, f"{name}_error": error, f"{name}_low": 100 * interval.low, f"{name}_high": 100 * interval.high}


def _rows_of(group: str, verdicts: Mapping[str, Sequence[str]]) -> list[CategoryFigure]:
    """The figures of a group of instructions, from what was said of those of each prompt."""
    rows: list[CategoryFigure] = []
    for manner, followed in FOLLOWED.items():
        name = f"instruction_{manner}"
        shares = _shares(name, [[each in followed for each in said] for said in verdicts.values()])
        ends = (float(shares[f"{name}_{end}"] or 0.0) for end in ("low", "high"))
        low, high = ends
        rows.append(
            {
                "category": group,
                "figure": name,
                "value": float(shares[name] or 0.0),
                "low": low,
                "high": high,
                "questions": len(verdicts),
            }
        )
    return rows
