"""Settings of PairRM."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from ...core.errors import UserError
from ...models.folders import check_body, check_model_folder, load_tokenizer, read_config
from ...storage.records import Message
from ...storage.store import Store
from ..base import Oracle
from ..engines.transformers_models import MarkedStates
from ..heads import read_head, require_shapes
from ..model_settings import ModelOracle
from ..oracle_settings import Reader, Round, first_meetings
from .oracle import NAMES, PairRMOracle, head_shapes_of
from .prompt import LONGEST, LONGEST_SOURCE, SOURCE, Encoder, candidate_of, mark_ids, source_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class PairRM(ModelOracle):
    """Preferences of PairRM, a small encoder that reads both responses, in the layout of llm-blender/PairRM-hf.

    It reads 1224 tokens of a prompt, and 2048 in all. Its custom code is not run.
    """

    kind: Literal["pairrm"] = "pairrm"
    responses_read: ClassVar[int] = 2

    @model_validator(mode="before")
    @classmethod
    def _on_transformers(cls, data: Any) -> Any:
        if isinstance(data, dict) and "engine" in data:
            raise ValueError(
                "pairrm has no engine, and runs on transformers: vllm has no attention with the relative positions of "
                "DeBERTa-v2: remove oracle.engine"
            )
        return data

    def check(self) -> None:
        """Refuse a folder without the head, or whose tokenizer lacks the marks of dialogue and answers."""
        check_model_folder(self.folder, own_head=True)
        config = read_config(self.folder)
        require_shapes(self.folder, "PairRM", self._head_shapes(config))
        check_body(self.folder, NAMES)
        said = [getattr(config, f"{name}_prefix_id", None) for name in ("source", "cand1", "cand2")]
        if (marks := mark_ids(load_tokenizer(self.folder))) != said:
            raise UserError(
                f"oracle.model {self.model}: the marks of dialogue and answers are the tokens {said} in config.json, "
                f"and {marks} in its tokenizer: put back the files that were saved together"
            )

    def reader(self) -> Reader:
        """A user and an assistant have to speak in turn, and the prompt to fit what is read of it."""
        encoder = Encoder(load_tokenizer(self.folder))

        def read(messages: Sequence[Message]) -> int:
            source = len(encoder.part(SOURCE, source_of(messages), LONGEST).ids)
            self.fits(source, LONGEST_SOURCE)
            replies = len(encoder.part(SOURCE, candidate_of(messages, ""), LONGEST).ids)
            return max(LONGEST - source - 2 * replies, 0)

        return read

    def load(self, store: Store | None = None) -> Oracle:
        """PairRM."""
        tokenizer, config = load_tokenizer(self.folder), read_config(self.folder)
        marks = mark_ids(tokenizer)
        model = MarkedStates(self.folder, self.dtype, self.batch_size, LONGEST, marks, NAMES)
        return PairRMOracle(model, read_head(self.folder, list(self._head_shapes(config))), Encoder(tokenizer))

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every new pair, in both orders."""
        return 2 * sum(len(new) for new in first_meetings(rounds))

    def _head_shapes(self, config: "PreTrainedConfig") -> dict[str, tuple[int, ...]]:
        return head_shapes_of(config.hidden_size, getattr(config, "n_tasks", 1))
