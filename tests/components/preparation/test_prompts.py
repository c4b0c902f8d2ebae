"""Reading prompts from files, and dealing them out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_index
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.preparation.prompts import Prompt, deal, held_out, read_prompts, sandbox_responses, shards
from nashflow.components.preparation.settings import PromptSettings

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
TEXTS = [entry for entry in ENTRIES if isinstance(entry["prompt"], str)]


def write(path: Path, entries: list[Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(entries), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    return path


def settings(path: Path | str = "", **changes: Any) -> PromptSettings:
    return PromptSettings.parse({"path": str(path), "per_iteration": 4, "held_out": 1, **changes}, "prompts")


def read(path: Path, **changes: Any) -> list[Any]:
    """The messages of the prompts in a file that come without responses."""
    prompts = read_prompts(settings(path, **changes))
    assert not any(prompt.given for prompt in prompts)
    return [prompt.messages for prompt in prompts]


def refusal(path: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_prompts(settings(path, **changes))
    line = str(caught.value)
    assert line.splitlines() == [line]
    return line.removeprefix(f"{path}: ")


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prompts.jsonl", "prompts.json", "prompts.txt"])
def test_texts_and_dialogues_come_back_in_their_order(name: str, tmp_path: Path) -> None:
    assert read(write(tmp_path / name, ENTRIES)) == MESSAGES


def test_parquet_holds_texts_or_dialogues(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.parquet", TEXTS)
    assert read(texts) == [MESSAGES[0], MESSAGES[2], MESSAGES[3]]
    dialogues = write(tmp_path / "dialogues.parquet", [{"prompt": messages} for messages in MESSAGES])
    assert read(dialogues) == MESSAGES


def test_another_field_can_hold_the_prompt(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.jsonl", [{"instruction": name, "prompt": 1} for name in ("one", "two")])
    contents = [messages[0]["content"] for messages in read(path, field="instruction")]
    assert contents == ["one", "two"]


def test_empty_lines_and_a_byte_order_mark_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "one"}\r\n\r\n   \n{"prompt": "two"}')
    assert [messages[0]["content"] for messages in read(path)] == ["one", "two"]


def test_further_keys_of_messages_are_left_out(tmp_path: Path) -> None:
    message = {"role": "user", "content": "one"}
    path = write(tmp_path / "prompts.json", [{"prompt": [{**message, "id": 7, "name": None}]}, {"prompt": "two"}])
    assert read(path)[0] == [message]


def test_a_prompt_that_occurs_again_counts_once(tmp_path: Path) -> None:
    """Else it could be held out and dealt as well."""
    path = write(tmp_path / "prompts.jsonl", [*ENTRIES, *reversed(ENTRIES), {"prompt": MESSAGES[0]}])
    assert read(path) == MESSAGES


def test_without_a_path_the_prompts_are_the_sandboxs_contexts() -> None:
    prompts = read_prompts(settings())
    assert prompts == [Prompt([{"role": "user", "content": f"x{context}"}], []) for context in range(8)]


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("none.jsonl", "none.json", "none.parquet"):
        line = refusal(tmp_path / name)
        assert line == "no such file; set prompts.path to a JSON, JSONL or Parquet file of prompts"


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    folder, latin, cut, empty = (tmp_path / name for name in ("folder", "latin.jsonl", "cut.parquet", "empty.parquet"))
    folder.mkdir()
    latin.write_bytes('{"prompt": "Grüße"}'.encode("latin-1"))
    cut.write_bytes(write(tmp_path / "whole.parquet", TEXTS).read_bytes()[:-20])
    empty.touch()
    for path in (folder, latin, cut, empty):
        assert refusal(path).startswith("cannot be read as prompts: ")


LINES = {
    '{"prompt": "cut': "line 3: not JSON: Unterminated string starting at: line 1 column 12 (char 11)",
    '["prompt"]': "line 3: a prompt is an object with the field 'prompt', not list",
    '"Why?"': "line 3: a prompt is an object with the field 'prompt', not str",
    "null": "line 3: a prompt is an object with the field 'prompt', not NoneType",
    '{"question": "Why?", "id": 7}': (
        "line 3: no field 'prompt'; set prompts.field to the one that holds the prompt (here: question, id)"
    ),
    "{}": "line 3: no field 'prompt'; set prompts.field to the one that holds the prompt (here: none)",
    '{"prompt": ""}': "line 3: the prompt is empty; remove the entry",
    '{"prompt": " \\n\\t"}': "line 3: the prompt is empty; remove the entry",
    '{"prompt": []}': "line 3: the prompt is empty; remove the entry",
    '{"prompt": [{"role": "user", "content": ""}]}': "line 3: the prompt is empty; remove the entry",
    '{"prompt": null}': "line 3: 'prompt' is neither a text nor a list of messages with role and content",
    '{"prompt": 7}': "line 3: 'prompt' is neither a text nor a list of messages with role and content",
    '{"prompt": {"role": "user", "content": "Why?"}}': (
        "line 3: 'prompt' is neither a text nor a list of messages with role and content"
    ),
    '{"prompt": [{"role": "user"}]}': "line 3: 'prompt' is neither a text nor a list of messages with role and content",
    '{"prompt": ["Why?"]}': "line 3: 'prompt' is neither a text nor a list of messages with role and content",
    '{"prompt": "half a \\ud83d character"}': "line 3: the prompt is not valid Unicode: it holds half a surrogate pair",
}


@pytest.mark.parametrize("line", LINES)
def test_a_bad_line_gets_one_clear_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "one"}\n\n' + line + '\n{"prompt": "two"}\n', encoding="utf-8")
    assert refusal(path) == LINES[line]


def test_entries_of_other_files_are_named_by_their_place(tmp_path: Path) -> None:
    entries = [{"prompt": "one"}, {"prompt": " "}]
    assert refusal(write(tmp_path / "prompts.json", entries)) == "entry 1: the prompt is empty; remove the entry"
    assert refusal(write(tmp_path / "prompts.parquet", entries)) == "row 1: the prompt is empty; remove the entry"


def test_a_json_file_holds_a_list(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text('{"prompt": "one"}')
    assert refusal(path) == "a JSON file of prompts is a list of objects, not dict"
    path.write_text("[")
    assert refusal(path).startswith("not JSON: ")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_prompts_are_refused(count: int, tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.jsonl", [{"prompt": str(index)} for index in range(count)])
    assert refusal(path, held_out=3) == (
        f"{count} prompts, of which prompts.held_out = 3 are for evaluation: none is left to learn from; "
        "add prompts or lower prompts.held_out"
    )


# --- dealing ---------------------------------------------------------------------------------------------------------


def numbered(count: int) -> list[Prompt]:
    return [
        Prompt([{"role": "user", "content": f"prompt {index}"}], [f"answer {index}"] * (index % 3))
        for index in range(count)
    ]


def contents(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


cases = st.integers(2, 40).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(1, count - 1), st.integers(1, 50), st.integers(0, 2**32))
)


@given(case=cases, iterations=st.integers(1, 6))
def test_every_iteration_gets_the_next_prompts_and_never_one_held_out(
    case: tuple[int, int, int, int], iterations: int
) -> None:
    count, kept_back, per_iteration, seed = case
    chosen, prompts = settings("file", held_out=kept_back, per_iteration=per_iteration), numbered(count)
    dealt = [deal(prompts, chosen, seed, iteration) for iteration in range(1, iterations + 1)]
    stream = [row for rows in dealt for row in rows]
    evaluated = held_out(prompts, chosen, seed)

    assert [row["row_id"] for row in stream] == list(range(per_iteration * iterations))
    assert [row["row_id"] for row in evaluated] == [-1 - index for index in range(kept_back)]
    assert len(set(contents(evaluated))) == kept_back
    assert not set(contents(evaluated)) & set(contents(stream))
    for row in stream:
        index = int(row["messages"][0]["content"].split()[1])
        assert row["given"] == [f"answer {index}"] * (index % 3), "what comes with a prompt stays with it"
    left = count - kept_back
    for start in range(0, len(stream), left):  # every pass has each prompt once
        turn = contents(stream[start : start + left])
        assert len(set(turn)) == len(turn)


@given(case=cases)
def test_the_order_is_a_function_of_the_seed(case: tuple[int, int, int, int]) -> None:
    count, kept_back, per_iteration, seed = case
    chosen, prompts = settings("file", held_out=kept_back, per_iteration=per_iteration), numbered(count)
    assert deal(prompts, chosen, seed, 3) == deal(prompts, chosen, seed, 3)
    assert held_out(prompts, chosen, seed) == held_out(prompts, chosen, seed)


def test_another_seed_deals_other_prompts_in_another_order() -> None:
    chosen, prompts = settings("file", held_out=20, per_iteration=40), numbered(60)
    assert contents(deal(prompts, chosen, 0, 1)) != contents(deal(prompts, chosen, 1, 1))
    assert set(contents(held_out(prompts, chosen, 0))) != set(contents(held_out(prompts, chosen, 1)))


def test_passes_have_orders_of_their_own() -> None:
    chosen, prompts = settings("file", held_out=1, per_iteration=30), numbered(31)
    first, second = (contents(deal(prompts, chosen, 0, iteration)) for iteration in (1, 2))
    assert first != second
    assert sorted(first) == sorted(second)


def test_the_sandboxs_contexts_are_dealt_and_evaluated_equally_often() -> None:
    chosen = settings(held_out=24, per_iteration=16)
    prompts = read_prompts(chosen)
    for rows, times in ((held_out(prompts, chosen, 0), 3), (deal(prompts, chosen, 0, 2), 2)):
        assert sorted(contents(rows)) == sorted([f"x{context}" for context in range(8)] * times)


@given(rows=st.lists(st.fixed_dictionaries({"row_id": st.integers()}), max_size=60), count=st.integers(1, 9))
def test_shards_put_together_are_the_rows(rows: list[dict[str, Any]], count: int) -> None:
    pieces = shards(rows, count)
    assert [row for piece in pieces for row in piece] == rows
    assert len(pieces) == count
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        settings(per_iteration=4, shards=5)
    assert str(caught.value) == (
        "prompts: shards is 5, above per_iteration = 4, which leaves shards without prompts: set it to at most 4"
    )


# --- what comes with a prompt ----------------------------------------------------------------------------------------


def test_given_responses_are_texts_or_the_last_message(tmp_path: Path) -> None:
    answers = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "better"}]
    entries = [
        {"prompt": "one", "chosen": answers, "rejected": "worse"},
        {"prompt": "two", "chosen": "a", "rejected": "b"},
    ]
    for name in ("pairs.jsonl", "pairs.json"):
        prompts = read_prompts(settings(write(tmp_path / name, entries), given=["chosen", "rejected"]))
        assert [prompt.given for prompt in prompts] == [["better", "worse"], ["a", "b"]]


def test_a_prompt_that_occurs_again_brings_its_responses_along(tmp_path: Path) -> None:
    entries = [{"prompt": "one", "answer": "a"}, {"prompt": "two", "answer": "b"}, {"prompt": "one", "answer": "c"}]
    prompts = read_prompts(settings(write(tmp_path / "x.jsonl", entries), given=["answer"]))
    assert [(prompt.messages[0]["content"], prompt.given) for prompt in prompts] == [
        ("one", ["a", "c"]),
        ("two", ["b"]),
    ]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"prompt": "one"}, "entry 0: no field 'answer', which prompts.given names (here: prompt)"),
        ({"prompt": "one", "answer": " "}, "entry 0: 'answer' is neither a text nor a list of messages"),
        ({"prompt": "one", "answer": []}, "entry 0: 'answer' is neither a text nor a list of messages"),
        ({"prompt": "one", "answer": 7}, "entry 0: 'answer' is neither a text nor a list of messages"),
    ],
)
def test_a_response_that_is_none_is_named(entry: dict[str, Any], line: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "x.json", [entry, {"prompt": "two", "answer": "a"}]), given=["answer"]).startswith(
        line
    )


def test_the_sandboxs_teacher_says_what_wins_most_often() -> None:
    world = make_world(WorldSettings())
    rows = deal(
        read_prompts(settings()), settings(per_iteration=16), 0, 1, sandbox_responses(WorldSettings(), "responses", 0)
    )
    for row in rows:
        context, (text,) = int(row["messages"][0]["content"][1:]), row["given"]
        rates = world.matrix[context] @ np.exp(world.log_target[context])
        assert rates[response_index(text)] == rates.max()


def test_the_sandboxs_pairs_are_labelled_draws_from_its_target() -> None:
    """Each response as often as the target has it, and each pair's winner as often as the oracle has it."""
    world, chosen = make_world(WorldSettings()), settings(per_iteration=8 * 2000)
    prompts = read_prompts(chosen)
    rows = deal(prompts, chosen, 3, 1, sandbox_responses(WorldSettings(), "pairs", 3))
    assert rows == deal(prompts, chosen, 3, 1, sandbox_responses(WorldSettings(), "pairs", 3))
    drawn, expected_wins, variance, wins = np.zeros((8, 25)), 0.0, 0.0, 0
    for row in rows:
        context, (won, lost) = int(row["messages"][0]["content"][1:]), map(response_index, row["given"])
        drawn[context, [won, lost]] += 1 + (won == lost)
        if won != lost:
            low, high = sorted((won, lost))
            probability = world.matrix[context, low, high]
            wins += won == low
            expected_wins += probability
            variance += probability * (1 - probability)
    assert abs(wins - expected_wins) < 4 * variance**0.5
    target = np.exp(world.log_target)
    assert np.abs(drawn / 4000 - target).max() < 5 * np.sqrt(target.max() / 4000)
