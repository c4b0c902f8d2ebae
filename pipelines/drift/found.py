"""The runs that a page on drift is about, in the order in which they ended."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import nearest
from nashflow.components.registry.champions import Registry
from nashflow.components.registry.version import Version
from nashflow.components.storage import layout, outcome
from nashflow.components.storage.run import Run, read_run, runs_beside
from nashflow.components.storage.store import Store, open_store

MODEL = "models:/"


@dataclass(frozen=True)
class Fired:
    """A run of a name, and what has become of it."""

    store: Store
    run: Run
    ended: outcome.Outcome
    version: Version | None = None
    """Of the registered model, where the run's policy is one."""

    @property
    def day(self) -> str:
        """When it ended, an ISO date."""
        return datetime.fromtimestamp(self.ended.ended, UTC).date().isoformat()

    @property
    def last(self) -> str:
        """Its policy: the registered one, or that of the last iteration."""
        return self.version.policy if self.version else f"{int(self.run.recipe['run']['iterations']):03d}/main"

    @property
    def became(self) -> str:
        """What was decided of its policy: promoted, refused or rolled back; empty if nothing was."""
        if self.version and self.version.rolled_back:
            return "rolled back"
        if self.version and self.version.reign:
            return "promoted"
        decided = self.decision()
        return str(decided["decision"]) if decided and not decided["dry_run"] else ""

    @property
    def reason(self) -> str:
        """Why that became of it."""
        if self.version and self.version.rolled_back:
            return self.version.rolled_back
        decided = self.decision()
        return str(decided["reason"]) if decided else self.ended.reason

    def decision(self) -> dict[str, object] | None:
        """What the step of promotion has written, if it has."""
        try:
            return dict(json.loads(self.store.read(f"{layout.PROMOTION}.json")))
        except (FileNotFoundError, ValueError):
            return None


def find(named: str, under: str) -> list[Fired]:
    """The runs of a name below a folder or prefix, or those of a registered model, `models:/NAME`, and of their names.

    Raises:
        UserError: there are none, or the registry has no such model.
    """
    if not named.startswith(MODEL):
        return _of_names({named}, open_store(under), [])
    versions = [each for each in Registry.open(named.removeprefix(MODEL)).versions() if each.run_root and each.policy]
    if not versions:
        raise UserError(f"{named}: no version of it is a policy of a run: run nashflow promote RUN_ROOT first")
    roots = [each.store() for each in versions]
    names = {run.name for root in roots if (run := read_run(root))}
    beside = {store.uri: store for store in (root.at("..") for root in roots)}
    return _in_order([run for place in beside.values() for run in _of_names(names, place, versions)])


def _of_names(names: set[str], place: Store, versions: Sequence[Version]) -> list[Fired]:
    """The runs below a place that have ended, a run root each."""
    by_root = {version.run_root: version for version in versions}
    found, others = [], set()
    for store, run in runs_beside(place):
        if run.name not in names:
            others.add(run.name)
        elif ended := outcome.read(store):
            found.append(Fired(store, run, ended, by_root.get(store.uri)))
    if not found and not versions:
        raise UserError(
            f"{place.uri}: no run named {' or '.join(sorted(names))} has ended here{nearest(min(names), others)}"
        )
    return _in_order(found)


def _in_order(runs: list[Fired]) -> list[Fired]:
    return sorted(runs, key=lambda each: each.ended.ended)
