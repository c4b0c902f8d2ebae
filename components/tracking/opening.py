"""MLflow: the run that stands for a run root there, and how it is found again.

Three cases, told apart by the environment:

1. `MLFLOW_RUN_ID`: KFP's own plugin has made a run for this task. Everything goes there; the topmost run above it
   stands in for a parent of our own.
2. `MLFLOW_TRACKING_URI` alone: one parent run per run root, and below it nested runs, see nested_runs.py. `open_run`
   makes store, experiment and parent, in preparation, because two processes that open a new SQLite store at once break
   it.
3. Neither: nothing is done, and mlflow is not imported.

MLflow never has the only copy of anything, so an outage stops no step: `Tracker` warns once and is silent from then on.
Every call can be repeated without a second effect, so the next one that tells MLflow the same things mends the gap.
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
from .experiment import find_experiment, make_experiment
from .mlflow_store import (
    Texts,
    connect,
    environment,
    failure_line,
    failures,
    hurried,
    quiet,
    send_texts,
    sqlite_file,
)
from .nested_runs import NestedRuns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OUTCOME, REASON = "nashflow.outcome", "nashflow.reason"
"""Tags of the parent of a run that has ended."""

_KEY = "nashflow.key"
_LONGEST_PARAMETER = 6000


@dataclass(frozen=True)
class Tracking:
    """Where a run root is in MLflow, as kept in its `run.json`."""

    uri: str
    """For people: without user name and password. Processes go by their own `MLFLOW_TRACKING_URI`."""
    experiment: str
    """Id of the experiment."""
    parent: str
    """Id of the run root's own run; in case 1 KFP's."""

    def to_json(self) -> dict[str, Any]:
        """The ids as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Tracking":
        """The ids in a JSON value."""
        return cls(data["uri"], data["experiment"], data["parent"])


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
        name: display name of the run.
        parameters: the recipe by dotted key, as in `method.eta`. Parameters never change in MLflow, so a value that
            differs from the one logged first becomes a tag of the same name.
        known: what `run.json` has from before.
        tags: further tags.

    A run that an aborted preparation left behind for this run root is used, if no step has begun since.

    Raises:
        UserError: MLflow does not answer, or refuses; no step has run yet, so nothing is lost.
    """
    uri, run_id = environment()
    if not uri and run_id:
        raise UserError("MLFLOW_RUN_ID is set, but not MLFLOW_TRACKING_URI: set both, or neither")
    if not uri:
        return known
    tags = {key: redact(value, key) for key, value in (tags or {}).items()}
    tags |= {"nashflow.kind": "run", "nashflow.run_root": redact(store.uri)}
    parameters = {key: redact(value, key)[:_LONGEST_PARAMETER] for key, value in parameters.items()}
    try:
        with quiet():
            client = connect(uri, create=True)
            if run_id:
                task = client.get_run(run_id)
                _describe(client, task, parameters, {})
                parent = topmost_run(client, task)
            else:
                parent = _open_parent(client, store, name, parameters, known)
                client.update_run(parent.info.run_id, status="RUNNING")
            with _killed_if_stopped(client, "" if run_id else parent.info.run_id):
                _describe(client, parent, parameters, tags)
                for tag in {OUTCOME, REASON} & parent.data.tags.keys():
                    client.delete_tag(parent.info.run_id, tag)
            return Tracking(redact(uri), parent.info.experiment_id, parent.info.run_id)
    except failures() as error:
        raise _refusal(uri, error) from None


def check_tracking() -> None:
    """See whether `open_run` will find MLflow and its experiment. The server is asked once, for a few seconds.

    Raises:
        UserError: MLflow does not answer, or refuses.
    """
    uri, run_id = environment()
    if not uri or ((file := sqlite_file(uri)) and not os.path.exists(file)):
        return
    try:
        with quiet(), hurried():
            client = connect(uri)
            client.get_run(run_id) if run_id else find_experiment(client)
    except failures() as error:
        raise _refusal(uri, error) from None


def _refusal(uri: str, error: Exception) -> UserError:
    """The way out goes first: what MLflow says may be long."""
    return UserError(
        "set MLFLOW_TRACKING_URI to a server that answers or to sqlite:///FILE, or unset it to do without: MLflow at "
        f"{redact(uri)}: {failure_line(error)}"
    )


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
        NestedRuns(client, store, known.experiment, known.parent).forget_deleted()
        return found
    # A folder's path says little without its machine.
    key = digest_json([store.uri, "" if "://" in store.uri else socket.gethostname()])
    experiment = make_experiment(client)
    left_behind = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    if left_behind and _is_blank(client, store, left_behind[0], parameters):
        return left_behind[0]
    return client.create_run(experiment, run_name=name, tags={_KEY: key})


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
    return same and not NestedRuns(client, store, parent.info.experiment_id, parent.info.run_id).any()


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
