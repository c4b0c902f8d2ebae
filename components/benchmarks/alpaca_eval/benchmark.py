"""The benchmark AlpacaEval 2: 805 instructions, and answers of gpt-4-1106-preview to compare with."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from ...core.errors import UserError
from ...oracles.llm_judge.client import Answer as Said
from ...oracles.llm_judge.completions import Completion, Completions
from ...oracles.llm_judge.template import Template, read_template
from ...storage.records import CATEGORIES, CategoryFigure, Judgment, Message
from ..base import Figure, Measured, with_interval
from ..compared import game
from ..data import Data, DataFile
from ..judge import Judge
from ..published import ALPACA_EVAL_2, Published
from ..questions import Answer, Answered, Question, QuestionBenchmark, Sampling
from ..shares import Shares, means
from ..stored import Files, Rescored, rows_in, value
from .annotations import BASELINE_FILE, rescore
from .length_control import LengthControlled, length_controlled, lengths_differ
from .scores import Preference, is_preference, win_rates
from .tables import DIFFICULTY, GAMED, read_tables

_TEMPLATE = "alpaca-eval-clf"
_LIKELIEST = {"top_logprobs": 5}
"""As many as the benchmark asks for."""
_SEED = "0"
_HEADLINE: dict[str, Any] = {"unit": "%", "better": "higher", "digits": 2, "headline": True}
_HUB = "https://huggingface.co/datasets/tatsu-lab/alpaca_eval/resolve/main"


class AlpacaEval(QuestionBenchmark):
    """Win rates against gpt-4-1106-preview on 805 instructions, raw and with lengths controlled.

    A judge that writes is asked once about each instruction, in an order that is drawn by the instruction, as the
    benchmark does; any other oracle in both orders.
    """

    kind: Literal["alpaca_eval"] = "alpaca_eval"
    files: ClassVar[tuple[DataFile, ...]] = (
        DataFile(
            BASELINE_FILE,
            "instructions with answers of gpt4_1106_preview",
            "83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4",
            "https://raw.githubusercontent.com/tatsu-lab/alpaca_eval/main/results/gpt4_1106_preview/model_outputs.json",
        ),
        DataFile(
            GAMED,
            "verdicts on the gamed baselines, for length control",
            source=f"{_HUB}/{GAMED}",
            needed=False,
            only_scores=True,
        ),
        DataFile(
            DIFFICULTY,
            "how hard the instructions are, for length control",
            source=f"{_HUB}/{DIFFICULTY}",
            needed=False,
            only_scores=True,
        ),
    )
    published: ClassVar[tuple[Published, ...]] = (ALPACA_EVAL_2,)
    compares: ClassVar[bool] = True
    scored: ClassVar[tuple[Figure, ...]] = (
        *with_interval(
            *("lc_win_rate", "LC win rate"),
            meaning="against gpt-4-1106-preview, with lengths controlled; none without the tables of length control",
            **_HEADLINE,
        ),
        Figure(
            "lc_win_rate_error",
            unit="%",
            digits=2,
            meaning="the leaderboard's standard error, which says nothing of how well the regression is known",
        ),
        *with_interval("win_rate", "win rate", error=True, meaning="against gpt-4-1106-preview", **_HEADLINE),
        Figure("discrete_win_rate", unit="%", better="higher", digits=2),
        Figure("wins", digits=0),
        Figure("losses", digits=0),
        Figure("draws", digits=0),
    )
    total: ClassVar[int] = 805
    calls: ClassVar[int] = 2

    def read(self, data: Data) -> list[Question]:
        """The instructions; their ids are their places, by which the tables of length control know them."""
        questions = []
        for place, row in enumerate(data.json(BASELINE_FILE)):
            where = f"{data.where(BASELINE_FILE)}: entry {place + 1}"
            instruction, output = (value(row, key, str, where) for key in ("instruction", "output"))
            questions.append(Question(str(place), str(row.get("dataset") or ""), (instruction,), opponent=(output,)))
        return questions

    def read_answers(self, content: bytes, where: str, questions: Sequence[Question]) -> list[Answer]:
        """Those of a `model_outputs.json` of the benchmark, too."""
        rows = rows_in(content, where)
        if "turns" in rows[0]:
            return super().read_answers(content, where, questions)
        asked = {question.turns[0]: question.id for question in questions}
        answers = []
        for number, row in enumerate(rows, start=1):
            instruction, output = (
                value(row, key, str, f"{where}: entry {number}") for key in ("instruction", "output")
            )
            if instruction in asked:
                answers.append(Answer(asked[instruction], (output,)))
        return answers

    @classmethod
    def rescored(cls, files: Files) -> Rescored:
        """By an `annotations.json` of the benchmark."""
        return rescore(files)

    def sampling(self, question: Question) -> Sampling:
        """As the benchmark samples most models."""
        return Sampling(temperature=0.7, max_new_tokens=2048)

    def judgments(self, answered: Sequence[Answered], judge: Judge, data: Data) -> list[Judgment]:
        """One game about each instruction, or two of a judge that does not write."""
        template = read_template(_TEMPLATE)
        asked = judge.completions({**template.verdict.request, **template.request, **_LIKELIEST})
        return _in_drawn_orders(answered, judge, asked, template) if asked else self.compared(answered, judge)

    def parts(self, judged: Sequence[Answered]) -> Mapping[str, Shares]:
        """The preference for each answer."""
        said = {each.question.id: _preference(each) for each in judged}
        return {"win_rate": means({name: each - 1 for name, each in said.items() if each is not None}, 100.0)}

    def score(self, judged: Sequence[Answered], data: Data) -> Measured:
        """Win rates, and the controlled one if the tables are there."""
        preferences = [_preference(each) for each in judged]
        rates, controlled = win_rates(preferences), _controlled(judged, preferences, data)
        figures: dict[str, float | None] = {
            "lc_win_rate": controlled.length_controlled_winrate if controlled else None,
            "lc_win_rate_low": controlled.lc_low if controlled else None,
            "lc_win_rate_high": controlled.lc_high if controlled else None,
            "lc_win_rate_error": controlled.lc_standard_error if controlled else None,
            "win_rate": rates.win_rate,
            "win_rate_low": rates.low,
            "win_rate_high": rates.high,
            "win_rate_error": rates.standard_error,
            "discrete_win_rate": rates.discrete_win_rate,
            "wins": rates.n_wins,
            "losses": rates.n_wins_base,
            "draws": rates.n_draws,
        }
        return Measured(figures, {CATEGORIES: list(_by_category(judged, preferences))})


def is_switched(instruction: str) -> bool:
    """Whether the benchmark's coin, which the instruction seeds, has the model's answer shown first."""
    return random.Random(f"is_switched_outputs{instruction}{_SEED}").choices([False, True])[0]


def _in_drawn_orders(
    answered: Sequence[Answered], judge: Judge, asked: Completions, template: Template
) -> list[Judgment]:
    """One game about each instruction; two equal answers are a draw that nobody is asked about."""
    unequal = [each for each in answered if each.answer.turns != each.question.opponent]
    completions = asked.ask([_shown(template, each) for each in unequal]) if unequal else []
    said = {each.question.id: completion for each, completion in zip(unequal, completions, strict=True)}
    return [_judgment(each.question, template, said.get(each.question.id), judge) for each in answered]


def _shown(template: Template, answered: Answered) -> list[Message]:
    instruction, opponent, answer = answered.question.turns[0], answered.question.opponent[0], answered.answer.turns[0]
    pair = (answer, opponent) if is_switched(instruction) else (opponent, answer)
    return template.rendered([Message(role="user", content=instruction)], *pair)


def _judgment(question: Question, template: Template, said: Completion | None, judge: Judge) -> Judgment:
    outcome, share, output = ("verdict", 0.5, "") if said is None else _read(said, template, judge)
    first = is_switched(question.turns[0])
    verdict = said.text if said and outcome == "verdict" else ""
    probability = share if first else 1 - share
    return game(question.id, 0, first, outcome, probability, verdict, output, judge.signature)


def _read(said: Completion, template: Template, judge: Judge) -> tuple[str, float, str]:
    """The outcome, P(the answer shown first is better), and what the judge has said.

    Raises:
        UserError: the server gives no log-probabilities.
    """
    if said.outcome != "answer":
        return said.outcome, 0.5, ""
    if not said.top:
        raise UserError(
            f"benchmark alpaca_eval: its judge, {judge.settings.short_name}, gives no log-probabilities of tokens, "
            "which the benchmark reads: set judge to one whose server gives them, or to an oracle of another kind"
        )
    share = template.verdict.read(Said(said.text, said.finish, 0, 0, said.top))
    return ("unparsed", 0.5, json.dumps(said.top)) if share is None else ("verdict", share, json.dumps(said.top))


def _preference(answered: Answered) -> Preference:
    """In the benchmark's terms: 2 if the model's answer is better; the mean of its games."""
    shares = [row["probability"] for row in answered.judgments if row["outcome"] == "verdict"]
    return 1 + sum(shares) / len(shares) if shares else None


def _controlled(judged: Sequence[Answered], preferences: Sequence[Preference], data: Data) -> LengthControlled | None:
    theirs = [len(each.question.opponent[0]) for each in judged]
    ours = [len(each.answer.turns[0]) for each in judged]
    if not (data.has(GAMED) and lengths_differ(theirs, ours)):
        return None
    tables = read_tables({name: data.read(name) for name in (GAMED, DIFFICULTY) if data.has(name)}, data.place)
    if len(tables.difficulties) != AlpacaEval.total:
        raise UserError(
            f"{data.place}: the tables of length control are about {len(tables.difficulties)} instructions, not "
            f"{AlpacaEval.total}: they are those of another version of the benchmark"
        )
    difficulties = [tables.difficulties[int(each.question.id)] for each in judged]
    return length_controlled(preferences, theirs, ours, difficulties, tables.gamed)


def _by_category(judged: Sequence[Answered], preferences: Sequence[Preference]) -> Iterable[CategoryFigure]:
    parts: dict[str, list[Preference]] = {}
    for each, preference in zip(judged, preferences, strict=True):
        if is_preference(preference):
            parts.setdefault(each.question.category, []).append(preference)
    for category, said in sorted(parts.items()):
        rates = win_rates(said)
        yield CategoryFigure(
            category=category,
            figure="win_rate",
            value=rates.win_rate,
            low=rates.low,
            high=rates.high,
            questions=rates.n_total,
        )
