"""Settings of the Bradley-Terry oracle."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...core.errors import UserError
from ...models.folders import check_classifier
from ...storage.records import Message
from ...storage.store import Store
from ..base import Oracle
from ..model_settings import EngineOracle, is_classifier
from ..oracle_settings import Reader, Round, responses_in
from .oracle import RewardModelOracle


class RewardModel(EngineOracle):
    """Bradley-Terry preferences from a reward model: a sequence classifier with one output."""

    kind: Literal["reward_model"] = "reward_model"
    responses_read: ClassVar[int] = 1
    scores: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse a folder that holds no sequence classifier with one output."""
        config = self.check_folder()
        if not is_classifier(config):
            raise UserError(f"oracle.model {self.model} is no reward model: config.json names no sequence classifier")
        if config.num_labels != 1:
            raise UserError(
                f"oracle.model {self.model} is no reward model: it has {config.num_labels} outputs, not 1; set it to a "
                "sequence classifier with one"
            )
        check_classifier(self.folder)

    def reader(self) -> Reader:
        """Its template has to keep the prompt and an answer, and its context to hold them."""
        answer = Message(role="assistant", content="An answer.")
        return self.reads(lambda messages: [*messages, answer], "left")

    def load(self, store: Store | None = None) -> Oracle:
        """The reward model."""
        model = self.engine.classifier(self.folder, self.dtype, self.batch_size)
        return RewardModelOracle(model, self.dialogues())

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every response, once."""
        return responses_in(rounds)
