"""Units of work: each is done once, becomes visible all at once, and is found again by later runs.

A unit is one shard of one step, one training or one evaluation. It is done when its manifest exists and matches the
unit's fingerprint: the step's version, its settings and the digests of all its inputs. Files are written under keys
that carry their digest and the manifest goes last, so nothing half-written is ever seen, and two copies of one pod
cannot interleave.
"""

import contextlib
import contextvars
import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import pyarrow as pa

from ..core.digests import digest_json, sha256_bytes, sha256_file
from ..core.errors import UserError
from ..core.machine import machine
from . import layout, records
from .dropped import dropped, restore
from .records import Record, RowT
from .store import Store, open_store
from .store_keys import check_key

_MOVED = {"weights": "weights_digest", "curves": "curves"}


@dataclass(frozen=True)
class File:
    """A published file: its key in the store, SHA-256, size in bytes and, for records, number of rows."""

    key: str
    sha256: str
    size: int
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The record of a finished unit."""

    unit: str
    version: int
    fingerprint: str
    settings: str
    inputs: Mapping[str, str]
    files: Mapping[str, File]
    metrics: Mapping[str, float]
    seconds: float
    finished: int
    """Milliseconds since the epoch."""
    weights_digest: str = ""
    """Of a policy's weights."""
    master: str = ""
    """Of a policy's weights in float32, from which the next training starts; empty if it starts from these."""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Of a training: one figure an update, by name."""
    package: str = field(default_factory=lambda: package_version("nashflow"))
    machine: str = ""
    """What it was made on; empty in manifests of earlier versions."""
    source: str | None = None
    """The folder or URI that the files' keys are relative to, where that is not the run root: a checked pointer."""

    @cached_property
    def digest(self) -> str:
        """Identity of the content: the digest of the files' names and digests."""
        return digest_json({name: file.sha256 for name, file in self.files.items()})

    @property
    def began(self) -> int:
        """When the work that finished it began, in milliseconds since the epoch."""
        return self.finished - int(self.seconds * 1000)

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Manifest":
        """The manifest in a JSON value; one of version 0.1.0 has digest and curves among the metrics."""
        metrics = dict(data["metrics"])
        moved = {new: metrics.pop(old) for old, new in _MOVED.items() if old in metrics}
        data = {**data, "metrics": metrics, **moved}
        made = cls(**{**data, "files": {name: File(**file) for name, file in data["files"].items()}})
        made._check_names()
        return made

    def _check_names(self) -> None:
        """Raise if one of the files would lie outside of the folder that it is read from or copied to.

        Raises:
            UserError: names the unit and the file.
        """
        for name, file in self.files.items():
            try:
                check_key(name)
                check_key(file.key)
            except ValueError as error:
                raise UserError(
                    f"{self.unit}{layout.MANIFEST} names a file that is {error}: it was edited; delete it, and run the "
                    "recipe again"
                ) from None

    def read(self, store: Store, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            UserError: the bytes do not have the recorded digest.
        """
        file, origin = self.files[name], self._origin(store)
        data = origin.read(file.key)
        if sha256_bytes(data) != file.sha256:
            raise UserError(_damaged(origin.location(file.key)))
        return data

    def check_records(self, store: Store) -> None:
        """Read every file of records.

        Raises:
            UserError: the bytes do not have the recorded digest.
        """
        for name, file in self.files.items():
            if file.rows is not None:
                self.read(store, name)

    def table(self, store: Store, record: Record[Any]) -> pa.Table:
        """The records of one kind, checked against digest and schema."""
        where = self._origin(store).location(self.files[record.name].key)
        return records.from_bytes(self.read(store, record.name), record, where)

    def rows(self, store: Store, record: Record[RowT]) -> list[RowT]:
        """The records of one kind as rows."""
        rows: list[RowT] = self.table(store, record).to_pylist()
        return rows

    def stream(self, store: Store, record: Record[RowT]) -> Iterator[RowT]:
        """The records of one kind as rows, of which few are in memory at a time."""
        with TemporaryDirectory(prefix="nashflow-records-") as scratch:
            path = Path(scratch, record.name)
            self._fetch(store, record.name, path)
            yield from records.read(path, record, self._origin(store).location(self.files[record.name].key))

    def fetch(self, store: Store, folder: Path) -> None:
        """Copy every file into `folder` under its name, checked against its digest."""
        for name in self.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(store, name, target)

    def _fetch(self, store: Store, name: str, target: Path) -> None:
        file, origin = self.files[name], self._origin(store)
        origin.download(file.key, target)
        if sha256_file(target) != file.sha256:
            target.unlink()
            raise UserError(_damaged(origin.location(file.key)))

    def _origin(self, store: Store) -> Store:
        return open_store(self.source) if self.source else store


def _damaged(location: str) -> str:
    return f"{location}: its content does not match the digest in its manifest; delete it and run again to recreate it"


class Unfinished(Exception):
    """Raised when there is work to do and the caller only asks whether there is."""


_asked: contextvars.ContextVar[dict[Any, Any] | None] = contextvars.ContextVar("asked", default=None)
T = TypeVar("T")


@contextlib.contextmanager
def only_asking() -> Iterator[None]:
    """Within this block a step does no work: a unit that is not finished raises Unfinished.

    The records of one that is finished are read and checked against their digests, which no step does for its own.
    """
    token = _asked.set({})
    try:
        yield
    finally:
        _asked.reset(token)


def asking() -> bool:
    """Whether this is within `only_asking`."""
    return _asked.get() is not None


def read_once_while_asking(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """A function that reads a file or folder: within one block of `only_asking` it reads none twice."""

    @functools.wraps(read)
    def remembered(path: Path) -> T:
        known = _asked.get()
        if known is None:
            return read(path)
        if (read, path) not in known:
            known[read, path] = read(path)
        return cast(T, known[read, path])

    return remembered


@dataclass(frozen=True)
class Unit:
    """One unit of work under a run root; see the module's docstring."""

    store: Store
    key: str
    version: int
    settings: Any
    """A JSON value: everything that the unit's result depends on besides its inputs."""
    inputs: Mapping[str, str]
    """Digest of each input of the unit, by name."""

    @cached_property
    def fingerprint(self) -> str:
        """Digest of version, settings and inputs: equal fingerprints, equal results."""
        return digest_json([self.version, self.settings, dict(self.inputs)])

    @property
    def name(self) -> str:
        """The same in all attempts at it, and another one under other settings or inputs."""
        return f"{self.key}/{self.fingerprint[:16]}"

    def finished(self) -> Manifest | None:
        """The manifest, if the unit is done as it would be done now, and its files are there in their sizes."""
        manifest = self._if_finished(_read(self.store, self.key))
        if asking():
            if manifest is None:
                raise Unfinished(self.key)
            manifest.check_records(self.store)
        return manifest

    def _if_finished(self, data: bytes | None) -> Manifest | None:
        manifest = _parsed(data)
        if manifest is None or manifest.fingerprint != self.fingerprint:
            return None
        origin = open_store(manifest.source) if manifest.source else self.store
        there = all(origin.size(file.key) == file.size for file in manifest.files.values())
        return manifest if there or dropped(self.store, self.key) else None

    def publish_records(
        self,
        tables: Mapping[Record[Any], Iterable[Mapping[str, Any]]],
        metrics: Mapping[str, float | None],
        started: float,
    ) -> Manifest:
        """Write rows of some kinds of records, then the manifest."""
        return self.publish(self.write_records(tables), metrics, started)

    def write_records(self, tables: Mapping[Record[Any], Iterable[Mapping[str, Any]]]) -> dict[str, File]:
        """Write rows of some kinds of records as they come: the files to publish."""
        folder, _, name = self.key.rpartition("/")
        files = {}
        with TemporaryDirectory(prefix="nashflow-records-") as scratch:
            for record, rows in tables.items():
                path = Path(scratch, record.name)
                count, digest = records.write(rows, record, path), sha256_file(path)
                key = f"{folder.rpartition('/')[0]}/{record.name}/{name}.{digest[:16]}.parquet"
                self.store.upload(path, key)
                files[record.name] = File(key, digest, path.stat().st_size, count)
        return files

    def publish_folder(
        self, folder: Path, metrics: Mapping[str, float | None], started: float, **fields: Any
    ) -> Manifest:
        """Upload every file of `folder` under a key that carries the folder's digest, then write the manifest.

        Raises:
            UserError: a link out of the folder is among them.
        """
        if links := sorted(path for path in folder.rglob("*") if _leads_out(path, folder)):
            raise UserError(f"{links[0]}: is a link, which is not copied: put the file in its place, as cp -rL does")
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        digests = {name: sha256_file(folder / name) for name in names}
        prefix = f"{self.key}/{digest_json(digests)[:16]}"
        files = {}
        for name, digest in digests.items():
            self.store.upload(folder / name, f"{prefix}/{name}")
            files[name] = File(f"{prefix}/{name}", digest, (folder / name).stat().st_size)
        restore(self.store, self.key)
        return self.publish(files, metrics, started, **fields)

    def publish_pointer(
        self,
        folder: Path,
        names: Iterable[str],
        metrics: Mapping[str, float | None],
        started: float,
        **fields: Any,
    ) -> Manifest:
        """Publish the files `names` of a folder that stays where it is, which every step has to see."""
        files = {}
        for name in names:
            files[name] = File(name, sha256_file(folder / name), (folder / name).stat().st_size)
        return self.publish(files, metrics, started, source=str(folder), **fields)

    def publish(
        self, files: Mapping[str, File], metrics: Mapping[str, float | None], started: float, **fields: Any
    ) -> Manifest:
        """Write the manifest, which makes the unit done; `started` is the `time.time()` at which its work began.

        Metrics that are None do not apply and are left out; `fields` are further fields of the manifest.

        Where another copy of the unit has published the same work meanwhile, its manifest is returned instead: others
        may have read it. That holds also where the copies replace another manifest, that of other settings or one
        whose files are gone: its successor is decided by creating the key that carries its digest, and all of them
        write that one. The run root's lock sees to it that no two publish work with different settings at once; the
        later one would stand.
        """
        manifest = Manifest(
            unit=self.key,
            version=self.version,
            fingerprint=self.fingerprint,
            settings=digest_json(self.settings),
            inputs=dict(self.inputs),
            files=dict(files),
            metrics={name: value for name, value in metrics.items() if value is not None},
            seconds=round(time.time() - started, 3),
            finished=int(time.time() * 1000),
            machine=machine(),
            **fields,
        )
        data, key = json.dumps(manifest.to_json(), indent=1, sort_keys=True).encode(), _manifest_key(self.key)
        while not (done := self._if_finished(before := _read(self.store, self.key))):
            decided = key if before is None else f"{self.key}/replacing/{sha256_bytes(before)[:16]}.json"
            created = self.store.create(decided, data)
            if decided != key:
                self.store.write(key, self.store.read(decided))
            if created:
                return manifest
        return done


def _leads_out(path: Path, folder: Path) -> bool:
    """Whether a path is a link to somewhere else; a snapshot of Hugging Face's cache has its files beside it."""
    home = folder.parent.parent if folder.parent.name == "snapshots" else folder
    return path.is_symlink() and not path.resolve().is_relative_to(home.resolve())


def read_manifest(store: Store, key: str) -> Manifest | None:
    """The manifest of the unit `key`, or None while it is not done; manifests of another form do not count."""
    return _parsed(_read(store, key))


def require_manifest(store: Store, key: str) -> Manifest:
    """The manifest of a unit that must be done.

    Raises:
        UserError: it is not: the step that makes it has to run first.
    """
    manifest = read_manifest(store, key)
    if manifest is None:
        raise UserError(f"{store.location(key)}: not there yet; run the step that makes it first")
    return manifest


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.read(_manifest_key(key))
    except FileNotFoundError:
        return None


def _parsed(data: bytes | None) -> Manifest | None:
    try:
        return Manifest.from_json(json.loads(data)) if data else None
    except (ValueError, TypeError, KeyError):
        return None


def _manifest_key(key: str) -> str:
    return f"{key}{layout.MANIFEST}"
