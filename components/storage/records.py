"""The schemas of every Parquet record, and reading and writing them.

Rows stand in the order of their prompt's `row_id` everywhere. No column holds nulls.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import UserError

_TOKENS = pa.list_(pa.int32())
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

PROMPTS = pa.schema([("row_id", pa.int64()), ("messages", _MESSAGES), ("given", pa.list_(pa.string()))])
"""`row_id`: the prompt's place in the run's stream of prompts; `messages`: the dialogue that the response continues;
`given`: responses that come with it, a teacher's, or a chosen and a rejected one."""

ROLLOUTS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("sample", pa.int32()),
        ("role", pa.string()),
        ("prompt_ids", _TOKENS),
        ("response_ids", _TOKENS),
        ("text", pa.string()),
        ("finish", pa.string()),
    ]
)
"""One response. `sample`: 0 … K-1 within its prompt; `role`: pair, opponent or given; `response_ids` include the final
EOS where the model ended by itself (`finish` = stop; length otherwise); `text`: without special tokens."""

COMPARISONS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("index", pa.int32()),
        ("first", pa.int32()),
        ("second", pa.int32()),
        ("forward", pa.float64()),
        ("backward", pa.float64()),
        ("probability", pa.float64()),
        ("abstained", pa.bool_()),
        ("repeated", pa.bool_()),
        ("winner", pa.int32()),
    ]
)
"""One comparison of two samples of a prompt, in the order asked (`index`). `forward` and `backward`: P(first ≻ second)
as the oracle saw them in this order and in the swapped one; `probability`: their mean; `repeated`: the pair had met
before, or is one text twice, so no oracle call was made; `winner`: the sample that goes on. In an evaluation `first`
numbers the policy's responses, `second` the reference's, and `winner` is 0 where the policy's wins, else 1."""

PAIRS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("pair", pa.int32()),
        ("chosen", pa.int32()),
        ("rejected", pa.int32()),
        ("prompt_ids", _TOKENS),
        ("chosen_ids", _TOKENS),
        ("rejected_ids", _TOKENS),
        ("probability", pa.float64()),
        ("chosen_label", pa.float64()),
        ("rejected_label", pa.float64()),
    ]
)
"""One training pair. `probability`: P(chosen ≻ rejected), or 1/2 and half the difference of their win rates where they
were measured against others; labels: z in [-1, 1] of either side against the other (1 and -1 for binary and sampled
labels, ±(2p - 1) for soft ones), or its mean against those others. They multiply the objective's target."""

LOGPROBS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("pair", pa.int32()),
        ("policy", pa.string()),
        ("chosen", pa.float64()),
        ("rejected", pa.float64()),
    ]
)
"""A policy's log-probabilities of a pair's two sides, in nats: sums over the response tokens, or means where the phase
says so."""

GAME_POLICY = pa.schema([("context", pa.int32()), ("response", pa.int32()), ("logprob", pa.float64())])
"""A policy on the sandbox world, exactly: log π(response | context), normalised over the world's responses."""

CACHE = pa.schema([("key", pa.string()), ("logprob", pa.float64())])
"""The log-prob cache: `key` is the SHA-256 of the prompt and response token ids."""


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of the schema; keys that it does not have are left out.

    Raises:
        UserError: a value is missing, null or does not fit its column; names the column and the reason.
    """
    columns = []
    for field in schema:
        try:
            columns.append(pa.array([row.get(field.name) for row in rows], field.type))
        except (ValueError, TypeError, OverflowError) as error:  # a lone surrogate, another type, a large integer
            raise UserError(f"rows: column {field.name}: {error}") from None
    made = pa.Table.from_arrays(columns, schema=schema)
    _check(made, schema, "rows")
    return made


def to_bytes(rows: pa.Table, schema: pa.Schema, where: str) -> bytes:
    """A table as the bytes of a Parquet file, after checking it against its schema."""
    _check(rows, schema, where)
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def from_bytes(data: bytes, schema: pa.Schema, where: str) -> pa.Table:
    """The table in a Parquet file's bytes.

    Raises:
        UserError: not a Parquet file, or a column is missing, unknown, of another type or has nulls; names `where`,
            the column and the reason.
    """
    try:
        rows = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:  # pyarrow says of most damages that they are input and output errors
        raise UserError(f"{where}: not a Parquet file, or damaged: {' '.join(str(error).split())}") from None
    _check(rows, schema, where)
    return rows


def _check(rows: pa.Table, schema: pa.Schema, where: str) -> None:
    for field in schema:
        if field.name not in rows.column_names:
            raise UserError(f"{where}: column {field.name} is missing; columns there: {', '.join(rows.column_names)}")
        column = rows.column(field.name)
        if column.type != field.type:
            raise UserError(f"{where}: column {field.name} is {column.type}, not {field.type}")
        if nulls := sum(_nulls(chunk) for chunk in column.chunks):
            raise UserError(f"{where}: column {field.name} has {nulls} nulls")
    if unknown := sorted(set(rows.column_names) - set(schema.names)):
        known = ", ".join(schema.names)
        raise UserError(f"{where}: unknown column {', '.join(unknown)}; columns of this record: {known}")


def _nulls(values: pa.Array) -> int:
    """Nulls among the values and inside them: elements of lists, fields of structs."""
    inside: list[pa.Array] = []
    if pa.types.is_list(values.type):
        inside = [values.flatten()]
    elif pa.types.is_struct(values.type):
        inside = values.drop_null().flatten()
    return int(values.null_count) + sum(_nulls(part) for part in inside)
