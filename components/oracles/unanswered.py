"""Questions that an oracle cannot answer yet, because somebody outside of the run has to."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from ..core.errors import Pending, UserError
from ..runtime import lock
from ..storage import waits
from ..storage.store import Store
from .base import Query

Export = Callable[[Store, str, Sequence[Query]], str]
"""Puts questions under a run root, by a name; says in one line where they are, and what to do with them."""


class Unanswered(UserError):
    """An oracle lacks the answers to some of its questions."""

    def __init__(self, questions: Sequence[Query], export: Export) -> None:
        super().__init__(
            f"{len(questions)} comparisons lack a verdict of people, for whom runs alone wait: let a run export them, "
            "or name files of verdicts by oracle.verdicts"
        )
        self.questions, self.export = list(questions), export


@contextlib.contextmanager
def waiting(store: Store, task: str) -> Iterator[None]:
    """Within this block questions may stay unanswered: they are exported, and it is recorded that `task` waits.

    Raises:
        Pending: there are such questions; says where they are.
    """
    waits.forget(store, task)
    try:
        yield
    except Unanswered as unanswered:
        said = unanswered.export(store, task, unanswered.questions)
        waits.note(store, task, said, lock.held_by(store)[1])
        raise Pending(said) from None
