"""Backwards: the units that something was made from, and the runs that its starting policies came from."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from nashflow.components.core.errors import UserError
from nashflow.components.core.redaction import redact
from nashflow.components.core.version import VERSION
from nashflow.components.recipe import Recipe
from nashflow.components.storage import layout, outcome, recipes
from nashflow.components.storage.run import Run, flatten
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Manifest

from .origins import Origin, origins
from .traced import Source, State, TracedRun, TracedUnit
from .units import Units
from .verify import faults, kept

_AT_ONCE = 8
_MAY_BE_GONE = "master"
"""An input that is deleted once it is used up."""

Tags = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""From what `run.json` says of MLflow to what MLflow says of the run."""


@dataclass
class Backwards:
    """Traces runs to the reference policy; a run that several lines of descent lead to is traced in each."""

    tags: Tags
    verify: bool
    done: Callable[[int], object]
    """Told of the bytes of each unit whose files were read."""
    _above: list[str] = field(default_factory=list)

    def run(self, store: Store, wanted: Sequence[str]) -> TracedRun:
        """Trace units of a run; all of them where none is named.

        Raises:
            UserError: there is no run, or it goes round in a circle, which no run makes.
        """
        units = Units.under(store)
        keys = units.before(wanted or units.manifests)
        from_outside = [origin for origin in origins(units) if origin.unit in keys]
        if store.uri in self._above:
            raise UserError(f"{store.uri}: starts from its own descendant: one of its manifests was changed")
        self._above.append(store.uri)
        parents = [self.run(each.store, [each.made]) for each in from_outside if each.store and each.made]
        self._above.pop()
        return self._traced(units, list(wanted), self._units(units, keys), from_outside, parents)

    def _units(self, units: Units, keys: Sequence[str]) -> list[TracedUnit]:
        models = [key for key in keys if units.manifests[key].weights_digest]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            records = pool.map(lambda key: self._unit(units, key), [key for key in keys if key not in models])
            found = {each.unit: each for each in records}
        # A model in S3 passes through the disk: one at a time.
        found |= {key: self._unit(units, key) for key in models}
        return [found[key] for key in keys]

    def _unit(self, units: Units, key: str) -> TracedUnit:
        manifest, sources = units.manifests[key], units.sources(key)
        wrong = [*_without_source(units, key, sources)]
        state: State = "not verified"
        if not kept(units.store, manifest):
            state = "not kept"
        elif self.verify:
            damaged = faults(units.store, manifest)
            state, wrong = "damaged" if damaged else "verified", [*wrong, *damaged]
            self.done(_bytes(manifest))
        return TracedUnit(
            unit=key,
            digest=manifest.digest,
            weights=manifest.weights_digest,
            place=units.store.location(f"{key}{layout.MANIFEST}"),
            files=len(manifest.files),
            bytes=_bytes(manifest),
            rows=sum(file.rows or 0 for file in manifest.files.values()),
            inputs={name: Source(digest, sources.get(name, "")) for name, digest in manifest.inputs.items()},
            finished=manifest.finished,
            seconds=manifest.seconds,
            package=manifest.package,
            machine=manifest.machine,
            state=state,
            faults=wrong,
        )

    def _traced(
        self,
        units: Units,
        wanted: Sequence[str],
        traced: Sequence[TracedUnit],
        from_outside: Sequence[Origin],
        parents: Sequence[TracedRun],
    ) -> TracedRun:
        run, ended = units.run, outcome.read(units.store)
        return TracedRun(
            run_root=units.store.uri,
            name=run.name,
            traced=wanted,
            identity=run.identity,
            iterations=int(run.recipe["run"]["iterations"]),
            method=dict(run.recipe["method"]),
            settings=_chosen(run.recipe),
            recipe=_shown(run.recipe),
            prompts=run.prompts,
            inputs=dict(run.inputs),
            reused=list(run.reused),
            versions=dict(run.versions),
            machines=list(Counter(each.machine for each in traced if each.machine)),
            outcome=asdict(ended) if ended else {},
            promotion=_decided(units.store),
            mlflow=dict(run.tracking or {}),
            tags=dict(self.tags(run.tracking or {})),
            units=traced,
            faults=[
                *(f"{place}: damaged: is no manifest" for place in units.damaged),
                *_changed(units.store, units.run),
                *(each.fault for each in from_outside if each.fault),
            ],
            origins={each.unit: redact(each.said) for each in from_outside},
            parents=parents,
        )


def _decided(store: Store) -> dict[str, Any]:
    """What the step of promotion has written, if it has."""
    try:
        decision: dict[str, Any] = json.loads(store.read(f"{layout.PROMOTION}.json"))
    except FileNotFoundError:
        return {}
    return decision


def _without_source(units: Units, key: str, sources: Mapping[str, str]) -> Iterator[str]:
    """Inputs that are not there any more as they were read."""
    for name, digest in units.manifests[key].inputs.items():
        if name in sources and not sources[name] and name != _MAY_BE_GONE:
            where = units.store.location(f"{key}{layout.MANIFEST}")
            yield f"{where}: was made from {name} {digest}, and nothing under the run root has this digest now"


def _changed(store: Store, run: Run) -> Iterator[str]:
    """The recipes that are not what their names say, and a `run.json` that is not of the identity it names."""
    yield from (f"{place}: damaged: is not what preparation wrote" for place in recipes.changed(store))
    recorded = json.loads(store.read(layout.RUN)).get("identity")
    # Another version may have told identities in another way.
    if run.versions.get("nashflow") == VERSION and recorded != run.identity:
        yield f"{store.location(layout.RUN)}: damaged: its settings are not those of its identity {recorded}"


def _bytes(manifest: Manifest) -> int:
    return sum(file.size for file in manifest.files.values())


def _shown(recipe: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(redact(json.dumps(recipe)))
    return shown


def _chosen(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not at their defaults; all of them where the recipe names variants that are not here."""
    try:
        parsed = Recipe.parse(recipe, layout.RUN)
    except UserError:
        return flatten(_shown(recipe))
    shown = _shown(parsed.model_dump(mode="json"))
    sections = ({name: _differing(getattr(parsed, name), value)} for name, value in shown.items())
    return {key: value for section in sections for key, value in flatten(section).items() if value != {}}


def _differing(section: Any, shown: Any) -> Any:
    """The settings of a section that are not at their defaults, and what tells its variant."""
    if not isinstance(shown, Mapping):  # a variant's name is short for it
        return shown
    fields = type(section).model_fields
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    told = ("kind", "name")
    return {name: value for name, value in shown.items() if name in told or getattr(section, name) != defaults[name]}
