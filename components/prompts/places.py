"""The files of a path: one, those of a folder, those that fit a pattern, objects in S3, or a data set of the hub."""

import fnmatch
import glob
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import UserError, one_line
from ..storage.store import open_store
from .files import File
from .settings import PromptSource

_HUB, _S3 = "hf://", "s3://"
_PATTERN = re.compile(r"[*?\[]")
_ABOUT = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Files that describe a data set."""
_TABLES = {".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather"}


@contextmanager
def files_of(path: str, source: PromptSource) -> Iterator[list[File]]:
    """The files of one path, in order; what has to be fetched first is gone afterwards.

    Raises:
        UserError: there are none, a split has to be named, or the hub or the store does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="nashflow-prompts-") as scratch:
        if path.startswith(_HUB):
            yield _of_data_set(path, path.removeprefix(_HUB), source, scratch)
        elif path.startswith(_S3):
            yield _fetched(path, source, scratch)
        else:
            yield _local(path, path, source, scratch)


def _local(name: str, path: str, source: PromptSource, scratch: str) -> list[File]:
    """Files on this machine; `name`: the place in messages."""
    if os.path.isdir(path):
        files = _of_data_set(name, path, source, scratch)
        _check_kinds(name, path, {file.kind for file in files})
        return [File(os.path.join(name, os.path.relpath(file.address, path)), file.address) for file in files]
    _check_unsplit(name, source)
    if os.path.exists(path) or not _PATTERN.search(path):
        return [File(name, path)]
    found = sorted(each for each in glob.glob(path, recursive=True) if os.path.isfile(each))
    if not found:
        raise UserError(f"{name}: no file fits this pattern; correct prompts.path")
    return [File(each, each) for each in found]


def _check_kinds(name: str, folder: str, read: set[str]) -> None:
    """Refuse a folder of which files of other kinds would be left out without a word."""
    there = {File(str(path), "").kind for path in Path(folder).rglob("[!.]*") if path.is_file()}
    if others := sorted((there & _TABLES) - read):
        raise UserError(
            f"{name}: it holds files of several kinds, {', '.join(sorted(read))} and {', '.join(others)}: set "
            f"prompts.path to those of one kind, such as {name}/*{others[0]}*"
        )


def _check_unsplit(name: str, source: PromptSource) -> None:
    """Refuse settings that single files do not have."""
    for setting in ("subset", "split", "revision"):
        if getattr(source, setting):
            raise UserError(f"{name}: prompts.{setting} is for folders and data sets of the hub: remove it")


def _fetched(path: str, source: PromptSource, scratch: str) -> list[File]:
    """Objects in S3, fetched: one, those below a prefix, or those that fit a pattern."""
    bucket, _, key = path.removeprefix(_S3).partition("/")
    store = open_store(f"{_S3}{bucket}")
    folder = _PATTERN.split(key)[0].rpartition("/")[0] if _PATTERN.search(key) else key
    if store.exists(key):
        keys = [key]
    elif folder != key:
        keys = [each for each in store.list(folder) if fnmatch.fnmatchcase(each, key)]
    else:
        keys = store.list(key)
    if not keys:
        raise UserError(f"{path}: no such object, and none below it; correct prompts.path")
    for each in keys:
        store.download(each, Path(scratch, "objects", each))
    if keys == [key] or folder != key:
        _check_unsplit(path, source)
        return [File(f"{_S3}{bucket}/{each}", str(Path(scratch, "objects", each))) for each in keys]
    return _local(path.rstrip("/"), str(Path(scratch, "objects", key.rstrip("/"))), source, scratch)


def _of_data_set(name: str, path: str, source: PromptSource, scratch: str) -> list[File]:
    """The files of one split of a folder, or of a data set of the hub, as `datasets` finds them."""
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns of every attempt
    try:
        built = datasets.load_dataset_builder(
            path, source.subset or None, cache_dir=scratch, revision=source.revision or None
        )
        splits = {str(split): [str(file) for file in files] for split, files in (built.config.data_files or {}).items()}
    except Exception as error:  # of many kinds: the hub's, the network's, the library's own
        raise UserError(f"{name}: {_advice(name)}: {one_line(error)}") from None
    if source.revision and not name.startswith(_HUB):
        raise UserError(f"{name}: prompts.revision is for data sets of the hub: remove it")
    if not (source.split or source.subset or name.startswith(_HUB)):
        _check_splits(name, path, splits)
    chosen = source.split or (next(iter(splits)) if len(splits) == 1 else "train")
    if chosen not in splits:
        raise UserError(
            f"{name}: no split {chosen!r}; set prompts.split to one of {', '.join(sorted(splits)) or 'none'}"
        )
    return [File(file, file) for file in splits[chosen]]


def _check_splits(name: str, folder: str, splits: Mapping[str, Sequence[str]]) -> None:
    """Refuse a folder with files that are in no split, as beside a `test.jsonl` those that no split is named after."""
    found = {os.path.realpath(file) for files in splits.values() for file in files}
    kinds = {File(file, "").kind for file in found}
    for each in sorted(Path(folder).rglob("[!.]*")):
        inside = each.relative_to(folder)
        if File(each.name, "").kind not in kinds or each.name in _ABOUT or os.path.realpath(each) in found:
            continue
        raise UserError(
            f"{name}: {inside} would be left out, since other files have names of splits: set prompts.path to a "
            f"pattern such as {os.path.join(name, inside.with_name('*' + each.suffix))}, or prompts.split to one of "
            f"{', '.join(sorted(splits))}"
        )


def _advice(name: str) -> str:
    if name.startswith(_HUB):
        return (
            "this data set of the Hugging Face hub cannot be reached from here; check name, prompts.subset and "
            "prompts.revision, or download it and set prompts.path to the folder"
        )
    return "this folder cannot be read as one set of prompts; name its files, or set prompts.subset if it has some"
