"""The benchmark Arena-Hard, version 2: hard and creative questions, with two strong models' answers to compare with."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from ...storage.records import CATEGORIES, CategoryFigure
from ..base import Figure, Measured, with_interval
from ..data import Data, DataFile
from ..questions import Answered
from ..stored import Files, Rescored
from .battles import Battles
from .benchmark import TEMPLATE
from .figures import figures_against, figures_of
from .games import games_of
from .judgments import HEADLINE, rescore_v2
from .reading import QUESTIONS
from .scores import Game, any_judged, both_judged, score_v2
from .style import Style, style_controlled
from .verdicts import READ_BACKWARDS, last_label

_CREATIVE = "creative_writing"
_BASELINES = {HEADLINE: "answers_o3-mini-2025-01-31.jsonl", _CREATIVE: "answers_gemini-2.0-flash-001.jsonl"}
_SOURCE = "https://raw.githubusercontent.com/lmarena/arena-hard-auto/main/data/arena-hard-v2.0"


class ArenaHardV2(Battles):
    """How often a policy wins against o3-mini on 500 hard questions, and against gemini-2.0-flash on 250 creative ones:
    version 2, with and without style control.

    The games are those of version 0.1, but the last verdict of a judgment counts, questions with a game without one are
    left out, and scores are means of bootstraps.
    """

    kind: Literal["arena_hard_v2"] = "arena_hard_v2"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            QUESTIONS,
            "questions of version 2",
            "a75cef6623db6b27aec810497b059f0659705d7ff48dcbccc5bd5b130728ac73",
            f"{_SOURCE}/question.jsonl",
        ),
        DataFile(
            _BASELINES[HEADLINE],
            "answers of o3-mini-2025-01-31",
            "c23a7c255eead99f7f86ad48aa1d8ccdb5b3334f2097e0e1e09184df87265e03",
            f"{_SOURCE}/model_answer/o3-mini-2025-01-31.jsonl",
        ),
        DataFile(
            _BASELINES[_CREATIVE],
            "answers of gemini-2.0-flash-001",
            source=f"{_SOURCE}/model_answer/gemini-2.0-flash-001.jsonl",
        ),
    )
    scored: ClassVar[tuple[Figure, ...]] = (
        *figures_against("o3-mini-2025-01-31 on hard questions"),
        *with_interval(
            *("style_controlled", "style-controlled", "style"),
            unit="%",
            better="higher",
            digits=1,
            meaning="the score on hard questions if both answers were equally long and marked up",
        ),
    )
    total: ClassVar[int] = 750
    calls: ClassVar[int] = 2
    baselines: ClassVar[Mapping[str, str]] = _BASELINES
    templates: ClassVar[Mapping[str, str]] = {HEADLINE: TEMPLATE, _CREATIVE: "arena-hard-creative"}
    judgment_tokens: ClassVar[int] = 16000

    @classmethod
    def rescored(cls, files: Files) -> Rescored:
        """By a file of judgments of the benchmark."""
        return rescore_v2(files)

    @staticmethod
    def label_of(judgment: str) -> str:
        """The last label in a judgment."""
        label = last_label(judgment) or ""
        return label if label in READ_BACKWARDS else ""

    @staticmethod
    def asks_again(judgment: str) -> bool:
        """Never."""
        return False

    def played(self, judged: Sequence[Answered]) -> list[Game]:
        """Those of hard questions with two verdicts."""
        return both_judged(games_of([each for each in judged if each.question.category == HEADLINE]))

    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """The scores of hard questions, and of each category."""
        scores = {}
        for category in _BASELINES:
            games = games_of([each for each in judged if each.question.category == category])
            if any_judged(games):
                scores[category] = score_v2(games)
        rows = [
            CategoryFigure(
                category=category,
                figure="score",
                value=score.score,
                low=score.low,
                high=score.high,
                questions=score.questions,
            )
            for category, score in scores.items()
        ]
        figures = {} if HEADLINE not in scores else {**figures_of(scores[HEADLINE]), **_styled(judged)}
        return Measured({**dict.fromkeys(figure.name for figure in self.scored), **figures}, {CATEGORIES: rows})


def _styled(judged: Sequence[Answered]) -> Mapping[str, float]:
    """The style-controlled score of hard questions."""
    hard = [each for each in judged if each.question.category == HEADLINE]
    styles = [
        (Style.of(each.answer.turns[0]), Style.of(each.question.opponent[0])) for each in hard for _ in each.judgments
    ]
    controlled = style_controlled(games_of(hard), styles)
    return {
        "style_controlled": controlled.style_controlled,
        "style_low": controlled.style_low,
        "style_high": controlled.style_high,
    }
