"""Judgments of Arena-Hard, as its files of judgments have them, scored again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from ...core.errors import UserError
from ..stored import Figures, Files, Rescored, read_rows, require_all, require_once, the_one, value
from .answers import Answered, question_of, read_answers
from .scores import Game, any_judged, score_v01, score_v2
from .style import Style, style_controlled
from .verdicts import READ_BACKWARDS, VERDICTS, Meaning

V01, V2 = "arena_hard", "arena_hard_v2"
CATEGORY = "arena-hard-v0.1"
"""Of version 0.1, whose first files name none."""
HEADLINE = "hard_prompt"
"""The category of version 2 whose score is the benchmark's."""
QUESTIONS = "question.jsonl"


class Judged(NamedTuple):
    """Both games about a question."""

    question: str
    category: str
    model: str
    judge: str
    baseline: str
    """Empty where the file does not name it."""
    labels: tuple[str | None, str | None]
    """The verdicts, first with the baseline as A, then with the model."""

    def games(self, verdicts: Mapping[str, Meaning]) -> list[Game]:
        """The games, of which one with an unknown label has no verdict."""
        nothing = Meaning(0.5, 0)
        first, second = (verdicts.get(label or "", nothing) for label in self.labels)
        return [
            Game(self.question, 1 - first.result, first.weight),
            Game(self.question, second.result, second.weight),
        ]


def rescore_v01(files: Files) -> Rescored:
    """The score of version 0.1 by judgments.

    Raises:
        UserError: says what is wrong with which file.
    """
    judged = _read(files)
    if others := sorted({each.category for each in judged} - {CATEGORY}):
        raise UserError(f"{files.judgments}: {others[0]} is a category of version 2: score it as {V2}")
    games = [game for each in judged for game in each.games(VERDICTS)]
    return _rescored(V01, judged, {**asdict(score_v01(games)), **_lengths(files)}, {}, ())


def rescore_v2(files: Files) -> Rescored:
    """The scores of version 2 by judgments: of each category, and style-controlled ones if both answers are given.

    Raises:
        UserError: says what is wrong with which file.
    """
    judged = _read(files)
    if any(each.category == CATEGORY for each in judged):
        raise UserError(f"{files.judgments}: {CATEGORY} is the category of version 0.1: score it as {V01}")
    styles, notes = _styles(files, judged)
    parts = {each.category: [other for other in judged if other.category == each.category] for each in judged}
    if not any(any_judged(each.games(READ_BACKWARDS)) for each in judged):
        raise UserError(f"{files.judgments}: none of {len(judged)} questions has two verdicts such as [[A>B]]")
    categories = {
        name: _category(part, styles)
        for name, part in sorted(parts.items())
        if any(any_judged(each.games(READ_BACKWARDS)) for each in part)
    }
    figures = categories.get(HEADLINE, {})
    return _rescored(V2, judged, {**figures, **_lengths(files)}, categories, notes)


def _category(judged: Sequence[Judged], styles: Mapping[str, tuple[Style, Style]]) -> Figures:
    games = [game for each in judged for game in reversed(each.games(READ_BACKWARDS))]  # as the benchmark orders them
    figures = asdict(score_v2(games))
    if all(game.question in styles for game in games):
        figures |= asdict(style_controlled(games, [styles[game.question] for game in games]))
    return figures


def _read(files: Files) -> list[Judged]:
    rows = read_rows(files.judgments)
    judged = [_judged(row, f"{files.judgments}: entry {number}") for number, row in enumerate(rows, start=1)]
    questions = [each.question for each in judged]
    the_one((each.model for each in judged), "model", files.judgments)
    the_one((each.judge for each in judged), "judge", files.judgments)
    require_once(questions, files.judgments)
    if source := files.in_data(QUESTIONS):
        require_all(questions, [question_of(row) for row in read_rows(source)], files.judgments, source)
    return judged


def _judged(row: Mapping[str, Any], where: str) -> Judged:
    games = value(row, "games", list, where)
    if not question_of(row) or len(games) != 2:
        raise UserError(f"{where}: is no judgment of Arena-Hard: it has uid or question_id, and two games")
    first, second = (game.get("score") if isinstance(game, dict) else None for game in games)
    return Judged(
        question_of(row),
        str(row.get("category") or CATEGORY),
        value(row, "model", str, where),
        str(row.get("judge") or ""),
        str(row.get("baseline") or ""),
        (first, second),
    )


def _rescored(
    name: str, judged: Sequence[Judged], figures: Figures, categories: Mapping[str, Figures], notes: tuple[str, ...]
) -> Rescored:
    baselines = ", ".join(sorted({each.baseline for each in judged} - {""}))
    return Rescored(name, judged[0].judge, judged[0].model, baselines, figures, categories, notes)


def _lengths(files: Files) -> Figures:
    """The mean length of the model's answers, in characters."""
    if not files.outputs:
        return {}
    answers = read_answers(files.outputs)
    return {"avg_length": sum(len(each.text) for each in answers.values()) / len(answers)}


def _styles(files: Files, judged: Sequence[Judged]) -> tuple[Mapping[str, tuple[Style, Style]], tuple[str, ...]]:
    """The styles of the model's answer and of the baseline's to each question, and what is to be said of them."""
    if not files.outputs or not files.baseline:
        return {}, ("no style control: give the answers by --outputs and --baseline",)
    ours, theirs = read_answers(files.outputs), read_answers(files.baseline)
    if missing := [each.question for each in judged if each.question not in ours]:
        raise UserError(
            f"{files.outputs}: judged questions that it has no answer to: {len(missing)}, such as {missing[0]}"
        )
    if others := {each.model for each in ours.values()} - {judged[0].model}:
        raise UserError(f"{files.outputs}: has answers of {others.pop()}, and those of {judged[0].model} were judged")
    # A category whose baseline is another model has no style control.
    known = [each for each in judged if each.question in theirs and _plays(theirs[each.question], each)]
    if not known:
        raise UserError(f"{files.baseline}: has no answer that was judged, which were those of {judged[0].baseline}")
    pairs = {each.question: (ours[each.question], theirs[each.question]) for each in known}
    if all(answer.style for pair in pairs.values() for answer in pair):
        return {question: (_style(first), _style(second)) for question, (first, second) in pairs.items()}, ()
    styles = {question: (Style.of(first.text), Style.of(second.text)) for question, (first, second) in pairs.items()}
    return styles, ("style control: lengths are in characters, since not every answer has its metadata",)


def _plays(answer: Answered, judged: Judged) -> bool:
    """Whether an answer is the baseline's that was judged."""
    return judged.baseline in ("", answer.model)


def _style(answer: Answered) -> Style:
    assert answer.style, "every answer has one"
    return answer.style
