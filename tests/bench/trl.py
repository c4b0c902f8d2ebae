"""TRL's DPOTrainer with precomputed log-probabilities of its reference, on token ids as they are."""

import json
import tempfile
from pathlib import Path
from typing import Any


class Trl:
    """One optimiser step on all pairs at once, in float32: forward, backward, clipping and AdamW, nothing else."""

    bf16 = False
    checkpointing = False
    """Its default is True: slower, with less memory."""
    lora = False

    def __init__(self, folder: Path) -> None:
        import torch
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from trl import DPOConfig, DPOTrainer

        class AsTheyAre(DPOTrainer):  # type: ignore[misc]
            """It has no way for pairs that are token ids already."""

            def _prepare_dataset(self, dataset: Any, *others: Any, **named: Any) -> Any:
                return dataset

        pairs = json.loads((folder / "pairs.json").read_text())
        longest = max(
            len(pair["prompt_ids"]) + max(len(pair[f"{side}_ids"]) for side in ("chosen", "rejected")) for pair in pairs
        )
        config = DPOConfig(
            tempfile.mkdtemp(dir=folder),
            per_device_train_batch_size=len(pairs),
            precompute_ref_log_probs=True,
            max_length=longest,
            bf16=self.bf16,
            gradient_checkpointing=self.checkpointing,
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
            disable_tqdm=True,
            beta=0.1,
            learning_rate=5e-7,
        )
        adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear") if self.lora else None
        model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
        self._trainer = AsTheyAre(
            model,
            args=config,
            peft_config=adapter,
            train_dataset=Dataset.from_list(pairs),
            processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        )
        self._batch = next(iter(self._trainer.get_train_dataloader()))
        self._trainer.create_optimizer()
        self._trainer.current_gradient_accumulation_steps = 1
        self._tokens = sum(
            2 * len(pair["prompt_ids"]) + len(pair["chosen_ids"]) + len(pair["rejected_ids"]) for pair in pairs
        )

    def __call__(self) -> int:
        import torch

        trainer = self._trainer
        trainer.model.train()
        trainer.training_step(trainer.model, dict(self._batch))
        torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        return self._tokens


class TrlBf16(Trl):
    """In bfloat16 by autocast, its default."""

    bf16 = True


class TrlLora(TrlBf16):
    """The same on an adapter of every linear layer, with gradient checkpointing."""

    lora = checkpointing = True
