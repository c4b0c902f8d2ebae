"""How many tokens a model reads at once, by configurations of several families."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig

from nashflow.components.models.positions import longest_input


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {"max_position_embeddings": 96}),
        ("gpt2", {"n_positions": 96}),
        ("gptj", {"n_positions": 96}),
        ("mpt", {"max_seq_len": 96}),
        ("bloom", {"seq_length": 96}),
        ("mamba", {"max_sequence_length": 96}),
        ("gemma3", {"text_config": {"max_position_embeddings": 96}}),
    ],
)
def test_positions_are_found_by_any_name(family: str, settings: dict[str, Any]) -> None:
    config = AutoConfig.for_model(family, **settings)
    assert longest_input(config) == 96
    assert longest_input(type(config).from_dict(config.to_dict())) == 96


def test_a_model_without_positions_has_no_limit() -> None:
    assert longest_input(AutoConfig.for_model("bloom")) is None
    assert longest_input(PreTrainedConfig(max_position_embeddings=-1)) is None


def test_a_model_reads_no_more_than_its_frequencies_are_fixed_for() -> None:
    """Phi-3's, with LongRoPE: a sequence that is longer changes those of all that are computed with it."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    config = AutoConfig.for_model(
        "phi3",
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=96,
        original_max_position_embeddings=24,
        pad_token_id=0,
        rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors},
    )
    assert longest_input(config) == 24
    assert longest_input(type(config).from_dict(config.to_dict())) == 24


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert", "mpnet", "roberta-prelayernorm"])
def test_positions_up_to_the_padding_tokens_are_not_counted(family: str) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = AutoConfig.for_model(family, max_position_embeddings=24, vocab_size=30, pad_token_id=1, **small)
    model, longest = AutoModelForSequenceClassification.from_config(config).eval(), longest_input(config)
    assert longest == 22
    model(input_ids=torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, longest + 1), 5))
