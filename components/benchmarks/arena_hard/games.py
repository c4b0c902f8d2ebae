"""The games of Arena-Hard: a judge that writes is shown both answers in both orders, and ends with a label."""

from collections.abc import Callable, Sequence

from ...oracles.llm_judge.completions import Completion, Completions
from ...oracles.llm_judge.template import Template
from ...storage.records import Judgment, Message
from ..compared import game
from ..judge import Judge
from ..questions import Answered
from .scores import Game
from .verdicts import READ_BACKWARDS, Meaning

_ORDERS = (False, True)
"""Whether the policy's answer is shown first, game by game."""
_GO_ON = "continue your judgment and finish by outputting a final verdict label"


def play(
    answered: Sequence[Answered],
    judge: Judge,
    asked: Completions,
    template: Callable[[str], Template],
    label: Callable[[str], str],
    asks_again: Callable[[str], bool],
) -> list[Judgment]:
    """Both games about each question.

    Args:
        answered: the questions with both answers.
        judge: the judge.
        asked: the judge, asked in the benchmark's words.
        template: those words, by a question's category.
        label: the verdict in a judgment; empty if it has none.
        asks_again: whether a judgment is followed by the request to end it with a label, which is made once.
    """
    games = [(each, first) for each in answered for first in _ORDERS]
    shown = [_shown(template(each.question.category), each, first) for each, first in games]
    said = [[completion] for completion in asked.ask(shown)]
    more = [
        place
        for place, (completion,) in enumerate(said)
        if completion.outcome == "answer" and asks_again(completion.text)
    ]
    followed = asked.ask([_followed(shown[place], said[place][0].text) for place in more]) if more else []
    for place, completion in zip(more, followed, strict=True):
        said[place].append(completion)
    return [
        _judgment(each, first, completions, label, judge)
        for (each, first), completions in zip(games, said, strict=True)
    ]


def games_of(judged: Sequence[Answered]) -> list[Game]:
    """The games that judgments are about; one without words counts once."""
    return [Game(each.question.id, row["probability"], _weight(row)) for each in judged for row in each.judgments]


def _weight(row: Judgment) -> int:
    if row["outcome"] != "verdict":
        return 0
    return READ_BACKWARDS[row["verdict"]].weight if row["verdict"] else 1


def _shown(template: Template, answered: Answered, first: bool) -> list[Message]:
    question, opponent, answer = answered.question.turns[0], answered.question.opponent[0], answered.answer.turns[0]
    pair = (answer, opponent) if first else (opponent, answer)
    return template.rendered([Message(role="user", content=question)], *pair)


def _followed(shown: Sequence[Message], judgment: str) -> list[Message]:
    return [*shown, Message(role="assistant", content=judgment), Message(role="user", content=_GO_ON)]


def _judgment(
    answered: Answered, first: bool, completions: Sequence[Completion], label: Callable[[str], str], judge: Judge
) -> Judgment:
    output = "\n".join(each.text for each in completions)
    said = label(output)
    meaning: Meaning | None = READ_BACKWARDS.get(said)
    outcome: str = "unparsed" if completions[-1].outcome == "answer" else completions[-1].outcome
    share, said, outcome = (0.5, "", outcome) if meaning is None else (meaning.result, said, "verdict")
    probability = share if first else 1 - share
    return game(answered.question.id, int(first), first, outcome, probability, said, output, judge.signature)
