"""All files below a prefix with their sizes and times of writing, sorted into runs and shared files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from nashflow.components.core.errors import UserError
from nashflow.components.iterations.units import Shape
from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.run import Run, read_run
from nashflow.components.storage.store import Store
from nashflow.components.storage.store_keys import Entry

MANIFEST = layout.MANIFEST
_LOCK = f"{layout.LOCK}/"
_NAMES = ("iterations", layout.JUDGES, "masters", "policies", "recipes", "report", "tracking", layout.PREPARATION)
_FOLDERS = (*(f"{name}/" for name in _NAMES), _LOCK)
_FILES = (layout.RUN, layout.PREPARATION + MANIFEST)
_SHARED = ("cache", "ledgers")

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
        """The run, or None where its `run.json` is damaged."""
        try:
            return read_run(self.store)
        except UserError:
            return None

    @cached_property
    def finished(self) -> bool:
        """Whether the run has reported on its last iteration."""
        if not self.run:
            return False
        try:
            shape = Shape.of(self.run)
        except UserError:  # of variants that are not installed here: such a run is kept
            return False
        units = shape.evaluations(int(self.run.recipe["run"]["iterations"]))
        report, *evaluated = (self.entries.get(f"{key}{MANIFEST}") for key in (layout.REPORT, *units))
        return report is not None and all(each and report.modified >= each.modified for each in evaluated)

    @property
    def ended(self) -> bool:
        """Whether the run is over: it released its lock, and is finished or wrote its outcome last.

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
        """The files that runs write; others are never deleted."""
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


def take(prefix: Store) -> Inventory:
    """List everything below a prefix.

    Raises:
        UserError: the prefix is a run root itself.
    """
    if prefix.exists(layout.RUN):
        raise UserError(f"{prefix.uri} is a run root: give the folder or s3:// prefix that holds it")
    folders: dict[str, dict[str, Entry]] = {}
    for key, entry in prefix.entries().items():
        folder, slash, name = key.partition("/")
        if slash:
            folders.setdefault(folder, {})[name] = entry
    shared = {f"{name}/{key}": entry for name in _SHARED for key, entry in folders.pop(name, {}).items()}
    roots = (RunRoot(prefix.at(name), found) for name, found in sorted(folders.items()) if layout.RUN in found)
    return Inventory(prefix, tuple(roots), shared)
