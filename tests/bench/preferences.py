"""What trainers are measured on: a model in `model`, pairs as token ids in `pairs.json`."""

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fixtures.models import save_tokenizer

from .folders import SMOLLM2

PAIRS = 8
Range = tuple[int, int]
"""The least and the most."""
SMALL: Mapping[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
}
"""A Llama of 22.7 million parameters."""
LLAMA_1B: Mapping[str, Any] = {
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
}
LLAMA_8B: Mapping[str, Any] = {
    **LLAMA_1B,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "tie_word_embeddings": False,
}
LONG: Mapping[str, Any] = {"prompt": (256, 1024), "response": (128, 1024), "pairs": 4}
"""Pairs of the lengths that chat models are trained on."""


def random_llama(
    folder: Path,
    shape: Mapping[str, Any] = SMALL,
    prompt: Range = (64, 256),
    response: Range = (32, 256),
    pairs: int = PAIRS,
) -> None:
    """A Llama with random weights, and pairs of random tokens with so many in prompts and in responses."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    specials = save_tokenizer(folder / "model", [])
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = LlamaConfig(**shape, **ends, max_position_embeddings=1 << 14)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder / "model")
    drawn = random.Random(0)

    def ids(lengths: Range) -> list[int]:
        return drawn.choices(range(specials, shape["vocab_size"]), k=drawn.randint(*lengths))

    made = [
        {"prompt_ids": ids(prompt), "chosen_ids": ids(response), "rejected_ids": ids(response)} for _ in range(pairs)
    ]
    (folder / "pairs.json").write_text(json.dumps(made))


def smollm2(folder: Path) -> None:
    """SmolLM2-135M-Instruct, and dialogues of HH-RLHF with the two answers that somebody compared."""
    from nashflow.components.models.dialogues import Dialogues
    from nashflow.components.models.folders import load_tokenizer
    from nashflow.components.prompts.compared import read_compared
    from nashflow.components.prompts.settings import PromptSource

    (folder / "model").symlink_to(SMOLLM2.absolute())
    dialogues = Dialogues(load_tokenizer(folder / "model"))
    source = PromptSource(path=str(Path(os.environ["NASHFLOW_DATA"], "hh_rlhf", "harmless-base-test.jsonl.gz")))
    made = []
    for each in read_compared(source, limit=PAIRS)[0]:
        chosen, rejected = (dialogues.answer(each.messages, answer.text) for answer in each.answers)
        made.append({"prompt_ids": dialogues.prompt(each.messages), "chosen_ids": chosen, "rejected_ids": rejected})
    (folder / "pairs.json").write_text(json.dumps(made))
