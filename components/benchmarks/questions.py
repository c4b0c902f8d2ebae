"""Benchmarks of questions: questions → answers → judgments → scores, each stage a unit of work of its own."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator

from ..core.errors import UserError
from ..oracles.base import Query, Verdict
from ..oracles.oracle_settings import OracleSettings
from ..oracles.settings import AnyOracle
from ..storage import layout
from ..storage.records import ANSWERS, JUDGMENTS, QUESTIONS, BenchmarkAnswer, BenchmarkQuestion, Judgment, Message
from ..storage.store import Store
from ..storage.units import Manifest, read_manifest, require_manifest
from .base import BenchmarkSettings, Figure, Measured, renamed, with_interval
from .data import Data, DataFile, json_lines
from .judge import Judge, require_there
from .shares import Shares
from .stored import Files, Rescored


@dataclass(frozen=True)
class Question:
    """A question of a benchmark."""

    id: str
    category: str
    turns: tuple[str, ...]
    """What the user says; an answer follows each turn."""
    reference: tuple[str, ...] = ()
    """The right answers, one a turn, where the benchmark has such."""
    opponent: tuple[str, ...] = ()
    """The answers that the policy's are compared with, one a turn, where the benchmark has such."""
    before: tuple[Message, ...] = ()
    """What stands before the first turn, such as a system message."""

    @classmethod
    def of(cls, row: BenchmarkQuestion) -> Self:
        """The question of a row of QUESTIONS."""
        turns, reference, opponent = (tuple(texts) for texts in (row["turns"], row["reference"], row["opponent"]))
        return cls(row["question"], row["category"], turns, reference, opponent, tuple(row["before"]))

    def row(self) -> BenchmarkQuestion:
        """The question as a row of QUESTIONS."""
        return {
            "question": self.id,
            "category": self.category,
            "before": list(self.before),
            "turns": list(self.turns),
            "reference": list(self.reference),
            "opponent": list(self.opponent),
        }


@dataclass(frozen=True)
class Answer:
    """A policy's answer to a question; each field has one value a turn."""

    question: str
    """The question's id."""
    turns: tuple[str, ...]
    tokens: tuple[int, ...] = ()
    """How many tokens it has."""
    finish: tuple[str, ...] = ()
    """stop, or length where it was cut."""
    bos: tuple[int, ...] = ()
    """How many BOS tokens its prompt begins with."""

    @property
    def cut(self) -> bool:
        """Whether the answer to one of the turns was cut."""
        return "length" in self.finish

    @classmethod
    def of(cls, row: BenchmarkAnswer) -> Self:
        """The answer of a row of ANSWERS."""
        tokens, finish, bos = tuple(row["tokens"]), tuple(row["finish"]), tuple(row["bos"])
        return cls(row["question"], tuple(row["turns"]), tokens, finish, bos)

    def row(self) -> BenchmarkAnswer:
        """The answer as a row of ANSWERS."""
        return {
            "question": self.question,
            "turns": list(self.turns),
            "tokens": list(self.tokens),
            "finish": list(self.finish),
            "bos": list(self.bos),
        }


@dataclass(frozen=True)
class Sampling:
    """How the answer to a question is sampled."""

    temperature: float
    """0 is greedy."""
    max_new_tokens: int
    """Longest answer to a turn, in tokens."""
    top_p: float = 1.0


@dataclass(frozen=True)
class Answered:
    """A question with a policy's answer, and what was said of it, if it has been judged."""

    question: Question
    answer: Answer
    judgments: tuple[Judgment, ...] = ()


_LENGTHS = (
    Figure("answers", digits=0),
    Figure("mean_tokens", unit="tokens", digits=1, meaning="mean length of answers, all turns together"),
    Figure("mean_characters", unit="characters", digits=0, meaning="the same in characters"),
    Figure("cut", better="lower", digits=0, meaning="answers that were cut at their longest", fault=True),
    Figure("empty", better="lower", digits=0, meaning="answers with a turn without text", fault=True),
)
_JUDGED = (
    Figure("judgments", digits=0),
    Figure("no_verdict", better="lower", digits=0, meaning="judgments without a verdict", fault=True),
)
_WATCHED = (
    *with_interval(
        "canary_win_rate", "canary", meaning="how often the judge prefers one constant answer, which says nothing"
    ),
    *with_interval(
        "oracle_correlation",
        "as the oracle",
        meaning="rank correlation of the judge's preferences and the training oracle's on the same answers",
    ),
)
"""What is known of a judge, by which its verdicts are to be trusted or not."""
CANARY_QUESTIONS = 20
"""To how many questions a constant answer is judged: enough to see whether a judge falls for it."""


class QuestionBenchmark(BenchmarkSettings, ABC):
    """Interface of the benchmarks that ask questions and have the answers judged, by a judge or by rules.

    Figures are named `<name>/<figure>/<judge>`, where a judge decides them, and else `<name>/<figure>`; the name is the
    kind, with the number of questions if not all are asked.
    """

    figures: ClassVar[tuple[Figure, ...]] = ()
    files: ClassVar[tuple[DataFile, ...]] = ()
    """The files that it reads."""
    scored: ClassVar[tuple[Figure, ...]]
    """The figures that `score` gives, by short names."""
    asks_judge: ClassVar[bool] = True
    """Whether a judge judges the answers; rules do otherwise."""
    compares: ClassVar[bool] = False
    """Whether the judge compares answers with an opponent's, and does not grade them by themselves."""
    total: ClassVar[int] = 0
    """How many questions there are; 0: as many as the files have."""
    turns: ClassVar[int] = 1
    """How many turns a question has, at most."""
    calls: ClassVar[int] = 1
    """How often the judge is asked about the answer to a question, all turns together, at most."""

    data: str = ""
    """The folder or s3:// prefix that holds its files."""
    judge: AnyOracle | None = None
    """Who judges the answers; null: the recipe's oracle."""
    questions: int | None = Field(None, ge=1)
    """How many questions are asked, taken evenly from all; null: all of them."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Longest answer to a turn, in tokens; null: the benchmark's own."""

    canary_limit: float = Field(1.0, ge=0.0, le=1.0)
    """Largest share of questions in which the judge may prefer one constant answer, which says nothing: above it the
    step stops, and goes on when the limit is raised. 1: none; the share is reported in any case."""
    ask_oracle: bool = True
    """Whether the recipe's oracle is asked about the same answers as a judge of the benchmark's own, so that their
    correlation is known. Answers that are graded by themselves it compares with the reference's, of first turns."""

    _is_there = field_validator("judge")(require_there)

    # --- what a benchmark says ---------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, data: Data) -> list[Question]:
        """All questions, in the order of the benchmark.

        Raises:
            UserError: a file has not the form that it should have.
        """

    @abstractmethod
    def sampling(self, question: Question) -> Sampling:
        """How the answer to a question is sampled."""

    @abstractmethod
    def judgments(self, answered: Sequence[Answered], judge: Judge, data: Data) -> list[Judgment]:
        """What the judge, or a rule, says of some answers: one row or more for each of them, in their order."""

    @abstractmethod
    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """The figures by short names, and records such as CATEGORIES; some answer has a verdict at least."""

    def parts(self, judged: Sequence[Answered]) -> Mapping[str, Shares]:
        """What each question adds to those figures of `score` that are ratios of sums over questions, by short names:
        by it two policies are compared question by question."""
        return {}

    def judged_with(self) -> dict[str, str]:
        """What the judgments of rules depend on besides settings, files and answers, by name: such as versions."""
        return {}

    def dialogue(self, question: Question, said: Sequence[str]) -> list[Message]:
        """The messages of the turn that follows the answers `said`."""
        messages = [*question.before]
        for asked, answer in zip(question.turns, said, strict=False):
            messages += [Message(role="user", content=asked), Message(role="assistant", content=answer)]
        return [*messages, Message(role="user", content=question.turns[len(said)])]

    def whole(self, question: Question, answer: Answer) -> list[Message]:
        """The messages of all turns, with the last answer."""
        asked = self.dialogue(question, answer.turns[:-1])
        return [*asked, Message(role="assistant", content=answer.turns[-1])]

    def compared(self, answered: Sequence[Answered], judge: Judge) -> list[Judgment]:
        """What the judge, as any oracle, says of the answers to the first turn and the opponent's, in both orders."""
        queries = [
            Query(self.dialogue(each.question, ()), each.answer.turns[0], each.question.opponent[0])
            for each in answered
        ]
        verdicts = zip(answered, judge.compare(queries), strict=True)
        return [row for each, verdict in verdicts for row in both_orders(each.question.id, verdict, judge.signature)]

    def opened(self) -> Data:
        """Its files.

        Raises:
            UserError: `data` is no place.
        """
        return Data(self.kind, self.data, self.files)

    # --- what the stages ask -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The kind, and the number of questions where not all are asked."""
        return self.kind if self.questions is None else f"{self.kind}-{self.questions}"

    @property
    def oracles(self) -> tuple[OracleSettings, ...]:
        """The judge, where it is not the recipe's oracle."""
        return (self.judge,) if self.judge and self.asks_judge else ()

    @property
    def stages(self) -> tuple[str, str, str, str]:
        """The units of its stages: questions, which all iterations share and iteration 0 has, answers, judgments and
        scores."""
        by = f"{self.judge.short_name if self.judge else 'oracle'}/" if self.asks_judge else ""
        return f"{self.name}/questions", f"{self.name}/answers", f"{self.name}/{by}judgments", f"{self.name}/{by}scores"

    @property
    def canary(self) -> str:
        """The unit of the judgments on a constant answer, which all iterations share and iteration 0 has."""
        return self.stages[2].replace("judgments", "canary")

    @property
    def as_oracle(self) -> str:
        """The unit of the training oracle's judgments on the same answers."""
        return f"{self.name}/oracle/also"

    @property
    def asks_oracle_too(self) -> bool:
        """Whether the recipe's oracle is asked about the same answers as the judge."""
        return bool(self.oracles) and self.ask_oracle

    def asks_oracle_at(self, iteration: int) -> bool:
        """Whether that is so in an iteration: a graded policy is compared with the reference, which iteration 0 is."""
        return self.asks_oracle_too and (self.compares or iteration > 0)

    def units(self, iteration: int) -> tuple[str, ...]:
        """Those of its stages."""
        questions, answers, judgments, scores = self.stages
        canary = [self.canary] if self.asks_judge and not iteration else []
        oracle = [self.as_oracle] if self.asks_oracle_at(iteration) else []
        return (*([] if iteration else [questions]), answers, judgments, *canary, *oracle, scores)

    def made(self, store: Store, iteration: int) -> dict[str, Manifest]:
        """The manifests of its finished stages, by what they are: questions, answers, judgments, scores; and those by
        which the judge is watched, canary, oracle and reference (the judgments of the reference's answers, where these
        are graded), if they are there.

        Raises:
            UserError: one is not finished.
        """
        questions, answers, judgments, scores = self.stages
        needed = {"answers": answers, "judgments": judgments, "scores": scores}
        units = {name: layout.evaluation(iteration, part) for name, part in needed.items()}
        made = {"questions": require_manifest(store, layout.evaluation(0, questions))}
        made |= {name: require_manifest(store, unit) for name, unit in units.items()}
        canary = read_manifest(store, layout.evaluation(0, self.canary)) if self.asks_judge else None
        asked = self.asks_oracle_at(iteration)
        oracle = read_manifest(store, layout.evaluation(iteration, self.as_oracle)) if asked else None
        reference = read_manifest(store, layout.evaluation(0, judgments)) if oracle and not self.compares else None
        watched = {"canary": canary, "oracle": oracle, "reference": reference}
        return made | {name: manifest for name, manifest in watched.items() if manifest}

    def measures(self, oracle: OracleSettings | None) -> tuple[Figure, ...]:
        """The figures that it measures in a recipe with this oracle."""
        judged = (*_JUDGED, *self.scored, *(_WATCHED if self.asks_judge else ()))
        names = {figure.name: self.figure(figure.name, oracle) for figure in judged}
        answered = [replace(figure, name=f"{self.name}/{figure.name}") for figure in _LENGTHS]
        return (*answered, *(renamed(figure, names) for figure in judged))

    def figure(self, short: str, oracle: OracleSettings | None) -> str:
        """The whole name of a figure that judgments decide, in a recipe with this oracle."""
        judge = self.judge or oracle
        return f"{self.name}/{short}/{judge.short_name}" if self.asks_judge and judge else f"{self.name}/{short}"

    def shares(self, store: Store, iteration: int, oracle: OracleSettings | None) -> Mapping[str, Shares]:
        """Those of the figures that judgments decide."""
        made = self.made(store, iteration)
        judged = read_answered(store, made["questions"], made["answers"], made["judgments"])
        return {self.figure(name, oracle): each for name, each in self.parts(judged).items() if each.parts}

    def identity(self, *without: str) -> Any:
        """Its settings without those that change no figure; files are told by their digests, not by their place."""
        return super().identity("data", "canary_limit", "ask_oracle", *without)

    def asked(self, data: Data) -> list[Question]:
        """The questions that are asked.

        Raises:
            UserError: there are none, or fewer than `questions`; or two have one id.
        """
        every = self.read(data)
        if doubled := [each for each, times in Counter(question.id for question in every).items() if times > 1]:
            raise UserError(f"{data.place}: {self.kind} has the question {doubled[0]!r} twice: remove one of the two")
        if len(every) < (self.questions or 1):
            raise UserError(
                f"{data.place}: {self.kind} has {len(every)} questions, fewer than questions = {self.questions or 1}: "
                "set it to at most as many"
            )
        wanted = self.questions or len(every)
        return [every[index * len(every) // wanted] for index in range(wanted)]

    def asked_from(self, data: Data) -> dict[str, str]:
        """The digests of the files that are read before scores are computed, by name."""
        late = {file.name for file in self.files if file.only_scores}
        return {name: digest for name, digest in data.digests.items() if name not in late}

    def read_answers(self, content: bytes, where: str, questions: Sequence[Question]) -> list[Answer]:
        """The answers in a file of answers: a JSON object a line, {"question": its id, "turns": [a text a turn]}.

        Raises:
            UserError: it has another form; names `where` and the line.
        """
        answers = []
        for place, value in json_lines(content, where):
            match value:
                case {"question": str(question), "turns": [*turns]} if all(isinstance(turn, str) for turn in turns):
                    answers.append(Answer(question, tuple(turns)))
                case _:
                    raise UserError(
                        f'{place}: no answer: write {{"question": its id, "turns": [a text for each turn]}}'
                    )
        return answers

    @classmethod
    def rescored(cls, files: Files) -> Rescored:
        """What judgments in files of the benchmark's own form come to.

        Raises:
            UserError: something is wrong with a file, or the benchmark has no such form.
        """
        kind = cls.model_fields["kind"].default
        raise UserError(
            f"benchmark {kind}: stored judgments have no form of its own: nashflow benchmark run judges again"
        )

    def sampled(self, question: Question) -> Sampling:
        """How the answer to a question is sampled with these settings."""
        own = self.sampling(question)
        return replace(own, max_new_tokens=self.max_new_tokens) if self.max_new_tokens else own

    def asked_of(self, oracle: OracleSettings) -> tuple[OracleSettings, ...]:
        """The judge, and the recipe's oracle where it is asked too."""
        if not self.asks_judge:
            return ()
        return (self.judge or oracle, *([oracle] if self.asks_oracle_too else []))

    @property
    def count(self) -> int:
        """How many questions are asked; 0 if the files alone tell."""
        return min(self.questions or self.total, self.total) if self.total else self.questions or 0

    @property
    def answered(self) -> int:
        """The answers to all turns."""
        return self.count * self.turns

    @property
    def judged(self) -> int:
        """As many calls as each question may take, and those on a constant answer."""
        return (self.count + min(self.count, CANARY_QUESTIONS)) * self.calls if self.asks_judge else 0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder of its files, unless that is in S3."""
        return () if "://" in self.data or not self.data else (Path(self.data),)

    def check(self) -> None:
        """Refuse files that are missing or altered, and a judge that cannot be loaded."""
        data = self.opened()
        if data.digests is not None:
            self.asked(data)
        for oracle in self.oracles:
            oracle.check()
            if why := self.unfit(oracle):
                raise UserError(why)


def lengths_of(name: str, answers: Sequence[Answer]) -> dict[str, float]:
    """The figures of the answers' lengths, under a benchmark's name; those of a file are not counted in tokens."""
    texts = [answer.turns for answer in answers]
    figures: dict[str, float] = {
        "answers": len(answers),
        "mean_characters": sum(len(text) for turns in texts for text in turns) / len(answers),
        "cut": sum(answer.cut for answer in answers),
        "empty": sum(not all(text.strip() for text in turns) for turns in texts),
    }
    if all(answer.tokens for answer in answers):
        figures |= {"mean_tokens": sum(sum(answer.tokens) for answer in answers) / len(answers)}
    return {f"{name}/{figure}": value for figure, value in figures.items()}


def read_answered(
    store: Store, questions: Manifest, answers: Manifest, judgments: Manifest | None = None
) -> list[Answered]:
    """The questions with their answers and judgments, from the manifests of the stages."""
    asked = (Question.of(row) for row in questions.rows(store, QUESTIONS))
    given = (Answer.of(row) for row in answers.rows(store, ANSWERS))
    answered = [Answered(question, answer) for question, answer in zip(asked, given, strict=True)]
    return with_judgments(answered, judgments.rows(store, JUDGMENTS)) if judgments else answered


def with_judgments(answered: Sequence[Answered], rows: Iterable[Judgment]) -> list[Answered]:
    """Answered questions, each with its rows of JUDGMENTS."""
    said: dict[str, list[Judgment]] = {}
    for row in rows:
        said.setdefault(row["question"], []).append(row)
    return [replace(each, judgments=tuple(said.get(each.question.id, ()))) for each in answered]


def beside(answered: Sequence[Answered], others: Sequence[Answered]) -> list[Answered]:
    """Answered questions whose answers are to be compared with those of others to the same questions."""
    return [
        replace(each, question=replace(each.question, opponent=other.answer.turns))
        for each, other in zip(answered, others, strict=True)
    ]


def both_orders(question: str, verdict: Verdict, judge: str) -> list[Judgment]:
    """An oracle's verdict on a policy's answer, the first, and an opponent's, as a judgment for each order."""
    return [
        {
            "question": question,
            "turn": 0,
            "game": game,
            "first": first,
            "outcome": "abstained" if verdict.abstained else "verdict",
            "verdict": "",
            "probability": probability,
            "grade": 0.0,
            "output": "",
            "judge": judge,
        }
        for game, (first, probability) in enumerate(((True, verdict.forward), (False, verdict.backward)))
    ]
