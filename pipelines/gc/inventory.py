"""What lies below a prefix: every file with its size and when it was written, sorted into runs and what they share."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from nashflow.components.core.atomic_file import HIDDEN
from nashflow.components.core.errors import UserError
from nashflow.components.iterations.units import Shape
from nashflow.components.runtime import lock
from nashflow.components.storage import layout, outcome
from nashflow.components.storage.run import Run, read_run
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import read_manifest

MANIFEST = ".manifest.json"
_LOCK = f"{layout.LOCK}/"
_FOLDERS = ("iterations/", "policies/", "recipes/", "report/", "tracking/", f"{layout.PREPARATION}/", _LOCK)
_FILES = (layout.RUN, layout.PREPARATION + MANIFEST)
_MARKS = (layout.PREPARATION, layout.policy(0, "main"), "iterations/*/prompts/*")
"""Units of preparation."""
_SHARED = ("cache", "ledgers")


class Entry(NamedTuple):
    """A file: its size in bytes, and when it was written, in seconds since the epoch."""

    size: int
    modified: float


Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class RunRoot:
    """A folder that may be a run root: its store, and its files by key."""

    store: Store
    entries: Entries

    @property
    def uri(self) -> str:
        """The run root."""
        return self.store.uri

    @cached_property
    def run(self) -> Run | None:
        """The run, or None: one that found no new prompts or has just begun, or whose `run.json` is damaged."""
        try:
            return read_run(self.store)
        except UserError:
            return None

    @property
    def damaged(self) -> bool:
        """Whether there is a `run.json` that cannot be read."""
        return self.run is None and layout.RUN in self.entries

    @cached_property
    def mark(self) -> str:
        """What makes it a run root: `run.json`, what preparation leaves without it, or a lock; empty: it is none."""
        if layout.RUN in self.entries:
            return layout.RUN
        if found := next(filter(self._is_mark, sorted(self.entries)), ""):
            return found
        return layout.LOCK if any(key.startswith(_LOCK) for key in self.entries) and lock.exists(self.store) else ""

    def _is_mark(self, key: str) -> bool:
        """Whether it is a manifest of ours, or the outcome of a run: others have files of these names too."""
        if key == layout.OUTCOME:
            return outcome.read(self.store) is not None
        unit = key.removesuffix(MANIFEST)
        if not any(fnmatchcase(key, f"{known}{MANIFEST}") for known in _MARKS):
            return False
        manifest = read_manifest(self.store, unit)
        return manifest is not None and manifest.unit == unit

    @cached_property
    def finished(self) -> bool:
        """Whether the run has reported on its last iteration."""
        if not self.run:
            return False
        units = Shape.of(self.run).evaluations(int(self.run.recipe["run"]["iterations"]))
        report, *evaluated = (self.entries.get(f"{key}{MANIFEST}") for key in (layout.REPORT, *units))
        return report is not None and all(each and report.modified >= each.modified for each in evaluated)

    @property
    def ended(self) -> bool:
        """Whether nothing goes on with the run: it gave its lock back, and is finished or left its outcome last.

        A run whose pods wait for a node may write nothing for days, and its lock lapses meanwhile.
        """
        left = self.entries.get(layout.OUTCOME)
        closed = left is not None and left.modified >= self.written
        return not self.locked_by and (closed or self.finished)

    @cached_property
    def locked_by(self) -> str:
        """The owner, alive or not, of a lock that has not been given back; empty if there is none."""
        return lock.held_by(self.store)[0] if any(key.startswith(_LOCK) for key in self.entries) else ""

    @property
    def written(self) -> float:
        """When the run last wrote anything but its lock, in seconds since the epoch."""
        return max((entry.modified for entry in self.work.values()), default=0.0)

    @cached_property
    def own(self) -> Entries:
        """The files that runs write; others are nobody's to delete."""
        return {key: entry for key, entry in self.entries.items() if key in _FILES or key.startswith(_FOLDERS)}

    @property
    def work(self) -> Entries:
        """The run's own files but for its lock."""
        return {key: entry for key, entry in self.own.items() if not key.startswith(_LOCK)}

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
    folders: frozenset[str]
    """Names of all other folders, run roots or not."""


def take(prefix: Store) -> Inventory:
    """List everything below a prefix.

    Raises:
        UserError: the prefix is a run root itself.
    """
    if prefix.exists(layout.RUN):
        raise UserError(f"{prefix.uri} is a run root: give the folder or s3:// prefix that holds it")
    folders: dict[str, dict[str, Entry]] = {}
    for key, entry in entries(prefix):
        folder, slash, name = key.partition("/")
        if slash:
            folders.setdefault(folder, {})[name] = entry
    shared = {f"{name}/{key}": entry for name in _SHARED for key, entry in folders.pop(name, {}).items()}
    roots = (RunRoot(prefix.at(name), found) for name, found in sorted(folders.items()))
    return Inventory(prefix, tuple(root for root in roots if root.mark), shared, frozenset(folders))


def entries(store: Store) -> Iterator[tuple[str, Entry]]:
    """Every file of a store with its key."""
    return _objects(store.uri) if "://" in store.uri else _files(Path(store.uri))


def _files(root: Path) -> Iterator[tuple[str, Entry]]:
    for parent, _, names in os.walk(root):
        for path in (Path(parent, name) for name in names if not name.startswith(HIDDEN)):
            try:
                found = path.lstat()
            except FileNotFoundError:  # gone since it was listed
                continue
            yield path.relative_to(root).as_posix(), Entry(found.st_size, found.st_mtime)


def _objects(uri: str) -> Iterator[tuple[str, Entry]]:
    import boto3

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    root = f"{prefix}/" if prefix else ""
    pages = boto3.session.Session().client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=root):
        # some consoles keep an empty object `folder/` for a folder
        for item in (item for item in page.get("Contents", []) if not item["Key"].endswith("/")):
            yield item["Key"].removeprefix(root), Entry(item["Size"], item["LastModified"].timestamp())
