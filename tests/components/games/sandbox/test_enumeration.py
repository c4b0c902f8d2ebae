from pathlib import Path

import numpy as np
import pytest
import torch

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.enumeration import all_sequences, enumerate_policy
from nashflow.components.games.sandbox.texts import CONTEXT_NAMES, prompt_messages, response_text
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from tests.fixtures import models
from tests.fixtures.statistics import BY_CHANCE, chance


def test_every_response_is_scored_as_one_by_one(reference: Path) -> None:
    """Independently: each sequence alone, token by token, the model in float64 and the softmax in numpy."""
    tokenizer, model = load_tokenizer(reference), load_causal_lm(reference, "float64")
    enumerated = enumerate_policy(load_causal_lm(reference), tokenizer)
    scores = np.empty((8, 25))
    for context, index in [(0, 0), (0, 24), (3, 7), (7, 13)]:
        prompt = Dialogues(tokenizer).prompt(prompt_messages(context))
        response = Dialogues(tokenizer).answer(prompt_messages(context), response_text(index))
        total = 0.0
        for position, token in enumerate(response):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + response[:position]])).logits[0, -1].numpy()
            total += logits[token] - np.logaddexp.reduce(logits)
        scores[context, index] = total
        inside = np.log1p(-enumerated.mass_outside[context])
        assert enumerated.log_policy[context, index] + inside == pytest.approx(scores[context, index], abs=1e-6)


def test_the_whole_mass_is_accounted_for(reference: Path) -> None:
    tokenizer, model = load_tokenizer(reference), load_causal_lm(reference)
    enumerated = enumerate_policy(model, tokenizer)
    np.testing.assert_allclose(np.exp(enumerated.log_policy).sum(axis=-1), 1, atol=1e-13)
    assert (enumerated.mass_outside >= -1e-12).all()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5)
    spoilt = enumerate_policy(model, tokenizer)
    assert (spoilt.mass_outside > 0.01).all()
    assert (spoilt.mass_outside < 1).all()


def test_sampled_frequencies_approach_the_enumerated_policy(reference: Path) -> None:
    tokenizer, model = load_tokenizer(reference), load_causal_lm(reference)
    expected = np.exp(enumerate_policy(model, tokenizer).log_policy[4])
    count = 4000
    prompt = torch.tensor([Dialogues(tokenizer).prompt(prompt_messages(4))]).repeat(count, 1)
    torch.manual_seed(1)
    sampled = model.generate(prompt, do_sample=True, top_k=0, max_new_tokens=3, eos_token_id=1, pad_token_id=2)
    texts = tokenizer.batch_decode(sampled[:, prompt.shape[1] :], skip_special_tokens=True)
    counts = np.array([texts.count(response_text(index)) for index in range(25)])
    assert chance(counts, expected) > BY_CHANCE


def test_enumerating_leaves_the_model_as_it_was(reference: Path) -> None:
    tokenizer, model = load_tokenizer(reference), load_causal_lm(reference)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    enumerate_policy(model, tokenizer)
    assert model.training
    assert model.dtype == torch.float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_sequences_come_context_by_context(reference: Path) -> None:
    tokenizer = load_tokenizer(reference)
    sequences = all_sequences(tokenizer)
    assert sequences.shape == (200, 7)
    assert tokenizer.decode(sequences[25 * 6 + 9]) == f"<s> <user> x6 <assistant> {response_text(9)} </s>"


def test_a_policy_with_outputs_that_are_no_finite_numbers_is_refused(reference: Path, tmp_path: Path) -> None:
    tokenizer, name = load_tokenizer(reference), CONTEXT_NAMES[5]
    (token,) = tokenizer.encode(name, add_special_tokens=False)
    damaged = models.damage(reference, token, tmp_path / "policy")
    with pytest.raises(
        UserError, match=f"the policy in {damaged} answers with numbers .* to '<user> {name} <assistant>': "
    ):
        enumerate_policy(load_causal_lm(damaged), tokenizer)
