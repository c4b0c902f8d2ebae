"""The benchmark Arena-Hard, version 0.1: 500 hard questions, with answers of gpt-4-0314 to compare with."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from ..base import Figure, Measured
from ..data import Data, DataFile
from ..published import ARENA_HARD, Published
from ..questions import Answered
from ..stored import Files, Rescored
from .battles import Battles
from .figures import figures_against, figures_of
from .games import games_of
from .judgments import CATEGORY, rescore_v01
from .reading import QUESTIONS
from .scores import Game, score_v01
from .verdicts import VERDICTS, labels_in

TEMPLATE = "arena-hard"
_BASELINE = "answers_gpt-4-0314.jsonl"
_SOURCE = "https://raw.githubusercontent.com/lmarena/arena-hard-auto/main/data/arena-hard-v0.1"


class ArenaHard(Battles):
    """How often a policy wins against gpt-4-0314 on 500 hard questions: version 0.1.

    There are two games about each question, in both orders. A judge that writes gives one of five verdicts, of which a
    significant one counts as three games, and is asked once more where it gives none; any other oracle's probabilities
    count once.
    """

    kind: Literal["arena_hard"] = "arena_hard"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            QUESTIONS,
            "questions of version 0.1",
            "2650242d2883f22b2abd498f273b6a7e02253cce533f5c91a858e1d44aa3002f",
            f"{_SOURCE}/question.jsonl",
        ),
        DataFile(
            _BASELINE,
            "answers of gpt-4-0314",
            "0f6abc84de4600fde987d9db70f838f4ecdbd27a2f1f4058c12aa322a6f791b2",
            f"{_SOURCE}/model_answer/gpt-4-0314.jsonl",
        ),
    )
    published: ClassVar[tuple[Published, ...]] = (ARENA_HARD,)
    scored: ClassVar[tuple[Figure, ...]] = figures_against("gpt-4-0314")
    total: ClassVar[int] = 500
    calls: ClassVar[int] = 4
    baselines: ClassVar[Mapping[str, str]] = {CATEGORY: _BASELINE}
    templates: ClassVar[Mapping[str, str]] = {CATEGORY: TEMPLATE}
    judgment_tokens: ClassVar[int] = 4096

    @classmethod
    def rescored(cls, files: Files) -> Rescored:
        """By a file of judgments of the benchmark."""
        return rescore_v01(files)

    @staticmethod
    def label_of(judgment: str) -> str:
        """The label in a judgment, if that has one alone."""
        labels = labels_in(judgment)
        return labels.pop() if len(labels) == 1 and labels <= VERDICTS.keys() else ""

    @staticmethod
    def asks_again(judgment: str) -> bool:
        """Where it has no label."""
        return not labels_in(judgment)

    def played(self, judged: Sequence[Answered]) -> list[Game]:
        """All games."""
        return games_of(judged)

    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """The score of all questions."""
        return Measured(figures_of(score_v01(games_of(judged))))
