"""Checkpoints of a training: its weights and AdamW's moments as safetensors, whatever number of processes shares them.

Each of several ranks writes a part, with its digest; any number of ranks reads them again.
"""

import contextlib
import json
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..core.digests import digest_json, sha256_file
from ..core.errors import TryAgain, UserError
from ..storage.store import Store
from .descent import Descent, Tensors

_TOLD, _TENSORS = ".json", ".safetensors"
_OWN = "digest"
"""What is told of a part has a digest of the rest of it by this name."""


class Checkpoints:
    """Checkpoints of one training, `<folder>/<fingerprint>/update-…`; the newest whole one counts, older ones go.

    Writing goes on in the background; an error there is raised at the next checkpoint.
    """

    def __init__(self, store: Store, folder: str, fingerprint: str) -> None:
        self._store = store
        self._folder = folder
        self._prefix = f"{folder}/{fingerprint}"
        self._writer = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._begun = time.monotonic()
        self.spent = 0.0
        """Seconds that earlier attempts took for the updates that were restored."""

    def beside(self, name: str) -> "Checkpoints":
        """Others of the same training, which go with these."""
        store, prefix = self._store, self._prefix
        return Checkpoints(store, self._folder, f"{prefix.rpartition('/')[2]}-{name}")

    def save(self, update: int, descent: Descent, curves: Any) -> None:
        """Copy the state after `update` updates and write it in the background, or nothing if SIGTERM has come.

        One that comes meanwhile takes effect after the copy; the process then ends when it is written.
        """
        self.wait()
        with sigterm_waits() as come:
            if descent.gathered([come()]).any():
                return
            mine = {
                f"{name}.{key}": tensor
                for place, (name, tensors) in enumerate(descent.state())
                if place % descent.ranks == descent.rank
                for key, tensor in tensors.items()
            }
            seconds = round(self.spent + time.monotonic() - self._begun, 3)
            told = {"update": update, "seconds": seconds, "curves": curves if descent.rank == 0 else {}}
            name = f"{self._prefix}/update-{update:08d}/part-{descent.rank:05d}-of-{descent.ranks:05d}"
            self._pending = self._writer.submit(self._write, name, mine, json.dumps(told))

    def wait(self) -> None:
        """Wait for the checkpoint in the making, and raise its error."""
        if self._pending:
            self._pending.result()

    def restore(self, descent: Descent) -> tuple[int, Any] | None:
        """Bring a training to the newest checkpoint; its update and curves, or None where there is none.

        Raises:
            UserError: a part of it is damaged.
            TryAgain: ranks see different ones, as another attempt at this training writes meanwhile.
        """
        descent.gathered([0.0])  # from here on the parts that other ranks have waited for are there
        names = next(self._whole(), [])
        newest = int(names[0].split("/")[-2].rpartition("-")[2]) if names else 0
        if (descent.gathered([newest]) != newest).any():
            raise TryAgain("another attempt at this training writes checkpoints now: run the same command again")
        if not names:
            return None
        told = [self._told(name) for name in names]
        with tempfile.TemporaryDirectory(prefix="nashflow-checkpoint-") as scratch, contextlib.ExitStack() as files:
            mine = range(descent.rank, len(names), descent.ranks)
            parts = {part: self._opened(files, names[part], told[part], Path(scratch, f"{part}")) for part in mine}

            def read(place: int, name: str) -> tuple[int, Tensors]:
                part = place % len(names)
                return part % descent.ranks, parts[part](name) if part in parts else {}

            descent.load_state(told[0]["update"], read)
        self.spent = told[0]["seconds"]
        return told[0]["update"], told[0]["curves"]

    def restore_only(self, update: int, descent: Descent) -> None:
        """Bring a training to the checkpoint of an update, which is the newest one.

        Raises:
            UserError: it is not; or as `restore`.
        """
        restored = self.restore(descent)
        if restored is None or restored[0] != update:
            raise UserError(
                f"the weights after update {update}, the training's best, are not kept: an earlier attempt has come to "
                f"other numbers; delete {self._store.location(self._folder)} and run the same command again"
            )

    def discard(self) -> None:
        """Delete every checkpoint, those of other settings included, once the policy is published."""
        self.wait()
        for key in self._store.list(self._folder):
            self._store.delete(key)

    def _write(self, name: str, tensors: Any, told: str) -> None:
        from safetensors.torch import save_file

        local = Path(tempfile.mkdtemp(prefix="nashflow-checkpoint-"))
        try:
            save_file(tensors, local / "part")
            digest = sha256_file(local / "part")
            self._store.upload(local / "part", f"{name}.{digest[:16]}{_TENSORS}")
        finally:
            shutil.rmtree(local)
        # Last: a part without it is not seen.
        whole = {**json.loads(told), "sha256": digest}
        self._store.write(f"{name}{_TOLD}", json.dumps({**whole, _OWN: digest_json(whole)}).encode())
        folder = name.rpartition("/")[0]
        if any(parts[0].startswith(f"{folder}/") for parts in self._whole()):
            # Only older ones: another copy of this training may be ahead.
            for key in self._store.list(self._prefix):
                if key < folder:
                    self._store.delete(key)

    def _whole(self) -> Iterator[list[str]]:
        """The names of all parts of each whole checkpoint, the newest first."""
        keys = self._store.list(self._prefix)
        written = {key.rsplit(".", 2)[0] for key in keys if key.endswith(_TENSORS)}
        told = written & {key.removesuffix(_TOLD) for key in keys if key.endswith(_TOLD)}
        for first in sorted((name for name in told if "/part-00000-of-" in name), reverse=True):
            head, _, count = first.rpartition("-of-")
            parts = [f"{head[:-5]}{part:05d}-of-{count}" for part in range(int(count))]
            if told.issuperset(parts):
                yield parts

    def _told(self, name: str) -> dict[str, Any]:
        """What is told of a part."""
        key = f"{name}{_TOLD}"
        try:
            told = json.loads(self._store.read(key))
        except ValueError:
            raise self._damaged(key) from None
        if told.pop(_OWN, "") != digest_json(told):
            raise self._damaged(key)
        return dict(told)

    def _damaged(self, key: str) -> UserError:
        return UserError(
            f"{self._store.location(key)}: damaged, its content does not match its digest: delete "
            f"{self._store.location(key.rpartition('/')[0])} and run the same command again"
        )

    def _opened(
        self, files: contextlib.ExitStack, name: str, told: dict[str, Any], path: Path
    ) -> Callable[[str], Tensors]:
        """A function that reads the tensors of a weight of a part."""
        from safetensors import safe_open

        key = f"{name}.{told['sha256'][:16]}{_TENSORS}"
        self._store.download(key, path)
        if sha256_file(path) != told["sha256"]:
            raise self._damaged(key)
        file = files.enter_context(safe_open(path, "pt"))
        keys = list(file.keys())
        return lambda weight: {
            key.removeprefix(f"{weight}."): file.get_tensor(key) for key in keys if key.rpartition(".")[0] == weight
        }


@contextlib.contextmanager
def sigterm_waits() -> Iterator[Callable[[], bool]]:
    """Within this block SIGTERM only takes note; afterwards it takes effect. Gives whether it has come."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    come: list[Any] = []
    before = signal.signal(signal.SIGTERM, lambda *caught: come.append(caught))
    try:
        yield lambda: bool(come)
    finally:
        signal.signal(signal.SIGTERM, before)
    if come:
        signal.raise_signal(signal.SIGTERM)
