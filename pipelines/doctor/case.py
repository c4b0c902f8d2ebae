"""What is examined: a recipe, if there is one, and how its cluster is reached."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from nashflow.components.shared.errors import UserError

from ..client.access import Access
from ..client.connection import Connection, connect
from ..recipe import Recipe
from .cluster import Cluster, NotTried, open_cluster


@dataclass(frozen=True)
class Kubeflow:
    """An open connection to Kubeflow Pipelines."""

    connection: Connection
    several_users: bool


@dataclass(frozen=True)
class Case:
    """What the checks look at."""

    recipe: Recipe | None
    access: Access
    run_root: str = ""
    """Instead of the recipe's."""
    judge_url: str = ""

    @property
    def needs(self) -> Recipe:
        """The recipe.

        Raises:
            NotTried: there is none.
        """
        if self.recipe is None:
            raise NotTried("no recipe was given", "name one: nashflow doctor RECIPE")
        return self.recipe

    @property
    def cluster(self) -> Cluster:
        """The Kubernetes API, for checks after the one that opened it.

        Raises:
            NotTried: it could not be opened.
        """
        if isinstance(self.opened_cluster, Cluster):
            return self.opened_cluster
        raise NotTried("Kubernetes cannot be asked", "see what is said of Kubernetes")

    @cached_property
    def opened_cluster(self) -> Cluster | Exception:
        """The Kubernetes API, or why it could not be opened."""
        try:
            return open_cluster(self.access)
        except (NotTried, ConnectionError) as reason:
            return reason

    @property
    def kubeflow(self) -> Kubeflow:
        """The API of Kubeflow Pipelines, for checks after the one that opened it.

        Raises:
            NotTried: it could not be opened.
        """
        if isinstance(self.opened_kubeflow, Kubeflow):
            return self.opened_kubeflow
        raise NotTried("Kubeflow cannot be asked", "see what is said of Kubeflow")

    @cached_property
    def opened_kubeflow(self) -> Kubeflow | Exception:
        """The API of Kubeflow Pipelines, or why it could not be opened."""
        access = self.access
        if not (access.host or access.kube_context or "KUBERNETES_SERVICE_HOST" in os.environ):
            advice = "give --host, set KF_PIPELINES_ENDPOINT, or name a --kube-context"
            return NotTried("it is not said where Kubeflow Pipelines is", advice)
        try:
            # Where both are given, the context leads to Kubernetes alone.
            connection = connect(replace(access, kube_context="") if access.host else access)
            health = connection.call(connection.client._healthz_api.healthz_service_get_healthz)
            return Kubeflow(connection, bool(health.multi_user))
        except (UserError, ConnectionError) as error:
            return error

    def variables(self) -> Sequence[str]:
        """Names of the environment variables that the recipe takes from Secrets and ConfigMaps."""
        cluster = self.recipe.cluster if self.recipe else None
        sources = (*cluster.secrets, *cluster.config_maps) if cluster else ()
        return [variable for source in sources for variable in source.keys.values()]
