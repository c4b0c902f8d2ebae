"""The versus benchmark: how often a judge prefers a policy's answers to those in a file."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..core.errors import UserError
from ..prompts.reading import Asked, read
from ..prompts.settings import PromptSource
from ..storage.records import Judgment
from .base import Figure, Measured, with_interval
from .data import Data, DataFile
from .intervals import mean_interval
from .judge import Judge
from .questions import Answered, Question, QuestionBenchmark, Sampling
from .shares import Shares, means


class Versus(QuestionBenchmark):
    """Win rate against answers that somebody else has given to the same prompts, such as another policy's.

    The two answers to a prompt are a pair: the prompts are the independent units of the interval.
    """

    kind: Literal["versus"] = "versus"
    scored: ClassVar[tuple[Figure, ...]] = (
        *with_interval(
            *("win_rate", "win rate"), better="higher", meaning="against the answers of the file", headline=True
        ),
        Figure("wins", digits=0, meaning="prompts on which the policy's answer is preferred"),
        Figure("ties", digits=0),
        Figure("losses", digits=0),
    )
    calls: ClassVar[int] = 2
    compares: ClassVar[bool] = True

    field: str = "prompt"
    """As `prompts.field`."""
    given: tuple[str, ...] = ()
    """As `prompts.given`: the field that holds the opponent's answer, where the layout of the file does not say."""
    temperature: float = Field(1.0, ge=0.0)
    """Sampling temperature of the policy's answers; 0 is greedy."""

    def opened(self) -> Data:
        """The one file.

        Raises:
            UserError: there is none, or a folder.
        """
        if "://" not in self.data and not Path(self.data).is_file():
            raise UserError(
                f"benchmark {self.kind}: data is {self.data!r}, which is no file: set it to a file of prompts with "
                "answers, such as another model's answers.jsonl"
            )
        folder, slash, name = self.data.rpartition("/")
        return Data(self.kind, folder or slash or ".", [DataFile(name, "prompts with an opponent's answers")])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file."""
        return () if "://" in self.data else (Path(self.data),)

    def read(self, data: Data) -> list[Question]:
        """The prompts of the file, each with the first answer that comes with it."""
        source = PromptSource(path=self.data, field=self.field)
        pool, _ = read(source, Asked(wanted="responses", given=self.given), "evaluation.benchmarks")
        if not len(pool):
            raise UserError(f"{self.data}: no prompt comes with an answer: set given to the field that holds it")
        questions = []
        for number, prompt in enumerate(pool):
            *before, last = prompt.messages
            opponent = (prompt.given[0],)
            questions.append(Question(str(number), "", (last["content"],), opponent=opponent, before=tuple(before)))
        return questions

    def sampling(self, question: Question) -> Sampling:
        """At the temperature of the settings."""
        return Sampling(self.temperature, 1024)

    def judgments(self, answered: Sequence[Answered], judge: Judge, data: Data) -> list[Judgment]:
        """The judge's verdict in both orders."""
        return self.compared(answered, judge)

    def parts(self, judged: Sequence[Answered]) -> Mapping[str, Shares]:
        """P(policy ≻ opponent) of each prompt."""
        return {"win_rate": means(_chances(judged))}

    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """The mean over the prompts of P(policy ≻ opponent)."""
        chances = list(_chances(judged).values())
        low, high = mean_interval(chances)
        return Measured(
            {
                "win_rate": sum(chances) / len(chances),
                "win_rate_low": float(low),
                "win_rate_high": float(high),
                "wins": sum(chance > 0.5 for chance in chances),
                "ties": sum(chance == 0.5 for chance in chances),
                "losses": sum(chance < 0.5 for chance in chances),
            }
        )


def _chances(judged: Sequence[Answered]) -> dict[Hashable, float]:
    """P(policy ≻ opponent) of each prompt that was judged in both orders."""
    return {
        each.question.id: sum(row["probability"] for row in each.judgments) / len(each.judgments)
        for each in judged
        if all(row["outcome"] == "verdict" for row in each.judgments)
    }
