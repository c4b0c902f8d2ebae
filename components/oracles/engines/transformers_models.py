"""Models of transformers that oracles ask."""

import copy
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.finite import require_finite
from ...models.folders import Dtype, Names, load_body, load_causal_lm, load_classifier, load_tokenizer
from ...models.padding import padded, positions_of
from ...runtime.progress import over
from ..inference import REMEDY, context_length
from .base import Ids, OracleModel
from .pieces import pieces

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel


class TransformersModel(OracleModel):
    """What these models share."""

    def __init__(self, model: "PreTrainedModel", folder: Path, batch_size: int) -> None:
        """`batch_size` sequences are read at a time."""
        self._model = model
        self._batch_size = batch_size
        self.longest = context_length(model.config, load_tokenizer(folder))

    def read(self, sequences: Sequence[Ids], prompts: Sequence[Hashable]) -> "NDArray[np.float64]":
        """The model's answers, (sequences, numbers)."""
        import torch

        answers: list[list[float]] = [[]] * len(sequences)
        made = pieces(sequences, prompts if self._shares else range(len(sequences)), self._batch_size)
        for piece in over(made, "texts", len(sequences), amounts=lambda piece: {"tokens": piece.tokens(sequences)}):
            rows = [sequences[index] for index in piece.indices]
            with torch.inference_mode():
                found = self._answers(rows, piece.shared)
            require_finite(found, self._model, rows, REMEDY, "oracle")
            for index, answer in zip(piece.indices, found.tolist(), strict=True):
                answers[index] = answer
        return np.array(answers, np.float64)

    @property
    def _shares(self) -> bool:
        """Whether a beginning that it has read can be continued in several ways."""
        return False

    @abstractmethod
    def _answers(self, rows: Sequence[Ids], shared: int) -> "torch.Tensor":
        """Its answers to sequences that have their `shared` first tokens in common: any number of them if it has any,
        else a batch."""


class CausalModel(TransformersModel):
    """A model whose tokens see those before them alone: what it has read can be continued."""

    @property
    def _shares(self) -> bool:
        # The state of a recurrent layer, unlike keys and values, changes as it is continued.
        return not bool(self._model._is_stateful)

    @abstractmethod
    def _outputs(self, keep: "torch.Tensor | int", **inputs: Any) -> "torch.Tensor":
        """Its answers after the tokens at some positions, (rows, positions, numbers): at these, or at the last ones."""

    def _answers(self, rows: Sequence[Ids], shared: int) -> "torch.Tensor":
        return self._continued(rows, shared) if shared else self._whole(rows)

    def _whole(self, rows: Sequence[Ids]) -> "torch.Tensor":
        ids, mask = padded(rows, "left", self._model.device)
        return self._outputs(1, input_ids=ids, attention_mask=mask, position_ids=positions_of(mask), use_cache=False)[
            :, -1
        ]

    def _continued(self, rows: Sequence[Ids], shared: int) -> "torch.Tensor":
        import torch

        beginning = torch.tensor([rows[0][:shared]], device=self._model.device)
        read = self._model.base_model(input_ids=beginning, use_cache=True).past_key_values
        chunks = [rows[start : start + self._batch_size] for start in range(0, len(rows), self._batch_size)]
        return torch.cat([self._ends([row[shared:] for row in chunk], copy.deepcopy(read)) for chunk in chunks])

    def _ends(self, rows: Sequence[Ids], read: Any) -> "torch.Tensor":
        """Its answers to what follows after the beginning of which it has the keys and values."""
        import torch

        read.batch_repeat_interleave(len(rows))
        # Padding on the right is after every token that counts: none of them sees it.
        ids, _ = padded(rows, "right", self._model.device)
        lasts = torch.tensor([len(row) - 1 for row in rows], device=self._model.device)
        keep, where = lasts.unique(return_inverse=True)
        found = self._outputs(keep, input_ids=ids, past_key_values=read)
        return found[torch.arange(len(rows), device=found.device), where]


class LanguageModel(CausalModel):
    """A language model that is asked how likely some tokens are to come next."""

    def __init__(self, folder: Path, dtype: Dtype, batch_size: int, tokens: Sequence[int]) -> None:
        """It answers with the log-probabilities of `tokens`."""
        super().__init__(load_causal_lm(folder, dtype), folder, batch_size)
        self._tokens = list(tokens)

    def _outputs(self, keep: "torch.Tensor | int", **inputs: Any) -> "torch.Tensor":
        import torch

        logits = self._model(logits_to_keep=keep, **inputs).logits
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        answers: torch.Tensor = wide[..., self._tokens] - wide.logsumexp(-1, keepdim=True)
        return answers


class HiddenStates(CausalModel):
    """A model that is asked for its last layer's hidden state, after the final norm, at the last token."""

    def __init__(self, folder: Path, dtype: Dtype, batch_size: int) -> None:
        """The folder's head stays in the folder."""
        super().__init__(load_body(folder, dtype), folder, batch_size)

    def _outputs(self, keep: "torch.Tensor | int", **inputs: Any) -> "torch.Tensor":
        states: torch.Tensor = self._model(**inputs).last_hidden_state
        return states[:, -keep:] if isinstance(keep, int) else states[:, keep]


class MarkedStates(TransformersModel):
    """A model whose tokens see all of a sequence, asked for the hidden states at some of them, one after the other."""

    def __init__(
        self, folder: Path, dtype: Dtype, batch_size: int, longest: int, marks: Sequence[int], names: Names
    ) -> None:
        """Every sequence has each of the tokens `marks` once; `names` as `load_body` has them."""
        super().__init__(load_body(folder, dtype, names), folder, batch_size)
        self.longest = longest
        self._marks = list(marks)

    def _answers(self, rows: Sequence[Ids], shared: int) -> "torch.Tensor":
        import torch

        ids, mask = padded(rows, "right", self._model.device)
        states: torch.Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        places = torch.tensor([[row.index(mark) for mark in self._marks] for row in rows], device=ids.device)
        return states[torch.arange(len(rows), device=ids.device)[:, None], places].flatten(1)


class Classifier(TransformersModel):
    """A sequence classifier that is asked for the raw outputs of its head."""

    def __init__(self, folder: Path, dtype: Dtype, batch_size: int) -> None:
        model = load_classifier(folder, dtype)
        self._pad = model.config.get_text_config().pad_token_id
        # Without a padding token, transformers knows where a sequence ends only if it is alone.
        super().__init__(model, folder, 1 if self._pad is None else batch_size)

    def _answers(self, rows: Sequence[Ids], shared: int) -> "torch.Tensor":
        ids, mask = padded(rows, "right", self._model.device, self._pad or 0)
        logits: torch.Tensor = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits
