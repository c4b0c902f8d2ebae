"""Whether a run is finished, asked in this process: seconds, where a process for each of its tasks takes a minute."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nashflow.components.runtime.protocol import Call, line_of
from nashflow.components.storage import outcome
from nashflow.components.storage.run import Run, read_run
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import Unfinished, only_asking
from nashflow.components.tracking.opening import is_tracked

from .cluster.runs.tasks import place_of
from .plan import planned_tasks
from .recipe import Recipe
from .steps import STEPS, only


def finished_tasks(recipe: Recipe, store: Store, checked: Any) -> list[dict[str, Any]] | None:
    """The output lines of all tasks if every unit is finished; None if the run still has work to do.

    The steps' own code decides, up to the point where it would begin to work: by its version, settings and inputs, and
    by the digests of records and policies, all of which are read. `checked` is what preparation's `check` returned.

    Raises:
        UserError: a file is damaged: says which, and what to do.
    """
    known = read_run(store)
    if not known or replace(known, tracking=None) != checked.run or not _told(known, store):
        return None
    try:
        with only_asking():
            only("beginning").module.bring_in(store, checked)
            return list(_lines(recipe, store))
    except Unfinished:
        return None


def _told(known: Run, store: Store) -> bool:
    """Whether the run's end has been recorded, in MLflow too."""
    ended = outcome.read(store)
    return bool(ended and ended.outcome == "succeeded" and not ended.warning and is_tracked(known.tracking))


def _lines(recipe: Recipe, store: Store) -> Iterator[dict[str, Any]]:
    whole = recipe.model_dump(mode="json")
    for task, count in Counter(planned_tasks(recipe)).items():
        place = place_of(task)
        assert place, "every planned task is a step's"
        step = STEPS[place.step]
        if step.level in ("beginning", "exit"):
            continue
        iteration = recipe.run.iterations if place.iteration is None else place.iteration
        settings = step.settings.parse(whole, recipe.run.name)
        for shard in range(count):
            call = Call(store, iteration, place.phase, shard, settings)
            yield line_of(step.name, call, step.module.run(call), 0.0)
