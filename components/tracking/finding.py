"""Runs of NashFlow in MLflow, and the models that they made, as others look for them. Nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .tags import DIGEST, ITERATION, KIND, PARENT, POLICY, RECIPE, RUN, RUN_ROOT, URI, WEIGHTS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

_PAGE = 1000


@dataclass(frozen=True)
class FoundRun:
    """A run root's own run in MLflow."""

    id: str
    name: str
    recipe: str
    """`run.name`; several runs may have it."""
    run_root: str
    """Its folder, on the machine that made it, or its URI."""
    experiment: str
    """Id of its experiment."""
    status: str
    began: int
    """Milliseconds since the epoch."""
    parameters: Mapping[str, str]
    """Settings by dotted name; those that may change while a run goes on are among the tags."""
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """The newest value of each."""


@dataclass(frozen=True)
class FoundModel:
    """A policy that a run made or, at iteration 0, started from."""

    id: str
    name: str
    policy: str
    """The method's name for it, as in `main`."""
    iteration: int
    weights: str
    """Digest of its weights."""
    digest: str
    """Digest of its whole folder, as the manifest has it."""
    uri: str
    """Where its files are."""


def find_runs(client: "MlflowClient", search: str = "", experiments: Sequence[str] = ()) -> Iterator[FoundRun]:
    """The run roots' own runs, newest first, that a search string of MLflow's matches; all by default.

    Args:
        client: as `connect` gives it.
        search: such as ``params.`method.eta` = '0.5' AND metrics.`eval/win_rate` > 0.5``; the names of the tags are in
            `tags`, as in ``tags.`nashflow.run_root` = 's3://bucket/run'``.
        experiments: ids; by default every experiment, since KFP's plugin has its own.

    Raises:
        failures(): MLflow does not answer, or refuses the search string.
    """
    among = list(experiments) or [found.experiment_id for found in client.search_experiments()]
    ours = f"tags.`{KIND}` = '{RUN}'" + (f" AND {search}" if search else "")
    token = None
    while among:
        page = client.search_runs(among, ours, max_results=_PAGE, page_token=token)
        yield from map(_as_found, page)
        if not (token := page.token):
            return


def find_run(client: "MlflowClient", run_id: str) -> FoundRun | None:
    """The run root's own run of an id, or the one above a nested run; None if it is another's, or there is none."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
        run = client.get_run(run.data.tags.get(PARENT, run_id))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return _as_found(run) if run.data.tags.get(KIND) == RUN else None


def find_models(client: "MlflowClient", run: FoundRun) -> list[FoundModel]:
    """The policies of a run, by iteration; those of `run.json` are all, these are what MLflow was told of."""
    models: list[LoggedModel] = []
    token = None
    while True:
        page = client.search_logged_models([run.experiment], f"tags.`{PARENT}` = '{run.id}'", page_token=token)
        models += page
        if not (token := page.token):
            return sorted(map(_as_model, models), key=lambda model: (model.iteration, model.policy))


def _as_found(run: "Run") -> FoundRun:
    tags = run.data.tags
    return FoundRun(
        run.info.run_id,
        run.info.run_name,
        tags.get(RECIPE, run.info.run_name),
        tags.get(RUN_ROOT, ""),
        run.info.experiment_id,
        run.info.status,
        run.info.start_time,
        run.data.params,
        tags,
        run.data.metrics,
    )


def _as_model(model: "LoggedModel") -> FoundModel:
    tags = model.tags
    iteration = int(tags.get(ITERATION, 0))
    policy = tags.get(POLICY) or model.name.partition("-")[0]
    return FoundModel(
        model.model_id, model.name, policy, iteration, tags[WEIGHTS], tags.get(DIGEST, ""), tags.get(URI, "")
    )
