"""Files beside the run roots: the cache, of which everything is deleted that no kept run needs, and the ledgers of
prompts."""

import time
from collections.abc import Iterator, Mapping, Sequence

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest
from nashflow.components.models.identity import digest_of
from nashflow.components.storage import layout
from nashflow.components.storage.dropped import dropped
from nashflow.components.storage.store_keys import Entry
from nashflow.components.storage.units import read_manifest

from .inventory import MANIFEST, Entries, Inventory, RunRoot

Folders = Mapping[str, Entries]
"""Files by folder, `cache/logprobs/<policy>` or `cache/references/<digest>`, or by ledger."""


def unreferenced(inventory: Inventory, kept: Sequence[RunRoot], limit: float) -> Folders:
    """The folders of the cache that no kept run refers to and nobody wrote to within the last `limit` seconds."""
    folders: dict[str, dict[str, Entry]] = {}
    for key, entry in inventory.shared.items():
        folders.setdefault("/".join(key.split("/")[:3]).removesuffix(MANIFEST), {})[key] = entry
    policies = {digest for run in kept for digest in _policies(run)}
    # A run whose run.json is damaged does not say what it starts from.
    everything = any(run.run is None for run in kept)
    named = {run.run.inputs.get("policy", "") for run in kept if run.run}

    def referred(folder: str) -> bool:
        kind, _, last = folder.rpartition("/")
        if kind == layout.LOGPROB_CACHE:
            return last in policies | named
        return kind != "cache/references" or everything or last in named

    since = time.time() - limit
    return {
        folder: entries
        for folder, entries in folders.items()
        if not referred(folder) and all(entry.modified <= since for entry in entries.values())
    }


def _policies(run: RunRoot) -> Iterator[str]:
    """Digests of a run's policies, but for those whose files are not kept: nothing scores by them."""
    for key in run.entries:
        if (
            key.startswith("policies/")
            and key.endswith(MANIFEST)
            and not dropped(run.store, key.removesuffix(MANIFEST))
        ):
            manifest = read_manifest(run.store, key.removesuffix(MANIFEST))
            yield digest_of(manifest) if manifest else ""


def forgotten(inventory: Inventory, names: Sequence[str]) -> Folders:
    """The ledgers of the prompts that runs of these names have taken.

    Without its ledger a recurring run finds all prompts new, so that none goes by its age.

    Raises:
        UserError: there is no such ledger.
    """
    there = [key for key in inventory.shared if key.startswith("ledgers/")]
    ledgers = {f"ledgers/{name}": [key for key in there if key.startswith(f"ledgers/{name}/")] for name in names}
    for folder, keys in ledgers.items():
        if not keys:
            name, known = folder.removeprefix("ledgers/"), {key.split("/")[1] for key in there}
            place = inventory.prefix.location("ledgers")
            raise UserError(f"--forget {name}: no ledger of that name in {place}{nearest(name, known)}")
    return {folder: {key: inventory.shared[key] for key in keys} for folder, keys in ledgers.items()}
