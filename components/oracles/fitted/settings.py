"""Settings of judges that are fitted to labelled pairs: `AnyJudge`, told apart by the kind of oracle that they make."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ...core.digests import digest_json
from ...core.settings import Variant
from ...core.variants import Variants
from ...fitting.settings import FittingSettings
from ...models.dialogues import TemplateSettings
from ...models.folders import check_base, load_tokenizer, require_chat_template
from ...prompts.settings import PromptSource
from ..model_settings import ChatOracle
from ..pair_preference.oracle import answer_tokens
from ..pair_preference.settings import PairPreference
from ..reward_model.settings import RewardModel
from .fitting import JudgeFitting, LettersFitting, Pair, RewardFitting
from .labelled import Labelled, read_labelled

_HOW = ("checkpoint_updates", "micro_batch_tokens")
"""Settings that change no judge."""
FIGURES = "figures.json"
"""The file in a judge's folder that says how good it is."""


class JudgeSettings(Variant, FittingSettings, TemplateSettings, ABC):
    """How a judge is fitted to labelled pairs; group of entry points: `nashflow.judges`."""

    model: str
    """Hugging Face folder of the model to begin with: safetensors, a tokenizer with a chat template."""
    layers: int | None = Field(None, ge=1)
    """Use only the lower layers of the model, as many as this; unset: all."""
    data: PromptSource
    """The labelled pairs: prompts with responses that somebody compared, in the layouts of preference data. Ties are
    left out."""
    held_out: float = Field(0.2, gt=0.0, lt=1.0)
    """Share of the dialogues, by their first message, that the judge is not trained on but measured on."""
    max_tokens: int = Field(1024, ge=1)
    """Longest input in training, in tokens. Of longer ones the earliest messages are left out; pairs whose last message
    and answers are still longer are not trained on. Held-out pairs are judged whole."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of training's forward and backward passes; the weights are float32."""
    seed: int = 0
    """Seed of the split, the order of the pairs and the weights that are not the model's."""
    learning_rate: float = Field(1e-5, gt=0.0)
    """Peak learning rate of AdamW."""
    epochs: int = Field(1, ge=1)
    """Passes over the pairs."""
    batch_size: int = Field(32, ge=1)
    """Pairs per update."""

    fitting: ClassVar[type[JudgeFitting]]
    """The training."""

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        if 2 * self.max_tokens > self.micro_batch_tokens:
            raise ValueError(
                f"micro_batch_tokens is {self.micro_batch_tokens}, which does not hold two inputs of max_tokens = "
                f"{self.max_tokens}: set it to at least {2 * self.max_tokens}, or max_tokens to at most "
                f"{self.micro_batch_tokens // 2}"
            )
        return self

    @property
    def folder(self) -> Path:
        """`model` as a path."""
        return Path(self.model)

    @property
    def name(self) -> str:
        """Names it among the judges of a run: the kind, and the beginning of a digest of the settings."""
        told = self.model_dump(mode="json", exclude={*_HOW})
        return f"{self.kind}-{digest_json(told)[:8]}"

    @abstractmethod
    def oracle(self, folder: Path) -> ChatOracle:
        """The oracle of a model folder that was fitted like this."""

    def open(self, pairs: Sequence[Pair], day: str) -> JudgeFitting:
        """The model before its first update; its chat template may write the ISO date `day`.

        Raises:
            UserError: no pair is short enough; or the model, or its chat template, cannot be used.
        """
        return self.fitting.of(self, pairs, self.oracle(self.folder).dated(day).dialogues())

    def check(self) -> None:
        """Refuse a folder that this judge cannot begin with."""
        check_base(self.folder, classifier=self.fitting.classifies, layers=self.layers)
        require_chat_template(self.folder)

    def labelled(self) -> Labelled:
        """Its pairs, in two parts.

        Raises:
            UserError: as `read_labelled`.
        """
        return read_labelled(self.data, self.held_out, self.seed)

    def made_from(self, pairs: str) -> dict[str, Any]:
        """Everything that the judge depends on, as a JSON value, wherever it lies: equal ones, equal judges.

        `pairs` is the digest of its labelled pairs.
        """
        told = self.model_dump(mode="json", exclude={"model", "data", *_HOW})
        return {"settings": told, "model": self.oracle(self.folder).digest(), "pairs": pairs}

    def _of_oracle(self, folder: Path) -> dict[str, Any]:
        """The oracle's settings."""
        template = {name: getattr(self, name) for name in TemplateSettings.model_fields}
        return {"model": str(folder), **template}


class RewardModelJudge(JudgeSettings):
    """A reward model: the Bradley-Terry loss on the rewards of the two answers."""

    kind: Literal["reward_model"] = "reward_model"
    fitting: ClassVar[type[JudgeFitting]] = RewardFitting

    def oracle(self, folder: Path) -> RewardModel:
        """The reward model."""
        return RewardModel(**self._of_oracle(folder))


class PairPreferenceJudge(JudgeSettings):
    """A language model that is shown both answers and names the better one: cross-entropy on its letter, in both
    orders."""

    kind: Literal["pair_preference"] = "pair_preference"
    fitting: ClassVar[type[JudgeFitting]] = LettersFitting

    def oracle(self, folder: Path) -> PairPreference:
        """The pair preference model."""
        return PairPreference(**self._of_oracle(folder))

    def check(self) -> None:
        """Refuse also a tokenizer without the tokens "A" and "B"."""
        super().check()
        answer_tokens(load_tokenizer(self.folder))


AnyJudge = Annotated[JudgeSettings, Variants("nashflow.judges", JudgeSettings, RewardModelJudge, PairPreferenceJudge)]
