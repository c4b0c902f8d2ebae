"""How many parameters a model folder's configuration describes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.models.size import parameters_of
from nashflow.components.preparation.policy import SandboxPolicy
from tests.fixtures.runs import SandboxRun

LLAMA3_8B = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def configured(folder: Path, **changes: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({**LLAMA3_8B, **changes}))
    return folder


def test_llama_3_8b_has_the_published_number_of_parameters(tmp_path: Path) -> None:
    assert parameters_of(configured(tmp_path)) == 8_030_261_248


def test_the_output_matrix_counts_where_there_is_one(tmp_path: Path) -> None:
    matrix = 128256 * 4096
    assert parameters_of(configured(tmp_path, tie_word_embeddings=True)) == 8_030_261_248 - matrix
    reward_model = {"architectures": ["LlamaForSequenceClassification"]}
    assert parameters_of(configured(tmp_path, **reward_model)) == 8_030_261_248 - matrix


def weights_in(folder: Path) -> int:
    """The numbers in a folder's safetensors, by their headers."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def test_the_sandboxs_policy_is_as_large_as_its_weights(prepared_root: SandboxRun) -> None:
    folder = prepared_root.folder("000/main")
    assert parameters_of(folder) == weights_in(folder) == SandboxPolicy().parameters()


@pytest.mark.parametrize(
    "config", ["{}", "[]", "no json", '{"hidden_size": "x"}', json.dumps({**LLAMA3_8B, "num_local_experts": 8})]
)
def test_what_cannot_be_read_has_no_size(tmp_path: Path, config: str) -> None:
    assert parameters_of(tmp_path) is None
    (tmp_path / "config.json").write_text(config)
    assert parameters_of(tmp_path) is None
