"""The model folder that `make smollm2` writes: SmolLM2's own tokenizer and chat template, weights that answer."""

import json
from functools import cache
from typing import TYPE_CHECKING

import pytest

from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.preparation.policy import FolderPolicy
from tests.real.places import NEEDS_SMOLLM2, SMOLLM2

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SYSTEM = [9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182]
ASKED = [4093, 198, 1780, 314, 260, 3575, 282, 4649, 47]

pytestmark = [pytest.mark.real, NEEDS_SMOLLM2]


@cache
def tokenizer() -> "PreTrainedTokenizerBase":
    return load_tokenizer(SMOLLM2)


def prompt() -> list[int]:
    ids: list[int] = tokenizer().apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
    return ids


def test_the_folder_is_taken() -> None:
    FolderPolicy(model=str(SMOLLM2)).check()
    config = json.loads((SMOLLM2 / "config.json").read_text())
    assert "quantization_config" not in config
    assert (config["dtype"], config["num_hidden_layers"], config["vocab_size"]) == ("bfloat16", 30, 49152)


def test_a_prompt_has_smollm2s_tokens() -> None:
    """The published model's: `<|im_start|>`, its BOS, opens every turn, and `<|im_end|>` ends it."""
    assert prompt() == [1, *SYSTEM, 2, 198, 1, *ASKED, 2, 198, 1, 520, 9531, 198]
    assert (tokenizer().bos_token_id, tokenizer().eos_token_id, tokenizer().pad_token_id) == (1, 2, 2)


def test_digits_are_tokens_of_their_own_and_blanks_before_them_stay_together() -> None:
    ids = tokenizer().encode("List:\n\n10. A   2", add_special_tokens=False)
    assert [tokenizer().decode([token]) for token in ids] == ["List", ":", "\n\n", "1", "0", ".", " A", "   ", "2"]


def test_its_likeliest_answer_is_right() -> None:
    import torch

    ids = torch.tensor([prompt()])
    answer = load_causal_lm(SMOLLM2).generate(ids, do_sample=False, max_new_tokens=16, pad_token_id=2)
    assert "Paris" in tokenizer().decode(answer[0, ids.shape[1] :])
