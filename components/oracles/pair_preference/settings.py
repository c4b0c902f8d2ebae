"""Settings of the pair preference oracle."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...core.errors import UserError
from ...models.folders import check_causal_lm, load_tokenizer
from ...storage.store import Store
from ..base import Oracle
from ..model_settings import EngineOracle, is_classifier
from ..oracle_settings import Reader, Round, first_meetings
from .oracle import PairPreferenceOracle, answer_tokens, shown


class PairPreference(EngineOracle):
    """Preferences of a language model that reads both responses and answers A or B."""

    kind: Literal["pair_preference"] = "pair_preference"
    responses_read: ClassVar[int] = 2

    def check(self) -> None:
        """Raise if the folder holds no language model, or its tokenizer lacks the tokens "A" and "B"."""
        if is_classifier(self.check_folder()):
            raise UserError(f"oracle.model {self.model} is a sequence classifier: set oracle.kind to reward_model")
        check_causal_lm(self.folder)
        answer_tokens(load_tokenizer(self.folder))

    def reader(self) -> Reader:
        """Its template has to keep the message that shows the prompt and two answers, and its context to hold it."""
        return self.reads(
            lambda messages: [shown(messages, "An answer.", "Another one.")], reserved=self.engine.reserved
        )

    def load(self, store: Store | None = None) -> Oracle:
        """The pair preference model."""
        dialogues = self.dialogues()
        tokens = answer_tokens(dialogues.tokenizer)
        model = self.engine.language_model(self.folder, self.dtype, self.batch_size, tokens)
        return PairPreferenceOracle(model, dialogues)

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every new pair, in both orders."""
        return 2 * sum(len(new) for new in first_meetings(rounds))
