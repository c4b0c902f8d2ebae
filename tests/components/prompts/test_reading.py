"""Reading prompts from files: what is understood, what is left out, and what is refused."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.prompts.counts import Counts
from nashflow.components.prompts.pool import Pool
from nashflow.components.prompts.reading import Asked, read
from nashflow.components.prompts.settings import PromptSource
from nashflow.components.storage.records import Message

ENTRIES: list[dict[str, Any]] = [
    {"prompt": "Why is the sky blue?", "source": "a"},
    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße,\nwer bist du? 🙂"}]},
    {"prompt": "line\u2028separator and next\u0085line"},
    {"prompt": "  spaces are the user's own  "},
]
MESSAGES = [
    [{"role": "user", "content": "Why is the sky blue?"}],
    ENTRIES[1]["prompt"],
    [{"role": "user", "content": "line\u2028separator and next\u0085line"}],
    [{"role": "user", "content": "  spaces are the user's own  "}],
]
PLAIN, PAIRS, TEACHER = Asked(), Asked("pairs", ("chosen", "rejected")), Asked("responses", ("answer",))
TEXTS = [entry for entry in ENTRIES if isinstance(entry["prompt"], str)]


def write(path: Path, entries: list[Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    return path


def reading(path: Path, asked: Asked = PLAIN, **changes: Any) -> tuple[Pool, Counts]:
    return read(PromptSource.parse({"path": str(path), **changes}, "prompts"), asked)


def prompts_in(path: Path, **changes: Any) -> list[Any]:
    """The messages of the prompts in a file."""
    pool, counts = reading(path, **changes)
    assert counts.kept == len(pool)
    return [prompt.messages for prompt in pool]


def refusal(path: Path, asked: Asked = PLAIN, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        reading(path, asked, **changes)
    line = str(caught.value)
    assert line.splitlines() == [line]
    return line.removeprefix(f"{path}: ")


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prompts.jsonl", "prompts.json", "prompts.txt"])
def test_texts_and_dialogues_come_back_in_their_order(name: str, tmp_path: Path) -> None:
    assert prompts_in(write(tmp_path / name, ENTRIES)) == MESSAGES


def test_parquet_holds_texts_or_dialogues(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.parquet", TEXTS)
    assert prompts_in(texts) == [MESSAGES[0], MESSAGES[2], MESSAGES[3]]
    dialogues = write(tmp_path / "dialogues.parquet", [{"prompt": messages} for messages in MESSAGES])
    assert prompts_in(dialogues) == MESSAGES


def test_another_field_can_hold_the_prompt(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.jsonl", [{"instruction": name, "prompt": 1} for name in ("one", "two")])
    contents = [messages[0]["content"] for messages in prompts_in(path, field="instruction")]
    assert contents == ["one", "two"]


def test_empty_lines_and_a_byte_order_mark_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "one"}\r\n\r\n   \n{"prompt": "two"}')
    assert [messages[0]["content"] for messages in prompts_in(path)] == ["one", "two"]


def test_further_keys_of_messages_are_left_out(tmp_path: Path) -> None:
    message = {"role": "user", "content": "one"}
    path = write(tmp_path / "prompts.json", [{"prompt": [{**message, "id": 7, "name": None}]}, {"prompt": "two"}])
    assert prompts_in(path)[0] == [message]


def test_a_prompt_that_occurs_again_counts_once(tmp_path: Path) -> None:
    """Else it could be held out and dealt as well."""
    path = write(tmp_path / "prompts.jsonl", [*ENTRIES, *reversed(ENTRIES), {"prompt": MESSAGES[0]}])
    assert prompts_in(path) == MESSAGES


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("none.jsonl", "none.json", "none.parquet"):
        line = refusal(tmp_path / name)
        assert line == (
            "no such file; set prompts.path to a JSON, JSONL, CSV, Parquet or Arrow file of prompts, a folder or a "
            "pattern"
        )


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    latin, cut, empty, packed = (tmp_path / name for name in ("latin.jsonl", "cut.parquet", "empty.parquet", "cut.gz"))
    latin.write_bytes('{"prompt": "Grüße"}'.encode("latin-1"))
    cut.write_bytes(write(tmp_path / "whole.parquet", TEXTS).read_bytes()[:-20])
    empty.touch()
    packed.write_bytes(gzip.compress(b'{"prompt": "one"}')[:-9])
    for path in (latin, cut, empty, packed):
        assert refusal(path).startswith("cannot be read as prompts: ")


EMPTY = "; remove the entry, or set prompts.on_bad to skip"
BAD = "; correct the entry, or set prompts.on_bad to skip"
NEITHER = "line 3: 'prompt' is neither a text nor a list of messages with role and content" + BAD
LINES = {
    '{"prompt": "cut': "line 3: not JSON: Unterminated string starting at: line 1 column 12 (char 11)",
    '["prompt"]': "line 3: a prompt is an object with the field 'prompt', not list" + BAD,
    '"Why?"': "line 3: a prompt is an object with the field 'prompt', not str" + BAD,
    "null": "line 3: a prompt is an object with the field 'prompt', not NoneType" + BAD,
    '{"question": "Why?", "id": 7}': "line 3: no field 'prompt' (here: question, id)" + BAD,
    "{}": "line 3: no field 'prompt' (here: none)" + BAD,
    '{"prompt": ""}': "line 3: the prompt is empty" + EMPTY,
    '{"prompt": " \\n\\t"}': "line 3: the prompt is empty" + EMPTY,
    '{"prompt": []}': "line 3: the prompt is empty" + EMPTY,
    '{"prompt": [{"role": "user", "content": ""}]}': "line 3: the prompt is empty" + EMPTY,
    '{"prompt": null}': NEITHER,
    '{"prompt": 7}': NEITHER,
    '{"prompt": {"role": "user", "content": "Why?"}}': NEITHER,
    '{"prompt": [{"role": "user"}]}': NEITHER,
    '{"prompt": ["Why?"]}': NEITHER,
    '{"prompt": "half a \\ud83d character"}': "line 3: 'prompt' is not valid Unicode: it holds half a surrogate pair"
    + BAD,
}


@pytest.mark.parametrize("line", LINES)
def test_a_bad_line_gets_one_clear_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "one"}\n\n' + line + '\n{"prompt": "two"}\n', encoding="utf-8")
    assert refusal(path) == LINES[line]


def test_entries_of_other_files_are_named_by_their_place(tmp_path: Path) -> None:
    entries = [{"prompt": "one"}, {"prompt": " "}]
    assert refusal(write(tmp_path / "prompts.json", entries)) == "entry 1: the prompt is empty" + EMPTY
    assert refusal(write(tmp_path / "prompts.parquet", entries)) == "row 1: the prompt is empty" + EMPTY


def test_json_may_be_a_list_or_an_object_a_line_whatever_the_name(tmp_path: Path) -> None:
    for name in ("list.json", "list.txt"):
        (tmp_path / name).write_text(" \n " + json.dumps(ENTRIES, indent=2))
        assert prompts_in(tmp_path / name) == MESSAGES
    path = tmp_path / "lines.json"
    path.write_text('{"prompt": "one"}\n{"prompt": "two"}')
    assert [messages[0]["content"] for messages in prompts_in(path)] == ["one", "two"]
    path.write_text('[{"prompt": "one"}, {"prompt": "tw')
    assert refusal(path).startswith("entry 1: not JSON: ")
    path.write_text('[{"prompt": "one"}]\n[{"prompt": "two"}]')
    assert refusal(path) == "not JSON: there is more after the list's end"
    path.write_text("[]")
    assert refusal(path) == "there are no entries"


def test_a_long_list_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nashflow.components.prompts.files._PIECE", 7)
    assert prompts_in(write(tmp_path / "prompts.json", ENTRIES)) == MESSAGES


def test_entries_without_the_field_name_it(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"question": "Why?", "id": 7}])
    assert refusal(path) == (
        "line 1: no field 'prompt'; set prompts.field to the one that holds the prompt (here: question, id)"
    )


# --- what comes with a prompt ----------------------------------------------------------------------------------------


def test_given_responses_are_texts_or_the_last_message(tmp_path: Path) -> None:
    answers = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "better"}]
    entries = [
        {"prompt": "one", "chosen": answers, "rejected": "worse"},
        {"prompt": "two", "chosen": "a", "rejected": "b"},
    ]
    for name in ("pairs.jsonl", "pairs.json"):
        prompts, _ = reading(write(tmp_path / name, entries), PAIRS)
        assert [prompt.given for prompt in prompts] == [["better", "worse"], ["a", "b"]]


def test_a_prompt_that_occurs_again_brings_its_responses_along(tmp_path: Path) -> None:
    entries = [{"prompt": "one", "answer": "a"}, {"prompt": "two", "answer": "b"}, {"prompt": "one", "answer": "c"}]
    prompts, _ = reading(write(tmp_path / "x.jsonl", entries), TEACHER)
    assert [(prompt.messages[0]["content"], prompt.given) for prompt in prompts] == [
        ("one", ["a", "c"]),
        ("two", ["b"]),
    ]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"prompt": "one"}, "entry 0: no field 'answer', which prompts.given names (here: prompt)"),
        ({"prompt": "one", "answer": " "}, "entry 0: 'answer' is empty; remove the entry"),
        ({"prompt": "one", "answer": []}, "entry 0: 'answer' does not end in an answer of the assistant's"),
        (
            {"prompt": "one", "answer": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "thanks"}]},
            "entry 0: 'answer' does not end in an answer of the assistant's; correct the entry",
        ),
        ({"prompt": "one", "answer": 7}, "entry 0: 'answer' is neither a text nor a list of messages"),
    ],
)
def test_a_response_that_is_none_is_named(entry: dict[str, Any], line: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "x.json", [entry, {"prompt": "two", "answer": "a"}]), TEACHER).startswith(line)


# --- what is left out ------------------------------------------------------------------------------------------------


class Trimming:
    """A policy whose template trims, and whose tokens are letters."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        return [ord(letter) for message in messages for letter in message["content"].strip()]

    def response(self, messages: Sequence[Message], text: str) -> list[int]:
        return [ord(letter) for letter in text]


def test_prompts_that_are_the_same_to_the_policy_are_duplicates(tmp_path: Path) -> None:
    entries = [{"prompt": f"Question {index}?{end}"} for index in range(5) for end in ("", " ", "\n")]
    path = write(tmp_path / "x.jsonl", entries)
    pool, counts = reading(path, Asked(rendering=Trimming(), longest=99))
    assert [prompt.messages[0]["content"] for prompt in pool] == [f"Question {index}?" for index in range(5)]
    assert (counts.read, counts.left_out) == (15, {"duplicate": 10})
    assert str(counts) == "15 entries, 5 prompts; left out: 10 duplicate"
    assert pool.lengths.tolist() == [11] * 5


def test_every_entry_is_a_prompt_or_counted_by_why_not(tmp_path: Path) -> None:
    entries = [
        {"prompt": "one"},
        {"prompt": " "},
        {"prompt": 7},
        {"prompt": [{"role": "user", "content": [{"type": "image", "image": "x"}]}]},
        {"prompt": [{"role": "user", "content": None}]},
        {"prompt": [{"role": "system", "content": ""}, {"role": "user", "content": "one"}]},
        {"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"prompt": "a very long prompt"},
        {"question": "x"},
        ["x"],
    ]
    path = write(tmp_path / "x.jsonl", entries)
    pool, counts = reading(path, Asked(rendering=Trimming(), longest=9), on_bad="skip")
    assert len(pool) == 1
    assert (counts.read, counts.left_out) == (10, {"empty": 1, "unreadable": 6, "duplicate": 1, "too_long": 1})
    assert counts.dropped == {"empty_system": 1}
    assert refusal(path, on_bad="refuse").startswith("line 2: the prompt is empty; remove the entry, or set")


def test_an_answer_too_long_costs_its_pair_and_not_its_prompt(tmp_path: Path) -> None:
    entries = [
        {"prompt": f"question {index // 3}", "chosen": "good" + " and so on" * (index % 3 == 0), "rejected": "bad"}
        for index in range(9)
    ] + [{"prompt": "alone", "chosen": "good", "rejected": "bad" * 9}]
    asked = replace(PAIRS, rendering=Trimming(), longest=99, room=9)
    pool, counts = reading(write(tmp_path / "x.jsonl", entries), asked)
    assert [prompt.given for prompt in pool] == [["good", "bad"] * 2] * 3
    assert (counts.left_out, counts.dropped) == ({"without_given": 1}, {"joined": 6, "given_too_long": 4})


def test_a_dialogue_that_ends_with_its_answer_is_cut_where_asked(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello!"}]
    path = write(tmp_path / "x.jsonl", [{"mine": said}])
    assert refusal(path, field="mine") == (
        "line 1: the dialogue ends with the assistant's answer: set prompts.drop_last_answer to true to cut it; "
        "correct the entry, or set prompts.on_bad to skip"
    )
    assert prompts_in(path, field="mine", drop_last_answer=True) == [said[:1]]


def test_a_system_message_alone_is_no_prompt(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    path = write(tmp_path / "x.jsonl", [{"prompt": [system]}])
    assert refusal(path).startswith("line 1: the prompt has a system message and nothing else; remove")
    both = {side: [system, {"role": "user", "content": side}] for side in ("chosen", "rejected")}
    assert "the two dialogues do not begin with the same message" in refusal(write(tmp_path / "y.jsonl", [both]))


def test_an_empty_system_message_is_dropped_and_said(tmp_path: Path) -> None:
    said = [{"role": "system", "content": " "}, {"role": "user", "content": "Hello?"}]
    pool, counts = reading(write(tmp_path / "x.jsonl", [{"prompt": said}]))
    assert [prompt.messages for prompt in pool] == [said[1:]]
    assert str(counts) == "1 entries, 1 prompts; 1 empty system messages dropped"
