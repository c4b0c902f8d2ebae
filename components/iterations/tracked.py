"""What the tracker is told of a run root, each part once: preparation, finished iterations, the report, decisions."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import yaml

from ..benchmarks import every_figure
from ..core.digests import digest_json
from ..core.redaction import redact_value
from ..oracles.conduct import shares
from ..oracles.usage import PREFIX, usage_in
from ..prompts.counts import figures
from ..storage import layout
from ..storage.dropped import dropped
from ..storage.run import Run, read_run, settings_of
from ..storage.store import Store
from ..storage.units import Manifest, Unit, read_manifest, require_manifest
from ..tracking.metrics import Point
from ..tracking.tracker import Dataset, Made, Tracker
from .units import Shape

VERSION = 2
RECIPE = "recipe.yaml"
"""Name of the resolved recipe among the files of the run in MLflow."""

_COST = f"{PREFIX}cost"


def catch_up(store: Store, finished: int | None = None, *, again: bool = False) -> str:
    """Send the tracker, if the run has one, what it has not been sent of it; why it could not be told all.

    Nothing is sent twice, except `again`, which changes nothing. `finished` is the iteration that has just ended.

    Raises:
        UserError: a step of that iteration is not finished.
    """
    tracker, run = Tracker.of(store), read_run(store)
    if not (tracker.uri and run and run.inputs):
        return ""
    sending = _Sending(tracker, store, run, again)
    sending.kept()
    sending.preparation()
    for iteration in range(int(run.recipe["run"]["iterations"]) + 1):
        sending.iteration(iteration, surely=iteration == finished)
    sending.report()
    return tracker.warning


class _Sending:
    """Sends the parts of a run root, each once, as units that are done when the tracker has been told of them."""

    def __init__(self, tracker: Tracker, store: Store, run: Run, again: bool) -> None:
        self._tracker, self._store, self._run, self._again = tracker, store, run, again
        self._shape = Shape.of(run)

    def kept(self) -> None:
        """Curves of steps that worked while it was away."""
        self._tracker.flush()

    def preparation(self) -> None:
        """Settings that may have changed, the resolved recipe, the prompts, and the counts of those left out."""
        run, prepared = self._run, read_manifest(self._store, layout.PREPARATION)
        if prepared is None:
            return

        def send() -> None:
            _, free = settings_of(run.recipe)
            self._tracker.tags(free)
            recipe = yaml.safe_dump(redact_value(dict(run.recipe)), sort_keys=False, allow_unicode=True)
            self._tracker.file(RECIPE, recipe.encode())
            self._tracker.datasets(None, list(_of_run(run)))
            self._tracker.prompts(figures(run.prompts), prepared.finished)

        self._once(layout.TRACKED_PREPARATION, {"run": run.identity, "recipe": digest_json(run.recipe)}, send)

    def iteration(self, iteration: int, *, surely: bool) -> None:
        """A finished iteration; where it has just ended, `surely`, all of its units are looked at for changes."""
        key = layout.tracked_iteration(iteration)
        if not (surely or self._again) and self._known(key):
            return
        keys = [unit for units in self._shape.units(iteration).values() for unit in units]
        found = {key: require_manifest(self._store, key) if surely else read_manifest(self._store, key) for key in keys}
        done = {key: digest_json(manifest.to_json()) for key, manifest in found.items() if manifest}
        if len(done) == len(found):
            self._once(key, done, lambda: send_iteration(self._tracker, self._store, self._shape, iteration))

    def report(self) -> None:
        """The files of the report, and of a gate's decision."""
        for unit, key in layout.TRACKED_REPORTS.items():
            if made := read_manifest(self._store, unit):
                self._once(key, {"report": made.digest}, partial(self._send_files, made))

    def _send_files(self, made: Manifest) -> None:
        self._tracker.report({name: made.read(self._store, name) for name in made.files})

    def _once(self, key: str, inputs: Mapping[str, str], send: Callable[[], None]) -> None:
        unit = Unit(self._store, key, VERSION, self._told, inputs)
        if not self._tracker.uri or (unit.finished() and not self._again):
            return
        started = time.time()
        send()
        if not self._tracker.warning:
            unit.publish({}, {}, started)

    @property
    def _told(self) -> dict[str, Mapping[str, str] | None]:
        return {"tracking": self._run.tracking}

    def _known(self, key: str) -> bool:
        """Whether the tracker was told of a unit, whatever of it has changed since."""
        manifest = read_manifest(self._store, key)
        return manifest is not None and (manifest.version, manifest.settings) == (VERSION, digest_json(self._told))


def send_iteration(tracker: Tracker, store: Store, shape: Shape, iteration: int) -> None:
    """Send the figures of every step of a finished iteration; sending them again changes nothing.

    Raises:
        UserError: a step of it is not finished.
    """
    manifests = _manifests(store, shape, iteration)
    for step, units in manifests.items():
        tracker.step(
            iteration,
            step,
            combined(units),
            sum(manifest.seconds for manifest in units),
            min(manifest.began for manifest in units),
            max(manifest.finished for manifest in units),
            {manifest.unit: manifest.digest for manifest in units},
        )
        if units[0].curves:
            tracker.points(iteration, step, list(_points(units[0])))
    held_out = _held_out(store)
    tracker.datasets(iteration, [*_prompts(store, iteration, shape.shards), held_out])
    model = None
    for unit in shape.policies(iteration):
        model = tracker.checkpoint(made_by(store, unit, kept=not dropped(store, unit)))
    every = [unit for units in manifests.values() for unit in units]
    on_prompts, others = _evaluated(shape, iteration, every)
    finished = max(unit.finished for unit in every)
    tracker.iteration(iteration, [(on_prompts, held_out), (others, None)], by_step(manifests), finished, model)
    if not iteration:
        tracker.datasets(None, [held_out])


def made_by(store: Store, unit: str, *, kept: bool) -> Made:
    """The policy of a unit."""
    _, iteration, name = unit.split("/")
    manifest = require_manifest(store, unit)
    return Made(int(iteration), name, manifest.weights_digest, manifest.digest, store.location(unit), kept)


def by_step(manifests: Mapping[str, Sequence[Manifest]]) -> dict[str, float]:
    """The figures of an iteration's steps besides evaluation's, by names that sort: `<step>/<figure>`, and
    `<step>/<phase>/<figure>` where the phase is not the main one; `seconds/<step>`; `cost/<step>` of paid judges."""
    found: dict[str, float] = {}
    for name, units in manifests.items():
        phase, _, step = name.rpartition("/")
        measured = combined(units)
        if step != "evaluation":
            prefix = step if phase in ("", "main") else f"{step}/{phase}"
            found |= {f"{prefix}/{figure}": value for figure, value in measured.items()}
        sums = {f"seconds/{step}": sum(unit.seconds for unit in units)}
        sums |= {f"cost/{step}": measured[_COST]} if _COST in measured else {}
        for key, value in sums.items():
            total = f"{key.partition('/')[0]}/total"
            found |= {key: found.get(key, 0.0) + value, total: found.get(total, 0.0) + value}
    return found


def _evaluated(shape: Shape, iteration: int, every: Sequence[Manifest]) -> tuple[dict[str, float], dict[str, float]]:
    """The figures of an iteration's evaluation: those measured on the held-out prompts, and others.

    Those of tables are `eval/<figure>`, which sorts before the steps' names; names with a benchmark's own stay.
    """
    keys = set(shape.evaluations(iteration))
    figures = combined([unit for unit in every if unit.unit in keys])
    parts = {part for benchmark in shape.due(iteration) if not benchmark.reads for part in benchmark.units(iteration)}
    elsewhere = {layout.evaluation(iteration, part) for part in parts}
    named = {name for unit in every if unit.unit in keys - elsewhere for name in unit.metrics} - usage_in(
        figures
    ).keys()
    here = {_shown(name): value for name, value in figures.items() if name in named}
    return here, {_shown(name): value for name, value in figures.items() if name not in named}


def _shown(name: str) -> str:
    figure = every_figure().get(name)
    if "/" in name:
        return name
    return f"eval/{name}" if figure and figure.title and not figure.fault else f"evaluation/{name}"


def _points(trained: Manifest) -> Iterator[Point]:
    """The curves of a training, in case MLflow was unreachable during the training."""
    names = [f"curve/{name}" for name in trained.curves]
    for update, values in enumerate(zip(*trained.curves.values(), strict=True), start=1):
        yield Point(update, trained.finished, dict(zip(names, values, strict=True)))


def _manifests(store: Store, shape: Shape, iteration: int) -> dict[str, list[Manifest]]:
    return {step: [require_manifest(store, key) for key in keys] for step, keys in shape.units(iteration).items()}


def _prompts(store: Store, iteration: int, shards: int) -> Iterator[Dataset]:
    """The prompts that an iteration learnt from."""
    for unit in (layout.prompts(iteration, shard) for shard in range(shards if iteration else 0)):
        yield _described(store, unit, "training")


def _held_out(store: Store) -> Dataset:
    return _described(store, layout.held_out(), "evaluation")


def _described(store: Store, unit: str, context: str) -> Dataset:
    file = require_manifest(store, unit).files["prompts"]
    return Dataset(unit, file.sha256, store.location(file.key), file.rows or 0, context)


def _of_run(run: Run) -> Iterator[Dataset]:
    """The prompts that the run was given, with what was left out; the sandbox makes its own."""
    path = run.recipe["prompts"].get("path")
    if run.prompts and path:
        places = [path] if isinstance(path, str) else path
        counts = figures(run.prompts)
        yield Dataset("prompts", run.inputs["prompts"], ", ".join(places), int(counts["kept"]), "prompts", counts)


def combined(manifests: Sequence[Manifest]) -> dict[str, float]:
    """The figures of a step's units as one: whole numbers and what an oracle has used add up, others are averaged.

    Those of judging have the shares of the oracle's conduct, too.
    """
    values: dict[str, list[float]] = {}
    for manifest in manifests:
        for name, value in manifest.metrics.items():
            values.setdefault(name, []).append(value)
    used = usage_in(values)
    figures = {
        name: sum(each) if name in used or isinstance(each[0], int) else sum(each) / len(each)
        for name, each in values.items()
    }
    return figures | (shares(figures) if "oracle_calls" in figures else {})
