"""Forwards: what used a policy, a data set or another unit of a run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nashflow.components.core.errors import UserError
from nashflow.components.models.identity import digest_of
from nashflow.components.registry.version import Version
from nashflow.components.storage import layout
from nashflow.components.storage.claims import claimants
from nashflow.components.storage.run import flatten
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Manifest, read_manifest
from nashflow.components.tracking.registry import lies_under

from ..gc.inventory import RunRoot, take
from .registered import Mlflow
from .traced import Use
from .units import Units

_RUN = "run:"


def runs_below(prefix: Store) -> Sequence[RunRoot]:
    """The run roots right below a folder or prefix; if it is one itself, those beside it."""
    if prefix.exists(layout.RUN):
        try:
            prefix = prefix.at("..")
        except UserError:  # a whole bucket
            return []
    return take(prefix).runs


@dataclass(frozen=True)
class Forwards:
    """What used units of a run: those of the run itself, other runs in a folder or known to MLflow, models."""

    units: Units
    wanted: Sequence[str]
    """The units; empty: all of the run."""
    others: Sequence[RunRoot]
    mlflow: Mlflow

    def uses(self) -> list[Use]:
        """All of them; each place once for each way of using."""
        found = [*self._within(), *self._in_runs(), *self._claims(), *self._in_mlflow(), *self._models()]
        once: dict[tuple[str, ...], Use] = {}
        for use in found:  # a claim knows the place alone, not the run's name
            once.setdefault((use.place, use.how, "" if use.kind == "run" else use.name), use)
        return list(once.values())

    @property
    def _uri(self) -> str:
        return self.units.store.uri

    @property
    def _taken(self) -> Mapping[str, Manifest]:
        """The units whose uses are looked for."""
        return {key: self.units.manifests[key] for key in self.wanted or self.units.manifests}

    def _within(self) -> Iterator[Use]:
        found: dict[str, list[str]] = {}
        for unit in dict.fromkeys(unit for key in self.wanted for unit in self.units.after(key)):
            found.setdefault(_kind(unit), []).append(unit)
        for kind, units in found.items():
            iterations = sorted({int(each) for unit in units for each in re.findall(r"/(\d+)/", f"{unit}/")[:1]})
            word = "iterations" if len(iterations) > 1 else "iteration"
            span = f" of {word} {', '.join(map(str, iterations))}" if iterations else ""
            yield Use("units", kind, self._uri, f"{_counted(len(units), 'unit')}{span}")

    def _in_runs(self) -> Iterator[Use]:
        for other in self.others:
            if other.run and other.uri != self._uri:
                reuses = {"reuses its comparisons": None} if self._uri in other.run.reused else {}
                for how in {**self._starts(other), **self._names(other), **self._same_prompts(other), **reuses}:
                    yield Use("run", other.run.name, other.uri, how)

    def _starts(self, other: RunRoot) -> dict[str, None]:
        """How another run's starting policies are among the units."""
        keys = [key.removesuffix(layout.MANIFEST) for key in other.entries if key.startswith(f"{layout.POLICIES}/000/")]
        weights = {manifest.weights_digest: key for key, manifest in self._made_here.items()}
        begun = (read_manifest(other.store, key) for key in keys if f"{key}{layout.MANIFEST}" in other.entries)
        found = (weights.get(manifest.weights_digest) for manifest in begun if manifest)
        return {f"starts from the weights of {key}": None for key in found if key}

    @property
    def _made_here(self) -> dict[str, Manifest]:
        """The models among the units that the run made; its reference only where that is asked for by itself."""
        models = {key: manifest for key, manifest in self._taken.items() if manifest.weights_digest}
        return {key: manifest for key, manifest in models.items() if self.wanted or key not in self.units.references}

    def _names(self, other: RunRoot) -> dict[str, None]:
        """The settings of another run that name the run root or a place in it, as its opponents or its judge."""
        recipe = flatten(other.run.recipe) if other.run else {}
        texts = {key: value.removeprefix(_RUN) for key, value in recipe.items() if isinstance(value, str)}
        places = [self.units.store.location(key) for key in self.wanted] or [self._uri]
        named = {key for key, value in texts.items() for place in places if lies_under(value.partition("@")[0], place)}
        return {f"names it in {', '.join(sorted(named))}": None} if named else {}

    def _same_prompts(self, other: RunRoot) -> dict[str, None]:
        """That another run dealt out the same shards of prompts."""
        digests = {manifest.digest for key, manifest in self._taken.items() if "/prompts/" in key}
        keys = [key.removesuffix(layout.MANIFEST) for key in other.entries if "/prompts/" in key]
        theirs = (read_manifest(other.store, key) for key in keys if f"{key}{layout.MANIFEST}" in other.entries)
        count = sum(bool(manifest and manifest.digest in digests) for manifest in theirs) if digests else 0
        return {f"has the same prompts, in {_counted(count, 'shard')}": None} if count else {}

    def _claims(self) -> Iterator[Use]:
        for key in self._made_here:
            for place in claimants(self.units.store, key):
                yield Use("run", "", place, f"starts from the weights of {key}")

    def _in_mlflow(self) -> Iterator[Use]:
        for key, manifest in self._made_here.items():
            for run in self.mlflow.with_input("policy", digest_of(manifest)):
                if run.run_root and run.run_root != self._uri:
                    yield Use("run", run.name, run.run_root, f"starts from the weights of {key}")

    def _models(self) -> Iterator[Use]:
        for key in self.wanted or [""]:
            place = self.units.store.location(key) if key else self._uri
            yield from (registered(version, aliases) for version, aliases in self.mlflow.of_place(place))


def registered(version: Version, aliases: Sequence[str]) -> Use:
    """A version of a registered model, as a use of its policy."""
    rolled_back = [version.rolled_back] if version.rolled_back else []
    return Use("model", version.uri, version.place, ", ".join(["registered", *aliases, *rolled_back]))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count > 1 else ''}"


def _kind(unit: str) -> str:
    """The kind of a unit: what tells it from those of another iteration."""
    known = [part for part in unit.split("/") if part in (*layout.KINDS, layout.POLICIES, layout.JUDGES)]
    return known[0] if known else unit.partition("/")[0]
