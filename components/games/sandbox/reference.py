"""The sandbox's reference policy: a two-layer Llama fitted to the world's target distribution in seconds."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.seeds import derive_seed
from ...models.folders import load_tokenizer, save_policy
from ...runtime.progress import over
from ..preference import kl_divergence
from .enumeration import (
    RESPONSE_TOKENS,
    all_sequences,
    enumerate_policy,
    next_token_log_probs,
    response_log_probs,
)
from .settings import WorldSettings
from .tokenizer import VOCABULARY, write_tokenizer
from .world import World, make_world

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_STEPS = 300
_WARMUP_STEPS = 20
_LEARNING_RATE = 5e-3
# Adam normalises even tiny gradients, so preference training moves the logits of words that never occur by several
# nats: they start far down, or mass would leak out of the responses.
_LOG_MASS_OUTSIDE = -16.0
_OUTSIDE_WEIGHT = 0.1


@dataclass(frozen=True)
class ReferenceFit:
    """How well the reference fits: KL(target ‖ reference) in nats and mass outside, each the worst context's."""

    kl: float
    mass_outside: float


def make_reference(folder: Path, settings: WorldSettings) -> ReferenceFit:
    """Write the world's reference policy into `folder`: a Hugging Face folder with tokenizer, safetensors and config.

    The same weights each time for one world seed, thread count and machine kind. Takes a few seconds on one core.
    """
    import torch

    world = make_world(settings)
    with tempfile.TemporaryDirectory() as temporary:
        write_tokenizer(Path(temporary))
        tokenizer = load_tokenizer(Path(temporary))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("sandbox reference", settings.seed))
            model = _untrained(tokenizer)
        _fit(model, tokenizer, world)
        save_policy(model, Path(temporary), folder, "float32")
    fitted = enumerate_policy(model, tokenizer)
    return ReferenceFit(
        kl=float(kl_divergence(world.log_target, fitted.log_policy).max()),
        mass_outside=float(fitted.mass_outside.max()),
    )


def _untrained(tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def _fit(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", world: World) -> None:
    """Minimise the exact cross-entropy to the target over all sequences, with a hinge on the mass outside."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    sequences = all_sequences(tokenizer)
    target = torch.from_numpy(np.exp(world.log_target)).flatten().float() / len(world.log_target)
    # inside at a response position are the tokens that some response has there
    inside = torch.zeros(RESPONSE_TOKENS, len(VOCABULARY)).scatter(1, sequences[:, -RESPONSE_TOKENS:].T, 1.0).bool()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, _WARMUP_STEPS, _STEPS)
    model.train()
    for _ in over([[step] for step in range(_STEPS)], "updates", _STEPS):
        log_probs = next_token_log_probs(model, sequences)
        cross_entropy = -(target * response_log_probs(log_probs, sequences)).sum()
        outside = log_probs.masked_fill(inside, -torch.inf).logsumexp(dim=-1)
        loss = cross_entropy + _OUTSIDE_WEIGHT * torch.relu(outside - _LOG_MASS_OUTSIDE).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
