"""What the benches run on: a model in `model`, prompts in `prompts.json`, long contexts in `contexts.json`."""

import json
import os
import random
from pathlib import Path

from tests.fixtures.models import save_tokenizer

SMOLLM2 = Path("runs/models/smollm2")
PROMPTS, CONTEXTS = 64, 2
"""How many prompts are answered, and how many contexts are judged on."""


def toy(folder: Path) -> None:
    """A Llama of 20 million parameters with a vocabulary of 8,192 words and random weights."""
    from torch import manual_seed
    from transformers import LlamaConfig, LlamaForCausalLM

    words = [f"w{number}" for number in range(8192 - 9)]
    vocabulary = save_tokenizer(folder / "model", ["A", "B", *words])
    manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    drawn = random.Random(0)
    for name, count, length in (("prompts", PROMPTS, 54), ("contexts", CONTEXTS, 700)):
        texts = [" ".join(drawn.choices(words, k=length)) for _ in range(count)]
        (folder / f"{name}.json").write_text(json.dumps(texts))


def smollm2(folder: Path) -> None:
    """SmolLM2-135M-Instruct and instructions of AlpacaEval."""
    (folder / "model").symlink_to(SMOLLM2.absolute())
    entries = json.loads(Path(os.environ["NASHFLOW_DATA"], "alpaca_eval/baseline_outputs.json").read_text())
    short = [entry["instruction"] for entry in entries if len(entry["instruction"]) < 300]
    (folder / "prompts.json").write_text(json.dumps(short[:PROMPTS]))


def lacking_smollm2() -> str:
    """Why there is no SmolLM2 to run on; empty: there is."""
    if not SMOLLM2.is_dir():
        return f"{SMOLLM2} is not there: make smollm2"
    return "" if "NASHFLOW_DATA" in os.environ else "NASHFLOW_DATA is not set"
