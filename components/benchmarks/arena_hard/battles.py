"""What the versions of Arena-Hard have in common: questions, answers to compare with, and two games about each."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ...oracles.llm_judge.template import read_template
from ...storage.records import Judgment
from ..data import Data
from ..judge import Judge
from ..questions import Answer, Answered, Question, QuestionBenchmark, Sampling
from ..shares import Shares
from .games import play
from .reading import given_answers, read_questions
from .scores import Game, won_of


class Battles(QuestionBenchmark):
    """A version of Arena-Hard."""

    compares: ClassVar[bool] = True
    baselines: ClassVar[Mapping[str, str]]
    """The file of answers to compare with, by category."""
    templates: ClassVar[Mapping[str, str]]
    """The template of a judge that writes, by category."""
    judgment_tokens: ClassVar[int]
    """Most tokens of a judgment."""

    def read(self, data: Data) -> list[Question]:
        """The questions with the baselines' answers."""
        return read_questions(data, self.baselines)

    def read_answers(self, content: bytes, where: str, questions: Sequence[Question]) -> list[Answer]:
        """Those of the benchmark's own files of answers, too."""
        answers = given_answers(content, where, questions)
        return super().read_answers(content, where, questions) if answers is None else answers

    def sampling(self, question: Question) -> Sampling:
        """Greedy, as the benchmark samples."""
        return Sampling(temperature=0.0, max_new_tokens=4096)

    def judgments(self, answered: Sequence[Answered], judge: Judge, data: Data) -> list[Judgment]:
        """Two games about each question."""
        asked = judge.completions({"temperature": 0, "max_tokens": self.judgment_tokens})
        if asked is None:
            return self.compared(answered, judge)
        templates = {category: read_template(name) for category, name in self.templates.items()}
        return play(answered, judge, asked, templates.__getitem__, self.label_of, self.asks_again)

    def parts(self, judged: Sequence[Answered]) -> Mapping[str, Shares]:
        """The games of each question, as often as they count."""
        return {"score": Shares(won_of(self.played(judged)), 100.0)}

    @abstractmethod
    def played(self, judged: Sequence[Answered]) -> list[Game]:
        """The games that the score is of."""

    @staticmethod
    @abstractmethod
    def label_of(judgment: str) -> str:
        """The verdict in a judgment; empty if it has none."""

    @staticmethod
    @abstractmethod
    def asks_again(judgment: str) -> bool:
        """Whether the judge is asked to end a judgment with a label, which happens once."""
