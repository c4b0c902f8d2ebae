"""Settings of the oracle of people."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ...core.digests import digest_json
from ...core.errors import UserError
from ...storage import layout
from ...storage.store import Store, open_store
from ..base import Oracle
from ..oracle_settings import OracleSettings
from .oracle import HumanOracle
from .verdicts import given_in, votes_of

Combine = Literal["share", "majority"]


class Human(OracleSettings):
    """Preferences of people, who answer what a run exports; the run ends there, and goes on when they have."""

    kind: Literal["human"] = "human"
    instructions: str = "Which answer to the last message is better?"
    """What annotators are asked; shown above every comparison."""
    annotators: int = Field(1, ge=1)
    """Number of people who have to judge each comparison."""
    combine: Combine = "share"
    """The preference where several have judged. share: the share of the votes, a tie being half a vote for either side;
    majority: 1 or 0, or 1/2 where neither side has more votes."""
    verdicts: str = ""
    """Another folder or s3://bucket/prefix of verdict files, such as human/verdicts of an earlier run. Those under the
    run root are always read."""
    seed: int = 0
    """Seed of the order in which the two answers are shown."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The other folder of verdicts."""
        return (Path(self.verdicts),) if self.verdicts and "://" not in self.verdicts else ()

    def check(self) -> None:
        """Refuse other verdicts that cannot be read, that contradict each other, or that are not there."""
        if self.verdicts and not given_in(open_store(self.verdicts)):
            raise UserError(f"oracle.verdicts {self.verdicts}: has no verdicts (*.jsonl): set it to a folder that does")
        self._votes(None)

    def digest(self) -> str:
        """Digest of the settings; verdicts come in while the run waits for them."""
        return digest_json(self.model_dump(mode="json"))

    def load(self, store: Store | None = None) -> Oracle:
        """People's verdicts, those under the run root `store` and the others.

        Raises:
            UserError: neither is given; a line is no verdict; an annotator contradicts himself.
        """
        if store is None and not self.verdicts:
            raise UserError("oracle.kind human: outside of a run, set oracle.verdicts to a folder of verdict files")
        return HumanOracle(
            self._votes(store), self.instructions, self.annotators, majority=self.combine == "majority", seed=self.seed
        )

    def _votes(self, store: Store | None) -> dict[str, dict[str, str]]:
        places = [open_store(self.verdicts)] if self.verdicts else []
        places += [store.at(layout.VERDICTS)] if store else []
        return votes_of([given for place in places for given in given_in(place)])
