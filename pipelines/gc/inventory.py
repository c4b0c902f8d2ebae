"""What lies below a prefix: every file with its size and when it was written, sorted into runs and what they share."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from nashflow.components.shared import layout
from nashflow.components.shared.atomic_file import HIDDEN
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.run import Run, read_run
from nashflow.components.shared.store import Store

_MARKS = (layout.RUN, layout.LOCK, "preparation.manifest.json")
_WRITTEN_BY_RUNS = ("iterations/", "policies/", "report/", *_MARKS)
_REPORTED = "report/report.manifest.json"


class Entry(NamedTuple):
    """A file: its size in bytes, and when it was written, in seconds since the epoch."""

    size: int
    modified: float


Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class RunRoot:
    """A run root: its store, and its files by key."""

    store: Store
    entries: Entries

    @property
    def uri(self) -> str:
        """The run root."""
        return self.store.uri

    @cached_property
    def run(self) -> Run | None:
        """The run, or None: one that found no new prompts, or whose `run.json` is damaged."""
        try:
            return read_run(self.store)
        except UserError:
            return None

    @property
    def damaged(self) -> bool:
        """Whether there is a `run.json` that cannot be read."""
        return self.run is None and layout.RUN in self.entries

    @property
    def finished(self) -> bool:
        """Whether the run has written its report."""
        return _REPORTED in self.entries

    @property
    def written(self) -> float:
        """When the run last wrote anything but its lock, in seconds since the epoch."""
        return max((entry.modified for key, entry in self.own.items() if key != layout.LOCK), default=0.0)

    @cached_property
    def own(self) -> Entries:
        """The files that runs write; others are nobody's to delete."""
        return {key: entry for key, entry in self.entries.items() if key.startswith(_WRITTEN_BY_RUNS)}

    @property
    def size(self) -> int:
        """Bytes of the run's own files."""
        return sum(entry.size for entry in self.own.values())


@dataclass(frozen=True)
class Inventory:
    """The run roots right below a prefix, and the files below its folders `cache` and `ledgers`."""

    prefix: Store
    runs: tuple[RunRoot, ...]
    shared: Entries


def take(prefix: Store) -> Inventory:
    """List everything below a prefix.

    Raises:
        UserError: the prefix is a run root itself, or has no runs.
    """
    if prefix.exists(layout.RUN):
        raise UserError(f"{prefix.uri} is a run root: give the folder or s3:// prefix that holds it")
    folders: dict[str, dict[str, Entry]] = {}
    for key, entry in entries(prefix):
        folder, _, name = key.partition("/")
        folders.setdefault(folder, {})[name] = entry
    shared = {f"{name}/{key}": entry for name in ("cache", "ledgers") for key, entry in folders.pop(name, {}).items()}
    runs = (RunRoot(prefix.at(name), found) for name, found in folders.items() if not found.keys().isdisjoint(_MARKS))
    inventory = Inventory(prefix, tuple(sorted(runs, key=lambda run: run.uri)), shared)
    if not inventory.runs:
        raise UserError(f"{prefix.uri}: no runs right below it; give the folder or s3:// prefix that holds run roots")
    return inventory


def entries(store: Store) -> Iterator[tuple[str, Entry]]:
    """Every file of a store with its key."""
    return _objects(store.uri) if "://" in store.uri else _files(Path(store.uri))


def _files(root: Path) -> Iterator[tuple[str, Entry]]:
    for parent, _, names in os.walk(root):
        for path in (Path(parent, name) for name in names if not name.startswith(HIDDEN)):
            found = path.stat()
            yield path.relative_to(root).as_posix(), Entry(found.st_size, found.st_mtime)


def _objects(uri: str) -> Iterator[tuple[str, Entry]]:
    import boto3

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    root = f"{prefix}/" if prefix else ""
    pages = boto3.session.Session().client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=root):
        for item in page.get("Contents", []):
            yield item["Key"].removeprefix(root), Entry(item["Size"], item["LastModified"].timestamp())
