"""The questions of Arena-Hard, from its files."""

from collections.abc import Mapping, Sequence

from ...core.errors import UserError
from ..data import Data
from ..questions import Answer, Question
from ..stored import rows_in, value
from .answers import answers_in, question_of

QUESTIONS = "question.jsonl"


def given_answers(content: bytes, where: str, questions: Sequence[Question]) -> list[Answer] | None:
    """The answers to questions in a file of the benchmark's; None if it is none."""
    rows = rows_in(content, where)
    if not question_of(rows[0]):
        return None
    asked = {question.id for question in questions}
    return [Answer(name, (given.text,)) for name, given in answers_in(rows, where).items() if name in asked]


def read_questions(data: Data, opponents: Mapping[str, str]) -> list[Question]:
    """The questions; `opponents` names the file of the answers to compare with, by category.

    Raises:
        UserError: a question is of another category, or has no such answer.
    """
    answers = {name: answers_in(data.json_lines(name), data.where(name)) for name in set(opponents.values())}
    questions = []
    for number, row in enumerate(data.json_lines(QUESTIONS), start=1):
        where = f"{data.where(QUESTIONS)}, line {number}"
        category, prompt = (value(row, key, str, where) for key in ("category", "prompt"))
        if category not in opponents:
            raise UserError(f"{where}: {category} is no category of this version, which has {', '.join(opponents)}")
        found = answers[opponents[category]].get(question_of(row))
        if found is None:
            raise UserError(f"{data.where(opponents[category])}: has no answer to question {question_of(row)}")
        questions.append(Question(question_of(row), category, (prompt,), opponent=(found.text,)))
    return questions
