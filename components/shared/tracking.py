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

import contextlib
import functools
import json
import logging
import math
import os
import re
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from .atomic_file import HIDDEN
from .digests import digest_json
from .errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

P = ParamSpec("P")
T = TypeVar("T")
End = Literal["FINISHED", "FAILED", "KILLED"]
Texts = Mapping[str, str]
Metrics = Mapping[str, Any]

# Only where the user says nothing else: give up in seconds instead of minutes, print nothing, report to nobody.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_PER_BATCH, _LONGEST_PARAMETER, _LONGEST_DATASET_DIGEST, _ALL_RUNS = 100, 6000, 36, 50_000

_SECRET = r"passw(?:or)?d|passphrase|secret|credential|authorization|(?:api|access|private)[-_.]?key|token(?![a-z])"
_SECRET_IN_OBJECT = re.compile(
    rf"""((["'])[^"']*(?:{_SECRET})[^"']*\2\s*:\s*)(["'])(?:\\.|(?!\3).)*\3""", re.IGNORECASE | re.DOTALL
)
_SECRET_IN_QUERY = re.compile(rf"([?&][^=&\s]*(?:{_SECRET}|signature|sig)[^=&\s]*=)[^&#\s]*", re.IGNORECASE)
_USER_IN_URI = re.compile(r"(?<=://)[^/?#\s]*@")
_HIDDEN = "[redacted]"


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


@dataclass(frozen=True)
class Dataset:
    """Records that an iteration read or made; MLflow gets this description of them, never a copy."""

    name: str
    digest: str
    uri: str
    rows: int
    context: str
    """What they were used for, as in `training`."""


def redact(text: str, key: str = "") -> str:
    """`text` without secrets: passwords in URIs, signatures in queries, values in an object whose key looks like one.

    All of it goes where `key` looks like a secret's name: password, secret, credential, API key, …, and `token` in the
    singular (`max_tokens` is none).
    """
    if re.search(_SECRET, key, re.IGNORECASE):
        return _HIDDEN
    text = _SECRET_IN_OBJECT.sub(rf"\1\3{_HIDDEN}\3", _USER_IN_URI.sub("", text))
    return _SECRET_IN_QUERY.sub(rf"\1{_HIDDEN}", text)


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
    uri, run_id = _environment()
    if not uri and run_id:
        raise UserError("MLFLOW_RUN_ID is set, but not MLFLOW_TRACKING_URI: set both, or neither")
    if not uri:
        return known
    tags = {key: redact(value, key) for key, value in (tags or {}).items()}
    tags |= {"nashflow.kind": "run", "nashflow.run_root": redact(location)}
    parameters = {key: redact(value, key)[:_LONGEST_PARAMETER] for key, value in parameters.items()}
    try:
        with _quiet():
            client = _connect(uri, create=True)
            if run_id:
                task = client.get_run(run_id)
                _describe(client, task, parameters, {})
                parent, runs = _topmost(client, task), {}
            else:
                parent = _open_parent(client, name, location, parameters, known)
                runs = _open_nested(client, parent, steps)
            _describe(client, parent, parameters, tags)
            return Tracking(redact(uri), parent.info.experiment_id, parent.info.run_id, runs)
    except _failures() as error:
        raise UserError(
            f"MLflow at {redact(uri)}: {_line(error)}; set MLFLOW_TRACKING_URI to a server that answers or to "
            "sqlite:///FILE, or unset it to run without MLflow"
        ) from None


def _topmost(client: "MlflowClient", run: "Run") -> "Run":
    while above := run.data.tags.get("mlflow.parentRunId"):
        run = client.get_run(above)
    return run


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
    if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return chosen
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "nashflow")
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    # A store without a server would put artifacts into the current folder.
    file = _sqlite_file(client.tracking_uri)
    return client.create_experiment(name, str(Path(file).parent / "mlartifacts") if file else None)


def _is_blank(client: "MlflowClient", parent: "Run", parameters: Texts) -> bool:
    """Whether an earlier preparation of the same recipe made these runs and no step has used them."""
    same = all(parameters.get(key) == value for key, value in parent.data.params.items())
    return same and not any(run.data.metrics for run in (parent, *_nested(client, parent).values()))


def _open_nested(client: "MlflowClient", parent: "Run", steps: Mapping[int, Sequence[str]]) -> dict[str, str]:
    """Make the nested runs that are missing; let those that failed, and the parent, run again."""
    found = _nested(client, parent)
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


def _nested(client: "MlflowClient", parent: "Run") -> dict[str, "Run"]:
    """The runs below a parent of ours, by iteration and step."""
    ours = f"tags.`nashflow.parent` = '{parent.info.run_id}'"
    found = client.search_runs([parent.info.experiment_id], ours, max_results=_ALL_RUNS)
    return {run.data.tags["nashflow.place"]: run for run in found}


def _describe(client: "MlflowClient", run: "Run", parameters: Texts, tags: Texts) -> None:
    """Log parameters and tags on a run; a parameter that has another value there already becomes a tag."""
    there = run.data.params
    new = {key: value for key, value in parameters.items() if key not in there}
    changed = {k: v for k, v in parameters.items() if k in there and run.data.tags.get(k, there[k]) != v}
    _send(client, run.info.run_id, new, {**changed, **tags})


def _send(client: "MlflowClient", run_id: str, parameters: Texts, tags: Texts) -> None:
    from mlflow.entities import Param, RunTag

    params, named = [Param(*item) for item in parameters.items()], [RunTag(*item) for item in tags.items()]
    for start in range(0, max(len(params), len(named)), _PER_BATCH):
        part = slice(start, start + _PER_BATCH)
        client.log_batch(run_id, params=params[part], tags=named[part])


def _guarded(method: Callable[Concatenate["Tracker", P], T]) -> Callable[Concatenate["Tracker", P], T | None]:
    """Do nothing where there is no MLflow; where it fails, warn in one line and stop using it."""

    @functools.wraps(method)
    def call(self: "Tracker", /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        if not self.uri:
            return None
        try:
            with _quiet():
                return method(self, *args, **kwargs)
        except _failures() as error:
            where, self.uri = redact(self.uri), ""
            print(f"warning: not sent to MLflow at {where}: {_line(error)}", file=sys.stderr, flush=True)
            return None

    return call


class Tracker:
    """Sends what one process has to tell MLflow, to the runs that `open_runs` made.

    Nothing raises because of MLflow, and nothing is sent twice: neither by a step that is killed after sending and runs
    again, nor by another that tells the same once more. A connection is made at the first call.
    """

    def __init__(self, tracking: Tracking | None):
        self._tracking = tracking
        uri, self._attached = _environment()
        self.uri = uri if tracking or self._attached else ""
        """Where MLflow is; empty when there is none, or no longer."""

    @functools.cached_property
    def _client(self) -> "MlflowClient":
        return _connect(self.uri)

    @functools.cached_property
    def _ids(self) -> Tracking:
        if self._tracking and not self._attached:
            return self._tracking
        task = self._client.get_run(self._attached)
        parent = _topmost(self._client, task).info.run_id
        return Tracking(self.uri, task.info.experiment_id, parent, {})

    def _run(self, place: str) -> str:
        return self._attached or self._ids.runs[place]

    @_guarded
    def step(
        self, iteration: int, step: str, metrics: Metrics, seconds: float, finished: int, outputs: Texts | None = None
    ) -> None:
        """Send what a step of an iteration measured, to the step's run, and end that.

        Args:
            iteration: also the metrics' MLflow step.
            step: as `open_runs` had it: `main/rollout`. In case 1 it goes before the metrics' names.
            metrics: only finite numbers are sent: MLflow's stores have no infinity, and no point is an honest NaN.
            seconds: how long it took, a metric too.
            finished: when, in milliseconds since the epoch: the units' own time, so that it never changes.
            outputs: digest or URI by name, sent as tags.
        """
        prefix = f"{step}/" if self._attached else ""
        run = self._run(f"{iteration}/{step}")
        named = {f"{prefix}{name}": value for name, value in {**metrics, "seconds": seconds}.items()}
        _log_metrics(self._client, run, named, iteration, finished)
        tags = {f"nashflow.output.{prefix}{name}": redact(value, name) for name, value in (outputs or {}).items()}
        _send(self._client, run, {}, tags)
        if not self._attached:
            self._client.set_terminated(run, "FINISHED", finished)

    @_guarded
    def iteration(self, iteration: int, metrics: Metrics, finished: int, model: str | None = None) -> None:
        """Send an iteration's metrics, to its run, which ends, and to the parent, where iterations and runs compare.

        Args:
            iteration: also the metrics' MLflow step.
            metrics: as for a step.
            finished: when, in milliseconds since the epoch, as the evaluation's manifest has it.
            model: the policy they were measured on, as `checkpoint` returned it; its page then shows them.
        """
        run = self._run(str(iteration))
        _log_metrics(self._client, run, metrics, iteration, finished, model)
        _log_metrics(self._client, self._ids.parent, metrics, iteration, finished)
        if not self._attached:
            self._client.set_terminated(run, "FINISHED", finished)

    @_guarded
    def datasets(self, iteration: int, datasets: Sequence[Dataset]) -> None:
        """Describe the records that an iteration worked on, as inputs of its run."""
        from mlflow import entities

        described = []
        for dataset in datasets:
            entity = entities.Dataset(
                name=dataset.name,
                digest=dataset.digest[:_LONGEST_DATASET_DIGEST],
                source_type="s3" if dataset.uri.startswith("s3://") else "local",
                source=json.dumps({"uri": redact(dataset.uri)}),
                profile=json.dumps({"num_rows": dataset.rows, "digest": dataset.digest}),
            )
            context = entities.InputTag("mlflow.data.context", dataset.context)
            described.append(entities.DatasetInput(entity, tags=[context]))
        self._client.log_inputs(self._run(str(iteration)), datasets=described)

    @_guarded
    def checkpoint(self, iteration: int, policy: str, weights: str, uri: str, parameters: Texts | None = None) -> str:
        """Make a policy a logged model of MLflow's whose files stay where they are; returns the model's id.

        Args:
            iteration: the one that made it; 0 for the reference.
            policy: the method's name for it.
            weights: digest of the weights; with other weights it is another model.
            uri: where the files are.
            parameters: sent as the model's parameters.
        """
        from mlflow.entities import LoggedModelOutput

        ids, source, name = self._ids, self._run(str(iteration)), f"{policy}-{iteration:03d}"
        same = f"name = '{name}' AND tags.`nashflow.weights` = '{weights}' AND tags.`nashflow.parent` = '{ids.parent}'"
        if found := self._client.search_logged_models([ids.experiment], same):
            model = found[0]
        else:
            tags = {"nashflow.weights": weights, "nashflow.uri": redact(uri), "nashflow.parent": ids.parent}
            # As mlflow.create_external_model has it, which needs a global tracking URI and an artifact store.
            tags |= {"nashflow.iteration": str(iteration), "mlflow.model.isExternal": "true"}
            shown = {key: redact(value, key) for key, value in (parameters or {}).items()}
            model = self._client.create_logged_model(ids.experiment, name, source, tags, shown, "policy")
        if model.status != "READY":
            self._client.finalize_logged_model(model.model_id, "READY")
        for run in {source, ids.parent}:
            outputs = self._client.get_run(run).outputs
            if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
                self._client.log_outputs(run, [LoggedModelOutput(model.model_id, step=iteration)])
        return model.model_id

    @_guarded
    def close(self, status: End, artifacts: Mapping[str, bytes] | None = None) -> None:
        """Keep files under `report/` of the parent run, and end it and what is open below it; KFP ends its own runs."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in (artifacts or {}).items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            if artifacts:
                self._client.log_artifacts(self._ids.parent, folder, "report")
        if self._attached:
            return
        parent = self._client.get_run(self._ids.parent)
        for run in (*_nested(self._client, parent).values(), parent):
            if run.info.status == "RUNNING" or (run is parent and run.info.status != status):
                self._client.set_terminated(run.info.run_id, status)


def _log_metrics(
    client: "MlflowClient", run_id: str, metrics: Metrics, step: int, timestamp: int, model: str | None = None
) -> None:
    """Send the finite numbers that are not the run's newest value at this MLflow step already."""
    from mlflow.entities import Metric

    numbers = {k: float(v) for k, v in metrics.items() if isinstance(v, int | float) and math.isfinite(v)}
    # One character that MLflow refuses would cost the whole batch.
    finite = {re.sub(r"[^\w\-./: ]", "_", key, flags=re.ASCII): value for key, value in numbers.items()}
    there = client.get_run(run_id).data.metrics if finite else {}

    def sent(key: str, value: float) -> bool:
        history = client.get_metric_history(run_id, key) if key in there else []
        points = [point for point in history if point.step == step]
        return bool(points) and max(points, key=lambda point: point.timestamp).value == value

    new = [Metric(k, v, timestamp, step, model_id=model) for k, v in finite.items() if not sent(k, v)]
    if new:
        client.log_batch(run_id, metrics=new)


def _connect(uri: str, *, create: bool = False) -> "MlflowClient":
    """A client of a tracking store; an SQLite file is made only with `create`.

    Raises:
        sqlite3.Error: an SQLite file cannot be opened, which MLflow would try again for 100 seconds.
    """
    from mlflow import MlflowClient

    if file := _sqlite_file(uri):
        if create and not os.path.exists(file):
            _create(Path(file))
        with contextlib.closing(sqlite3.connect(f"{Path(file).as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    return MlflowClient(uri)


def _create(database: Path) -> None:
    """Make a new SQLite store whole or not at all: MLflow cannot mend one that was made in part, or twice at once.

    Hundreds of small transactions make it; without a wait for the disk after each they take a second, not ten.
    """
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    def hasten(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=database.parent) as folder:
        draft, whole = Path(folder, "draft.db"), Path(folder, "whole.db")
        event.listen(Engine, "connect", hasten)
        try:
            MlflowClient(f"sqlite:///{draft}").search_experiments(max_results=1)
        finally:
            event.remove(Engine, "connect", hasten)
        shutil.copyfile(draft, whole)
        with contextlib.suppress(FileExistsError):
            os.link(whole, database)


def _sqlite_file(uri: str) -> str:
    """The file of an SQLite store; empty for another store."""
    return uri.removeprefix("sqlite:///") if uri.startswith("sqlite:///") else ""


def _environment() -> tuple[str, str]:
    """Where MLflow is, an SQLite store whatever the current folder, and the run that KFP made for this task."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if database := _sqlite_file(uri):
        uri = f"sqlite:///{Path(database).absolute()}"
    return uri, os.environ.get("MLFLOW_RUN_ID", "")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's log lines and tracebacks off the terminal: whatever matters in them is raised as well."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401  it sets its loggers' levels when imported

    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic", "urllib3")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _failures() -> tuple[type[Exception], ...]:
    """What MLflow's client, its database and the stores of its artifacts raise."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, sqlite3.Error, OSError, Boto3Error, BotoCoreError, ClientError


def _line(error: Exception) -> str:
    return redact(" ".join(str(error).split()))[:300]
