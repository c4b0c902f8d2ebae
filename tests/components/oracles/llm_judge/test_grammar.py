"""Verdicts are read where the grammar says, and nowhere else."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.llm_judge.client import Answer
from nashflow.components.oracles.llm_judge.template import Template, read_template

BASE = {"messages": [{"role": "user", "content": "{question} {answer_a} {answer_b}"}]}


def said(text: str, finish: str = "stop") -> Answer:
    return Answer(text, finish, 1, 1)


def grammar(**verdict: Any) -> Any:
    return Template.parse({**BASE, "verdict": verdict}, "test").verdict


SPOKEN = {
    "mt-bench-pair-v2": [
        ("[[A]]", 1.0),
        ("Not [[A]]. Final: [[B]]", 0.0),
        ("[[C]]", 0.5),
        ("[[D]]", None),
        ("A", None),
    ],
    "arena-hard": [("My final verdict is tie: [[A=B]]", 0.5), ("[[A>>B]]", 1.0), ("[[B>A]]", 0.25), ("[[A<B]]", None)],
    "arena-hard-creative": [("[[A>B]]", 0.75), ("[[B>>A]]", 0.0), ("A>B", None)],
    "prometheus-2": [("Good. [RESULT] B", 0.0), ("Good. [RESULT] (A)", 1.0), ("[RESULT] Both", None), ("A", None)],
    "offsetbias": [("Output (a)", 1.0), ("Output (b)", 0.0), ("(a)", None)],
    "selene": [("**Reasoning:** x\n\n**Result:** A", 1.0), ("**Result:** B", 0.0), ("**Result:** Alas", None)],
    "nvidia-genrm": [
        ('{"score_1": 3, "score_2": 4, "ranking": 5}', 0.2),
        ('```json\n{"rubric": [], "overall": {"score_1": 5, "score_2": 1, "ranking": 1}}\n```', 1.0),
        ('{"ranking": 6} no: {"ranking": 2.0}', 0.8),
        ('{"ranking": 7}', None),
        ('{"ranking": "1"}', None),
        ('{"ranking": 1', None),
        ('{"score_1": 3}', None),
        ("{" * 5000, None),
    ],
}


VERDICTS = {name: read_template(name).verdict for name in SPOKEN}


@pytest.mark.parametrize(("name", "text", "meant"), [(n, t, m) for n, each in SPOKEN.items() for t, m in each])
def test_shipped_templates_read_what_their_judges_say(name: str, text: str, meant: float | None) -> None:
    verdict = VERDICTS[name]
    assert verdict.read(said(text)) == (None if meant is None else pytest.approx(meant))
    assert verdict.spoken_in(text) == (meant is not None)


@pytest.mark.parametrize("name", sorted(SPOKEN))
def test_thoughts_do_not_count(name: str) -> None:
    verdict, (text, meant) = VERDICTS[name], SPOKEN[name][0]
    assert verdict.read(said(f"<think>{SPOKEN[name][1][0]}</think>\n{text}")) == pytest.approx(meant)
    assert verdict.read(said(f"{text}</think> Both are good.")) is None
    assert verdict.read(said(f"<think> Perhaps {text}")) is None  # the thoughts did not end
    assert verdict.read(said(f"An answer has <think> in it.\n{text}")) == pytest.approx(meant)
    assert verdict.read(said(text, "length")) is None  # the verdict was still to come


@given(st.text(), st.sampled_from("ABC"))
def test_the_last_verdict_counts_whatever_stands_before_it(before: str, letter: str) -> None:
    read = VERDICTS["mt-bench-pair-v2"].read(said(f"Well, {before}[[{letter}]]"))
    assert read == {"A": 1.0, "B": 0.0, "C": 0.5}[letter]


@given(st.text())
def test_what_has_no_verdict_is_never_a_coin(text: str) -> None:
    for name in SPOKEN:
        read = VERDICTS[name].read(said(text))
        assert read is None or (name == "selene" and "**Result:**" in text)


@settings(max_examples=30)
@given(st.recursive(st.none() | st.floats() | st.text() | st.booleans(), lambda s: st.dictionaries(st.text(), s)))
def test_no_json_breaks_the_reader(value: Any) -> None:
    read = VERDICTS["nvidia-genrm"].read(said(json.dumps({"ranking": value})))
    assert read is None or (isinstance(value, float) and 1.0 <= value <= 6.0)


def test_scores_in_words_are_read_in_proportion() -> None:
    verdict = grammar(kind="pattern", pattern=r"Score: (\S+)", range=[10, 0])
    assert [verdict.read(said(f"Score: {score}")) for score in ("10", "7.5", "0", "11", "ten", "nan")] == [
        *(1.0, 0.75, 0.0),
        *(None, None, None),
    ]


def test_log_probabilities_of_two_tokens() -> None:
    verdict = read_template("alpaca-eval-clf").verdict
    top = [(" m", math.log(0.2)), ("m", math.log(0.1)), ("M", math.log(0.1)), ("the", math.log(0.5))]
    assert verdict.read(Answer("m", "length", 1, 1, top)) == pytest.approx(0.75)
    assert verdict.read(Answer("m", "length", 1, 1, top[:2])) == 1.0
    assert verdict.read(Answer("the", "length", 1, 1, top[3:])) is None
    with pytest.raises(UserError, match=r"returns no log-probabilities: set oracle\.template"):
        verdict.read(said("m"))


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (None, r"verdict is missing, the grammar by which verdicts are read: give one, such as \{kind: pattern, "),
        ({"kind": "words"}, r"verdict\.kind: 'words' is unknown"),
        ({"kind": "pattern", "pattern": "(", "means": {"A": 1, "B": 0}}, r"pattern: no regular expression"),
        ({"kind": "pattern", "pattern": "A|B", "means": {"A": 1, "B": 0}}, r"pattern: has 0 groups: put the word"),
        ({"kind": "pattern", "pattern": "(A|B)"}, r"give either means, for words, or range, for scores"),
        ({"kind": "pattern", "pattern": "(A)", "means": {"A": 1}}, r"one word has to mean that A is better"),
        ({"kind": "pattern", "pattern": "(A)", "means": {"A": 2, "B": 0}}, r"less than or equal to 1"),
        ({"kind": "pattern", "pattern": "(.)", "range": [3, 3]}, r"range: its ends are equal"),
        ({"kind": "json", "schema": {"type": "objekt"}, "fields": ["a"], "range": [1, 2]}, r"schema: no JSON schema"),
        *(
            ({"kind": "json", "schema": {"not": {"$ref": ref}}, "fields": ["a"], "range": [1, 2]}, r"leads to nothing")
            for ref in ("#/$defs/none", "http://127.0.0.1:9/schema.json")
        ),
        ({"kind": "pattern", "pattern": "(.)", "means": {True: 1, False: 0}}, r"reads a word as True: write the words"),
        ({"kind": "json", "schema": {}, "fields": [], "range": [1, 2]}, r"fields: "),
        ({"kind": "logprobs", "tokens": {"A": "m"}}, r"tokens: give two different ones"),
        ({"kind": "logprobs", "tokens": {"A": "m", "B": " m"}}, r"tokens: give two different ones"),
    ],
)
def test_a_grammar_that_reads_nothing_is_refused(verdict: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        Template.parse(BASE | ({"verdict": verdict} if verdict else {}), "oracle.template x.yaml")
    assert str(error.value).startswith("oracle.template x.yaml: ")
    assert "\n" not in str(error.value)
