"""The units of work of a run root, and which of them each was made from: found by digests, not by their places."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from nashflow.components.core.errors import UserError
from nashflow.components.models.identity import digest_of
from nashflow.components.storage import layout
from nashflow.components.storage.run import Run, require_run
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Manifest

_AT_ONCE = 16
_REFERENCE = re.compile(rf"{layout.POLICIES}/0+/[^/]+")
_FROM_A_UNIT = re.compile(
    r"((pairs|logprobs) \d+|prompts|reused|rollouts|responses|opponents|start|policy|reference|\d+/.+)"
)
"""Names of inputs that are always units of the same run; the others are settings, oracles and dates."""


@dataclass(frozen=True)
class Units:
    """What lies under a run root: the run, and the manifests of its units that have files, by unit."""

    store: Store
    run: Run
    manifests: Mapping[str, Manifest]
    damaged: Sequence[str]
    """Places of manifests that cannot be read."""

    @classmethod
    def under(cls, store: Store) -> "Units":
        """Read the run and all of its manifests.

        Raises:
            UserError: there is no run.
        """
        run, keys = require_run(store), [key for key in store.list() if _is_manifest(key)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = dict(zip(keys, pool.map(lambda key: _parsed(store.read(key)), keys), strict=True))
        manifests = {each.unit: each for each in read.values() if each and each.files}
        return cls(store, run, manifests, [store.location(key) for key, manifest in read.items() if not manifest])

    @cached_property
    def by_digest(self) -> dict[str, list[str]]:
        """The units that have a digest, of their files, weights or whole policy; those finished first go first."""
        found: dict[str, list[str]] = {}
        for key, manifest in sorted(self.manifests.items(), key=lambda item: item[1].finished):
            for digest in {manifest.digest, manifest.weights_digest, *_policy(manifest)} - {""}:
                found.setdefault(digest, []).append(key)
        return found

    @cached_property
    def by_file(self) -> dict[str, str]:
        """The unit of each file, by its key under the run root."""
        own = ((key, each) for key, each in self.manifests.items() if not each.source)
        return {file.key: key for key, manifest in own for file in manifest.files.values()}

    def sources(self, key: str) -> dict[str, str]:
        """The units that a unit was made from, by the name of the input; empty where none has its digest now."""
        manifest = self.manifests[key]
        named = {name: self._having(digest, name, key) for name, digest in manifest.inputs.items()}
        found = {name: unit for name, unit in named.items() if unit or _FROM_A_UNIT.fullmatch(name)}
        judges = self.run.judges if "oracle" in manifest.inputs else ()
        return found | {judge: layout.judge(judge) for judge in judges if layout.judge(judge) in self.manifests}

    def _having(self, digest: str, name: str, reader: str) -> str:
        units = [unit for unit in self.by_digest.get(digest, []) if unit != reader]
        named = f"{layout.POLICIES}/{name}"
        return named if named in units else next(iter(units), "")

    def before(self, keys: Iterable[str]) -> list[str]:
        """Units and all that these were made from, in the order of their making."""
        return self._closure(keys, lambda key: self.sources(key).values())

    def after(self, key: str) -> list[str]:
        """The units that were made from one, directly or not, in the order of their making."""
        users: dict[str, list[str]] = {}
        for user in self.manifests:
            for source in self.sources(user).values():
                users.setdefault(source, []).append(user)
        return [unit for unit in self._closure([key], lambda unit: users.get(unit, [])) if unit != key]

    def _closure(self, keys: Iterable[str], of: Callable[[str], Iterable[str]]) -> list[str]:
        found: dict[str, None] = {}
        open_ = list(keys)
        while open_:
            key = open_.pop()
            if key not in found:
                found[key] = None
                open_ += [each for each in of(key) if each]
        return sorted(found, key=lambda key: (self.manifests[key].finished, key))

    @property
    def references(self) -> list[str]:
        """The units of the policies that the run started from."""
        return [key for key in self.manifests if _REFERENCE.fullmatch(key)]

    def unit_of(self, key: str) -> str:
        """The unit that a key under the run root is of: its manifest, one of its files, or a folder of its files.

        Raises:
            UserError: it is of none, or of several.
        """
        key = key.rstrip("/").removesuffix(layout.MANIFEST)
        if found := key if key in self.manifests else self.by_file.get(key, ""):
            return found
        inside = {unit for file, unit in self.by_file.items() if file.startswith(f"{key}/")}
        if len(inside) == 1:
            return inside.pop()
        where = self.store.location(key)
        if inside:
            raise UserError(f"{where}: holds {len(inside)} units of work, such as {min(inside)}: name one, or the run")
        raise UserError(f"{where}: no manifest of the run {self.store.uri} names it: the run did not make it, or anew")


def _is_manifest(key: str) -> bool:
    return key.endswith(layout.MANIFEST)


def _parsed(data: bytes) -> Manifest | None:
    try:
        return Manifest.from_json(json.loads(data))
    except (ValueError, TypeError, KeyError):
        return None


def _policy(manifest: Manifest) -> set[str]:
    """The digest of the whole policy that a unit is, which other units name it by; none of another unit."""
    return {digest_of(manifest)} if manifest.weights_digest else set()
