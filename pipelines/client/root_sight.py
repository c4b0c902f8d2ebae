"""The run root of a run that is followed, as far as the client may read it."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.outcome import Outcome
from nashflow.components.shared.store import open_store

from .bounded import within
from .clock import known
from .run_root import FinishedUnits, close_cancelled, run_root_of
from .sight import Sight

T = TypeVar("T")

_SECONDS, _CLOSING_SECONDS = 8.0, 120.0
_MISSED = "lines lack figures, and large runs, of which KFP shows only a part, are not followed to the end"


class RootSight:
    """What steps said of themselves, and how the run ended; nothing, said once, where the store cannot be read."""

    def __init__(self, run: Any, planned: Collection[str], say: Callable[[str], None], missed: str = _MISSED) -> None:
        """`planned` are the tasks of the run's graph, if they are known; `missed` is what else there would be."""
        self._uri, self._say = run_root_of(run), say
        begun = (known(run.created_at) or datetime.now(UTC)).timestamp()
        self._units = FinishedUnits(self._uri, begun, planned)
        self._sight = Sight(f"the run root {self._uri}", missed, say) if self._uri else None

    def finished(self, ended: Iterable[str], told: Collection[str]) -> dict[str, dict[str, Any]]:
        """What the tasks `ended`, and those that are found to be done and not `told`, have said of themselves."""
        return self._of(lambda: self._units.look(list(ended), frozenset(told)), {})

    def all_finished(self, told: Collection[str]) -> dict[str, dict[str, Any]]:
        """What all tasks that are done and not `told` have said of themselves, now that the run has succeeded."""
        return self._of(lambda: self._units.look_again(frozenset(told)), {})

    def outcome(self, job: str) -> Outcome | None:
        """How the run of this id ended, as it wrote down itself."""
        return self._of(lambda: self._units.outcome(job), None)

    def close_cancelled(self, job: str) -> None:
        """Record that the run of this id was cancelled, if it could not do so itself."""
        if self._of(lambda: close_cancelled(open_store(self._uri), job), False, _CLOSING_SECONDS):
            self._say(f"its run in MLflow stays open: with MLFLOW_TRACKING_URI set, `nashflow wait {job}` ends it")

    def _of(self, look: Callable[[], T], blind: T, seconds: float | None = None) -> T:
        return self._sight.of(lambda: _bounded(look, seconds or _SECONDS), blind) if self._sight else blind


def _bounded(look: Callable[[], T], seconds: float) -> T:
    (answer,) = within(seconds, [look])
    if isinstance(answer, UserError | OSError):
        raise answer
    if isinstance(answer, Exception):  # botocore's are of many kinds
        raise ConnectionError(f"{type(answer).__name__}: {answer}") from answer
    return answer
