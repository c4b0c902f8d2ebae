"""What steps tell MLflow: their figures, the records they worked on, the policies they made. See tracking.py."""

import functools
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from .mlflow_store import Texts, connect, environment, failures, one_line, quiet, send_texts
from .redaction import redact
from .tracking import Tracking, nested_runs, topmost_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

P = ParamSpec("P")
T = TypeVar("T")
End = Literal["FINISHED", "FAILED", "KILLED"]
Metrics = Mapping[str, Any]

_LONGEST_DATASET_DIGEST = 36


@dataclass(frozen=True)
class Dataset:
    """Records that an iteration read or made; MLflow gets this description of them, never a copy."""

    name: str
    digest: str
    uri: str
    rows: int
    context: str
    """What they were used for, as in `training`."""


def _guarded(method: Callable[Concatenate["Tracker", P], T]) -> Callable[Concatenate["Tracker", P], T | None]:
    """Do nothing where there is no MLflow; where it fails, warn in one line and stop using it."""

    @functools.wraps(method)
    def call(self: "Tracker", /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        if not self.uri:
            return None
        try:
            with quiet():
                return method(self, *args, **kwargs)
        except failures() as error:
            where, self.uri = redact(self.uri), ""
            print(f"warning: not sent to MLflow at {where}: {one_line(error)}", file=sys.stderr, flush=True)
            return None

    return call


class Tracker:
    """Sends what one process has to tell MLflow, to the runs that `open_runs` made.

    Nothing raises because of MLflow, and nothing is sent twice: neither by a step that is killed after sending and runs
    again, nor by another that tells the same once more. A connection is made at the first call.
    """

    def __init__(self, tracking: Tracking | None):
        self._tracking = tracking
        uri, self._attached = environment()
        self.uri = uri if tracking or self._attached else ""
        """Where MLflow is; empty when there is none, or no longer."""

    @functools.cached_property
    def _client(self) -> "MlflowClient":
        return connect(self.uri)

    @functools.cached_property
    def _ids(self) -> Tracking:
        if self._tracking and not self._attached:
            return self._tracking
        task = self._client.get_run(self._attached)
        parent = topmost_run(self._client, task).info.run_id
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
        send_texts(self._client, run, {}, tags)
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
        for run in (*nested_runs(self._client, parent).values(), parent):
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
