"""The Bradley-Terry oracle: P(y ≻ y' | x) = σ(r(x, y) − r(x, y')), with r the raw logit of a sequence classifier with
one output, as published code has it (RLHF Workflow, arXiv 2405.07863, FsfairX-LLaMA3-RM)."""

from collections.abc import Sequence

from ...models.dialogues import Dialogues
from ..engines.base import OracleModel
from ..pointwise import Answered, PointwiseOracle


class RewardModelOracle(PointwiseOracle[float]):
    """Preferences from a classifier's logits."""

    def __init__(self, model: OracleModel, dialogues: Dialogues) -> None:
        super().__init__(dialogues, model.longest)
        self._model = model

    def see(self, answers: Sequence[Answered]) -> list[float]:
        """The reward of each answer."""
        read = self._model.read([answer.ids for answer in answers], [answer.prompt for answer in answers])
        rewards: list[float] = read[:, 0].tolist()
        return rewards

    def log_odds(self, first: float, second: float) -> float:
        """The difference of two rewards."""
        return first - second
