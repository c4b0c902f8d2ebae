"""A model's outputs are finite numbers, or they are refused: never a token, a reward or a win rate from nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .folders import load_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TRAINED = "if a run has trained it, lower training.learning_rate there"
"""What to do with a policy whose outputs are not finite."""
_SHOWN = 40  # characters of either end


def require_finite(
    outputs: "torch.Tensor", model: "PreTrainedModel", inputs: Sequence[Sequence[int]], remedy: str, of: str = "policy"
) -> None:
    """Raise if one of a model's outputs (rows, …) for as many inputs, which are token ids, is infinite or NaN.

    Args:
        outputs: the outputs, a row for each input.
        model: the model, loaded from a folder.
        inputs: what it has read.
        remedy: what to set, for people.
        of: what the model is.

    Raises:
        UserError: one is; names the model's folder and the first such input.
    """
    finite = outputs.isfinite().reshape(len(inputs), -1).all(-1)
    if finite.all():
        return
    row = int(finite.logical_not().nonzero()[0])
    dtype = str(model.dtype).split(".")[-1]
    raise not_finite(Path(str(model.name_or_path)), dtype, inputs[row], remedy, of)


def not_finite(folder: Path, dtype: str, ids: Sequence[int], remedy: str, of: str = "policy") -> UserError:
    """What to say of a model whose outputs for the token ids are infinite or NaN; `remedy` and `of` as above."""
    text = " ".join(str(load_tokenizer(folder).decode(list(ids), skip_special_tokens=True)).split())
    shown = text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]} … {text[-_SHOWN:]}"
    return UserError(
        f"the {of} in {folder} answers with numbers that are infinite or NaN, in {dtype}, to {shown!r}: {remedy}"
    )
