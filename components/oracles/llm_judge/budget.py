"""What a judge may use, and what it has used: tokens, and their cost."""

from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from ...core.errors import UserError
from ...core.settings import Settings

_MILLION = 1_000_000


class Prices(Settings):
    """Prices of a million tokens, in any currency."""

    input: float = Field(0.0, ge=0.0)
    """Of what the judge reads."""
    output: float = Field(0.0, ge=0.0)
    """Of what it writes."""


@dataclass(frozen=True)
class Spent:
    """Tokens that were read and written."""

    input: int = 0
    output: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.input + other.input, self.output + other.output)

    def cost(self, prices: Prices) -> float:
        """What they cost."""
        return (self.input * prices.input + self.output * prices.output) / _MILLION


class Budget(Settings):
    """The most that one run may use; what several steps use at the same time may exceed it by the calls under way."""

    tokens: int | None = None
    """Tokens read and written; null: no limit."""
    cost: float | None = None
    """In the currency of the prices; null: no limit."""

    @model_validator(mode="after")
    def _buys_something(self) -> Self:
        for name, limit in (("tokens", self.tokens), ("cost", self.cost)):
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} is {limit}, which buys no verdict: set it above 0, or to null for no limit")
        return self

    def require(self, spent: Spent, prices: Prices) -> None:
        """Raise if all of it is spent.

        Raises:
            UserError: says what was spent.
        """
        spending = {"tokens": (spent.input + spent.output, self.tokens), "cost": (spent.cost(prices), self.cost)}
        for name, (used, limit) in spending.items():
            if limit is not None and used >= limit:
                raise UserError(
                    f"oracle.endpoint.budget.{name} is spent: {used:g} of {limit:g}; raise it and run the same "
                    "command: verdicts given so far are kept"
                )
