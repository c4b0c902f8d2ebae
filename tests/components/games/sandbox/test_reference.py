import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nashflow.components.games.preference import kl_divergence
from nashflow.components.games.sandbox import reference as module
from nashflow.components.games.sandbox.enumeration import enumerate_policy
from nashflow.components.games.sandbox.reference import ReferenceFit, make_reference
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import prompt_messages, response_index
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.models.weights import weights_digest


def test_the_reference_fits_the_target_and_nothing_else(made: tuple[Path, ReferenceFit]) -> None:
    folder, fit = made
    assert fit.kl < 1e-3
    assert fit.mass_outside < 1e-6
    loaded = enumerate_policy(load_causal_lm(folder), load_tokenizer(folder))
    divergences = kl_divergence(make_world(WorldSettings()).log_target, loaded.log_policy)
    assert fit.kl == pytest.approx(divergences.max(), rel=1e-6)
    assert fit.mass_outside == pytest.approx(loaded.mass_outside.max(), abs=1e-12)


def test_the_folder_is_what_every_engine_opens(reference: Path) -> None:
    names = {path.name for path in reference.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    config = json.loads((reference / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]) == (64, 2, 2)
    assert config["architectures"] == ["LlamaForCausalLM"]
    settings = json.loads((reference / "generation_config.json").read_text())
    tokenizer = load_tokenizer(reference)
    assert settings["eos_token_id"] == tokenizer.eos_token_id
    assert settings["pad_token_id"] == tokenizer.pad_token_id
    assert Dialogues(tokenizer).stop_ids == [tokenizer.eos_token_id]


def test_generated_responses_are_well_formed(reference: Path) -> None:
    tokenizer, model = load_tokenizer(reference), load_causal_lm(reference)
    prompts = torch.tensor([Dialogues(tokenizer).prompt(prompt_messages(context)) for context in range(8)])
    torch.manual_seed(0)
    sequences = model.generate(
        prompts.repeat(8, 1), do_sample=True, max_new_tokens=4, eos_token_id=1, pad_token_id=tokenizer.pad_token_id
    )
    texts = tokenizer.batch_decode(sequences[:, prompts.shape[1] :], skip_special_tokens=True)
    assert all(response_index(text) is not None for text in texts)
    assert len(set(texts)) > 10


def test_the_weights_are_a_function_of_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEPS", 5)
    for name, seed, noise in (("first", 0, 1), ("again", 0, 2), ("other", 1, 1)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        make_reference(tmp_path / name, WorldSettings(seed=seed))
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (weights_digest(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again != other


def test_fewer_steps_fit_worse(
    tmp_path: Path, made: tuple[Path, ReferenceFit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STEPS", 5)
    hasty = make_reference(tmp_path / "hasty", WorldSettings())
    assert np.isfinite(hasty.kl)
    assert hasty.kl > made[1].kl
    assert hasty.mass_outside > made[1].mass_outside
