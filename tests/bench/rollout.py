"""Who samples: our step's sampler on vLLM, vLLM alone, and transformers' generate, each on the same prompts."""

import json
import os
from itertools import islice
from pathlib import Path

from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_tokenizer
from nashflow.components.sampling.engines import Vllm
from nashflow.components.sampling.rollouts import Samplers
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.components.storage.records import ROLLOUTS, Prompt, write

SAMPLES, TOKENS, TOGETHER = 8, 64, 256
"""Responses to a prompt, the most tokens of one, and sequences that run together."""


def prompts(folder: Path) -> list[Prompt]:
    """The prompts of a bench, beside its model."""
    texts = json.loads((folder / "prompts.json").read_text())
    return [
        Prompt(row_id=row_id, messages=[{"role": "user", "content": text}], given=[])
        for row_id, text in enumerate(texts)
    ]


def _prompt_ids(folder: Path) -> list[list[int]]:
    dialogues = Dialogues(load_tokenizer(folder / "model"))
    return [dialogues.prompt(prompt["messages"]) for prompt in prompts(folder)]


class Ours:
    """The rollout step's work: responses, each with a seed of its own, as records in a file."""

    def __init__(self, folder: Path) -> None:
        settings = GenerationSettings(engine=Vllm(), max_new_tokens=TOKENS, batch_size=TOGETHER)
        self._folder, self._samplers, self._prompts = folder, Samplers(settings), prompts(folder)

    def __call__(self) -> int:
        work = [(prompt, sample) for prompt in self._prompts for sample in range(SAMPLES)]
        batches = self._samplers.sampled({self._folder / "model": 1.0}, work, role="pair", temperature=1.0, seed=(0,))
        rows = [row for batch in batches for row in batch]
        write(rows, ROLLOUTS, self._folder / f"rollouts-{os.getpid()}.parquet")
        return sum(len(row["response_ids"]) for row in rows)


class VllmAlone:
    """vLLM's own `generate`, as its users call it."""

    def __init__(self, folder: Path) -> None:
        os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
        os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        from vllm import LLM, SamplingParams

        self._prompts = [{"prompt_token_ids": ids} for ids in _prompt_ids(folder)]
        longest = max(len(prompt["prompt_token_ids"]) for prompt in self._prompts) + TOKENS
        self._engine = LLM(
            str(folder / "model"), dtype="float32", enforce_eager=True, max_model_len=longest, max_num_seqs=TOGETHER
        )
        self._wanted = SamplingParams(n=SAMPLES, temperature=1.0, max_tokens=TOKENS)

    def __call__(self) -> int:
        outputs = self._engine.generate(self._prompts, self._wanted, use_tqdm=False)
        return sum(len(each.token_ids) for output in outputs for each in output.outputs)


class Transformers:
    """Transformers' `generate` in float32 without top_p, on eight prompts at a time, its fastest on CPUs."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
        self._tokenizer, self._prompts = load_tokenizer(folder / "model"), _prompt_ids(folder)

    def __call__(self) -> int:
        import torch

        done, rest, end = 0, iter(self._prompts), self._tokenizer.eos_token_id
        while batch := list(islice(rest, 8)):
            width = max(map(len, batch))
            ids = torch.tensor([[end] * (width - len(row)) + row for row in batch])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
            output = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                num_return_sequences=SAMPLES,
                max_new_tokens=TOKENS,
                eos_token_id=end,
                pad_token_id=end,
            )[:, width:]
            ended = (output == end).int().cumsum(-1)
            done += int((ended == 0).sum() + (ended[:, -1] > 0).sum())
        return done
