"""The end of an iteration: deletes the policies that `run.keep` does not keep, and float32 weights that are used up.

Records, figures and manifests stay. What is interrupted is finished when the step is repeated.
"""

import sys
from collections.abc import Sequence

from ..core.redaction import redact
from ..methods.phases import PolicyRef
from ..storage import dropped, layout
from ..storage.claims import claimed
from ..storage.run import Run, read_run
from ..storage.store import Store
from ..storage.units import asking, require_manifest
from ..tracking.mlflow_store import environment, failure_line, failures
from ..tracking.registry import registered
from ..tracking.tracker import Tracker
from .keep import ALL, master_stays, policy_stays
from .tracked import made_by
from .units import Shape


def retain(store: Store, done: int) -> None:
    """Delete what nothing needs any more, once iteration `done` is evaluated and told to the tracker.

    Policies that a registered model or another run points to stay; all do, with a warning, while the registry does not
    answer.
    """
    run = read_run(store)
    if asking() or run is None:
        return
    method, last = Shape.of(run).method, int(run.recipe["run"]["iterations"])
    for policy, unit in _there(store, layout.MASTERS):
        if not master_stays(method, policy, done, last):
            dropped.undo(store, unit)
    keep = run.recipe["run"].get("keep", ALL)
    going = {
        unit: policy
        for policy, unit in _there(store, layout.POLICIES)
        if policy.iteration < done
        and not policy_stays(method, keep, policy, done, last)
        and not claimed(store, unit)
        and any(store.exists(file.key) for file in require_manifest(store, unit).files.values())
    }
    staying = _registered(store, run, list(going)) if going else set()
    for unit in going:
        if unit not in staying:
            Tracker.of(store).checkpoint(made_by(store, unit, kept=False))
            dropped.drop(store, unit, f"run.keep = {keep}")


def _there(store: Store, folder: str) -> list[tuple[PolicyRef, str]]:
    """The policies below a folder that have a manifest there, and their units."""
    units = [key.removesuffix(layout.MANIFEST) for key in store.list(folder) if key.endswith(layout.MANIFEST)]
    parts = (unit.split("/") for unit in units)
    return [(PolicyRef(int(iteration), name), f"{folder}/{iteration}/{name}") for _, iteration, name in parts]


def _registered(store: Store, run: Run, units: Sequence[str]) -> set[str]:
    """The policies among these units that a registered model points to; all of them where that is not known."""
    uri, parent = environment()[0], (run.tracking or {}).get("parent", "")
    if not uri and not parent:
        return set()
    why = "MLFLOW_TRACKING_URI is not set"
    if uri:
        try:
            return registered(uri, store, units, parent)
        except failures() as error:
            why = f"MLflow at {redact(uri)} does not answer: {failure_line(error)}"
    line = f"run.keep deletes no policy now, because it is not known which of them are registered: {why}"
    print(f"warning: {line}", file=sys.stderr, flush=True)
    return set(units)
