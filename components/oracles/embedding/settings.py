"""Settings of the general preference model."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ...core.errors import UserError
from ...models.folders import check_body, load_tokenizer
from ...storage.records import Message
from ...storage.store import Store
from ..base import Oracle
from ..model_settings import EngineOracle
from ..oracle_settings import Reader, Round, responses_in
from .head import GATE, VALUE, Head, check_head
from .oracle import EmbeddingOracle


class Embedding(EngineOracle):
    """Preferences, cyclic ones too, between embeddings of responses: a general preference model (GPM).

    The folder's weights hold its `value_head.weight` and, where the prompt scales the embedding, its
    `prompt_head.weight`; custom code is not run.
    """

    kind: Literal["embedding"] = "embedding"
    responses_read: ClassVar[int] = 1
    scores: ClassVar[bool] = True

    beta: float = Field(0.1, gt=0.0)
    """The scale β of scores: P = σ(s / β). The published models are trained with 0.1."""

    def check(self) -> None:
        """Refuse a folder without the heads, or whose tokenizer has no EOS."""
        config = self.check_folder(own_head=True)
        check_head(self.folder, config.get_text_config().hidden_size)
        check_body(self.folder)
        if load_tokenizer(self.folder).eos_token_id is None:
            raise UserError(
                f"the tokenizer in {self.folder} has no EOS, at which a general preference model has its embedding: "
                "set eos_token in tokenizer_config.json"
            )

    def reader(self) -> Reader:
        """Its template has to keep the prompt and an answer, and its context to hold them."""
        answer = Message(role="assistant", content="An answer.")
        return self.reads(lambda messages: [*messages, answer])

    def load(self, store: Store | None = None) -> Oracle:
        """The general preference model."""
        model = self.engine.hidden_states(self.folder, self.dtype, self.batch_size, [VALUE, GATE])
        return EmbeddingOracle(model, Head.read(self.folder), self.beta, self.dialogues())

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every response, and the end of the prompt."""
        return responses_in(rounds) + 1

    def _told(self) -> dict[str, object]:
        return {**super()._told(), "beta": self.beta}
