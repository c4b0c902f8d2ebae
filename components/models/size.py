"""How many parameters a model folder's `config.json` describes."""

import json
from pathlib import Path
from typing import Any


def parameters_of(folder: Path) -> float | None:
    """Parameters of the Llama-like model in a folder (gated feed-forward, grouped attention), to a thousandth.

    None where its configuration cannot be read here, or is of another kind (mixtures of experts among them).
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return None if has_experts(config) else float(_embeddings(config) + _layers(config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def has_experts(config: dict[str, Any]) -> bool:
    """Whether a configuration is that of a mixture of experts."""
    return any("experts" in key for key in config)


def _embeddings(config: dict[str, Any]) -> int:
    """Of the vocabulary, at the input and, where it is another matrix, at the output."""
    classifies = any("ForSequenceClassification" in name for name in config.get("architectures") or [])
    matrices = 1 if classifies or config.get("tie_word_embeddings", False) else 2
    size: int = config["vocab_size"] * config["hidden_size"]
    return matrices * size


def _layers(config: dict[str, Any]) -> int:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    width = config.get("head_dim") or hidden // heads
    attention = 2 * hidden * width * (heads + (config.get("num_key_value_heads") or heads))
    layer = attention + 3 * hidden * config["intermediate_size"] + 2 * hidden
    made: int = config["num_hidden_layers"] * layer + hidden
    return made
