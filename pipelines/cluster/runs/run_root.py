"""Data under a run's run root, as far as the client may read it: finished units, and the outcome."""

from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Any

from nashflow.components.iterations.tracked import combined
from nashflow.components.iterations.units import Shape
from nashflow.components.runtime.protocol import JOB
from nashflow.components.storage import layout, outcome
from nashflow.components.storage.outcome import Outcome
from nashflow.components.storage.run import Run, read_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Manifest, read_manifest

from ...steps import STEPS, Level, only, steps_of, task_name
from .tasks import place_of

FOUND_AGAIN = "where finished work is found again"
"""The reason to give the same run root again."""


def run_root_of(run: Any) -> str:
    """The run root of a run; empty if it has none, because another program has submitted it."""
    given = (run.runtime_config.parameters or {}) if run.runtime_config else {}
    return str(given.get("run_root") or "").replace(JOB, run.run_id)


def outcome_of(store: Store, job: str) -> Outcome | None:
    """How the run of this id ended, as its last task wrote it; None where it is another run's, or not there."""
    found = outcome.read(store)
    return found if found and found.job == job else None


class FinishedUnits:
    """The units of work under a run root, by the task that makes them, as they are finished one after the other."""

    def __init__(self, uri: str, begun: float, planned: Collection[str]) -> None:
        """`begun` is when the run began, in seconds since the epoch: a retry finds units that were finished before.

        `planned` are the tasks of its graph, if they are known: it may begin with a later iteration.
        """
        self._uri, self._begun, self._planned = uri, begun * 1000, planned
        self._keys: dict[str, list[str]] = {}
        self._known: dict[str, Manifest] = {}

    def look(self, ended: Iterable[str], told: Collection[str]) -> dict[str, dict[str, Any]]:
        """What the steps said of tasks that are done, summed up over their shards, by task.

        Those are the tasks `ended`, and all that have not been `told` yet, although this run has done their units.

        Raises:
            UserError, OSError: the run root cannot be read.
        """
        if only("beginning").name not in told:
            self._learn()
        found = {name: units for name in ended if (units := self._units(name, again=True))}
        found |= self._passed({*told, *found})
        return {name: self._record(units) for name, units in found.items()}

    def look_again(self, told: Collection[str]) -> dict[str, dict[str, Any]]:
        """Likewise of all tasks that have not been `told`, when the run is over."""
        self._learn()
        return self.look([name for name in self._keys if name not in told], told)

    def outcome(self, job: str) -> Outcome | None:
        """How the run of this id ended, as it wrote down itself."""
        return outcome_of(self._store, job)

    @cached_property
    def _store(self) -> Store:
        return open_store(self._uri)

    def _learn(self) -> None:
        """Learn from the recipe which units there are to be: preparation writes it down, and may extend it."""
        if run := read_run(self._store):
            keys = _keys(run)
            self._keys = {name: keys[name] for name in keys if not self._planned or name in self._planned}

    def _passed(self, told: Collection[str]) -> dict[str, list[Manifest]]:
        """Tasks that are done and have not been `told`. They follow one another, all but an iteration's own.

        A unit that was finished before this run began says nothing by itself: it may be about to be made again. It has
        been passed once one that comes later is done.
        """
        passed: dict[str, list[Manifest]] = {}
        before: dict[str, list[Manifest]] = {}
        for name in self._keys:
            if name in told:
                continue
            # They may be made again by themselves, with other settings.
            place = place_of(name)
            alone = place is not None and STEPS[place.step].level == "iteration"
            units = self._units(name, again=alone)
            if units and self._is_new(units):
                passed |= {name: units} if alone else {**before, name: units}
                before = before if alone else {}
            elif not alone:
                if not units:
                    break
                before[name] = units
        return passed

    def _units(self, name: str, again: bool = False) -> list[Manifest]:
        """The manifests of a task's units; none unless all of them are there."""
        units = []
        for key in self._keys.get(name, ()):
            if again or key not in self._known:
                manifest = read_manifest(self._store, key)
                if not manifest:
                    return []
                self._known[key] = manifest
            units.append(self._known[key])
        return units

    def _is_new(self, units: list[Manifest]) -> bool:
        return max(unit.finished for unit in units) >= self._begun

    def _record(self, units: list[Manifest]) -> dict[str, Any]:
        finished = max(unit.finished for unit in units)
        elapsed = (finished - min(unit.finished - unit.seconds * 1000 for unit in units)) / 1000
        return {
            "skipped": not self._is_new(units),
            "seconds": elapsed,
            "finished": finished / 1000,
            "metrics": combined(units),
            "shards": len({unit.unit.rpartition("/")[2] for unit in units}),
        }


def _keys(run: Run) -> dict[str, list[str]]:
    """The units of every task of a run, in their order, by the task's name in the graph."""
    keys, shape = _once("beginning"), Shape.of(run)
    for iteration in range(int(run.recipe["run"]["iterations"]) + 1):
        for unit, made in shape.units(iteration).items():
            phase, _, step = unit.rpartition("/")
            keys[task_name(step, *(() if STEPS[step].once else (iteration, phase)))] = made
    ends = _once("end")
    return keys | {name: units for name, units in ends.items() if shape.promotes or units != [layout.PROMOTION]}


def _once(level: Level) -> dict[str, list[str]]:
    return {step.name: [step.unit] for step in steps_of(level) if step.unit}
