"""The files of a benchmark: missing, altered, damaged."""

from pathlib import Path

import pytest

from nashflow.components.benchmarks.data import Data, DataFile
from nashflow.components.core.digests import sha256_bytes
from nashflow.components.core.errors import UserError
from nashflow.components.storage.store import open_store

CONTENT = b'{"a": 1}\n\n{"a": 2}\n'
FILES = (
    DataFile("lines.jsonl", "questions", sha256_bytes(CONTENT), "https://data.example/lines.jsonl"),
    DataFile("more.json", "weights", needed=False),
)


def data(folder: Path, content: bytes | None = CONTENT) -> Data:
    folder.mkdir()
    if content is not None:
        (folder / "lines.jsonl").write_bytes(content)
    return Data("toy", str(folder), FILES)


def test_files_are_read_and_told_by_their_digests(tmp_path: Path) -> None:
    made = data(tmp_path / "data")
    assert made.json_lines("lines.jsonl") == [{"a": 1}, {"a": 2}]
    assert made.digests == {"lines.jsonl": sha256_bytes(CONTENT)}
    (tmp_path / "data" / "more.json").write_bytes(b"[1]")
    made = Data("toy", str(tmp_path / "data"), FILES)
    assert made.json("more.json") == [1]
    assert made.digests == {"lines.jsonl": sha256_bytes(CONTENT), "more.json": sha256_bytes(b"[1]")}


def test_a_missing_file_is_named_with_its_digest(tmp_path: Path) -> None:
    made = data(tmp_path / "data", None)
    with pytest.raises(UserError) as caught:
        _ = made.digests
    assert str(caught.value) == (
        f"{tmp_path}/data/lines.jsonl: missing: questions of SHA-256 {sha256_bytes(CONTENT)}; nashflow benchmark "
        f"fetch toy --data {tmp_path}/data downloads it"
    )


def test_an_altered_file_is_named_with_both_digests(tmp_path: Path) -> None:
    made = data(tmp_path / "data", CONTENT + b"\n")
    with pytest.raises(UserError) as caught:
        made.json_lines("lines.jsonl")
    assert str(caught.value) == (
        f"{tmp_path}/data/lines.jsonl: its SHA-256 is {sha256_bytes(CONTENT + bytes([10]))}, not "
        f"{sha256_bytes(CONTENT)}: it is not the questions that toy is defined by; nashflow benchmark fetch toy --data "
        "ANOTHER_FOLDER downloads it"
    )


def test_no_place_is_refused() -> None:
    with pytest.raises(UserError, match=r"^benchmark toy: data is not set: set it to the folder or s3:// prefix"):
        Data("toy", "", FILES)


def test_what_is_not_json_is_named(tmp_path: Path) -> None:
    made = data(tmp_path / "data")
    (tmp_path / "data" / "more.json").write_bytes(b"[1")
    with pytest.raises(UserError, match=rf"^{tmp_path}/data/more.json: not JSON: "):
        made.json("more.json")


def test_files_below_a_prefix_are_checked_likewise(s3_bucket: str) -> None:
    store = open_store(f"{s3_bucket}/toy")
    store.write("lines.jsonl", CONTENT)
    assert Data("toy", f"{s3_bucket}/toy", FILES).json_lines("lines.jsonl") == [{"a": 1}, {"a": 2}]
    store.write("lines.jsonl", b"{}")
    with pytest.raises(UserError, match=rf"^{s3_bucket}/toy/lines.jsonl: its SHA-256 is {sha256_bytes(b'{}')}, not "):
        _ = Data("toy", f"{s3_bucket}/toy", FILES).digests
