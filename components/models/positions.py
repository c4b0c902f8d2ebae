"""How many tokens a model reads at once, by whatever name its configuration calls that."""

from typing import TYPE_CHECKING

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


def longest_input(config: "PreTrainedConfig") -> int | None:
    """The most tokens that a model with this configuration reads at once; None if the configuration sets no limit."""
    text = config.get_text_config()
    found = (getattr(text, name, None) for name in _NAMES)
    return next((number for number in found if isinstance(number, int) and number > 0), None)
