"""ArmoRM (arXiv 2406.12845): a Bradley-Terry reward that weighs the rewards of several objectives by the prompt.

r(x, y) = g(x)ᵀ Tᵀ W h(x, y) as the custom code of the published model has it: W of 19 objectives reads the hidden state
h at the end of the answer, T takes away what verbosity adds to them, and the gating network g reads the hidden state at
the end of the prompt, before the header of the answer. P(y ≻ y' | x) = σ(r(x, y) − r(x, y')), as the gate was fitted.
"""

from collections.abc import Sequence

from ...models.dialogues import Dialogues
from ..engines.base import OracleModel
from ..pointwise import Answered, PointwiseOracle
from .head import Head


class ArmoRMOracle(PointwiseOracle[float]):
    """Preferences from the rewards that `head` makes of a model's last hidden states."""

    def __init__(self, model: OracleModel, head: Head, dialogues: Dialogues) -> None:
        super().__init__(dialogues, model.longest)
        self._model, self._head = model, head

    def see(self, answers: Sequence[Answered]) -> list[float]:
        """The reward of each answer."""
        rewards: list[float] = self._head.rewards(*self.states(self._model, answers)).tolist()
        return rewards

    def log_odds(self, first: float, second: float) -> float:
        """The difference of two rewards."""
        return first - second
