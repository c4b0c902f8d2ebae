"""How many tokens a model reads at once, by configurations of several families."""

from typing import Any

import pytest
from transformers import AutoConfig, PreTrainedConfig

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
