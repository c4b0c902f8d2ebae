"""The count of operations against torch's own, on whole passes."""

from pathlib import Path

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from nashflow.components.models.ceiling import ceiling
from nashflow.components.models.flops import flops_of
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.training.adapters import Lora
from tests.fixtures import models

PROMPT = 24


def counted(model: torch.nn.Module, response: int) -> int:
    """By torch, for one prompt and one response, with logits of the response alone."""
    model.set_attn_implementation("eager")  # type: ignore[operator]
    ids = torch.arange(PROMPT + response)[None]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, logits_to_keep=response).logits.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_the_count_is_that_of_the_matrix_products(tmp_path: Path, adapter: str) -> None:
    folder, response = models.llama(tmp_path), 40
    whole = adapter == "none"
    model = load_causal_lm(folder) if whole else Lora(rank=2).open(folder, "float32", (0,))
    flops = flops_of(model)
    assert flops
    # Eager attention computes what the mask hides, too; the first layer's inputs need no gradient with an adapter.
    hidden = 6 * flops.attention * ((PROMPT + response) ** 2 - (PROMPT + response) * (PROMPT + response + 1) // 2)
    expected = flops.of(PROMPT, [response]) + hidden
    assert counted(model, response) == pytest.approx(expected, rel=1e-9 if whole else 0.1)


def test_what_is_not_counted() -> None:
    """A model without attention, and one whose vision tower no token of a text goes through."""
    mamba = transformers.MambaConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1)
    text = {"vocab_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "image_size": 8, "patch_size": 4}
    gemma = transformers.Gemma3Config(
        text_config=text | {"num_attention_heads": 2, "num_key_value_heads": 1},
        vision_config=tower | {"num_attention_heads": 2},
        mm_tokens_per_image=4,
    )
    assert flops_of(transformers.MambaForCausalLM(mamba)) is None
    assert flops_of(transformers.Gemma3ForConditionalGeneration(gemma)) is None


def test_a_prompt_is_read_once(tmp_path: Path) -> None:
    flops = flops_of(load_causal_lm(models.llama(tmp_path)))
    assert flops
    shared, twice = flops.of(100, [10, 20]), flops.of(100, [10]) + flops.of(100, [20])
    assert twice - shared == 6 * (flops.layers * 100 + flops.attention * 100 * 101 // 2)


def test_the_ceiling_is_measured_once() -> None:
    found = ceiling("float32")
    assert found > 1e8
    assert ceiling("float32") == found
