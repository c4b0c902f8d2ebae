"""MLflow: what a run sends there, and how it finds its runs again.

Three cases, told apart by the environment:

1. `MLFLOW_RUN_ID`: KFP's own plugin has made a run for this task. Everything goes there; the topmost run above it
   stands in for a parent of our own.
2. `MLFLOW_TRACKING_URI` alone: one parent run per run root, a nested run per iteration, and below it one per step.
   `open_runs` makes them all, in preparation, because two processes that open a new SQLite store at once break it.
3. Neither: nothing is done, and mlflow is not imported.

MLflow never has the only copy of anything, so an outage stops no step: `Tracker` warns once and is silent from then on.
Every call can be repeated without a second effect, so the next one that tells MLflow the same things mends the gap.
What looks like a secret is never sent: see `redact`.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .digests import digest_json
from .errors import UserError
from .mlflow_store import Texts, connect, environment, failures, one_line, quiet, send_texts, sqlite_file
from .redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_LONGEST_PARAMETER, _ALL_RUNS = 6000, 50_000


@dataclass(frozen=True)
class Tracking:
    """The MLflow runs of a run root, as kept in its `run.json`."""

    uri: str
    """Where they are, for people: without user name and password. Processes go by their own `MLFLOW_TRACKING_URI`."""
    experiment: str
    """Id of the experiment."""
    parent: str
    """Id of the run's own MLflow run; in case 1 KFP's."""
    runs: Texts
    """Ids of the nested runs: of an iteration (`1`) and of its steps (`1/main/rollout`). None in case 1."""

    def to_json(self) -> dict[str, Any]:
        """The ids as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Tracking":
        """The ids in a JSON value."""
        return cls(**data)


def open_runs(
    name: str,
    location: str,
    parameters: Texts,
    steps: Mapping[int, Sequence[str]],
    known: Tracking | None = None,
    tags: Texts | None = None,
) -> Tracking | None:
    """Make the MLflow runs of a run root, or find them again; for preparation alone. In case 3, what was `known`.

    Args:
        name: display name of the parent run.
        location: the run root.
        parameters: the recipe by dotted key, as in `method.eta`, logged on the parent. Parameters never change in
            MLflow, so a value that differs from the one logged first becomes a tag of the same name.
        steps: the steps of each iteration, as in `{0: ["evaluation"], 1: ["main/rollout", …]}`.
        known: what `run.json` has from before; missing nested runs are added to it.
        tags: further tags of the parent.

    Runs that an aborted preparation left behind for this run root are used, if nothing was measured in them.

    Raises:
        UserError: MLflow does not answer, or refuses; no step has run yet, so nothing is lost.
    """
    uri, run_id = environment()
    if not uri and run_id:
        raise UserError("MLFLOW_RUN_ID is set, but not MLFLOW_TRACKING_URI: set both, or neither")
    if not uri:
        return known
    tags = {key: redact(value, key) for key, value in (tags or {}).items()}
    tags |= {"nashflow.kind": "run", "nashflow.run_root": redact(location)}
    parameters = {key: redact(value, key)[:_LONGEST_PARAMETER] for key, value in parameters.items()}
    try:
        with quiet():
            client = connect(uri, create=True)
            if run_id:
                task = client.get_run(run_id)
                _describe(client, task, parameters, {})
                parent, runs = topmost_run(client, task), {}
            else:
                parent = _open_parent(client, name, location, parameters, known)
                runs = _open_nested(client, parent, steps)
            _describe(client, parent, parameters, tags)
            return Tracking(redact(uri), parent.info.experiment_id, parent.info.run_id, runs)
    except failures() as error:
        raise UserError(
            f"MLflow at {redact(uri)}: {one_line(error)}; set MLFLOW_TRACKING_URI to a server that answers or to "
            "sqlite:///FILE, or unset it to run without MLflow"
        ) from None


def _open_parent(client: "MlflowClient", name: str, location: str, parameters: Texts, known: Tracking | None) -> "Run":
    # A search: the store may be another one by now, or the run deleted there.
    if known and known.runs and (found := client.search_runs([known.experiment], f"run_id = '{known.parent}'")):
        return found[0]
    # A folder's path says little without its machine.
    key = digest_json([location, "" if "://" in location else socket.gethostname()])
    experiment = _experiment(client)
    left_behind = client.search_runs([experiment], f"tags.`nashflow.key` = '{key}'", max_results=1)
    if left_behind and _is_blank(client, left_behind[0], parameters):
        return left_behind[0]
    return client.create_run(experiment, run_name=name, tags={"nashflow.key": key})


def _experiment(client: "MlflowClient") -> str:
    """Id of the experiment that MLflow's own variables name, or of `nashflow`."""
    from mlflow.exceptions import MlflowException

    if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return chosen
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "nashflow")
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    # A store without a server would put artifacts into the current folder.
    file = sqlite_file(client.tracking_uri)
    try:
        return client.create_experiment(name, str(Path(file).parent / "mlartifacts") if file else None)
    except MlflowException:
        # Another run has made it meanwhile.
        if found := client.get_experiment_by_name(name):
            return found.experiment_id
        raise


def _is_blank(client: "MlflowClient", parent: "Run", parameters: Texts) -> bool:
    """Whether an earlier preparation of the same recipe made these runs and no step has used them."""
    same = all(parameters.get(key) == value for key, value in parent.data.params.items())
    return same and not any(run.data.metrics for run in (parent, *nested_runs(client, parent).values()))


def _open_nested(client: "MlflowClient", parent: "Run", steps: Mapping[int, Sequence[str]]) -> dict[str, str]:
    """Make the nested runs that are missing; let those that failed, and the parent, run again."""
    found = nested_runs(client, parent)
    for run in (parent, *found.values()):
        if run is parent or run.info.status in ("FAILED", "KILLED"):
            client.update_run(run.info.run_id, status="RUNNING")
    runs = {place: run.info.run_id for place, run in found.items()}

    def add(place: str, above: str, name: str) -> None:
        if place not in runs:
            tags = {"mlflow.parentRunId": above, "nashflow.parent": parent.info.run_id, "nashflow.place": place}
            runs[place] = client.create_run(parent.info.experiment_id, run_name=name, tags=tags).info.run_id

    for iteration, names in steps.items():
        add(str(iteration), parent.info.run_id, f"iteration {iteration}")
        for step in names:
            add(f"{iteration}/{step}", runs[str(iteration)], f"{iteration}/{step}")
    return runs


def _describe(client: "MlflowClient", run: "Run", parameters: Texts, tags: Texts) -> None:
    """Log parameters and tags on a run; a parameter that has another value there already becomes a tag."""
    there = run.data.params
    new = {key: value for key, value in parameters.items() if key not in there}
    changed = {k: v for k, v in parameters.items() if k in there and run.data.tags.get(k, there[k]) != v}
    send_texts(client, run.info.run_id, new, {**changed, **tags})


def topmost_run(client: "MlflowClient", run: "Run") -> "Run":
    """The run at the top of those that a run is nested in; itself if in none."""
    while above := run.data.tags.get("mlflow.parentRunId"):
        run = client.get_run(above)
    return run


def nested_runs(client: "MlflowClient", parent: "Run") -> dict[str, "Run"]:
    """The runs below a parent of ours, by iteration and step."""
    ours = f"tags.`nashflow.parent` = '{parent.info.run_id}'"
    found = client.search_runs([parent.info.experiment_id], ours, max_results=_ALL_RUNS)
    return {run.data.tags["nashflow.place"]: run for run in found}
