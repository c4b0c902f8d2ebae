"""The reward model: r is the raw logit of a sequence classifier with one output.

As published code has it (RLHF Workflow, arXiv 2405.07863, FsfairX-LLaMA3-RM).
"""

from collections.abc import Sequence

from ...models.dialogues import Dialogues
from ..bradley_terry import Answered, BradleyTerryOracle
from ..engines.base import OracleModel


class RewardModelOracle(BradleyTerryOracle):
    """Preferences from the first output of a classifier."""

    def __init__(self, model: OracleModel, dialogues: Dialogues) -> None:
        super().__init__(dialogues, model.longest)
        self._model = model

    def rewards(self, answers: Sequence[Answered]) -> list[float]:
        """The raw logit of each answer."""
        found: list[float] = self._model.read([answer.ids for answer in answers], range(len(answers)))[:, 0].tolist()
        return found
