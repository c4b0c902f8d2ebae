"""Records: what fits comes back as it was, what does not is refused by file, column and reason."""

import io
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.storage import records

RECORDS = {
    name: getattr(records, name)
    for name in ("PROMPTS", "ROLLOUTS", "COMPARISONS", "PAIRS", "LOGPROBS", "CACHE", "GAME_POLICY")
}


def values_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_list(kind):
        return st.lists(values_of(kind.value_type), max_size=3)
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({field.name: values_of(field.type) for field in kind})
    if pa.types.is_integer(kind):
        return st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    if pa.types.is_boolean(kind):
        return st.booleans()
    return st.floats(allow_nan=False) if pa.types.is_floating(kind) else st.text(max_size=5)


def rows_of(schema: pa.Schema) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({field.name: values_of(field.type) for field in schema}), max_size=4)


PROMPT = {"row_id": 1, "messages": [{"role": "user", "content": "Where?"}], "given": ["Here."]}
LOGPROB = {"row_id": 1, "pair": 0, "policy": "000/main", "chosen": -1.5, "rejected": -2.5}


def prompts() -> pa.Table:
    return records.table([PROMPT], records.PROMPTS)


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


# --- what fits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDS)
@settings(max_examples=40)
@given(st.data())
def test_rows_come_back_as_they_were(name: str, data: st.DataObject) -> None:
    record = RECORDS[name]
    rows = data.draw(rows_of(record.schema))
    encoded = records.to_bytes(records.table(rows, record), record, name)
    read = records.from_bytes(encoded, record, name)
    assert read.to_pylist() == rows
    assert read.schema.names == record.schema.names


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 9000])
def test_rows_are_written_and_read_as_they_come(count: int, tmp_path: Path) -> None:
    rows, path = [{**LOGPROB, "row_id": number} for number in range(count)], tmp_path / "x.parquet"
    assert records.write(iter(rows), records.LOGPROBS, path) == count
    assert list(records.read(path, records.LOGPROBS, "x")) == rows
    whole = records.to_bytes(records.table(rows, records.LOGPROBS), records.LOGPROBS, "x")
    assert (path.read_bytes() == whole) == (count <= 4096)  # a group of rows more


@settings(max_examples=20)
@given(rows_of(records.ROLLOUTS.schema))
def test_equal_rows_make_equal_bytes(rows: list[dict[str, Any]]) -> None:
    """Two copies of one unit must publish one file, and its digest must say that nothing changed."""
    one, other = (
        records.to_bytes(records.table(list(rows), records.ROLLOUTS), records.ROLLOUTS, "x") for _ in range(2)
    )
    assert one == other


class Everything(TypedDict):
    number: int
    small: records.Int32
    value: float
    flag: bool
    text: str
    tokens: records.Tokens
    texts: list[str]
    dialogue: list[records.Message]


def test_columns_are_made_from_the_type_of_the_rows() -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    columns = [
        ("number", pa.int64()),
        ("small", pa.int32()),
        ("value", pa.float64()),
        ("flag", pa.bool_()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.int32())),
        ("texts", pa.list_(pa.string())),
        ("dialogue", pa.list_(message)),
    ]
    assert records.Record("everything", Everything).schema.equals(pa.schema(columns))


def test_keys_that_a_record_does_not_have_are_left_out() -> None:
    assert records.table([{**PROMPT, "rank": 1}], records.PROMPTS).to_pylist() == [PROMPT]


def test_a_table_in_pieces_is_one_file() -> None:
    pieces = pa.concat_tables([prompts().slice(0, 0), prompts(), prompts()])
    assert records.from_bytes(records.to_bytes(pieces, records.PROMPTS, "x"), records.PROMPTS, "x").to_pylist() == [
        PROMPT,
        PROMPT,
    ]


def test_parquet_that_others_wrote_is_read() -> None:
    """Without Arrow's own schema in the file, lists' elements have another name; the columns' order is free too."""
    data = parquet(prompts().select(["given", "messages", "row_id"]), store_schema=False, compression="none")
    assert records.from_bytes(data, records.PROMPTS, "x").to_pylist() == [PROMPT]


def test_comparisons_of_an_earlier_version_are_read() -> None:
    """They lack the columns that say who judged."""
    row = {"row_id": 1, "index": 0, "first": 0, "second": 1, "abstained": False, "repeated": False, "winner": 1}
    row |= {"forward": 0.25, "backward": 0.5, "probability": 0.375}
    made = records.table([{**row, "oracle": "", "members": []}], records.COMPARISONS)
    read = records.from_bytes(parquet(made.drop_columns(["oracle", "members"])), records.COMPARISONS, "old")
    assert read.equals(made)


# --- what does not fit -----------------------------------------------------------------------------------------------

ROW_MISTAKES = [
    ({"row_id": "a"}, "row_id: Could not convert 'a' with type str: tried to convert to int64"),
    ({"row_id": 2**70}, "row_id: Python int too large to convert to C long"),
    ({"row_id": True}, "row_id: Expected integer, got bool"),
    ({"row_id": None}, "row_id has 1 nulls"),
    ({"messages": None}, "messages has 1 nulls"),
    ({"messages": [None]}, "messages has 1 nulls"),
    ({"messages": [{"role": "user"}]}, "messages has 1 nulls"),
    ({"messages": [{"role": None, "content": None}, None]}, "messages has 3 nulls"),
    ({"messages": "Where?"}, "messages: Could not convert 'W' with type str: was expecting a dict"),
    (
        {"messages": [{"role": "user", "content": "\ud83d"}]},
        r"messages: 'utf-8' codec can't encode character '\ud83d' in position 0: surrogates not allowed",
    ),
]


@pytest.mark.parametrize(("mistake", "reason"), ROW_MISTAKES)
def test_a_row_that_does_not_fit_is_refused(mistake: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError) as caught:
        records.table([PROMPT, {**PROMPT, **mistake}], records.PROMPTS)
    assert str(caught.value).startswith(f"rows: column {reason}")


@pytest.mark.parametrize("column", LOGPROB)
def test_a_value_that_a_row_lacks_is_missed(column: str) -> None:
    row = {name: value for name, value in LOGPROB.items() if name != column}
    with pytest.raises(UserError, match=f"^rows: column {column} has 1 nulls$"):
        records.table([LOGPROB, row], records.LOGPROBS)


def test_a_token_id_above_32_bits_is_refused() -> None:
    row = dict.fromkeys(records.ROLLOUTS.schema.names, 0) | {"prompt_ids": [1], "response_ids": [2**31]}
    with pytest.raises(UserError, match=r"^rows: column response_ids: Value 2147483648 too large"):
        records.table([{**row, "role": "", "text": "", "finish": "", "logprob": []}], records.ROLLOUTS)


nulls_inside = pa.array([[{"role": "user", "content": None}]], records.PROMPTS.schema.field("messages").type)
FILE_MISTAKES = [
    (prompts().drop_columns("messages"), "column messages is missing; columns there: row_id, given"),
    (
        prompts().append_column("rank", pa.array([1])).append_column("note", pa.array([""])),
        "unknown column note, rank; columns of this record: row_id, messages, given",
    ),
    (prompts().set_column(0, "row_id", pa.array([1], pa.int32())), "column row_id is int32, not int64"),
    (prompts().set_column(0, "row_id", pa.array([None], pa.int64())), "column row_id has 1 nulls"),
    (prompts().set_column(1, "messages", nulls_inside), "column messages has 1 nulls"),
    (
        prompts().set_column(1, "messages", pa.array(["Where?"])),
        "column messages is string, not list<item: struct<role: string, content: string>>",
    ),
]


@pytest.mark.parametrize(("table", "reason"), FILE_MISTAKES, ids=[reason for _, reason in FILE_MISTAKES])
def test_a_table_that_does_not_fit_is_neither_written_nor_read(table: pa.Table, reason: str) -> None:
    with pytest.raises(UserError) as written:
        records.to_bytes(table, records.PROMPTS, "prompts/00001.parquet")
    with pytest.raises(UserError) as read:
        records.from_bytes(parquet(table), records.PROMPTS, "prompts/00001.parquet")
    assert str(written.value) == str(read.value) == f"prompts/00001.parquet: {reason}"


def test_one_name_for_two_columns_is_refused() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["row_id", "row_id"])
    with pytest.raises(UserError, match=r"^x: "):
        records.from_bytes(parquet(twice), records.PROMPTS, "x")


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"row_id,messages\n1,[]\n", b"PAR1" + bytes(64) + b"PAR1"],
    ids=["empty", "magic", "csv", "zeros"],
)
def test_what_is_no_parquet_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match=r"^x\.parquet: not a Parquet file, or damaged: ") as caught:
        records.from_bytes(data, records.PROMPTS, "x.parquet")
    assert len(str(caught.value).splitlines()) == 1


WHOLE = parquet(prompts(), compression="zstd")


@pytest.mark.parametrize("tenth", range(10))
def test_a_file_cut_short_is_refused(tenth: int) -> None:
    with pytest.raises(UserError, match=r"^x\.parquet: "):
        records.from_bytes(WHOLE[: len(WHOLE) * tenth // 10], records.PROMPTS, "x.parquet")


def test_a_damaged_page_is_refused() -> None:
    data = bytearray(WHOLE)
    data[20:60] = bytes(40)
    with pytest.raises(UserError, match=r"^x\.parquet: not a Parquet file, or damaged: "):
        records.from_bytes(bytes(data), records.PROMPTS, "x.parquet")
