"""Judgments of MT-Bench, as FastChat's files of single grading have them, scored again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from ...core.errors import UserError
from ..stored import Figures, Files, Rescored, read_rows, require_all, require_once, the_one, value
from .ratings import read_rating
from .scores import TOP, Rated, any_rated, mean_ratings

NAME, QUESTIONS = "mt_bench", "question.jsonl"
TURNS = (1, 2)


class Judged(NamedTuple):
    """The rating of an answer, with its model and its judge."""

    rated: Rated
    model: str
    judge: str


def rescore(files: Files) -> Rescored:
    """The mean ratings by judgments; with the benchmark's questions, those of each category as well.

    Raises:
        UserError: says what is wrong with which file.
    """
    rows = read_rows(files.judgments)
    judged = [_judged(row, f"{files.judgments}: entry {number}") for number, row in enumerate(rows, start=1)]
    if files.outputs:  # FastChat's files have the judgments of all models
        models = {str(row.get("model_id")) for row in read_rows(files.outputs)}
        judged = [each for each in judged if each.model in models]
        if not judged:
            raise UserError(f"{files.judgments}: has no judgment of {', '.join(sorted(models))}, which --outputs is of")
    model = the_one((each.model for each in judged), "model", files.judgments)
    judge = the_one((each.judge for each in judged), "judge", files.judgments)
    ratings = [each.rated for each in judged]
    source = files.in_data(QUESTIONS)
    categories = {str(row["question_id"]): str(row["category"]) for row in read_rows(source)} if source else {}
    questions = list(categories) or list(dict.fromkeys(each.question for each in ratings))
    wanted = [_place(question, turn) for question in questions for turn in TURNS]
    rated = [_place(each.question, each.turn) for each in ratings]
    require_once(rated, files.judgments, "answer")
    require_all(rated, wanted, files.judgments, source or files.judgments)
    figures = {**asdict(mean_ratings(ratings)), **_lengths(files)}
    return Rescored(NAME, judge, model, "", figures, _by_category(ratings, categories))


def _place(question: str, turn: int) -> str:
    return f"question {question}, turn {turn}"


def _judged(row: Mapping[str, Any], where: str) -> Judged:
    if "g1_winner" in row:
        raise UserError(f"{where}: is a judgment of a pair: give the file of single grading, …_single.jsonl")
    turn = value(row, "turn", int, where)
    if turn not in TURNS:
        raise UserError(f"{where}: turn is {turn}: MT-Bench has 1 and 2")
    rating = row["score"] if "score" in row else read_rating(value(row, "judgment", str, where))
    if isinstance(rating, bool) or not isinstance(rating, int | float):
        raise UserError(f"{where}: score is {rating!r}: a number is wanted, -1 where the judgment has no rating")
    if rating > TOP:
        raise UserError(f"{where}: the rating is {rating:g}: those of MT-Bench are from 1 to {TOP:g}")
    question = value(row, "question_id", (int, str), where)
    judge = row.get("judge") or ""
    name = str(judge[0] if isinstance(judge, list) and judge else judge)
    return Judged(Rated(str(question), turn, float(rating)), value(row, "model", str, where), name)


def _by_category(ratings: Sequence[Rated], categories: Mapping[str, str]) -> dict[str, Figures]:
    """The mean ratings of each category with a rating."""
    parts: dict[str, list[Rated]] = {}
    for each in ratings:
        if each.question in categories:
            parts.setdefault(categories[each.question], []).append(each)
    return {name: asdict(mean_ratings(part)) for name, part in sorted(parts.items()) if any_rated(part)}


def _lengths(files: Files) -> Figures:
    """The mean length of the answers, in characters, over both turns."""
    if not files.outputs:
        return {}
    texts = [
        turn
        for number, row in enumerate(read_rows(files.outputs), start=1)
        for turn in turns_of(row, f"{files.outputs}: entry {number}")
    ]
    return {"avg_length": sum(map(len, texts)) / len(texts)}


def turns_of(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The answers in a row of FastChat's files of answers, a turn each.

    Raises:
        UserError: it has none.
    """
    try:
        return tuple(str(turn) for turn in row["choices"][0]["turns"])
    except (KeyError, IndexError, TypeError):
        raise UserError(f"{where}: is no answer of MT-Bench: it has choices with turns") from None
