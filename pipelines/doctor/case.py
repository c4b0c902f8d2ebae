"""What is examined: a recipe, if there is one, and how its cluster is reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..client.connection import Access, Connection
from ..recipe import Recipe
from .cluster import Cluster, NotTried, open_cluster


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
        """The Kubernetes API.

        Raises:
            NotTried: no way leads there, or it does not answer.
        """
        if isinstance(self._cluster, NotTried):
            raise self._cluster
        return self._cluster

    @cached_property
    def _cluster(self) -> Cluster | NotTried:
        try:
            return open_cluster(self.access)
        except NotTried as reason:
            return reason

    @cached_property
    def kubeflow(self) -> Connection:
        """The API of Kubeflow Pipelines.

        Raises:
            UserError, ConnectionError: as `connect`.
        """
        from ..client.connection import connect

        # Where both are given, the context leads to Kubernetes alone.
        access = self.access
        return connect(Access(**{**vars(access), "kube_context": ""}) if access.host else access)

    def variables(self) -> Sequence[str]:
        """Names of the environment variables that the recipe takes from Secrets and ConfigMaps."""
        cluster = self.recipe.cluster if self.recipe else None
        sources = (*cluster.secrets, *cluster.config_maps) if cluster else ()
        return [variable for source in sources for variable in source.keys.values()]
