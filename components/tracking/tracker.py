"""The tracker: sends to MLflow the figures of steps, their input records and the policies they made. See opening.py."""

import functools
import json
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

from ..core.redaction import redact
from ..core.whole_lines import say
from ..storage.outcome import Word
from ..storage.run import read_run
from ..storage.store import Store
from ..storage.units import asking
from . import unsent
from .metrics import Measured, Metrics, Point, accepted, log_metrics
from .mlflow_store import Texts, connect, environment, failure_line, failures, hurried, quiet, send_texts
from .nested_runs import NestedRuns
from .opening import LONGEST_TAG, Tracking, is_ours, topmost_run
from .tags import DIGEST, ITERATION, KEPT, OUTCOME, OUTPUT, PARENT, POLICY, REASON, URI, WEIGHTS

if TYPE_CHECKING:
    from mlflow import MlflowClient

P = ParamSpec("P")
T = TypeVar("T")

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
    counts: Mapping[str, float] = field(default_factory=dict)
    """Entries that were read and left out, by reason."""

    @property
    def identity(self) -> tuple[str, str]:
        """Name and digest as MLflow has them."""
        return self.name, self.digest[:_LONGEST_DATASET_DIGEST]


@dataclass(frozen=True)
class Made:
    """A policy that an iteration made; 0 made the reference."""

    iteration: int
    name: str
    """The method's."""
    weights: str
    """Digest of its weights; with other weights it is another model."""
    digest: str
    """Digest of its whole folder."""
    uri: str
    """Where its files are, if they are `kept`."""
    kept: bool = True


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
            self.uri = ""
            if not self.warning:
                self.warning = f"not sent to MLflow: {failure_line(error)}; nothing is lost: {self._later()}"
                say(f"warning: {self.warning}")
            return None

    return call


class Tracker:
    """Sends what one process has to tell MLflow of a run root.

    Nothing raises because of MLflow, and nothing is sent twice: neither by a step that is killed after sending and runs
    again, nor by another that tells the same once more. A connection is made at the first call. Once MLflow has failed
    nothing is sent any more, unless `retry` is called.
    """

    def __init__(self, tracking: Tracking | None, store: Store):
        """`store`: the run root's, where the ids of nested runs are kept."""
        self._tracking, self._store = tracking, store
        uri, self._attached = environment()
        self._address = uri if (tracking or self._attached) and not asking() else ""
        self.uri = self._address
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
    def tracks(self) -> bool:
        """Whether there is an MLflow to tell, now or later."""
        return bool(self._address)

    @property
    def nests(self) -> bool:
        """Whether steps have runs of our own: there is an MLflow, and KFP's plugin has made none."""
        return bool(self.uri) and not self._attached

    def retry(self) -> None:
        """Send again from now on, although MLflow has failed before."""
        self.uri = self._address

    def _later(self) -> str:
        """How what was not sent gets there."""
        where, root = (shlex.quote(redact(place)) for place in (self._address, self._store.uri))
        return f"later steps send it, and so does MLFLOW_TRACKING_URI={where} nashflow report {root}"

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
        return NestedRuns(self._client, self._store, self._ids.nested or self._ids.experiment, self._ids.parent)

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

    def points(self, iteration: int, step: str, points: Sequence[Point]) -> None:
        """Send figures of a step's work to the step's run; a point that is there stays as it is.

        Where MLflow is away they are kept in the run root, until `flush` sends them.

        Args:
            iteration: the one that the step works for.
            step: as `begin` had it. In case 1 it goes before the figures' names.
            points: in the order of the work; only finite numbers are sent.
        """
        if self._address and not self._send_points(iteration, step, points):
            unsent.keep(self._store, iteration, step, points)

    @_guarded
    def flush(self) -> bool:
        """Send the points that were kept while MLflow was away; whether all were."""
        for kept in unsent.kept(self._store):
            self._log_points(kept.iteration, kept.step, kept.points)
            self._store.delete(kept.key)
        return True

    @_guarded
    def _send_points(self, iteration: int, step: str, points: Sequence[Point]) -> bool:
        self._log_points(iteration, step, points)
        return True

    def _log_points(self, iteration: int, step: str, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        run, prefix = self._run(f"{iteration}/{step}"), f"{step}/" if self._attached else ""
        new = []
        for point in points:
            named = {f"{prefix}{name}": value for name, value in accepted(point.figures).items()}
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
        log_metrics(self._client, run, named, iteration, finished)
        tags = {f"{OUTPUT}{prefix}{name}": redact(value, name) for name, value in (outputs or {}).items()}
        send_texts(self._client, run, {}, tags)
        if not self._attached:
            self._client.set_terminated(run, "FINISHED", finished)

    @_guarded
    def iteration(
        self,
        iteration: int,
        figures: Sequence[tuple[Metrics, Dataset | None]],
        others: Metrics,
        finished: int,
        model: str | None = None,
    ) -> None:
        """Send an iteration's metrics, to its run, which ends, and to the parent, where iterations and runs compare.

        Args:
            iteration: also the metrics' MLflow step.
            figures: those of its policy, and the data set that they were measured on; values as for a step.
            others: further ones, for the parent alone.
            finished: when, in milliseconds since the epoch, as the evaluation's manifest has it.
            model: the policy, as `checkpoint` returned it; its page then shows the figures.
        """
        run, parent = self._run(str(iteration)), self._ids.parent
        for metrics, dataset in figures:
            log_metrics(self._client, run, metrics, iteration, finished)
            measured = Measured(model, dataset.identity if dataset else None)
            log_metrics(self._client, parent, metrics, iteration, finished, measured)
        log_metrics(self._client, parent, others, iteration, finished)
        if not self._attached:
            self._client.set_terminated(run, "FINISHED", finished)

    @_guarded
    def datasets(self, iteration: int | None, datasets: Sequence[Dataset]) -> None:
        """Describe the records that an iteration worked on, as inputs of its run; None: those of the whole run, of the
        parent."""
        from mlflow import entities

        described = []
        for dataset in datasets:
            name, digest = dataset.identity
            entity = entities.Dataset(
                name=name,
                digest=digest,
                source_type="s3" if dataset.uri.startswith("s3://") else "local",
                source=json.dumps({"uri": redact(dataset.uri)}),
                profile=json.dumps({"num_rows": dataset.rows, "digest": dataset.digest, **dataset.counts}),
            )
            context = entities.InputTag("mlflow.data.context", dataset.context)
            described.append(entities.DatasetInput(entity, tags=[context]))
        run = self._ids.parent if iteration is None else self._run(str(iteration))
        if described:
            self._client.log_inputs(run, datasets=described)

    @_guarded
    def prompts(self, figures: Metrics, finished: int) -> None:
        """Send the counts of prompts that were read and left out to the parent, as `prompts/<name>`.

        Args:
            figures: by name.
            finished: when they were counted, in milliseconds since the epoch.
        """
        named = {f"prompts/{name}": value for name, value in figures.items()}
        log_metrics(self._client, self._ids.parent, named, 0, finished)

    @_guarded
    def checkpoint(self, made: Made) -> str:
        """Make a policy a logged model of MLflow's whose files stay where they are; returns the model's id.

        It is named after its run and iteration, and found again by its tags, whatever people name the run later.
        """
        from mlflow.entities import LoggedModelOutput

        ids, run = self._ids, self._run(str(made.iteration))
        tags = {PARENT: ids.parent, WEIGHTS: made.weights, POLICY: made.name, ITERATION: str(made.iteration)}
        same = " AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
        if found := self._client.search_logged_models([ids.experiment], same):
            model = found[0]
        else:
            # As mlflow.create_external_model has it, which needs a global tracking URI and an artifact store.
            tags |= {URI: redact(made.uri), DIGEST: made.digest, "mlflow.model.isExternal": "true"}
            name = self._model_name(made)
            model = self._client.create_logged_model(ids.experiment, name, ids.parent, tags, {}, "policy")
        if made.kept != (model.tags.get(KEPT) != "false"):
            self._client.set_logged_model_tags(model.model_id, {KEPT: str(made.kept).lower()})
        if model.status != "READY":
            self._client.finalize_logged_model(model.model_id, "READY")
        for each in {run, ids.parent}:
            outputs = self._client.get_run(each).outputs
            if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
                self._client.log_outputs(each, [LoggedModelOutput(model.model_id, step=made.iteration)])
        return model.model_id

    def _model_name(self, made: Made) -> str:
        """Iteration, which narrow columns would cut off, and run, without the characters that MLflow refuses in it."""
        run = re.sub(r"[/:.%\"']", "_", self._client.get_run(self._ids.parent).info.run_name)
        return f"{made.iteration:03d}{'' if made.name == 'main' else f' {made.name}'} {run}"

    @_guarded
    def tags(self, tags: Texts) -> None:
        """Tag the parent run."""
        tags = {key: redact(value, key)[:LONGEST_TAG] for key, value in tags.items()}
        send_texts(self._client, self._ids.parent, {}, tags)

    @_guarded
    def file(self, name: str, data: bytes) -> None:
        """Keep a file of the parent run."""
        self._keep({name: data}, "")

    @_guarded
    def report(self, files: Mapping[str, bytes]) -> None:
        """Keep files under `report/` of the parent run."""
        self._keep(files, "report")

    def _keep(self, files: Mapping[str, bytes], where: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(self._ids.parent, folder, where or None)

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
        if not reason and REASON in parent.data.tags:  # of an earlier end, where MLflow was away as the run went on
            self._client.delete_tag(parent.info.run_id, REASON)
        if self._attached or not is_ours(parent):
            return
        for run in self._nested.running():
            self._client.set_terminated(run, status, ended)
        if parent.info.status != status:
            self._client.set_terminated(parent.info.run_id, status, ended)
