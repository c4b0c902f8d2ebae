"""The MLflow runs below a run root's parent: one for each iteration that has begun, and below it one for each step.

Any process may be the first that needs one: the shards of a step begin at once, in different pods. Whoever finds none
makes one, and keeps its id in a create-only object in the run root. The id that is kept stands; another run of the same
place is deleted by whoever meets it. So a process that is killed after making a run, and before keeping or deleting it,
leaves nothing that the next one does not find by its tags.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..storage import layout
from ..storage.store import Store
from .tags import PARENT, PLACE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_ALL_RUNS = 50_000


class NestedRuns:
    """The runs below one parent. A place is an iteration (`1`) or a step of it (`1/main/rollout`)."""

    def __init__(self, client: "MlflowClient", store: Store, experiment: str, parent: str) -> None:
        """`store`: the run root's; `experiment` and `parent`: ids in MLflow, of these runs' and of the one above."""
        self._client, self._store, self._experiment, self._parent = client, store, experiment, parent

    def begin(self, place: str) -> None:
        """Set the run of a place, created if missing, and that of its iteration to RUNNING."""
        iteration = place.partition("/")[0]
        for each in dict.fromkeys((iteration, place)):
            run = self._settle(each, self._search(each))
            if run.info.status != "RUNNING":
                self._client.update_run(run.info.run_id, status="RUNNING")

    def id(self, place: str, began: int | None = None) -> str:
        """Id of the run of a place; where there is none, a new one that began at `began` (ms since the epoch; now)."""
        return self._kept(place) or self._settle(place, self._search(place), began).info.run_id

    def any(self) -> bool:
        """Whether a step has begun."""
        return bool(self._search())

    def running(self) -> list[str]:
        """Ids of the runs that have not ended."""
        places: dict[str, list[Run]] = {}
        for run in self._search():
            if run.info.status == "RUNNING":
                places.setdefault(run.data.tags[PLACE], []).append(run)
        settled = [self._settle(place, runs) for place, runs in places.items()]
        return [run.info.run_id for run in settled if run.info.status == "RUNNING"]

    def forget_deleted(self) -> None:
        """Allow runs that were deleted in MLflow to be recreated; for preparation, while no step is running."""
        there = {run.info.run_id for run in self._search()}
        for key in self._store.list(layout.tracked(self._parent)):
            if self._store.read(key).decode() not in there:
                self._store.delete(key)

    def _settle(self, place: str, found: Sequence["Run"], began: int | None = None) -> "Run":
        """The one run of a place, of those found or a new one; its id is kept, the others are deleted."""
        kept = self._kept(place)
        if not kept:
            found = found or [self._make(place, began)]
            first = min(found, key=lambda run: (run.info.start_time, run.info.run_id))
            self._store.create(self._key(place), first.info.run_id.encode())
            kept = self._store.read(self._key(place)).decode()
        for run in found:
            if run.info.run_id != kept:
                self._client.delete_run(run.info.run_id)
        return next((run for run in found if run.info.run_id == kept), None) or self._client.get_run(kept)

    def _kept(self, place: str) -> str:
        try:
            return self._store.read(self._key(place)).decode()
        except FileNotFoundError:
            return ""

    def _key(self, place: str) -> str:
        return f"{layout.tracked(self._parent)}/{place}.id"

    def _make(self, place: str, began: int | None) -> "Run":
        iteration, _, step = place.partition("/")
        above = self.id(iteration, began) if step else self._parent
        name = place if step else f"iteration {iteration}"
        tags = {"mlflow.parentRunId": above, PARENT: self._parent, PLACE: place}
        return self._client.create_run(self._experiment, began, tags, name)

    def _search(self, place: str | None = None) -> Sequence["Run"]:
        """The runs of a place, or of all."""
        ours = f"tags.`{PARENT}` = '{self._parent}'" + (f" AND tags.`{PLACE}` = '{place}'" if place else "")
        return self._client.search_runs([self._experiment], ours, max_results=_ALL_RUNS)
