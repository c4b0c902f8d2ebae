"""MLflow: the run that stands for a run root there, and how it is found again.

Three cases, told apart by the environment:

1. `MLFLOW_RUN_ID`: KFP's own plugin has made a run for this task. Everything goes there; the topmost run above it
   stands in for a parent of our own.
2. `MLFLOW_TRACKING_URI` alone: one parent run per run root, and below it nested runs, see nested_runs.py. `open_run`
   makes store, experiments and parent, in preparation, because two processes that open a new SQLite store at once
   break it.
3. Neither: nothing is done, and mlflow is not imported.

MLflow never has the only copy of anything, so an outage stops no step: `Tracker` warns once and is silent from then on.
Every call can be repeated without a second effect, and later steps tell MLflow what earlier ones could not.
What looks like a secret is never sent: see `redact`.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..core.digests import digest_json
from ..core.errors import UserError
from ..core.redaction import redact
from ..storage.store import Store
from .experiment import find_experiment, make_experiment, nested_experiment
from .mlflow_store import Texts, connect, environment, hurried, quiet, send_texts, sqlite_file
from .nested_runs import NestedRuns
from .reaching import Away, check_version, refused_in_a_line
from .tags import KIND, OUTCOME, REASON, RUN, RUN_ROOT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_KEY = "nashflow.key"
_LONGEST_PARAMETER, LONGEST_TAG = 6000, 5000
_MOST_DIFFERENCES, _LONGEST_DIFFERENCE = 3, 24


@dataclass(frozen=True)
class Tracking:
    """Where a run root is in MLflow, as kept in its `run.json`."""

    uri: str
    """For people: without user name and password. Processes go by their own `MLFLOW_TRACKING_URI`."""
    experiment: str
    """Id of the experiment."""
    parent: str
    """Id of the run root's own run; in case 1 KFP's."""
    nested: str = ""
    """Id of the experiment of the runs below that; empty in a run of before, where it is the same."""

    def to_json(self) -> dict[str, Any]:
        """The ids as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Tracking":
        """The ids in a JSON value."""
        return cls(data["uri"], data["experiment"], data["parent"], data.get("nested", ""))


def is_tracked(known: Mapping[str, Any] | None) -> bool:
    """Whether the environment names the same MLflow as `run.json`; without asking the server."""
    uri, run_id = environment()
    file = sqlite_file(uri)
    return known is not None and not run_id and known["uri"] == redact(uri) and (not file or os.path.exists(file))


def open_run(
    store: Store, name: str, parameters: Texts, known: Tracking | None = None, tags: Texts | None = None
) -> Tracking | None:
    """Create the MLflow run of a run root, or reopen it; only for preparation. In case 3, what was `known`.

    Args:
        store: the run root's.
        name: display name of a new run; where another run has it, the settings that differ are added.
        parameters: the settings that identify the run, by dotted key, as in `method.eta`. Parameters never change in
            MLflow, so a value that differs from the one logged first becomes a tag of the same name.
        known: what `run.json` has from before.
        tags: further tags, which may change: settings that a run may go on with other values of among them.

    A run that an aborted preparation left behind for this run root is used, if no step has begun since.

    Raises:
        UserError: MLflow does not answer, or refuses, or is older than 3; no step has run yet, so nothing is lost.
    """
    uri, run_id = environment()
    if not uri and run_id:
        raise UserError("MLFLOW_RUN_ID is set, but not MLFLOW_TRACKING_URI: set both, or neither")
    if not uri:
        return known
    tags = {**(tags or {}), KIND: RUN, RUN_ROOT: store.uri}
    tags = {key: redact(value, key)[:LONGEST_TAG] for key, value in tags.items()}
    parameters = {key: redact(value, key)[:_LONGEST_PARAMETER] for key, value in parameters.items()}
    with refused_in_a_line(uri), quiet():
        client = connect(uri, create=True)
        check_version(client)
        if run_id:
            task = client.get_run(run_id)
            _describe(client, task, parameters, {})
            parent = topmost_run(client, task)
            nested = ""
        else:
            parent = _open_parent(client, store, name, parameters, known)
            nested = known.nested if known and known.parent == parent.info.run_id else ""
            nested = nested or nested_experiment(client, parent.info.experiment_id)
            client.update_run(parent.info.run_id, status="RUNNING")
        with _killed_if_stopped(client, "" if run_id else parent.info.run_id):
            _describe(client, parent, parameters, tags)
            for tag in {OUTCOME, REASON} & parent.data.tags.keys():
                client.delete_tag(parent.info.run_id, tag)
        return Tracking(redact(uri), parent.info.experiment_id, parent.info.run_id, nested)


def check_tracking(known: Mapping[str, Any] | None = None) -> str:
    """See whether `open_run` will find MLflow and its experiment. The server is asked once, for a few seconds.

    A run that goes on, of which `run.json` has `known`, does so without it: what MLflow says is returned, and empty
    otherwise. A new one would have nowhere to be told later.

    Raises:
        UserError: MLflow does not answer, or refuses, or is older than 3.
    """
    uri, run_id = environment()
    if not uri or ((file := sqlite_file(uri)) and not os.path.exists(file)):
        return ""
    try:
        with refused_in_a_line(uri), quiet(), hurried():
            client = connect(uri)
            check_version(client)
            client.get_run(run_id) if run_id else find_experiment(client)
    except Away as away:
        if not is_tracked(known):
            raise
        return away.said
    return ""


@contextlib.contextmanager
def _killed_if_stopped(client: "MlflowClient", run_id: str) -> Iterator[None]:
    """Do not leave a run RUNNING where SIGTERM ends this process before `run.json` names the run to others."""
    try:
        yield
    except SystemExit:
        if run_id:
            client.set_terminated(run_id, "KILLED")
        raise


def _open_parent(client: "MlflowClient", store: Store, name: str, parameters: Texts, known: Tracking | None) -> "Run":
    if known and (found := _found(client, known)):
        NestedRuns(client, store, known.nested or known.experiment, known.parent).forget_deleted()
        return found
    # A folder's path says little without its machine.
    key = digest_json([store.uri, "" if "://" in store.uri else socket.gethostname()])
    experiment = make_experiment(client)
    left_behind = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    if left_behind and _is_blank(client, store, left_behind[0], parameters):
        return left_behind[0]
    return client.create_run(experiment, run_name=_told_apart(client, experiment, name, parameters), tags={_KEY: key})


def _told_apart(client: "MlflowClient", experiment: str, name: str, parameters: Texts) -> str:
    """The name; if another run has it, with the first settings that differ from those of the oldest such run."""
    same = f"attributes.run_name = '{name}' AND tags.`{KIND}` = '{RUN}'"
    found = client.search_runs([experiment], same, max_results=1, order_by=["attributes.start_time ASC"])
    there = found[0].data.params if found else parameters
    differing = [key for key, value in parameters.items() if key in there and there[key] != value]
    said = [f"{key.rpartition('.')[2]}={parameters[key][:_LONGEST_DIFFERENCE]}" for key in differing]
    return " ".join([name, *said[:_MOST_DIFFERENCES]])


def _found(client: "MlflowClient", known: Tracking) -> "Run | None":
    """The parent that `run.json` has; None where it is KFP's, was deleted, or is in another store."""
    found = client.search_runs([known.experiment], f"run_id = '{known.parent}'")
    return found[0] if found and is_ours(found[0]) else None


def is_ours(parent: "Run") -> bool:
    """Whether `open_run` made a run; others end without our doing."""
    return _KEY in parent.data.tags


def _is_blank(client: "MlflowClient", store: Store, parent: "Run", parameters: Texts) -> bool:
    """Whether an earlier preparation of the same recipe made it and no step has begun since."""
    same = all(parameters.get(key) == value for key, value in parent.data.params.items())
    if not same:
        return False
    nested = nested_experiment(client, parent.info.experiment_id)
    return not NestedRuns(client, store, nested, parent.info.run_id).any()


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
