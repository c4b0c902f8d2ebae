"""Settings that oracles in model folders share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, PrivateAttr

from ..core.digests import digest_json, sha256_file
from ..models.dialogues import Dialogues, TemplateSettings
from ..models.folders import (
    INHERITED,
    Dtype,
    check_model_folder,
    load_tokenizer,
    read_config,
    require_chat_template,
)
from ..models.size import parameters_of
from ..models.weights import weights_digest
from ..storage.records import Message
from .inference import context_length
from .oracle_settings import OracleSettings, Reader, TooLong

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class ModelOracle(OracleSettings, TemplateSettings):
    """Settings that oracles in model folders share."""

    _day: str = PrivateAttr("")

    model: str
    """Hugging Face folder of the model: safetensors, a tokenizer with a chat template."""
    dtype: Dtype = "float32"
    """Precision of the model."""
    batch_size: int = Field(16, ge=1)
    """Sequences per batch."""

    @property
    def folder(self) -> Path:
        """`model` as a path."""
        return Path(self.model)

    def dated(self, day: str) -> Self:
        """The oracle on a day."""
        oracle = self.model_copy()
        oracle._day = day
        return oracle

    def dialogues(self) -> Dialogues:
        """How its model reads dialogues."""
        return Dialogues(load_tokenizer(self.folder), self, self._day, "oracle")

    def digest(self) -> str:
        """Digest of weights, configuration, everything that the tokenizer consists of, and the template's settings."""
        paths = {path for pattern in ("config.json", *INHERITED) for path in self.folder.glob(pattern)}
        files = {str(path.relative_to(self.folder)): sha256_file(path) for path in paths}
        template = self.model_dump(include={*TemplateSettings.model_fields}, exclude_defaults=True)
        return digest_json({"weights": weights_digest(self.folder), "files": files, **template})

    def parameters(self) -> float | None:
        """The number according to the folder's configuration."""
        return parameters_of(self.folder)

    def reads(self, asked: Callable[[Sequence[Message]], list[Message]], cut: str = "") -> Reader:
        """Reads what the model is asked about a prompt with the shortest of answers.

        A tokenizer that truncates on the side `cut` takes away from a long prompt and leaves the answers.
        """
        dialogues = self.dialogues()
        longest = context_length(read_config(self.folder), dialogues.tokenizer)

        def read(messages: Sequence[Message]) -> int:
            dialogue = asked(messages)
            dialogues.require_whole(dialogue)
            left = longest - len(dialogues.whole(dialogue))
            if left < 0 and dialogues.tokenizer.truncation_side != cut:
                raise TooLong(
                    f"oracle.model {self.model} reads {longest} tokens, and the prompt with answers of a few words "
                    f"has {longest - left}: lower prompts.max_tokens, or set oracle.model to one that reads more"
                )
            return max(left, 0)

        return read

    def check_folder(self) -> "PreTrainedConfig":
        """The model's configuration, after the checks that hold for any model."""
        check_model_folder(self.folder)
        require_chat_template(self.folder)
        return read_config(self.folder)


def is_classifier(config: "PreTrainedConfig") -> bool:
    """Whether a configuration names a sequence classifier."""
    return any("ForSequenceClassification" in name for name in config.architectures or [])
