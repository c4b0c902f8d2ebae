"""Settings of ArmoRM."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...models.folders import check_body, read_json
from ...storage.records import Message
from ...storage.store import Store
from ..base import Oracle
from ..model_settings import EngineOracle
from ..oracle_settings import Reader, Round, responses_in
from .head import Head, check_head, shapes
from .oracle import ArmoRMOracle


class ArmoRM(EngineOracle):
    """Bradley-Terry preferences from ArmoRM, whose gating network weighs the rewards of several objectives.

    The folder's weights hold the head, which its custom code describes; that code is not run.
    """

    kind: Literal["armorm"] = "armorm"
    responses_read: ClassVar[int] = 1
    scores: ClassVar[bool] = True

    def check(self) -> None:
        """Refuse a folder without the head."""
        self.check_folder(own_head=True)
        check_head(self.folder, read_json(self.folder / "config.json"))
        check_body(self.folder)

    def reader(self) -> Reader:
        """Its template has to keep the prompt and an answer, and its context to hold them."""
        answer = Message(role="assistant", content="An answer.")
        return self.reads(lambda messages: [*messages, answer], "left")

    def load(self, store: Store | None = None) -> Oracle:
        """ArmoRM."""
        config = read_json(self.folder / "config.json")
        model = self.engine.hidden_states(self.folder, self.dtype, self.batch_size, list(shapes(config)))
        return ArmoRMOracle(model, Head.read(self.folder, config), self.dialogues())

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every response, and the end of the prompt."""
        return responses_in(rounds) + 1
