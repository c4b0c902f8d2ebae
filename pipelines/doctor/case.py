"""The subject of an examination: a recipe, if one is given, and the access to its cluster."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import urlsplit

from nashflow.components.core.errors import UserError

from ..cluster.api.access import Access
from ..cluster.api.connection import Connection, connect
from ..recipe import Recipe
from .cluster import Cluster, NotTried, open_cluster

SERVICE = "ml-pipeline"
"""The name of Kubeflow Pipelines' API server in its namespace."""


@dataclass(frozen=True)
class Kubeflow:
    """An open connection to Kubeflow Pipelines."""

    connection: Connection
    several_users: bool

    @property
    def namespace(self) -> str:
        """Its own namespace, by the way to it; empty where that does not tell."""
        access = self.connection.access
        if access.kube_context:
            return "kubeflow"
        host = urlsplit(access.host).hostname or ""
        found = re.fullmatch(rf"{SERVICE}\.([a-z0-9-]+)(\.svc(\..*)?)?", host)
        return found[1] if found else ""


@dataclass(frozen=True)
class Case:
    """The subject of the checks."""

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
        raise NotTried("Kubernetes cannot be asked", "see the check of Kubernetes")

    @property
    def home(self) -> Cluster:
        """The Kubernetes API, for checks of what the pods of a run find in their namespace.

        Raises:
            NotTried: it could not be opened, or they are in another namespace.
        """
        if self.namespace_mismatch:
            raise NotTried(f"{self.namespace_mismatch}, so nothing in it counts", "see the check of Kubeflow")
        return self.cluster

    @property
    def namespace(self) -> str:
        """The namespace that is looked at; empty where none is given or to be seen."""
        opened = self.opened_cluster
        return opened.namespace if isinstance(opened, Cluster) else self.access.namespace

    @cached_property
    def namespace_mismatch(self) -> str:
        """Why the checked namespace is not that of the runs' pods; empty if it is, or if that is not known."""
        kubeflow, namespace = self.opened_kubeflow, self.namespace
        if not isinstance(kubeflow, Kubeflow) or kubeflow.several_users or not namespace:
            return ""
        if kubeflow.namespace:
            return "" if kubeflow.namespace == namespace else f"pods run in {kubeflow.namespace}, not in {namespace}"
        opened = self.opened_cluster
        if not isinstance(opened, Cluster):
            return ""
        try:
            service = opened.read("its services", opened.core.read_namespaced_service, SERVICE, namespace)
        except NotTried:
            return ""
        return "" if service else f"pods run in Kubeflow's own namespace, which {namespace} is not"

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
        raise NotTried("Kubeflow cannot be asked", "see the check of Kubeflow")

    @cached_property
    def opened_kubeflow(self) -> Kubeflow | Exception:
        """The API of Kubeflow Pipelines, or why it could not be opened."""
        access = self.access
        if not (access.host or access.kube_context or "KUBERNETES_SERVICE_HOST" in os.environ):
            advice = "give --host, set KF_PIPELINES_ENDPOINT, or name a --kube-context"
            return NotTried("the address of Kubeflow Pipelines is not set", advice)
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
