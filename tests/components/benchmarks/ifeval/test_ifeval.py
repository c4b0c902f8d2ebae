"""IFEval's checks are lm-eval's: on 500 answers they say what its own `process_results` says."""

import functools
import json
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nashflow.components.benchmarks.data import DataFile
from nashflow.components.benchmarks.ifeval.settings import NEED_SENTENCES, IFEval
from nashflow.components.benchmarks.questions import Answer, Answered

pytest.importorskip("lm_eval")

ANSWERS = 500
SENTENCES = (
    "The river is long, and Dr. Grey knows it.",
    "Is there anything else I can help with?",
    "My answer is yes.",
    "Der Fluss ist lang und das Wasser ist kalt.",
    "NASA sends ROCKETS to the MOON!",
    "*The first point* is [name], at [address].",
    "<<A title>>",
    "P.S. I like tea.",
    "* one\n* two\n* three",
    "SECTION 1\nTea is hot.\nSECTION 2\nWater is cold.",
    "The river is long.\n\nThe sea is wide.",
    "***",
    "******",
    '```json\n{"tea": "hot"}\n```',
)
FORMS = (str, str, str, str.upper, str.lower, lambda text: f'"{text}"', lambda text: text.replace(",", ""), json.dumps)


class Toy(IFEval):
    """With any file of prompts."""

    files: ClassVar[tuple[DataFile, ...]] = (DataFile("input_data.jsonl", "the prompts"),)


def answer_of(draw: random.Random) -> str:
    text = draw.choice(("\n", "\n\n", " ")).join(draw.choices(SENTENCES, k=draw.choice((1, 1, 1, 2, 3, 5, 8))))
    return draw.choice(FORMS)(text)


def documents() -> list[dict[str, Any]]:
    from lm_eval.tasks.ifeval.instructions_registry import INSTRUCTION_DICT

    draw, made = random.Random(0), []
    random.seed(0)  # instructions draw their own arguments
    for key in range(ANSWERS):
        names = draw.sample(sorted(INSTRUCTION_DICT), k=draw.randint(1, 3))
        kwargs = [_arguments(INSTRUCTION_DICT[name], draw) for name in names]
        made.append({"key": key, "prompt": "Say it.", "instruction_id_list": names, "kwargs": kwargs})
    return made


def _arguments(made: Any, draw: random.Random) -> Mapping[str, Any]:
    """An instruction's own draw, or one that the answers can follow, with what other instructions have left empty."""
    instruction = made("")
    wanted = {key: value for key, value in LIKELY.items() if key in instruction.get_instruction_args_keys()}
    if "prompt_to_repeat" not in wanted and draw.random() < 0.2:
        wanted = {}
    instruction.build_description(**wanted)
    return {"unheard_of": None, **(instruction.get_instruction_args() or {})}


LIKELY = {
    "num_sentences": 3,
    "num_placeholders": 1,
    "num_bullets": 3,
    "num_highlights": 1,
    "section_spliter": "SECTION",
    "num_sections": 2,
    "num_paragraphs": 2,
    "nth_paragraph": 1,
    "first_word": "the",
    "postscript_marker": "P.S.",
    "keywords": ["tea", "river"],
    "keyword": "tea",
    "frequency": 1,
    "forbidden_words": ["tea"],
    "num_words": 20,
    "end_phrase": SENTENCES[1],
    "prompt_to_repeat": SENTENCES[0],
    "capital_frequency": 3,
    "letter": "t",
    "let_frequency": 9,
    "language": "de",
}


def test_every_verdict_is_the_one_of_lm_eval(tmp_path: Path, nltk_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import langdetect
    from lm_eval.tasks.ifeval.utils import process_results

    monkeypatch.setattr(langdetect, "detect", functools.cache(langdetect.detect))
    made, draw, rows = Toy(data=str(tmp_path)), random.Random(1), documents()
    (tmp_path / "input_data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = made.opened()
    answered = [Answered(question, Answer(question.id, (answer_of(draw),))) for question in made.asked(data)]
    judgments = made.judgments(answered, None, data)  # type: ignore[arg-type]
    said: Counter[tuple[str, str]] = Counter()
    for row, each in zip(rows, answered, strict=True):
        ours = [judgment["verdict"] for judgment in judgments if judgment["question"] == each.question.id]
        theirs = process_results(row, [each.answer.turns[0]])
        assert [verdict == "strict" for verdict in ours] == theirs["inst_level_strict_acc"]
        assert [verdict != "not" for verdict in ours] == theirs["inst_level_loose_acc"]
        said.update(zip(row["instruction_id_list"], ours, strict=True))
    assert {verdict for _, verdict in said} == {"strict", "loose", "not"}
    assert len(answered) == ANSWERS
    followed = {name for name, verdict in said if verdict != "not"}
    assert followed == {name for name, _ in said}, "each instruction is followed by some answer"


def test_the_checks_that_need_sentences_are_the_ones_that_fail_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.path", [])
    checks = IFEval().checks()
    from lm_eval.tasks.ifeval import instructions_util
    from nltk import tokenize

    for module, name in ((tokenize, "_get_punkt_tokenizer"), (instructions_util, "_get_sentence_tokenizer")):
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)
    failing = set()
    for name, check in checks.items():
        arguments = {key: LIKELY.get(key, "at least") for key in check.arguments}
        try:
            check.holds("Some text. And more.", **arguments)
        except LookupError:
            failing.add(name)
    assert failing == set(NEED_SENTENCES)
    assert {name for name, check in checks.items() if check.lacking} == failing
