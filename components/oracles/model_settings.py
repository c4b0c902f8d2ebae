"""Settings that oracles in model folders share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, PrivateAttr, model_validator

from ..core.digests import digest_json
from ..core.runtimes import Runtime
from ..core.settings import SHAPES_GRAPH
from ..models.dialogues import Dialogues, TemplateSettings
from ..models.folders import (
    Dtype,
    check_model_folder,
    load_tokenizer,
    read_config,
    require_chat_template,
    settings_digests,
)
from ..models.size import parameters_of
from ..models.weights import weights_digest
from ..storage.records import Message
from .engines.settings import AnyOracleEngine, TransformersEngine
from .inference import context_length
from .oracle_settings import OracleSettings, Reader, TooLong, as_name

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


_BATCHES = 4


class ModelOracle(OracleSettings):
    """Settings of an oracle whose model is in a folder."""

    model: str
    """Hugging Face folder of the model: safetensors and a tokenizer."""
    dtype: Dtype = "float32"
    """Precision of the model."""
    batch_size: int = Field(16, ge=1)
    """Sequences that the model reads together."""

    @property
    def folder(self) -> Path:
        """`model` as a path."""
        return Path(self.model)

    @property
    def fills(self) -> int:
        """As many as make a few batches: sequences of like length are read together."""
        return _BATCHES * self.batch_size

    @property
    def paths(self) -> tuple[Path, ...]:
        """The model's folder."""
        return (self.folder,)

    @property
    def short_name(self) -> str:
        """The folder's."""
        return as_name(self.model)

    def digest(self) -> str:
        """Digest of weights, configuration and everything that the tokenizer consists of."""
        files = settings_digests(self.folder)
        return digest_json({"weights": weights_digest(self.folder), "files": files, **self._told()})

    def _told(self) -> dict[str, object]:
        """Settings that make it another oracle, where they are not the default."""
        return {}

    def parameters(self) -> float | None:
        """The number according to the folder's configuration."""
        return parameters_of(self.folder)

    def fits(self, prompt: int, longest: int, *, cut: bool = False) -> int:
        """How many of `longest` tokens a prompt with the shortest of answers, `prompt` tokens, leaves for the answers.

        Raises:
            TooLong: none, and what is too long is not cut.
        """
        if prompt > longest and not cut:
            raise TooLong(
                f"oracle.model {self.model} reads {longest} tokens, and the prompt with answers of a few words "
                f"has {prompt}: lower prompts.max_tokens, or set oracle.model to one that reads more"
            )
        return max(longest - prompt, 0)


class ChatOracle(ModelOracle, TemplateSettings):
    """Settings of an oracle whose model reads dialogues in a chat template."""

    _day: str = PrivateAttr("")

    def dated(self, day: str) -> Self:
        """The oracle on a day."""
        oracle = self.model_copy()
        oracle._day = day
        return oracle

    def dialogues(self) -> Dialogues:
        """How its model reads dialogues."""
        return Dialogues(load_tokenizer(self.folder), self, self._day, "oracle")

    def _told(self) -> dict[str, object]:
        return self.model_dump(include={*TemplateSettings.model_fields}, exclude_defaults=True)

    def reads(self, asked: Callable[[Sequence[Message]], list[Message]], cut: str = "", reserved: int = 0) -> Reader:
        """Reads what the model is asked about a prompt with the shortest of answers.

        A tokenizer that truncates on the side `cut` takes away from a long prompt and leaves the answers. `reserved`
        tokens of the context are not for reading.
        """
        dialogues = self.dialogues()
        longest = context_length(read_config(self.folder), dialogues.tokenizer) - reserved

        def read(messages: Sequence[Message]) -> int:
            dialogue = asked(messages)
            dialogues.require_whole(dialogue)
            return self.fits(len(dialogues.whole(dialogue)), longest, cut=dialogues.tokenizer.truncation_side == cut)

        return read

    def check_folder(self, *, own_head: bool = False) -> "PreTrainedConfig":
        """The model's configuration, after the checks that hold for any model, or for one with a head of its own."""
        check_model_folder(self.folder, own_head=own_head)
        require_chat_template(self.folder)
        return read_config(self.folder)


class EngineOracle(ChatOracle):
    """Settings of an oracle whose model runs on an engine of the user's choice."""

    engine: Annotated[AnyOracleEngine, SHAPES_GRAPH] = TransformersEngine()
    """The engine that runs the model."""

    @model_validator(mode="after")
    def _computes(self) -> Self:
        if self.dtype not in self.engine.dtypes:
            raise ValueError(
                f"engine {self.engine.kind} does not compute in {self.dtype}: set dtype to "
                f"{' or '.join(self.engine.dtypes)}, or engine to transformers"
            )
        return self

    @property
    def runtime(self) -> Runtime:
        """The engine's."""
        return self.engine.runtime

    @property
    def memory(self) -> float:
        """The engine's."""
        return self.engine.memory

    def require_here(self) -> None:
        """Refuse an engine that cannot run here."""
        self.engine.require_here()


def is_classifier(config: "PreTrainedConfig") -> bool:
    """Whether a configuration names a sequence classifier."""
    return any("ForSequenceClassification" in name for name in config.architectures or [])
