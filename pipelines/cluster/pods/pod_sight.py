"""The pods of a run that is followed, as far as the client may see them."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property

from ..api.connection import Connection
from ..api.sight import Sight
from ..runs.planned import Planned
from .held_up import HeldUp
from .pods import Pods, pods_of
from .reasons import Failure, failed_nodes, failures


class PodSight:
    """Why pods of a run do not start and why tasks failed; nothing, with one message, if pods cannot be read."""

    def __init__(
        self, connection: Connection, run_id: str, planned: Mapping[str, Planned], say: Callable[[str], None]
    ) -> None:
        self._connection, self._run_id, self._planned = connection, run_id, planned
        self.in_recipe = False
        """Whether something holds up a pod that is a matter of the recipe."""
        self._sight = Sight("the run's pods", "the reasons of failures are not shown", say)

    def troubles(self, at_work: Collection[str]) -> list[str]:
        """What is new, while KFP shows these tasks to be at work."""
        return self._sight.of(lambda: self._look(at_work), [])

    def failures(self, nodes: list[str]) -> list[Failure]:
        """Why these tasks, or drivers of tasks, failed."""
        unknown = [Failure(node) for node in nodes]
        return self._sight.of(lambda: failures(self._pods, nodes, self._planned), unknown)

    def all_failures(self) -> list[Failure]:
        """Likewise, of all that failed, where KFP's API does not say them."""
        return self._sight.of(lambda: failures(self._pods, failed_nodes(self._pods), self._planned), [])

    def _look(self, at_work: Collection[str]) -> list[str]:
        lines = self._held_up.look(at_work)
        self.in_recipe = self._held_up.in_recipe
        return lines

    @cached_property
    def _pods(self) -> Pods:
        return pods_of(self._connection, self._run_id)

    @cached_property
    def _held_up(self) -> HeldUp:
        return HeldUp(self._pods, self._planned)
