"""Where prompts may lie: files of every kind, compressed or not, folders, patterns, S3, and the hub."""

import bz2
import csv
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from nashflow.components.core.errors import UserError
from nashflow.components.prompts.reading import Asked, read
from nashflow.components.prompts.settings import PromptSource
from nashflow.components.storage.store import open_store

TEXTS = ["2024-01-01", "null", "42", 'a "quoted",\ntext', "Grüße\u2028!"]
"""What readers that guess at types change."""
TABLE = pa.table({"prompt": TEXTS, "id": range(5)})


def arrow(path: Path, new: Callable[..., Any]) -> None:
    with pa.OSFile(str(path), "wb") as sink, new(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "prompt"), *enumerate(TEXTS)])


KINDS: dict[str, Callable[[Path], Any]] = {
    "x.jsonl": lambda path: path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in TEXTS)),
    "x.json": lambda path: path.write_text(json.dumps([{"prompt": text} for text in TEXTS], indent=1)),
    "x.csv": write_csv,
    "x.parquet": lambda path: pq.write_table(TABLE, path, row_group_size=2),
    "x.arrow": lambda path: arrow(path, pa.ipc.new_stream),
    "y.arrow": lambda path: arrow(path, pa.ipc.new_file),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def texts(path: Path | str, **changes: Any) -> list[str]:
    pool, _ = read(PromptSource.parse({"path": str(path), **changes}, "prompts"), Asked())
    return [prompt.messages[0]["content"] for prompt in pool]


def refusal(path: Path | str, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        texts(path, **changes)
    line = str(caught.value)
    assert line.splitlines() == [line]
    return line.removeprefix(f"{path}: ")


def lines(path: Path, *prompts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return path


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read_as_it_is_written(kind: str, packing: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / kind)
    packed = tmp_path / f"{kind}{packing}"
    packed.write_bytes(PACKED[packing]((tmp_path / kind).read_bytes()))
    assert texts(packed) == TEXTS


DATES = {
    "a timestamp": pa.array([2**62], pa.timestamp("us")),
    "a day": pa.array([9_999_999], pa.date32()),
    "a time zone": pa.array([1], pa.timestamp("ns", "America/Nowhere")),
}


@pytest.mark.parametrize("name", DATES)
def test_a_column_that_python_cannot_hold_harms_nobody(name: str, tmp_path: Path) -> None:
    table = pa.table({"prompt": ["one"], "at": DATES[name]})
    pq.write_table(table, tmp_path / "x.parquet")
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert texts(tmp_path / "x.parquet") == texts(tmp_path / "x.arrow") == ["one"]


def test_a_table_with_a_ragged_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt,id\none,1\ntwo\n")
    assert refusal(path) == "line 3: it does not have as many cells as the first line, 2"


def test_a_folder_of_shards_is_one_set_in_the_order_of_names(tmp_path: Path) -> None:
    for shard in (2, 0, 1):
        lines(tmp_path / f"part-{shard}.jsonl", f"prompt {shard}")
    assert texts(tmp_path) == ["prompt 0", "prompt 1", "prompt 2"]
    assert texts(tmp_path / "part-[12].jsonl") == ["prompt 1", "prompt 2"]
    assert texts(tmp_path / "*") == ["prompt 0", "prompt 1", "prompt 2"]


def test_a_bad_entry_in_a_folder_is_named_as_the_user_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(tmp_path / "sets" / "part-0.jsonl", "one", " ")
    monkeypatch.chdir(tmp_path)
    for name in ("sets", "sets/", "./sets"):
        assert refusal(name).removeprefix(name.rstrip("/")).startswith("/part-0.jsonl: line 2: the prompt is empty")


def test_a_folder_with_splits_is_read_by_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        lines(tmp_path / "both" / "data" / f"{split}-00000-of-00001.jsonl", split)
        lines(tmp_path / "other" / f"{split}_prefs.jsonl", split)
    assert texts(tmp_path / "both") == ["train"]
    assert texts(tmp_path / "both", split="test") == ["test"]
    assert refusal(tmp_path / "both", split="gen") == ("no split 'gen'; set prompts.split to one of test, train")


def test_a_folder_of_several_kinds_is_not_read_in_part(tmp_path: Path) -> None:
    lines(tmp_path / "a.json", "one")
    (tmp_path / "b.csv").write_text("prompt\ntwo\n")
    (tmp_path / "README.md").write_text("# A set")
    assert refusal(tmp_path) == (
        f"it holds files of several kinds, .json and .csv: set prompts.path to those of one kind, such as "
        f"{tmp_path}/*.csv*"
    )
    assert texts(tmp_path / "*.csv") == ["two"]
    (tmp_path / "b.csv").unlink()
    assert texts(tmp_path) == ["one"]


@pytest.mark.parametrize("setting", ["split", "subset", "revision"])
def test_what_a_file_does_not_have_is_not_ignored(setting: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "a" / "x.jsonl", "one")
    told = f"prompts.{setting} is for folders and data sets of the hub: remove it"
    assert refusal(path, **{setting: "x"}) == refusal(tmp_path / "a" / "*", **{setting: "x"}) == told


def test_a_folder_with_files_of_no_split_is_refused(tmp_path: Path) -> None:
    lines(tmp_path / "iter1.jsonl", "one")
    lines(tmp_path / "test_set.jsonl", "two")
    assert refusal(tmp_path) == (
        "iter1.jsonl would be left out, since other files have names of splits: set prompts.path to a pattern such as "
        f"{tmp_path}/*.jsonl, or prompts.split to one of test"
    )
    assert texts(tmp_path / "*.jsonl") == ["one", "two"]
    assert texts(tmp_path, split="test") == ["two"]


def test_an_archive_is_no_file_of_prompts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.jsonl.zip", "w") as made:
        made.writestr("a.jsonl", json.dumps({"prompt": "a"}))
        made.writestr("b.jsonl", json.dumps({"prompt": "b"}))
    assert "cannot be read as prompts" in refusal(tmp_path / "x.jsonl.zip")


def test_a_data_set_that_datasets_saved_is_read(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"prompt": ["one"]})}).save_to_disk(tmp_path / "saved")
    assert texts(tmp_path / "saved") == ["one"]


def test_a_name_with_special_letters_is_a_name(tmp_path: Path) -> None:
    for name in ("a [1].jsonl", "b#?.jsonl", "c%20.jsonl"):
        assert texts(lines(tmp_path / name, "one")) == ["one"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "*.parquet") == "no file fits this pattern; correct prompts.path"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty").startswith("this folder cannot be read as one set of prompts; name its")


def test_objects_in_s3_are_read(s3_bucket: str, tmp_path: Path) -> None:
    store = open_store(s3_bucket)
    for shard in (0, 1):
        store.write(f"sets/part-{shard}.jsonl", json.dumps({"prompt": f"prompt {shard}"}).encode())
    assert texts(f"{s3_bucket}/sets/part-1.jsonl") == ["prompt 1"]
    assert texts(f"{s3_bucket}/sets") == texts(f"{s3_bucket}/sets/part-*.jsonl") == ["prompt 0", "prompt 1"]
    assert refusal(f"{s3_bucket}/nothing") == "no such object, and none below it; correct prompts.path"
    store.write("sets/part-1.jsonl", b'{"prompt": ""}')
    assert refusal(f"{s3_bucket}/sets").startswith(f"{s3_bucket}/sets/part-1.jsonl: line 1: the prompt is empty")


def test_a_data_set_of_the_hub_that_cannot_be_reached_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert refusal("hf://somebody/something", split="train", revision="main").startswith(
        "this data set of the Hugging Face hub cannot be reached from here; check name, prompts.subset and "
        "prompts.revision, or download it and set prompts.path to the folder: "
    )
