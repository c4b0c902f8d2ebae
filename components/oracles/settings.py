"""Settings of the oracles: `AnyOracle` is the recipe's `oracle` section, told apart by its `kind`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr

from ..core.digests import digest_json, sha256_bytes, sha256_file
from ..core.errors import UserError
from ..core.settings import Variant
from ..core.variants import Variants
from ..games.sandbox.settings import WorldSettings
from ..games.sandbox.world import make_world
from ..models.dialogues import Dialogues, TemplateSettings
from ..models.folders import (
    INHERITED,
    Dtype,
    check_causal_lm,
    check_classifier,
    check_model_folder,
    load_tokenizer,
    read_config,
    require_chat_template,
)
from ..models.size import parameters_of
from ..models.weights import weights_digest
from ..storage.records import Message
from ..storage.store import Store
from .base import Oracle
from .inference import context_length
from .matrix import MatrixOracle
from .pair_preference import PairPreferenceOracle, answer_tokens, shown
from .reward_model import RewardModelOracle

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Round = Collection[tuple[int, int]]
"""The matches of one round: two of a prompt's responses each."""


Reader = Callable[[Sequence[Message]], int]
"""How many tokens a model's context has left for the answers to a prompt.

Raises a UserError for a prompt that the model cannot read whole, among them TooLong."""


class TooLong(UserError):
    """A prompt leaves no room for answers."""


class OracleSettings(Variant, ABC):
    """Interface of the settings of every oracle; group of entry points: `nashflow.oracles`."""

    responses_read: ClassVar[int] = 0
    """Number of responses in one input sequence of the oracle's model; 0: it has no model."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The sandbox world that the oracle belongs to, if it does."""
        return None

    @property
    def folder(self) -> Path | None:
        """The model folder that steps read, if there is one."""
        return None

    @abstractmethod
    def check(self) -> None:
        """Raise a UserError, without loading a model, if `load` would fail."""

    @abstractmethod
    def digest(self) -> str:
        """Digest that identifies the oracle: equal digests mean equal oracles."""

    def reader(self) -> Reader | None:
        """How its model reads prompts; None if it has no model."""
        return None

    def dated(self, day: str) -> Self:
        """The oracle on a day, an ISO date, which a judge's chat template may write."""
        return self

    @abstractmethod
    def load(self, store: Store | None = None) -> Oracle:
        """The opened oracle; one that is dear to ask keeps its verdicts in `store`, if there is one."""

    def sequences(self, rounds: Sequence[Round]) -> int:
        """How many sequences the oracle's model reads in the tournament of one prompt."""
        return 0

    def parameters(self) -> float | None:
        """Number of parameters of its model; None if it has none, or its folder cannot be read here."""
        return None


class SandboxOracle(OracleSettings):
    """The sandbox world's own preferences."""

    kind: Literal["sandbox"] = "sandbox"
    world: WorldSettings = WorldSettings()
    """The world; must be the same as the policy's."""

    @property
    def own_world(self) -> WorldSettings | None:
        """The world."""
        return self.world

    def check(self) -> None:
        """Nothing to refuse: every world seed has its preferences."""

    def digest(self) -> str:
        """Digest of the preference matrix, rounded to six decimals so that it is the same on every machine."""
        return sha256_bytes(np.round(make_world(self.world).matrix, 6).astype("<f8").tobytes())

    def load(self, store: Store | None = None) -> Oracle:
        """The oracle that reads the matrix."""
        return MatrixOracle(make_world(self.world))


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

    def _reader(self, asked: Callable[[Sequence[Message]], list[Message]], cut: str = "") -> Reader:
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

    def _check_folder(self) -> "PreTrainedConfig":
        """The model's configuration, after the checks that hold for any model."""
        check_model_folder(self.folder)
        require_chat_template(self.folder)
        return read_config(self.folder)


class RewardModel(ModelOracle):
    """Bradley-Terry preferences from a reward model: a sequence classifier with one output."""

    kind: Literal["reward_model"] = "reward_model"
    responses_read: ClassVar[int] = 1

    def check(self) -> None:
        """Refuse a folder that holds no sequence classifier with one output."""
        config = self._check_folder()
        if not _is_classifier(config):
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
        return self._reader(lambda messages: [*messages, answer], "left")

    def load(self, store: Store | None = None) -> Oracle:
        """The reward model."""
        return RewardModelOracle(self.folder, self.dtype, self.batch_size, self.dialogues())

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every response of a round, once."""
        return sum(len({response for match in new for response in match}) for new in _first_meetings(rounds))


class PairPreference(ModelOracle):
    """Preferences of a language model that reads both responses and answers A or B."""

    kind: Literal["pair_preference"] = "pair_preference"
    responses_read: ClassVar[int] = 2

    def check(self) -> None:
        """Raise if the folder holds no language model, or its tokenizer lacks the tokens "A" and "B"."""
        if _is_classifier(self._check_folder()):
            raise UserError(f"oracle.model {self.model} is a sequence classifier: set oracle.kind to reward_model")
        check_causal_lm(self.folder)
        answer_tokens(load_tokenizer(self.folder))

    def reader(self) -> Reader:
        """Its template has to keep the message that shows the prompt and two answers, and its context to hold it."""
        return self._reader(lambda messages: [shown(messages, "An answer.", "Another one.")])

    def load(self, store: Store | None = None) -> Oracle:
        """The pair preference model."""
        return PairPreferenceOracle(self.folder, self.dtype, self.batch_size, self.dialogues())

    def sequences(self, rounds: Sequence[Round]) -> int:
        """Every new pair, in both orders."""
        return 2 * sum(len(new) for new in _first_meetings(rounds))


AnyOracle = Annotated[
    OracleSettings, Variants("nashflow.oracles", OracleSettings, SandboxOracle, RewardModel, PairPreference)
]


def _first_meetings(rounds: Sequence[Round]) -> list[set[frozenset[int]]]:
    """The pairs of each round that have not met before: verdicts are remembered."""
    met: set[frozenset[int]] = set()
    news = []
    for matches in rounds:
        news.append({frozenset(match) for match in matches} - met)
        met |= news[-1]
    return news


def _is_classifier(config: "PreTrainedConfig") -> bool:
    return any("ForSequenceClassification" in name for name in config.architectures or [])
