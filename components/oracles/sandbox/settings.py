"""Settings of the sandbox world's oracle."""

from typing import Literal

import numpy as np

from ...core.digests import sha256_bytes
from ...games.sandbox.settings import WorldSettings
from ...games.sandbox.world import make_world
from ...storage.store import Store
from ..base import Oracle
from ..oracle_settings import OracleSettings
from .oracle import MatrixOracle


class SandboxOracle(OracleSettings):
    """The sandbox world's own preferences."""

    kind: Literal["sandbox"] = "sandbox"
    world: WorldSettings = WorldSettings()
    """The world; must be the same as the policy's."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The world."""
        return self.world

    def check(self) -> None:
        """Nothing to refuse: every world seed has its preferences."""

    def digest(self) -> str:
        """Digest of the preference matrix, rounded to six decimals so that it is the same on every machine."""
        return sha256_bytes(np.round(make_world(self.world).matrix, 6).astype("<f8").tobytes())

    def load(self, store: Store | None = None) -> Oracle:
        """The oracle that reads the matrix."""
        return MatrixOracle(make_world(self.world))
