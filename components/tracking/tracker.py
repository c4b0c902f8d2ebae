"""The tracker: sends to MLflow the figures of steps, their input records and the policies they made. See opening.py."""

import functools
import json
import math
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from ..core.redaction import redact
from ..core.whole_lines import say
from ..storage.outcome import Word
from ..storage.run import read_run
from ..storage.store import Store
from ..storage.units import asking
from .mlflow_store import Texts, connect, environment, failure_line, failures, hurried, quiet, send_texts
from .nested_runs import NestedRuns
from .opening import OUTCOME, REASON, Tracking, is_ours, topmost_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

P = ParamSpec("P")
T = TypeVar("T")
Metrics = Mapping[str, Any]

_STATUS = {
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "skipped": "FINISHED",
    "pending": "SCHEDULED",
}
_LONGEST_DATASET_DIGEST, _LONGEST_REASON = 36, 1000
_POINTS_PER_BATCH = 50  # of up to 20 figures: MLflow takes 1,000 metrics at once


@dataclass(frozen=True)
class Dataset:
    """Records that an iteration read or made; MLflow gets this description of them, never a copy."""

    name: str
    digest: str
    uri: str
    rows: int
    context: str
    """Their use, as in `training`."""


@dataclass(frozen=True)
class Point:
    """Figures of a step's work at one moment."""

    done: int
    """How much of the work was done, such as a training's updates; the MLflow step."""
    timestamp: int
    """Milliseconds since the epoch."""
    figures: Mapping[str, float]


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
            root = shlex.quote(redact(self._store.uri))
            later = f"MLFLOW_TRACKING_URI={shlex.quote(where)} nashflow report {root}"
            self.warning = f"not sent to MLflow: {failure_line(error)}; nothing is lost, this sends it: {later}"
            say(f"warning: {self.warning}")
            return None

    return call


class Tracker:
    """Sends what one process has to tell MLflow of a run root.

    Nothing raises because of MLflow, and nothing is sent twice: neither by a step that is killed after sending and runs
    again, nor by another that tells the same once more. A connection is made at the first call.
    """

    def __init__(self, tracking: Tracking | None, store: Store):
        """`store`: the run root's, where the ids of nested runs are kept."""
        self._tracking, self._store = tracking, store
        uri, self._attached = environment()
        self.uri = uri if (tracking or self._attached) and not asking() else ""
        """MLflow's address; empty if there is no MLflow, if it has failed, or if nothing is to be sent."""
        self.warning = ""
        """Why it was not told all."""
        self._drawn: dict[tuple[str, str], set[int]] = {}

    @classmethod
    def of(cls, store: Store) -> "Tracker":
        """The tracker of the run under a run root, if there is a run.

        Raises:
            UserError: `run.json` is damaged.
        """
        run = read_run(store) if environment()[0] else None
        return cls(Tracking.from_json(run.tracking) if run and run.tracking else None, store)

    @property
    def nests(self) -> bool:
        """Whether steps have runs of our own: there is an MLflow, and KFP's plugin has made none."""
        return bool(self.uri) and not self._attached

    @functools.cached_property
    def _client(self) -> "MlflowClient":
        """Connected to a server that answers: one that is away, or hangs, would keep every step waiting for minutes."""
        client = connect(self.uri)
        with hurried():
            client.get_run(self._attached or cast(Tracking, self._tracking).parent)
        return client

    @functools.cached_property
    def _ids(self) -> Tracking:
        if self._tracking and not self._attached:
            return self._tracking
        task = self._client.get_run(self._attached)
        parent = topmost_run(self._client, task).info.run_id
        return Tracking(self.uri, task.info.experiment_id, parent)

    @functools.cached_property
    def _nested(self) -> NestedRuns:
        return NestedRuns(self._client, self._store, self._ids.experiment, self._ids.parent)

    def _run(self, place: str, began: int | None = None) -> str:
        return self._attached or self._nested.id(place, began)

    @_guarded
    def begin(self, iteration: int, step: str) -> None:
        """Set the run of a step, as in `main/rollout`, and that of its iteration to RUNNING; not in case 1."""
        with hurried():
            self._nested.begin(f"{iteration}/{step}")

    @_guarded
    def end(self, iteration: int, step: str, finished: int) -> None:
        """End the run of a step that `begin` began, at `finished` (ms since the epoch); not in case 1."""
        with hurried():
            self._client.set_terminated(self._nested.id(f"{iteration}/{step}"), "FINISHED", finished)

    @_guarded
    def curve(self, iteration: int, step: str, points: Sequence[Point]) -> None:
        """Send figures of a step's work to the step's run, as `curve/<name>`; a point that is there stays as it is.

        Args:
            iteration: the one that the step works for.
            step: as `begin` had it. In case 1 it goes before the figures' names.
            points: in the order of the work; only finite numbers are sent.
        """
        from mlflow.entities import Metric

        run, prefix = self._run(f"{iteration}/{step}"), f"{step}/" if self._attached else ""
        new = []
        for point in points:
            named = {f"{prefix}curve/{name}": value for name, value in _accepted(point.figures).items()}
            # A point is sent as a whole: its first figure stands for all.
            if named and point.done not in (drawn := self._drawn_of(run, next(iter(named)))):
                drawn.add(point.done)
                new.append([Metric(name, value, point.timestamp, point.done) for name, value in named.items()])
        for start in range(0, len(new), _POINTS_PER_BATCH):
            batch = new[start : start + _POINTS_PER_BATCH]
            self._client.log_batch(run, metrics=[metric for point in batch for metric in point])

    def _drawn_of(self, run: str, name: str) -> set[int]:
        """The MLflow steps at which a metric of a run has points."""
        if (run, name) not in self._drawn:
            there = name in self._client.get_run(run).data.metrics
            points = self._client.get_metric_history(run, name) if there else []
            self._drawn[run, name] = {point.step for point in points}
        return self._drawn[run, name]

    @_guarded
    def step(
        self,
        iteration: int,
        step: str,
        metrics: Metrics,
        seconds: float,
        began: int,
        finished: int,
        outputs: Texts | None = None,
    ) -> None:
        """Send the figures of a step to the step's run, and end that run.

        Args:
            iteration: also the metrics' MLflow step.
            step: as `begin` had it. In case 1 it goes before the metrics' names.
            metrics: only finite numbers are sent: MLflow's stores have no infinity, and no point is an honest NaN.
            seconds: how long it took, a metric too.
            began: when, in milliseconds since the epoch, in case MLflow was not told at the time.
            finished: when, likewise: the units' own time, so that it never changes.
            outputs: digest or URI by name, sent as tags.
        """
        prefix = f"{step}/" if self._attached else ""
        run = self._run(f"{iteration}/{step}", began)
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
    def prompts(self, figures: Metrics, finished: int) -> None:
        """Send the counts of prompts that were read and left out to the parent, as `prompts/<name>`.

        Args:
            figures: by name.
            finished: when they were counted, in milliseconds since the epoch.
        """
        named = {f"prompts/{name}": value for name, value in figures.items()}
        _log_metrics(self._client, self._ids.parent, named, 0, finished)

    @_guarded
    def checkpoint(self, iteration: int, policy: str, weights_digest: str, uri: str, kept: bool = True) -> str:
        """Make a policy a logged model of MLflow's whose files stay where they are; returns the model's id.

        Args:
            iteration: the one that made it; 0 for the reference.
            policy: the method's name for it.
            weights_digest: of its weights; with other weights it is another model.
            uri: where the files are.
            kept: whether they are still there; a tag says where they are not.
        """
        from mlflow.entities import LoggedModelOutput

        ids, source, name = self._ids, self._run(str(iteration)), f"{policy}-{iteration:03d}"
        tags = {"nashflow.weights": weights_digest, "nashflow.parent": ids.parent}
        same = " AND ".join([f"name = '{name}'", *(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())])
        if found := self._client.search_logged_models([ids.experiment], same):
            model = found[0]
        else:
            tags["nashflow.uri"] = redact(uri)
            # As mlflow.create_external_model has it, which needs a global tracking URI and an artifact store.
            tags |= {"nashflow.iteration": str(iteration), "mlflow.model.isExternal": "true"}
            model = self._client.create_logged_model(ids.experiment, name, source, tags, {}, "policy")
        if kept != (model.tags.get("nashflow.kept") != "false"):
            self._client.set_logged_model_tags(model.model_id, {"nashflow.kept": str(kept).lower()})
        if model.status != "READY":
            self._client.finalize_logged_model(model.model_id, "READY")
        for run in {source, ids.parent}:
            outputs = self._client.get_run(run).outputs
            if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
                self._client.log_outputs(run, [LoggedModelOutput(model.model_id, step=iteration)])
        return model.model_id

    @_guarded
    def report(self, files: Mapping[str, bytes]) -> None:
        """Keep files under `report/` of the parent run."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(self._ids.parent, folder, "report")

    @_guarded
    def close(self, outcome: Word, reason: str = "", ended: int | None = None) -> None:
        """Record on the parent run how the run ended, and end it and its open nested runs; KFP ends its own runs.

        Args:
            outcome: a tag, and by it the status: FINISHED, FAILED, KILLED or SCHEDULED.
            reason: a tag, where there is one.
            ended: when, in milliseconds since the epoch; now.
        """
        parent, status = self._client.get_run(self._ids.parent), _STATUS[outcome]
        tags = {OUTCOME: outcome, REASON: redact(reason)[:_LONGEST_REASON]}
        send_texts(self._client, parent.info.run_id, {}, {key: value for key, value in tags.items() if value})
        if self._attached or not is_ours(parent):
            return
        for run in self._nested.running():
            self._client.set_terminated(run, status, ended)
        if parent.info.status != status:
            self._client.set_terminated(parent.info.run_id, status, ended)


def _accepted(metrics: Metrics) -> dict[str, float]:
    """The finite numbers, by names that MLflow takes: one character that it refuses would cost the whole batch."""
    numbers = {k: float(v) for k, v in metrics.items() if isinstance(v, int | float) and math.isfinite(v)}
    return {re.sub(r"[^\w\-./: ]", "_", key, flags=re.ASCII): value for key, value in numbers.items()}


def _log_metrics(
    client: "MlflowClient", run_id: str, metrics: Metrics, step: int, timestamp: int, model: str | None = None
) -> None:
    """Send the finite numbers that are not the run's newest value at this MLflow step already."""
    from mlflow.entities import Metric

    numbers = _accepted(metrics)
    there = client.get_run(run_id).data.metrics if numbers else {}

    def sent(key: str, value: float) -> bool:
        history = client.get_metric_history(run_id, key) if key in there else []
        points = [point for point in history if point.step == step]
        return bool(points) and max(points, key=lambda point: point.timestamp).value == value

    new = [Metric(k, v, timestamp, step, model_id=model) for k, v in numbers.items() if not sent(k, v)]
    if new:
        client.log_batch(run_id, metrics=new)
