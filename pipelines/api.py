"""The public Python interface: these names are stable. `docs/python.md` shows their use."""

from nashflow.components.core.errors import UserError
from nashflow.components.core.version import VERSION as __version__
from nashflow.components.methods.objective import pair_losses
from nashflow.components.methods.phases import REFERENCE, PolicyRef
from nashflow.components.oracles.base import Query, Verdict

from .asking import Played, open_oracle, play
from .game.gap import gap_of
from .run_root import RunRoot, open_run

__all__ = [
    "REFERENCE",
    "Played",
    "PolicyRef",
    "Query",
    "RunRoot",
    "UserError",
    "Verdict",
    "__version__",
    "gap_of",
    "open_oracle",
    "open_run",
    "pair_losses",
    "play",
]
