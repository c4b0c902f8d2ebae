"""The base of all exact solvers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from ...core.errors import UserError
from ...core.settings import Settings
from ..preference import Array, Game


class Solver(Settings, ABC):
    """A method played exactly: every regression reaches its population minimiser. Constants as in the paper."""

    name: str
    regularised: ClassVar[bool] = True
    """Whether the method reads the game's τ. The others play the same matrix with τ = 0."""

    @abstractmethod
    def iterates(self, game: Game) -> Iterator[Array]:
        """The log-policies (..., n) after iteration 1, 2, … without end, from the reference policy.

        Raises:
            UserError: the settings do not fit the game; says which, and what to set.
        """


def step_of_rate(eta: float, tau: float, name: str = "eta") -> float:
    """The step s of a mirror step whose setting `name` is a learning rate: s = η.

    Raises:
        UserError: sτ > 1.
    """
    if eta * tau > 1 + 1e-12:
        raise UserError(f"{name}: {eta:g} times tau = {tau:g} is above 1; set {name} to at most {1 / tau:g}")
    return eta


def step_of_inverse(eta: float, tau: float) -> float:
    """The step s of a mirror step whose η is an inverse learning rate: s = 1/η.

    Raises:
        UserError: sτ > 1.
    """
    if tau > eta * (1 + 1e-12):
        raise UserError(f"eta: {eta:g}, an inverse learning rate, is below tau; set eta to at least {tau:g}")
    return 1 / eta


def require_tau(tau: float, why: str) -> None:
    """Refuse a game without KL term.

    Raises:
        UserError: τ is 0.
    """
    if tau == 0:
        raise UserError(f"tau: 0, but {why}; set tau above 0")
