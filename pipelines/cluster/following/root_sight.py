"""The run root of a run that is followed, as far as the client may read it."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from nashflow.components.storage.outcome import Outcome

from ..api.bounded import bounded
from ..api.clock import known
from ..api.sight import Sight
from ..runs.run_root import FinishedUnits, run_root_of

T = TypeVar("T")

_SECONDS = 8.0
_MISSED = "lines lack figures, and large runs, of which KFP shows only a part, are not followed to the end"


class RootSight:
    """Figures of the steps, and how the run ended; nothing, with one message, if the store cannot be read."""

    def __init__(self, run: Any, planned: Collection[str], say: Callable[[str], None]) -> None:
        """`planned` are the tasks of the run's graph, if they are known."""
        uri = run_root_of(run)
        begun = (known(run.created_at) or datetime.now(UTC)).timestamp()
        self._units = FinishedUnits(uri, begun, planned)
        self._sight = Sight(f"the run root {uri}", _MISSED, say) if uri else None

    def finished(self, ended: Iterable[str], told: Collection[str]) -> dict[str, dict[str, Any]]:
        """The figures of the tasks `ended`, and of other finished tasks that are not `told` yet."""
        return self._of(lambda: self._units.look(list(ended), frozenset(told)), {})

    def all_finished(self, told: Collection[str]) -> dict[str, dict[str, Any]]:
        """The figures of all finished tasks that are not `told` yet, for a run that has succeeded."""
        return self._of(lambda: self._units.look_again(frozenset(told)), {})

    def outcome(self, job: str) -> Outcome | None:
        """How the run of this id ended, as it wrote down itself."""
        return self._of(lambda: self._units.outcome(job), None)

    def _of(self, look: Callable[[], T], blind: T) -> T:
        return self._sight.of(lambda: bounded(look, _SECONDS), blind) if self._sight else blind
