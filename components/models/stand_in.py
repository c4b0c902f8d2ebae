"""A small model of the same kind as a folder's, on which is tried what the folder's own takes too long to open for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folders import heed_soft_cap, read_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_SMALL = {"vocab_size": 8, "pad_token_id": 7, "intermediate_size": 16}
_MOST_PARAMETERS = 1.6e8


def stand_in(folder: Path) -> "PreTrainedModel | None":
    """A language model by the folder's configuration, but with random weights, the first eight tokens and one layer of
    each kind, in float32 on the CPU. None where a model of this kind cannot be made so small.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = read_config(folder)
    config.name_or_path = str(folder)
    try:
        _shrink(config)
        with torch.device("meta"):
            shapes = AutoModelForCausalLM.from_config(config)
        if shapes.num_parameters() > _MOST_PARAMETERS:
            return None
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        heed_soft_cap(model)
        with torch.no_grad():
            model(input_ids=torch.arange(4)[None], use_cache=False)
    except Exception:  # models raise what they like of a configuration that is none of theirs
        return None
    return model


def _shrink(config: "PreTrainedConfig") -> None:
    text: Any = config.get_text_config()
    for name, value in _SMALL.items():
        if isinstance(getattr(text, name, None), int):
            setattr(text, name, value)
    kinds = list(dict.fromkeys(getattr(text, "layer_types", None) or [None]))
    text.num_hidden_layers = len(kinds)
    if kinds != [None]:
        text.layer_types = kinds
