"""The benchmark MT-Bench: 80 questions of two turns, whose answers a judge grades from 1 to 10."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from ...core.errors import UserError
from ...oracles.llm_judge.completions import Completion
from ...oracles.oracle_settings import OracleSettings
from ...storage.records import CATEGORIES, CategoryFigure, Judgment, Message
from ..base import Figure, Measured, with_interval
from ..data import Data, DataFile
from ..judge import Judge
from ..published import MT_BENCH, Published
from ..questions import Answer, Answered, Question, QuestionBenchmark, Sampling
from ..shares import Shares
from ..stored import Files, Rescored, rows_in, value
from .judgments import QUESTIONS, rescore, turns_of
from .ratings import NO_RATING, read_rating
from .scores import TOP, Rated, Score, any_rated, mean_ratings

_PROMPTS, _REFERENCES = "judge_prompts.jsonl", "reference_answer_gpt-4.jsonl"
_REQUEST = {"temperature": 0, "max_tokens": 2048}
_TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
_BY_REFERENCE = ("math", "reasoning", "coding")
"""The categories whose answers are graded beside reference answers."""
_SOURCE = "https://raw.githubusercontent.com/lm-sys/FastChat/main/fastchat/llm_judge/data"


class MTBench(QuestionBenchmark):
    """The mean grade of a policy's answers to 80 questions of two turns, from 1 to 10.

    The judge has to write: it grades each answer by itself, in the benchmark's words, those to questions of math,
    reasoning and coding beside reference answers.
    """

    kind: Literal["mt_bench"] = "mt_bench"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            QUESTIONS,
            "questions",
            "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
            f"{_SOURCE}/mt_bench/question.jsonl",
        ),
        DataFile(
            _PROMPTS,
            "prompts of the judge",
            "fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6",
            f"{_SOURCE}/judge_prompts.jsonl",
        ),
        DataFile(
            _REFERENCES,
            "reference answers of gpt-4",
            "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
            f"{_SOURCE}/mt_bench/reference_answer/gpt-4.jsonl",
        ),
    )
    published: ClassVar[tuple[Published, ...]] = (MT_BENCH,)
    scored: ClassVar[tuple[Figure, ...]] = (
        *with_interval(
            "score",
            "MT-Bench",
            error=True,
            better="higher",
            digits=2,
            meaning="mean grade of all answers, from 1 to 10",
            headline=True,
        ),
        Figure("first_turn", better="higher", digits=2, meaning="mean grade of answers to first turns"),
        Figure("second_turn", better="higher", digits=2, meaning="mean grade of answers to second turns"),
    )
    total: ClassVar[int] = 80
    turns: ClassVar[int] = 2
    calls: ClassVar[int] = 2

    def read(self, data: Data) -> list[Question]:
        """The questions, with reference answers where the judge is shown such."""
        references = {
            str(row["question_id"]): turns_of(row, f"{data.where(_REFERENCES)}, line {number}")
            for number, row in enumerate(data.json_lines(_REFERENCES), start=1)
        }
        questions = []
        for number, row in enumerate(data.json_lines(QUESTIONS), start=1):
            where = f"{data.where(QUESTIONS)}, line {number}"
            category, turns = value(row, "category", str, where), value(row, "turns", list, where)
            name = str(value(row, "question_id", (int, str), where))
            if category in _BY_REFERENCE and name not in references:
                raise UserError(f"{data.where(_REFERENCES)}: has no answer to question {name}, of {category}")
            reference = references[name] if category in _BY_REFERENCE else ()
            questions.append(Question(name, category, tuple(turns), reference))
        return questions

    def read_answers(self, content: bytes, where: str, questions: Sequence[Question]) -> list[Answer]:
        """Those of FastChat's files of answers, too."""
        rows = rows_in(content, where)
        if "choices" not in rows[0]:
            return super().read_answers(content, where, questions)
        asked = {question.id for question in questions}
        answers = [
            Answer(str(row.get("question_id")), turns_of(row, f"{where}: entry {number}"))
            for number, row in enumerate(rows, start=1)
        ]
        return [answer for answer in answers if answer.question in asked]

    @classmethod
    def rescored(cls, files: Files) -> Rescored:
        """By FastChat's file of single grading."""
        return rescore(files)

    def sampling(self, question: Question) -> Sampling:
        """As hot as its category asks for."""
        return Sampling(temperature=_TEMPERATURES[question.category], max_new_tokens=1024)

    def unfit(self, judge: OracleSettings) -> str:
        """An oracle has to write."""
        if judge.writes:
            return ""
        return (
            f"benchmark mt_bench: its judge grades each answer by itself, and {judge.kind} compares two: set its judge "
            "to an llm_judge"
        )

    def judgments(self, answered: Sequence[Answered], judge: Judge, data: Data) -> list[Judgment]:
        """A grade of each turn.

        Raises:
            UserError: the judge does not write.
        """
        asked = judge.completions(_REQUEST)
        if asked is None:
            raise UserError(self.unfit(judge.settings))
        prompts = {row["name"]: row for row in data.json_lines(_PROMPTS)}
        graded = [(each, turn) for each in answered for turn in range(len(each.question.turns))]
        said = asked.ask([_shown(prompts, each, turn) for each, turn in graded])
        return [_judgment(each, turn, completion, judge) for (each, turn), completion in zip(graded, said, strict=True)]

    def parts(self, judged: Sequence[Answered]) -> Mapping[str, Shares]:
        """The grades of each question."""
        rated = {each.question.id: [r.rating for r in _ratings(each) if r.rating != NO_RATING] for each in judged}
        return {"score": Shares({name: (sum(each) / TOP, len(each)) for name, each in rated.items() if each}, TOP)}

    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """Mean grades, by turn and by category."""
        rated = {each.question.id: _ratings(each) for each in judged}
        score = mean_ratings([rating for ratings in rated.values() for rating in ratings])
        figures = {
            "score": score.score,
            "score_low": score.low,
            "score_high": score.high,
            "score_error": score.standard_error,
            "first_turn": score.first_turn,
            "second_turn": score.second_turn,
        }
        parts: dict[str, list[Rated]] = {}
        for each in judged:
            parts.setdefault(each.question.category, []).extend(rated[each.question.id])
        rows = [_category(name, mean_ratings(part)) for name, part in sorted(parts.items()) if any_rated(part)]
        return Measured(figures, {CATEGORIES: rows})


def _shown(prompts: Mapping[str, Mapping[str, str]], answered: Answered, turn: int) -> list[Message]:
    """The messages to the judge about one turn; those about the second show both."""
    question, answers = answered.question, answered.answer.turns
    prompt = prompts[f"single{'-math' if question.reference else ''}-v1{'-multi-turn' if turn else ''}"]
    slots = {
        "question": question.turns[0],
        "answer": answers[0],
        **{f"question_{place}": text for place, text in enumerate(question.turns, start=1)},
        **{f"answer_{place}": text for place, text in enumerate(answers, start=1)},
        **{f"ref_answer_{place}": text for place, text in enumerate(question.reference, start=1)},
    }
    return [
        Message(role="system", content=prompt["system_prompt"]),
        Message(role="user", content=prompt["prompt_template"].format(**slots)),
    ]


def _judgment(answered: Answered, turn: int, said: Completion, judge: Judge) -> Judgment:
    rating = read_rating(said.text) if said.outcome == "answer" else NO_RATING
    rating = rating if rating <= TOP else NO_RATING
    outcome = "verdict" if rating != NO_RATING else "unparsed" if said.outcome == "answer" else said.outcome
    return Judgment(
        question=answered.question.id,
        turn=turn,
        game=0,
        first=True,
        outcome=outcome,
        verdict=f"{rating:g}" if rating != NO_RATING else "",
        probability=0.5,
        grade=max(rating, 0.0),
        output=said.text,
        judge=judge.signature,
    )


def _ratings(answered: Answered) -> list[Rated]:
    return [
        Rated(answered.question.id, row["turn"] + 1, row["grade"] if row["outcome"] == "verdict" else NO_RATING)
        for row in answered.judgments
    ]


def _category(name: str, score: Score) -> CategoryFigure:
    return CategoryFigure(
        category=name, figure="score", value=score.score, low=score.low, high=score.high, questions=score.questions
    )
