"""MLflow's word on where things came from: versions of registered models, and the runs that stand for run roots."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from nashflow.components.core.errors import UserError
from nashflow.components.core.redaction import redact
from nashflow.components.registry.champions import Registry
from nashflow.components.registry.version import Version
from nashflow.components.storage.store import Store
from nashflow.components.tracking.finding import FoundRun, find_run, find_runs
from nashflow.components.tracking.mlflow_store import connect, environment, failure_line, failures, quiet
from nashflow.components.tracking.reaching import reached
from nashflow.components.tracking.registry import lies_under
from nashflow.components.tracking.tags import INPUT

from ..mlflow_beside import use_store_beside

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
SCHEME = "models:/"
_PAGE = 1000


def registered_policy(named: str) -> tuple[Store, str]:
    """The run root's store and the reference (`003/main`) of the policy that `models:/NAME@ALIAS` names.

    Raises:
        UserError: there is none, its files are gone, or they are others than were registered, by their manifest.
    """
    use_store_beside()
    version = Registry.named(named)
    version.manifest()
    return version.store(), version.policy


@dataclass
class Mlflow:
    """The MLflow of MLFLOW_TRACKING_URI, if there is one: an outage leaves a trace without what it alone knows."""

    notes: list[str] = field(default_factory=list)
    """Why it was not asked, at most one line."""

    @property
    def uri(self) -> str:
        """Its address; empty where there is none."""
        return environment()[0]

    @cached_property
    def _client(self) -> "MlflowClient":
        return connect(self.uri)

    def asked(self, ask: Callable[["MlflowClient"], T], otherwise: T) -> T:
        """Ask it for more than run roots know; one that does not answer is noted, and asked no more."""
        if not self.uri or self.notes:
            return otherwise
        try:
            with quiet():
                return ask(self._client)
        except failures() as error:
            self.notes.append(f"MLflow at {redact(self.uri)} was not asked: {failure_line(error)}")
            return otherwise

    def model(self, model_id: str) -> Mapping[str, str]:
        """The tags of a policy that was logged, by the id of its LoggedModel.

        Raises:
            UserError: as `reached`, or there is no such model.
        """
        with reached() as client:
            tags: Mapping[str, str] = client.get_logged_model(model_id).tags
        return tags

    def run_root(self, run_id: str) -> str:
        """The run root that an MLflow run stands for, or that of the run above it.

        Raises:
            UserError: as `reached`, or there is no such run.
        """
        with reached() as client:
            found = find_run(client, run_id)
        if not found:
            raise UserError(
                f"{run_id}: MLflow at {redact(self.uri)} has no run of NashFlow of this id: give a run root"
            )
        return found.run_root

    def named(self, name: str) -> list[FoundRun]:
        """The runs of a name, newest first: as MLflow shows it, or `run.name`."""
        return [run for run in self._runs if name in (run.name, run.recipe)]

    @cached_property
    def _runs(self) -> list[FoundRun]:
        return self.asked(lambda client: list(find_runs(client)), [])

    def tags(self, tracking: Mapping[str, Any]) -> dict[str, str]:
        """The tags of the run that `run.json` names, but for MLflow's own and the descriptions of single units."""
        found = self.asked(lambda client: find_run(client, str(tracking["parent"])), None) if tracking else None
        return {name: redact(value) for name, value in found.tags.items()} if found else {}

    def with_input(self, name: str, digest: str) -> list[FoundRun]:
        """The runs that had an input of a digest: `policy`, `prompts`, …"""
        search = f"tags.`{INPUT}{name}` = '{digest}'"
        return self.asked(lambda client: list(find_runs(client, search)), [])

    def of_place(self, folder: str) -> list[tuple[Version, list[str]]]:
        """The versions whose files lie in a folder or URI or below it, each with its aliases."""
        return [(version, aliases) for version, aliases in self._versions if lies_under(version.place, folder)]

    @cached_property
    def _versions(self) -> list[tuple[Version, list[str]]]:
        return self.asked(lambda client: list(_all_versions(client)), [])


def _all_versions(client: "MlflowClient") -> Iterator[tuple[Version, list[str]]]:
    token = None
    while True:
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        for model in page:
            for version in Registry(model.name, client).versions():
                yield version, [alias for alias, number in model.aliases.items() if int(number) == version.number]
        if not (token := page.token):
            return
