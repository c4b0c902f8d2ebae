"""Settings of a mixture of oracles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.digests import digest_json
from ...core.runtimes import Runtime
from ...games.sandbox.settings import WorldSettings
from ...storage.records import Message
from ...storage.store import Store
from ..base import Oracle
from ..fitted.settings import JudgeSettings
from ..oracle_settings import OracleSettings, Reader, Round, Served, require_memory
from ..single import SingleOracle
from .members import member
from .oracle import MixtureOracle


class Mixture(OracleSettings):
    """The weighted mean of several oracles' preferences, such as those of annotators who differ (MNPO, arXiv
    2509.23102). Where one of them gives no verdict, there is none: the mean of the others would be that of another
    population."""

    kind: Literal["mixture"] = "mixture"
    oracles: tuple[SingleOracle, ...]
    """The oracles, two at least, each with the settings of its kind."""
    weights: tuple[Annotated[float, Field(gt=0.0)], ...]
    """The weight of each, in their order; they sum to one."""

    @field_validator("oracles")
    @classmethod
    def _several(cls, oracles: tuple[OracleSettings, ...]) -> tuple[OracleSettings, ...]:
        if len(oracles) < 2:
            raise ValueError(f"a mixture is of two at least, not of {len(oracles)}")
        return oracles

    @model_validator(mode="after")
    def _weighed(self) -> "Mixture":
        if len(self.weights) != len(self.oracles):
            raise ValueError(
                f"weights has {len(self.weights)} numbers for {len(self.oracles)} oracles: give one for each"
            )
        if abs((total := sum(self.weights)) - 1.0) > 1e-9:
            shares = ", ".join(f"{weight / total:.12g}" for weight in self.weights)
            raise ValueError(f"weights sum to {total:.6g}, not to 1: in the same proportions they are [{shares}]")
        if len({repr(oracle.own_world) for oracle in self.oracles}) > 1:
            raise ValueError("oracles judge different worlds: a mixture is of one sandbox world, or of none")
        require_memory({f"oracles.{number}": oracle for number, oracle in enumerate(self.oracles)})
        return self

    @property
    def fills(self) -> int:
        """As many as keep every one of them busy."""
        return max(oracle.fills for oracle in self.oracles)

    @property
    def own_world(self) -> WorldSettings | None:
        """The world of all of them."""
        return self.oracles[0].own_world

    @property
    def runtime(self) -> Runtime:
        """That of those whose models need another than the steps'."""
        return next((oracle.runtime for oracle in self.oracles if oracle.runtime != "steps"), "steps")

    @property
    def memory(self) -> float:
        """That of all of them."""
        return sum(oracle.memory for oracle in self.oracles)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those of all of them."""
        return tuple(path for oracle in self.oracles for path in oracle.paths)

    @property
    def judges(self) -> tuple[JudgeSettings, ...]:
        """Those of all of them."""
        return tuple(judge for oracle in self.oracles for judge in oracle.judges)

    @property
    def served(self) -> tuple[Served, ...]:
        """Those of all of them."""
        return tuple(each for oracle in self.oracles for each in oracle.served)

    @property
    def responses_read(self) -> int:  # type: ignore[override]
        """The most that one of their models reads at once."""
        return max(oracle.responses_read for oracle in self.oracles)

    def require_here(self) -> None:
        """Require it of every one of them."""
        for oracle in self.oracles:
            oracle.require_here()

    def check(self) -> None:
        """Check every one of them; says which one is refused."""
        for number, oracle in enumerate(self.oracles):
            with member(number, oracle.kind):
                oracle.check()

    def check_reachable(self, store: Store, *, anew: bool) -> None:
        """Ask those that are asked over a network."""
        for number, oracle in enumerate(self.oracles):
            with member(number, oracle.kind):
                oracle.check_reachable(store, anew=anew)

    def digest(self) -> str:
        """Digest of their digests and weights."""
        weighted = zip(self.oracles, self.weights, strict=True)
        return digest_json([[oracle.kind, oracle.digest(), weight] for oracle, weight in weighted])

    def reader(self) -> Reader | None:
        """Every model has to read a prompt, and the one with the least room for answers counts."""
        readers = [reader for oracle in self.oracles if (reader := oracle.reader())]

        def read(messages: Sequence[Message]) -> int:
            return min(reader(messages) for reader in readers)

        return read if readers else None

    def dated(self, day: str) -> Self:
        """All of them on a day."""
        return self.model_copy(update={"oracles": tuple(oracle.dated(day) for oracle in self.oracles)})

    def made_in(self, store: Store) -> Self:
        """All of them as the run in `store` has made them."""
        return self.model_copy(update={"oracles": tuple(oracle.made_in(store) for oracle in self.oracles)})

    def asked_again(self) -> Self | None:
        """All of them, those that draw random numbers with others; None if none does."""
        again = [oracle.asked_again() for oracle in self.oracles]
        if not any(again):
            return None
        oracles = (other or oracle for oracle, other in zip(self.oracles, again, strict=True))
        return self.model_copy(update={"oracles": tuple(oracles)})

    def load(self, store: Store | None = None) -> Oracle:
        """All of them, opened."""
        opened = []
        for number, oracle in enumerate(self.oracles):
            with member(number, oracle.kind):
                opened.append(oracle.load(store))
        return MixtureOracle(opened, self.weights, [oracle.kind for oracle in self.oracles])

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Those that all of their models read."""
        return sum(oracle.sequences(rounds) for oracle in self.oracles)

    def expected_usage(self, comparisons: int, prompt_tokens: float, response_tokens: float) -> Mapping[str, float]:
        """What they would use together."""
        used: dict[str, float] = {}
        for oracle in self.oracles:
            for name, value in oracle.expected_usage(comparisons, prompt_tokens, response_tokens).items():
                used[name] = used.get(name, 0) + value
        return used

    def parameters(self) -> float | None:
        """Number of parameters of their models, on average, of those that can be read here; None if there are none."""
        known = [parameters for oracle in self.oracles if (parameters := oracle.parameters()) is not None]
        return sum(known) / len(known) if known else None
