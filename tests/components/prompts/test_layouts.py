"""The layouts of well-known data sets, each on a small file of that layout, with the columns that the set has."""

import gzip
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.prompts.layouts import LAYOUTS
from nashflow.components.prompts.pool import Wanted
from nashflow.components.prompts.reading import Asked, read
from nashflow.components.prompts.settings import PromptSource


def say(*texts: str, **more: Any) -> list[dict[str, Any]]:
    """A dialogue that the user begins."""
    return [{"role": ("user", "assistant")[turn % 2], "content": text, **more} for turn, text in enumerate(texts)]


def write(path: Path, entries: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    elif path.name.endswith(".json"):
        path.write_text(json.dumps(entries))
    else:
        data = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


class Case(NamedTuple):
    file: str
    entries: list[dict[str, Any]]
    layout: str
    prompts: list[list[dict[str, str]]]
    pairs: list[list[str]] | None = None
    """What is given with each prompt where pairs are wanted; None: the layout has none."""
    teacher: list[list[str]] | None = None
    """The same of a teacher's responses."""


def parts(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "image": None, "mimeType": None}]


ABOUT = {"score_chosen": 8.0, "score_rejected": 3.0}
VOTE = {"model_a": "x", "model_b": "y", "turn": 1, "anony": True, "language": "English", "tstamp": 1.7e9}
RANKED = [{"answer": text, "model": "m", "rank": rank} for text, rank in (("fair", 2.0), ("bad", 3.0), ("good", 1.0))]
HUMAN = "\n\nHuman: Hello?\n\nAssistant: Hello!\n\nHuman: And now?\n\nAssistant:"
MARKS = {"correctness": 3, "coherence": 4, "complexity": 1, "verbosity": 1}
WILD = {"country": "Chile", "hashed_ip": "0f", "header": {"accept-language": "es"}, "redacted": False, "state": None}
LONG = say("Hello?", "Hello!", "And now?")

CASES = {
    "ultrafeedback_binarized": Case(
        "train_prefs-00000-of-00001.parquet",
        [{"prompt": "Why?", "prompt_id": "1", "chosen": say("Why?", "good"), "rejected": say("Why?", "bad")} | ABOUT],
        "pairs",
        [say("Why?")],
        [["good", "bad"]],
        [["good"]],
    ),
    "RLHFlow": Case(
        "train-00000-of-00001.parquet",
        [{"context_messages": LONG, "dataset": "d", "context": "c", "id": "1"}],
        "dialogue",
        [LONG],
    ),
    "HelpSteer2": Case(
        "train.jsonl.gz",
        [{"prompt": "Why?", "response": text, "helpfulness": mark} | MARKS for text, mark in (("bad", 1), ("good", 4))]
        + [
            {
                "prompt": "Hello?\n<extra_id_1>Assistant\nHello!\n<extra_id_1>User\nAnd now?",
                "response": f"same {index}",
                "helpfulness": 3,
            }
            | MARKS
            for index in range(2)
        ],
        "helpsteer2",
        [say("Why?"), LONG],
        [["good", "bad"]],
        [["good"], ["same 0"]],
    ),
    "HelpSteer2 preference": Case(
        "preference.jsonl.gz",
        [
            {
                "prompt": str(mark),
                "response_1": "one",
                "response_2": "two",
                "preference_strength": mark,
                "split": "train",
            }
            for mark in (-2, 0, 3)
        ],
        "helpsteer2_preference",
        [say("-2"), say("0"), say("3")],
        [["one", "two"], ["two", "one"]],
        [["one"], ["two"]],
    ),
    "HelpSteer3": Case(
        "train.jsonl.gz",
        [
            {"domain": "code", "language": "c", "context": LONG, "response1": "one", "response2": "two"}
            | {"overall_preference": -1, "individual_preference": [{"score": -1, "reasoning": "r"}]}
        ],
        "helpsteer3",
        [LONG],
        [["one", "two"]],
        [["one"]],
    ),
    "Skywork-Reward-Preference": Case(
        "train-00000-of-00001.parquet",
        [{"chosen": [*LONG, *say("", "good")[1:]], "rejected": [*LONG, *say("", "bad")[1:]], "source": "s"}],
        "pairs",
        [LONG],
        [["good", "bad"]],
        [["good"]],
    ),
    "Tulu 3": Case(
        "train-00000-of-00004.parquet",
        [
            {"id": "1", "prompt": "And now?", "chosen": [*LONG, *say("", "good")[1:]], "source": "s"}
            | {"rejected": [*LONG, *say("", "bad")[1:]]}
        ],
        "pairs",
        [LONG],
        [["good", "bad"]],
        [["good"]],
    ),
    "Nectar": Case(
        "rlaif.parquet",
        [{"prompt": HUMAN + " ", "answers": RANKED, "turns": 2, "num_responses": 3, "source": ["s"]}],
        "nectar",
        [LONG],
        [["good", "bad"]],
        [["good"]],
    ),
    "hh-rlhf": Case(
        "harmless-base-test.jsonl.gz",
        [
            {"chosen": f"{HUMAN} good", "rejected": f"{HUMAN} bad"},
            {"chosen": "\n\nHuman: A?\n\nAssistant: yes", "rejected": f"\n\nHuman: A?\n\nAssistant: no{HUMAN} no"},
        ],
        "pairs",
        [LONG, say("A?")],
        [["good", "bad"]],
        [["good"]],
    ),
    "WildChat": Case(
        "train-00000-of-00014.parquet",
        [{"conversation_hash": "1", "model": "m", "conversation": say("Hello?", "Hello!", "And now?", "end", **WILD)}],
        "dialogue",
        [LONG],
        None,
        [["end"]],
    ),
    "LMSYS": Case(
        "train-00000-of-00006.parquet",
        [{"conversation_id": "1", "model": "m", "conversation": say("Why?", "So."), "turn": 1, "redacted": False}],
        "dialogue",
        [say("Why?")],
        None,
        [["So."]],
    ),
    "Chatbot Arena": Case(
        "train-00000-of-00001.parquet",
        [
            {"conversation_a": say(f"{winner}?", "one"), "conversation_b": say(f"{winner}?", "two"), "winner": winner}
            | VOTE
            for winner in ("model_a", "model_b", "tie (bothbad)")
        ]
        + [
            {"conversation_a": say("A?", "1", "B?", "2"), "conversation_b": say("A?", "3", "B?", "4")}
            | VOTE
            | {"winner": "model_a", "turn": 2}
        ],
        "arena",
        [say("model_a?"), say("model_b?"), say("tie (bothbad)?"), say("A?")],
        [["one", "two"], ["two", "one"]],
        [["one"], ["two"]],
    ),
    "arena-human-preference-140k": Case(
        "train-00000-of-00007.parquet",
        [
            {"id": "1", "winner": "model_b", "language": "en", "is_code": False}
            | {
                f"conversation_{side}": [
                    {"role": "user", "content": parts("Why?"), "num_tokens": 2},
                    {"role": "assistant", "content": parts(text), "num_tokens": 1},
                ]
                for side, text in (("a", "one"), ("b", "two"))
            }
        ],
        "arena",
        [say("Why?")],
        [["two", "one"]],
        [["two"]],
    ),
    "arena-expert": Case(
        "train-00000-of-00001.parquet",
        [
            {"id": "1", "winner": "model_a", "occupational_tags": "{}"}
            | {
                f"conversation_{side}": json.dumps(
                    [{"role": "user", "content": parts("Why?")}, {"role": "assistant", "content": parts(text)}]
                )
                for side, text in (("a", "one"), ("b", "two"))
            }
        ],
        "arena",
        [say("Why?")],
        [["one", "two"]],
        [["one"]],
    ),
    "ShareGPT": Case(
        "ShareGPT_V3_unfiltered_cleaned_split.json",
        [
            {
                "id": "1",
                "conversations": [
                    {"from": speaker, "value": text}
                    for speaker, text in (("human", "Hello?"), ("gpt", "Hello!"), ("human", "And now?"), ("gpt", "end"))
                ],
            }
        ],
        "dialogue",
        [LONG],
        None,
        [["end"]],
    ),
    "MT-Bench": Case(
        "question.jsonl",
        [{"question_id": 81, "category": "writing", "turns": ["Why?", "Rewrite it."]}],
        "turns",
        [say("Why?")],
    ),
    "Arena-Hard": Case(
        "question.jsonl",
        [{"question_id": "1", "category": "c", "cluster": "d", "turns": [{"content": "Why?"}]}],
        "turns",
        [say("Why?")],
    ),
    "AlpacaEval": Case(
        "alpaca_eval.json",
        [{"instruction": "Why?", "output": "So.", "generator": "text_davinci_003", "dataset": "helpful_base"}],
        "instruction",
        [say("Why?")],
        None,
        [["So."]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_read_without_conversion(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = str(write(tmp_path / case.file, case.entries))
    pool, counts = read(PromptSource(path=path), Asked())
    assert counts.layout == case.layout
    assert [prompt.messages for prompt in pool] == case.prompts
    expected: dict[Wanted, Any] = {"pairs": case.pairs, "responses": case.teacher}
    for wanted, given in expected.items():
        if given is None and (wanted == "pairs" or case.layout == "turns"):
            with pytest.raises(UserError, match=r"set prompts\.given to the"):
                read(PromptSource(path=path), Asked(wanted))
        else:
            pool, _ = read(PromptSource(path=path), Asked(wanted))
            assert [prompt.given for prompt in pool] == (given or [])


@pytest.mark.parametrize("role", ["gpt", "Assistant", "bing", "model"])
def test_an_answer_is_one_by_whatever_name_its_role_goes(role: str, tmp_path: Path) -> None:
    said = [{"from": "Human", "value": "q"}, {"from": role, "value": "a"}]
    pool, _ = read(PromptSource(path=str(write(tmp_path / "x.jsonl", [{"conversations": said}]))), Asked())
    assert [prompt.messages for prompt in pool] == [say("q")]


def test_messages_that_python_wrote_as_a_text_are_not_taken_for_the_users(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"messages": str(say("q"))}])
    for field in ("prompt", "messages"):
        with pytest.raises(UserError, match="'messages' is not JSON"):
            read(PromptSource(path=str(path), field=field), Asked())


def test_ratings_of_different_sets_are_not_compared(tmp_path: Path) -> None:
    rated = [{"prompt": "q", "response": mark, "helpfulness": len(mark)} for mark in ("no", "good")]
    ranked = {
        "prompt": "\n\nHuman: q\n\nAssistant: ",
        "answers": [{"answer": "A", "rank": 1}, {"answer": "B", "rank": 2}],
    }
    pairs = [{"chosen": say("q", "better"), "rejected": say("q", "worse")}]
    paths = [str(write(tmp_path / f"{at}.jsonl", each)) for at, each in enumerate([rated, [ranked], pairs])]
    given = [["good", "no"], ["A", "B"], ["better", "worse"]]
    for step in (1, -1):
        pool, _ = read(PromptSource(path=tuple(paths[::step])), Asked(wanted="pairs"))
        assert [prompt.given for prompt in pool] == [[text for pair in given[::step] for text in pair]]


def test_layouts_are_named_in_the_settings() -> None:
    known = PromptSource.model_json_schema()["properties"]["layout"]["anyOf"][0]["enum"]
    assert sorted(known) == sorted(kind.name for kind in LAYOUTS)


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    path = str(write(tmp_path / "x.jsonl", CASES["ultrafeedback_binarized"].entries))
    _, counts = read(PromptSource(path=path, layout="fields"), Asked())
    assert counts.layout == "fields"
    with pytest.raises(UserError, match=r"line 1: no entry of the layout turns; leave prompts\.layout out"):
        read(PromptSource(path=path, layout="turns"), Asked())


def test_texts_that_quote_a_transcript_or_json_are_texts(tmp_path: Path) -> None:
    quoted = ["Continue:\n\nHuman: hi\n\nAssistant:", '[{"role": "user"}]', "[{a: 1}]", "\n\nAssistant: hi"]
    path = write(tmp_path / "x.jsonl", [{"prompt": text} for text in ["Why?", *quoted, HUMAN]])
    pool, _ = read(PromptSource(path=str(path)), Asked())
    assert [prompt.messages for prompt in pool] == [say(text) for text in ["Why?", *quoted, HUMAN]]


def test_the_prompt_of_a_pair_is_its_common_beginning_whichever_field_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"chosen": say("Why?", "good"), "rejected": say("Why?", "bad")}])
    for given in ((), ("chosen", "rejected")):
        pool, _ = read(PromptSource(path=str(path), field="chosen"), Asked("pairs", given))
        assert [(prompt.messages, prompt.given) for prompt in pool] == [(say("Why?"), ["good", "bad"])]


def test_dialogues_that_do_not_begin_alike_are_no_pair(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"chosen": say("Why?", "good"), "rejected": say("How?", "bad")}])
    with pytest.raises(UserError, match="line 1: the two dialogues do not begin with the same message"):
        read(PromptSource(path=str(path)), Asked("pairs"))


# --- real files ------------------------------------------------------------------------------------------------------

REAL = {
    "hh_rlhf/harmless-base-test.jsonl.gz": ("pairs", 2312, 2310),
    "mt_bench/question.jsonl": ("turns", 80, 80),
    "alpaca_eval/baseline_outputs.json": ("instruction", 805, 805),
    "arena_hard_v0.1/question.jsonl": ("fields", 500, 500),
}


@pytest.mark.skipif("NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set")
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_understood(name: str) -> None:
    pool, counts = read(PromptSource(path=str(Path(os.environ["NASHFLOW_DATA"], name))), Asked())
    assert (counts.layout, counts.read, counts.kept) == REAL[name]
    assert all(prompt.messages[-1]["role"] == "user" and prompt.messages[-1]["content"].strip() for prompt in pool)
