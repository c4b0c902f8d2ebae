"""Judges in training: the losses of reward models and of pair preference models on labelled pairs."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from ...core.errors import UserError
from ...fitting.loop import Fitting
from ...models.dialogues import Dialogues
from ...models.folders import load_base
from ...models.padding import padded, positions_of
from ...storage.records import Message
from ..pair_preference.oracle import answer_tokens, encode

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from .settings import JudgeSettings

Ids = list[int]


class Pair(NamedTuple):
    """Two answers to a dialogue, of which somebody chose one."""

    messages: Sequence[Message]
    chosen: str
    rejected: str

    def shorter(self) -> Iterator["Pair"]:
        """The pair itself, and then without ever more of its earliest messages; a system message stays."""
        yield self
        system = self.messages[:1] if self.messages[0]["role"] == "system" else []
        for start, message in enumerate(self.messages):
            if start > len(system) and message["role"] == "user":
                yield self._replace(messages=[*system, *self.messages[start:]])


@dataclass
class JudgeFitting(Fitting):
    """A judge in training. Of each pair it reads two inputs; h, in nats, is the log-odds of the answer chosen."""

    model: "PreTrainedModel"
    settings: "JudgeSettings"
    dialogues: Dialogues
    inputs: list[tuple[Ids, Ids]]
    classifies: ClassVar[bool]
    """Whether the model is a sequence classifier."""
    remedy: ClassVar[str] = "lower the judge's learning_rate"

    @classmethod
    def of(cls, settings: "JudgeSettings", pairs: Sequence[Pair], dialogues: Dialogues) -> Self:
        """The model before its first update, and those of the pairs that fit into `max_tokens`.

        Raises:
            UserError: none does; or the model, or its chat template, cannot be used.
        """
        import torch

        found = (cls._fitting(dialogues, pair, settings.max_tokens) for pair in pairs)
        inputs = [each for each in found if each]
        if not inputs:
            raise UserError(
                f"none of {len(pairs)} pairs to train on fits into max_tokens = {settings.max_tokens}: raise it"
            )
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            model = load_base(settings.folder, classifier=cls.classifies, layers=settings.layers)
        return cls(model, settings, dialogues, inputs)

    def __post_init__(self) -> None:
        self.seed = (self.settings.seed, "judge")
        self.begin(self.settings.epochs * -(-len(self) // self.settings.batch_size))

    @classmethod
    def _fitting(cls, dialogues: Dialogues, pair: Pair, longest: int) -> tuple[Ids, Ids] | None:
        """The inputs of the pair, with as much of its dialogue as fits; None where its last message alone does not."""
        read = (cls.read(dialogues, shorter) for shorter in pair.shorter())
        return next((inputs for inputs in read if max(map(len, inputs)) <= longest), None)

    @staticmethod
    @abstractmethod
    def read(dialogues: Dialogues, pair: Pair) -> tuple[Ids, Ids]:
        """The model's two inputs for a pair, as the oracle reads it."""

    def __len__(self) -> int:
        """How many pairs it is trained on."""
        return len(self.inputs)

    def tokens(self, indices: list[int]) -> int:
        """Tokens of both inputs of the pairs with these indices."""
        return sum(len(ids) for index in indices for ids in self.inputs[index])

    def cost(self, index: int) -> int:
        """Tokens of both inputs of the pair with this index, padded to the longer one."""
        return 2 * max(map(len, self.inputs[index]))

    def both(self, indices: list[int]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """What the model says to the first and to the second inputs of these pairs, (pairs,) each."""
        import torch

        rows = [self.inputs[index][which] for which in (0, 1) for index in indices]
        kind = self.model.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.settings.dtype == "bfloat16"):
            said = self.outputs(rows)
        first, second = said.float().view(2, len(indices))
        return first, second

    @abstractmethod
    def outputs(self, rows: Sequence[Ids]) -> "torch.Tensor":
        """What the model says to each of some inputs, (rows,)."""


class RewardFitting(JudgeFitting):
    """A reward model: −log σ(r(chosen) − r(rejected)), the likelihood of the Bradley-Terry model."""

    classifies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        config, tokenizer = self.model.config.get_text_config(), self.dialogues.tokenizer
        if config.pad_token_id is None:
            config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        if any(ids[-1] == config.pad_token_id for ids in self.inputs[0]):
            raise UserError(
                f"the model in {self.settings.folder} pads with {tokenizer.decode([config.pad_token_id])!r}, and its "
                "chat template ends a dialogue with the same, so that a reward model does not see where it ends: set "
                "pad_token_id in config.json to another token of the tokenizer"
            )
        super().__post_init__()

    @staticmethod
    def read(dialogues: Dialogues, pair: Pair) -> tuple[Ids, Ids]:
        """The dialogue with the one answer, and with the other."""
        chosen, rejected = (
            dialogues.whole([*pair.messages, Message(role="assistant", content=answer)])
            for answer in (pair.chosen, pair.rejected)
        )
        return chosen, rejected

    def outputs(self, rows: Sequence[Ids]) -> "torch.Tensor":
        """Rewards."""
        ids, mask = padded(rows, "right", self.model.device, self.model.config.get_text_config().pad_token_id)
        rewards: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.squeeze(-1)
        return rewards

    def forward(self, indices: list[int]) -> tuple["torch.Tensor", "dict[str, torch.Tensor]"]:
        """Losses; h is the difference of the rewards."""
        from torch.nn.functional import softplus

        chosen, rejected = self.both(indices)
        return softplus(rejected - chosen), _figures(chosen - rejected)


class LettersFitting(JudgeFitting):
    """A pair preference model: −log of the probability of the right letter, among the two, in the mean over both orders
    of the answers; so it prefers neither place."""

    classifies: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._letters = list(answer_tokens(self.dialogues.tokenizer))
        super().__post_init__()

    @staticmethod
    def read(dialogues: Dialogues, pair: Pair) -> tuple[Ids, Ids]:
        """The message that shows both, in either order: the answer that was chosen is A, or B."""
        chosen, rejected = pair.chosen, pair.rejected
        return encode(dialogues, pair.messages, chosen, rejected), encode(dialogues, pair.messages, rejected, chosen)

    def outputs(self, rows: Sequence[Ids]) -> "torch.Tensor":
        """Log-odds of A against B."""
        ids, mask = padded(rows, "left", self.model.device)
        said = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions_of(mask), logits_to_keep=1, use_cache=False
        )
        letters: torch.Tensor = said.logits[:, -1, self._letters]
        return letters[:, 0] - letters[:, 1]

    def forward(self, indices: list[int]) -> tuple["torch.Tensor", "dict[str, torch.Tensor]"]:
        """Losses; h is the log-odds of the answer that was chosen."""
        from torch.nn.functional import softplus

        as_a, as_b = self.both(indices)
        return (softplus(-as_a) + softplus(as_b)) / 2, _figures((as_a - as_b) / 2)


def _figures(h: "torch.Tensor") -> "dict[str, torch.Tensor]":
    return {"h": h.detach(), "accuracy": (h > 0).float()}
