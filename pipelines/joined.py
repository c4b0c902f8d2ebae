"""Rows of comparisons and pairs, with the texts of the responses that they refer to."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def with_messages(rows: pa.Table, prompts: pa.Table) -> pa.Table:
    """The rows and, as `messages`, the dialogue that each continues, found by `row_id`."""
    return rows.append_column("messages", _found(rows["row_id"], prompts["row_id"], prompts["messages"]))


def with_texts(rows: pa.Table, responses: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The rows and, as `<column>_text`, the response that each of the columns, which hold samples, names."""
    width = pa.scalar(1 + (pc.max(responses["sample"]).as_py() or 0), pa.int64())

    def keys(table: pa.Table, column: str) -> pa.ChunkedArray:
        return pc.add(pc.multiply(table["row_id"], width), table[column])

    for column in columns:
        texts = _found(keys(rows, column), keys(responses, "sample"), responses["text"])
        rows = rows.append_column(f"{column}_text", texts)
    return rows


def _found(wanted: pa.ChunkedArray, keys: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The value of each wanted key."""
    return values.take(pc.index_in(wanted, keys.combine_chunks()))
