"""Interface of the launchers, which start the processes that train a policy together."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ...core.errors import UserError
from ...core.settings import Variant
from ...runtime.protocol import Call

WORKER = "nashflow.components.training.worker"
"""The module that torchrun runs in each process, with the flags of `arguments`."""


class Launcher(Variant, ABC):
    """Interface of all launchers; group of entry points: `nashflow.launchers`.

    Each process, a rank, reads pairs and log-probabilities from the store itself, and rank 0 publishes the policy.
    """

    @property
    def several(self) -> bool:
        """Whether it may start more than one process."""
        return True

    @abstractmethod
    def run(self, call: Call[Any], work: Callable[[], None]) -> None:
        """Carry out the training of a call; when this returns, its policy is published.

        Args:
            call: the step's call.
            work: carries it out in this process.

        Raises:
            UserError: the line of a process that refuses its input.
            TryAgain: a process has failed or was killed; says which one and why.
        """


def arguments(call: Call[Any]) -> list[str]:
    """The flags of a worker that carries out a call."""
    recipe = json.dumps(call.settings.model_dump(mode="json"))
    flags = {"run-root": call.store.uri, "iteration": str(call.iteration), "phase": call.phase, "recipe": recipe}
    return [f"--{flag}={value}" for flag, value in flags.items()]


def require_shares(ranks: int, batch_size: int) -> None:
    """Refuse more processes than an update has pairs: fewer may share them in any proportion.

    Raises:
        UserError: says what to set.
    """
    if ranks > batch_size:
        raise UserError(
            f"training.batch_size is {batch_size}, fewer pairs than the {ranks} processes that share an update: set it "
            f"to at least {ranks}, or start fewer processes"
        )
