"""The interface of the settings of every oracle."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from ..core.errors import UserError
from ..core.runtimes import Runtime
from ..core.settings import Variant
from ..games.sandbox.settings import WorldSettings
from ..games.sandbox.texts import context_index
from ..storage.records import Message
from ..storage.store import Store
from .base import Oracle

if TYPE_CHECKING:
    from .fitted.settings import JudgeSettings
    from .llm_judge.completions import Completions

Round = Collection[tuple[int, int]]
"""The matches of one round: two of a prompt's responses each."""


Reader = Callable[[Sequence[Message]], int]
"""How many tokens a model's context has left for the answers to a prompt.

Raises a UserError for a prompt that the model cannot read whole, among them TooLong."""


class TooLong(UserError):
    """A prompt leaves no room for answers."""


class Served(NamedTuple):
    """A model behind a server that steps ask."""

    url: str
    """Address of the API, which ends before `/models`."""
    model: str
    """Its name there."""
    key_variable: str
    """The environment variable that holds the API key; empty: none is needed."""


class OracleSettings(Variant, ABC):
    """Interface of the settings of every oracle; group of entry points: `nashflow.oracles`."""

    responses_read: ClassVar[int] = 0
    """Number of responses in one input sequence of the oracle's model; 0: it has no model."""
    scores: ClassVar[bool] = False
    """Whether its verdicts have scores: log-odds of any size, which `method.labels: score` takes for labels."""

    @property
    def fills(self) -> int:
        """How many comparisons keep it busy, where it is asked about them at once."""
        return 1

    @property
    def own_world(self) -> WorldSettings | None:
        """The sandbox world that the oracle belongs to, if it does."""
        return None

    def judges_such(self, dialogues: Iterable[Sequence[Message]]) -> bool:
        """Whether it judges answers to such dialogues: an oracle of the sandbox world judges that world's alone."""
        try:
            return not self.own_world or all(context_index(messages) >= 0 for messages in dialogues)
        except UserError:
            return False

    @property
    def runtime(self) -> Runtime:
        """The runtime (image) that it needs."""
        return "steps"

    @property
    def memory(self) -> float:
        """Share of an accelerator's memory that its models keep for themselves."""
        return 0.0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files and folders that steps read."""
        return ()

    @property
    def judges(self) -> tuple["JudgeSettings", ...]:
        """The judges that a run fits for it, before its first iteration."""
        return ()

    @property
    def served(self) -> tuple[Served, ...]:
        """The models behind servers that steps ask."""
        return ()

    @abstractmethod
    def check(self) -> None:
        """Raise a UserError, without loading a model, if `load` would fail."""

    def check_reachable(self, store: Store, *, anew: bool) -> None:
        """Raise if what it asks over a network is not there, for a run in `store`; preparation asks, no client does.

        Where it has answered before, it is asked `anew` or not: a run that goes on may have nothing left to ask.
        """
        return

    def require_here(self) -> None:
        """Refuse, with a UserError, an oracle that cannot run on this machine, where its image can."""

    @abstractmethod
    def digest(self) -> str:
        """Digest that identifies the oracle: equal digests mean equal oracles."""

    @property
    def signature(self) -> str:
        """Stands on its verdicts: the kind, and the beginning of the digest."""
        return f"{self.kind}-{self.digest()[:16]}"

    @property
    def short_name(self) -> str:
        """Stands in the names of figures that it decides: its model's name or folder's, or else the kind."""
        return self.kind

    @property
    def writes(self) -> bool:
        """Whether it is a model that writes, and has `completions`."""
        return type(self).completions is not OracleSettings.completions

    def completions(self, request: Mapping[str, Any], store: Store | None = None) -> "Completions | None":
        """The oracle asked in other words than its own, with these fields of a request, such as temperature; None if it
        is no model that writes."""
        return None

    def reader(self) -> Reader | None:
        """How its model reads prompts; None if it has no model."""
        return None

    def dated(self, day: str) -> Self:
        """The oracle on a day, an ISO date, which a judge's chat template may write."""
        return self

    def made_in(self, store: Store) -> Self:
        """The oracle as the run in `store` has made it: the same, unless the run fits judges for it."""
        return self

    @abstractmethod
    def load(self, store: Store | None = None) -> Oracle:
        """The opened oracle; one that is dear to ask keeps its verdicts in `store`, if there is one."""

    def asked_again(self) -> Self | None:
        """The same oracle with other random numbers; None if it draws none: asked again, it repeats its verdicts."""
        return None

    def sequences(self, rounds: Sequence[Round]) -> int:
        """How many sequences the oracle's model reads in the tournament of one prompt."""
        return 0

    def expected_usage(self, comparisons: int, prompt_tokens: float, response_tokens: float) -> Mapping[str, float]:
        """What it would use, as its `usage` counts it, for comparisons of responses of some mean length."""
        return {}

    def parameters(self) -> float | None:
        """Number of parameters of its model; None if it has none, or its folder cannot be read here."""
        return None


def as_name(text: str) -> str:
    """The last part of a model's name or path, of characters that names of figures may have."""
    return re.sub(r"[^\w.-]+", "-", text.rstrip("/").rpartition("/")[2], flags=re.ASCII)


def judges_of(oracles: Iterable[OracleSettings]) -> dict[str, "JudgeSettings"]:
    """The judges that a run fits for its oracles, by their names; equal ones are one."""
    return {judge.name: judge for oracle in oracles for judge in oracle.judges}


def require_memory(oracles: Mapping[str, OracleSettings]) -> None:
    """Oracles that are asked in turn, by their names, have to fit into an accelerator's memory together.

    Raises:
        ValueError: the shares that they keep for themselves add up to more than 1.
    """
    shares = {name: oracle.memory for name, oracle in oracles.items() if oracle.memory}
    if len(shares) > 1 and sum(shares.values()) > 1:
        told = " and ".join(f"{share:g} of {name}" for name, share in shares.items())
        raise ValueError(
            f"vllm runs several oracles beside each other, and their engine.gpu_memory, {told}, add up to more than 1: "
            f"set each to {100 // len(shares) / 100} at most"
        )


def first_meetings(rounds: Sequence[Round]) -> list[set[frozenset[int]]]:
    """The pairs of each round that have not met before: verdicts are remembered."""
    met: set[frozenset[int]] = set()
    news = []
    for matches in rounds:
        news.append({frozenset(match) for match in matches} - met)
        met |= news[-1]
    return news


def responses_in(rounds: Sequence[Round]) -> int:
    """How many responses meet others."""
    return len({response for matches in rounds for match in matches for response in match})
