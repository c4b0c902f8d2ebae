"""Small models in the place of a folder's: of its kind, whatever its size."""

import json
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.stand_in import stand_in
from nashflow.components.scoring.layouts.shared_prefix import SharedPrefix

LARGE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 1024,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "pad_token_id": 128002,
}


def folder(path: Path, **config: object) -> Path:
    """A folder with a configuration alone."""
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_a_large_model_has_a_small_one_with_its_width(tmp_path: Path) -> None:
    model = stand_in(folder(tmp_path / "llama", **LARGE))
    assert model is not None
    assert model.num_parameters() < 1e7
    assert model.config.hidden_size == 1024
    assert model.name_or_path == str(tmp_path / "llama")
    SharedPrefix().check(model)


def test_it_has_a_layer_of_each_kind(tmp_path: Path) -> None:
    kinds = ["conv", "conv", "full_attention", "conv", "full_attention", "conv"]
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = {"architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "layer_types": kinds, "num_hidden_layers": 6}
    model = stand_in(folder(tmp_path / "lfm2", **config, **sizes, vocab_size=100))
    assert model is not None
    assert model.config.layer_types == ["conv", "full_attention"]
    with pytest.raises(UserError, match=rf"^the model in {tmp_path / 'lfm2'} \(lfm2\) would have other .* to padded$"):
        SharedPrefix().check(model)


@pytest.mark.parametrize("changes", [{"hidden_size": 65536}, {"num_key_value_heads": 5}])
def test_where_there_is_none_it_says_nothing(changes: dict[str, int], tmp_path: Path) -> None:
    """It would be too large; or there is no such model."""
    assert stand_in(folder(tmp_path / "llama", **LARGE | changes)) is None
