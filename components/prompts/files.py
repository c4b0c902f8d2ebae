"""The entries of a file: JSON (a list, or an object a line), CSV, Parquet or Arrow, plain or compressed.

Each entry comes with where it stands. Nothing guesses at types: a prompt that looks like a date or a number, or says
null, stays the text that it is. A file is read piece by piece, and of Parquet and Arrow only the columns wanted.
"""

import csv
import json
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Collection, Iterator
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import UserError, one_line

Entries = Iterator[tuple[str, Any]]
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_PIECE, _ROWS = 1 << 20, 256
_BETWEEN = re.compile(r"[ \t\r\n,]*")


class File(NamedTuple):
    """A file of prompts: its name for people, and the path or address that it is opened by."""

    name: str
    address: str

    @property
    def kind(self) -> str:
        """The suffix before those of compression, such as .csv."""
        suffixes = [suffix.lower() for suffix in PurePosixPath(self.name).suffixes]
        return next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")


def entries(file: File, columns: Collection[str]) -> Entries:
    """The entries of a file, each with where it stands; those of Parquet and Arrow have the `columns` that there are.

    Raises:
        UserError: the file is missing or unreadable; names it, and the line.
    """
    try:
        yield from _READERS.get(file.kind, _json)(file, columns)
    except FileNotFoundError:
        raise UserError(
            f"{file.name}: no such file; set prompts.path to a JSON, JSONL, CSV, Parquet or Arrow file of prompts, a "
            "folder or a pattern"
        ) from None
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException, csv.Error, zlib.error, LZMAError) as error:
        raise UserError(_unreadable(file, one_line(error) or "it ends too early")) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "zstandard":
            raise
        raise UserError(_unreadable(file, error)) from None


def _unreadable(file: File, why: object) -> str:
    return (
        f"{file.name}: cannot be read as prompts: {one_line(why)}; set prompts.path to JSON, JSONL, CSV, Parquet or "
        "Arrow files, plain or as .gz, .bz2, .xz or .zst"
    )


def _open(file: File, mode: str, **text: Any) -> Any:
    import fsspec

    # Of an archive, which it would open too, it reads the first file alone.
    packed = "infer" if file.name.lower().endswith(COMPRESSED) else None
    return fsspec.open(file.address, mode, compression=packed, **text)


def _text(file: File, newline: str) -> Any:
    """The file's text, with or without a byte order mark."""
    return _open(file, "rt", encoding="utf-8-sig", newline=newline)


def _json(file: File, columns: Collection[str]) -> Entries:
    with _text(file, "\n") as text:
        while (first := text.read(1)).isspace():
            continue
    with _text(file, "\n") as text:  # JSON's texts may hold other line separators as they are
        is_list = first == "[" and file.kind not in (".jsonl", ".ndjson")
        yield from (_list if is_list else _lines)(file, text)


def _lines(file: File, text: IO[str]) -> Entries:
    for number, line in enumerate(text, start=1):
        if line.strip():
            where = f"{file.name}: line {number}"
            try:
                yield where, json.loads(line.rstrip("\r\n"))
            except json.JSONDecodeError as error:
                raise UserError(f"{where}: not JSON: {error}") from None


def _list(file: File, text: IO[str]) -> Entries:
    """The entries of a list, of which never more than a piece is held."""
    decoder, piece, index = json.JSONDecoder(), text.read(_PIECE), 0
    at = piece.index("[") + 1
    while True:
        at = _BETWEEN.match(piece, at).end()  # type: ignore[union-attr]
        if piece[at : at + 1] == "]":
            if (piece[at + 1 :] + text.read(_PIECE)).strip():
                raise UserError(f"{file.name}: not JSON: there is more after the list's end")
            return
        try:
            value, at = decoder.raw_decode(piece, at)
        except json.JSONDecodeError as error:
            if not (more := text.read(max(_PIECE, len(piece) - at))):
                raise UserError(f"{file.name}: entry {index}: not JSON: {error.msg}") from None
            piece, at = piece[at:] + more, 0
            continue
        yield f"{file.name}: entry {index}", value
        index += 1


def _csv(file: File, columns: Collection[str]) -> Entries:
    csv.field_size_limit(sys.maxsize)
    with _text(file, "") as text:
        rows = csv.DictReader(text, delimiter="\t" if file.kind == ".tsv" else ",", strict=True)
        for row in rows:
            where = f"{file.name}: line {rows.line_num}"
            if None in row or None in row.values():
                cells = len(rows.fieldnames or ())
                raise UserError(f"{where}: it does not have as many cells as the first line, {cells}")
            yield where, row


def _parquet(file: File, columns: Collection[str]) -> Entries:
    with _seekable(file) as data:
        found = pq.ParquetFile(data, buffer_size=_PIECE)
        wanted = [name for name in found.schema_arrow.names if name in columns]
        yield from _rows(file, found.iter_batches(_ROWS, columns=wanted), found.schema_arrow.names)


def _arrow(file: File, columns: Collection[str]) -> Entries:
    with _seekable(file) as data:
        is_file = data.read(6) == b"ARROW1"
        data.seek(0)
        found = pa.ipc.open_file(data) if is_file else pa.ipc.open_stream(data)
        batches = map(found.get_batch, range(found.num_record_batches)) if is_file else iter(found)
        wanted = [name for name in found.schema.names if name in columns]
        pieces = (
            batch.select(wanted).slice(start, _ROWS) for batch in batches for start in range(0, batch.num_rows, _ROWS)
        )
        yield from _rows(file, pieces, found.schema.names)


def _rows(file: File, batches: Iterator[Any], names: list[str]) -> Entries:
    """The rows of batches; a column that was not wanted is there, but empty."""
    index, others = 0, dict.fromkeys(names)
    for batch in batches:
        for row in batch.to_pylist():
            yield f"{file.name}: row {index}", {**others, **row}
            index += 1


def _seekable(file: File) -> Any:
    """The file's bytes, of which any can be read next; those of a compressed one are unpacked first."""
    opened = _open(file, "rb")
    if not file.name.lower().endswith(COMPRESSED):
        return opened
    unpacked = tempfile.TemporaryFile(prefix="nashflow-prompts-")  # noqa: SIM115
    with opened as packed:
        shutil.copyfileobj(packed, unpacked, _PIECE)
    unpacked.seek(0)
    return unpacked


_READERS = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".arrow": _arrow, ".feather": _arrow, ".ipc": _arrow}
