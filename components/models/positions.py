"""How many tokens a model reads at once, by whatever name its configuration calls that."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
    "n_ctx",
)
_AFTER_PADDING = {
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}
"""Types of models whose first token is at the position after the padding token's id; none is before it."""


def longest_input(config: "PreTrainedConfig") -> int | None:
    """The most tokens that a model with this configuration reads at once; None if the configuration sets no limit."""
    text = config.get_text_config()
    found = (_unscaled(text), *(getattr(text, name, None) for name in _NAMES))
    number = next((number for number in found if isinstance(number, int) and number > 0), None)
    if number is None or text.model_type not in _AFTER_PADDING:
        return number
    return number - int(text.pad_token_id) - 1


def _unscaled(text: "PreTrainedConfig") -> int | None:
    """Beyond so many tokens LongRoPE, as Phi-3's, has other frequencies: for all sequences of a batch that has one so
    long, so that values would depend on what is computed together."""
    rope = getattr(text, "rope_parameters", None) or {}
    scaled = "longrope" in (rope.get("rope_type"), rope.get("type"))
    return rope.get("original_max_position_embeddings") if scaled else None


def require_room(config: "PreTrainedConfig", prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    """Raise unless the model has positions for each prompt (token ids) and a response of `max_new_tokens`.

    Raises:
        UserError: says how long the longest prompt is, and what to do.
    """
    positions, longest = longest_input(config), max(map(len, prompts), default=0)
    if positions is not None and longest + max_new_tokens > positions:
        raise UserError(
            f"the longest prompt has {longest} tokens; with max_new_tokens = {max_new_tokens} it exceeds the model's "
            f"{positions} positions: drop such prompts or lower max_new_tokens"
        )
