"""Resumable training state: parameters and AdamW's moments as safetensors, the update reached as JSON."""

import copy
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..storage.store import Store

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_STATE = "state.json"
_FILES = ("weights.safetensors", "moments.safetensors", _STATE)


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

    def save(self, update: int, model: "PreTrainedModel", optimizer: "torch.optim.Optimizer", curves: Any) -> None:
        """Copy the state after `update` updates and write it in the background."""
        self.wait()
        moments = {
            f"{name}.{key}": value.detach().clone().cpu()
            for name, parameter in _trained(model)
            for key, value in optimizer.state[parameter].items()
        }
        weights = {name: parameter.detach().clone().cpu() for name, parameter in _trained(model)}
        self._pending = self._writer.submit(self._write, weights, moments, self._state(update, curves))

    def wait(self) -> None:
        """Wait for the checkpoint in the making, and raise its error."""
        if self._pending:
            self._pending.result()

    def restore(self, model: "PreTrainedModel", optimizer: "torch.optim.Optimizer") -> tuple[int, Any] | None:
        """Bring model and optimizer to the newest checkpoint; its update and curves, or None where there is none."""
        folder = self._newest()
        if folder is None:
            return None
        state = json.loads(self._store.read(f"{folder}/{_STATE}"))
        self.spent = state.get("seconds", 0.0)  # earlier versions do not say it
        weights, moments = self._load(folder, "weights"), self._load(folder, "moments")
        import torch

        with torch.no_grad():
            for name, parameter in _trained(model):
                parameter.copy_(weights[name])
                prefix = f"{name}."
                optimizer.state[parameter] = {
                    key.removeprefix(prefix): value.to(parameter.device) if key != f"{prefix}step" else value
                    for key, value in moments.items()
                    if key.startswith(prefix) and "." not in key.removeprefix(prefix)
                }
        return state["update"], state["curves"]

    def discard(self) -> None:
        """Delete every checkpoint, those of other settings included, once the policy is published."""
        self.wait()
        for key in self._store.list(self._folder):
            self._store.delete(key)

    def _state(self, update: int, curves: Any) -> dict[str, Any]:
        seconds = round(self.spent + time.monotonic() - self._begun, 3)
        return {"update": update, "seconds": seconds, "curves": copy.deepcopy(curves)}

    def _write(self, weights: Any, moments: Any, state: dict[str, Any]) -> None:
        from safetensors.torch import save_file

        folder = f"{self._prefix}/update-{state['update']:08d}"
        local = Path(tempfile.mkdtemp(prefix="nashflow-checkpoint-"))
        try:
            for name, tensors in (("weights", weights), ("moments", moments)):
                save_file(tensors, local / f"{name}.safetensors")
                self._store.upload(local / f"{name}.safetensors", f"{folder}/{name}.safetensors")
        finally:
            shutil.rmtree(local)
        # Last: a checkpoint without it is not seen.
        self._store.write(f"{folder}/{_STATE}", json.dumps(state).encode())
        # Only older ones: another copy of this training may be ahead.
        for key in self._store.list(self._prefix):
            if key < folder:
                self._store.delete(key)

    def _newest(self) -> str | None:
        """The folder of the newest whole checkpoint."""
        keys = set(self._store.list(self._prefix))
        folders = sorted({key.rpartition("/")[0] for key in keys}, reverse=True)
        return next((folder for folder in folders if all(f"{folder}/{name}" in keys for name in _FILES)), None)

    def _load(self, folder: str, name: str) -> dict[str, "torch.Tensor"]:
        from safetensors.torch import load

        return load(self._store.read(f"{folder}/{name}.safetensors"))


def _trained(model: "PreTrainedModel") -> Iterator[tuple[str, "torch.nn.Parameter"]]:
    """The parameters that are trained, by name: with an adapter, its own."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
