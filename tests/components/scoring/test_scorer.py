import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.models.dialogues import Dialogues
from nashflow.components.models.folders import load_causal_lm, save_policy
from nashflow.components.sampling.transformers_sampler import TransformersSampler
from nashflow.components.scoring import head
from nashflow.components.scoring.batches import bucket
from nashflow.components.scoring.groups import grouped
from nashflow.components.scoring.layouts.padded import Padded
from nashflow.components.scoring.scorer import TransformersScorer
from tests.fixtures import models

WORDS = ("a", "b", "c", "d")
VOCABULARY = len(models.SPECIALS) + len(WORDS)


@pytest.fixture(scope="module", params=[models.llama, models.gpt2])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("policy"), WORDS)


@pytest.fixture(scope="module")
def model(folder):
    return load_causal_lm(folder, "float64")


def random_pairs(count, seed=0, longest=12):
    rng = np.random.default_rng(seed)
    return [
        tuple(rng.integers(VOCABULARY, size=rng.integers(1, longest + 1)).tolist() for _ in ("prompt", "response"))
        for _ in range(count)
    ]


def score(model, pairs, max_tokens):
    return TransformersScorer(model, Padded()).score(pairs, max_tokens)


def logprobs(model, pairs):
    return Padded().logprobs(model, grouped(pairs))


def alone(model, prompt, response):
    """log π(response | prompt) from one full forward without padding or cache, and numpy in float64."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *response]]), use_cache=False).logits[0].double().numpy()
    logits = logits[len(prompt) - 1 : -1]
    normalised = logits - logits.max(-1, keepdims=True)
    normalised -= np.log(np.exp(normalised).sum(-1, keepdims=True))
    return float(normalised[np.arange(len(response)), response].sum())


def test_logprobs_equal_full_forwards_without_padding(model):
    pairs = random_pairs(20)
    expected = [alone(model, *pair) for pair in pairs]
    assert score(model, pairs, max_tokens=100) == pytest.approx(expected, abs=1e-10, rel=1e-12)


def test_float32_agrees_with_float64(folder, model):
    pairs = random_pairs(20)
    assert score(load_causal_lm(folder, "float32"), pairs, 100) == pytest.approx(score(model, pairs, 100), rel=1e-5)


def test_a_bfloat16_model_is_reduced_in_float32(folder):
    half = load_causal_lm(folder, "bfloat16")
    pair = ([0, 7], [8, 9, 10, 1])
    values = logprobs(half, [pair])
    assert values.dtype == torch.float32
    # The same bfloat16 logits, normalised in float64: no error beyond float32's.
    assert values.item() == pytest.approx(alone(half, *pair), rel=1e-6)


@pytest.mark.parametrize("max_tokens", [1, 30, 60, 10_000])
def test_micro_batches_do_not_change_the_values(model, max_tokens):
    pairs = random_pairs(15, seed=1)
    assert score(model, pairs, max_tokens) == pytest.approx([score(model, [pair], 1)[0] for pair in pairs], abs=1e-10)


def test_a_large_vocabulary_is_reduced_in_chunks_of_the_same_value(model, monkeypatch):
    pairs = random_pairs(7)
    whole = logprobs(model, pairs)
    monkeypatch.setattr(head, "CHUNK", 2 * VOCABULARY)
    monkeypatch.setattr(head, "KEPT_CHUNKS", 1)
    torch.testing.assert_close(logprobs(model, pairs), whole, rtol=1e-12, atol=0)


def test_all_continuations_of_one_length_have_probability_one(model):
    pairs = [([0, 7], [first, second]) for first in range(VOCABULARY) for second in range(VOCABULARY)]
    assert np.exp(score(model, pairs, 200)).sum() == pytest.approx(1, abs=1e-12)


def test_the_chain_rule_holds(model):
    prompt, response = [0, 7, 8], [9, 10, 7, 1]
    whole, head, tail = score(
        model, [(prompt, response), (prompt, response[:2]), (prompt + response[:2], response[2:])], 99
    )
    assert whole == pytest.approx(head + tail, abs=1e-10)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_gradients_equal_those_of_full_forwards_without_padding(model):
    pairs = random_pairs(6, seed=2)
    weights = torch.linspace(-1, 1, 6, dtype=torch.float64)
    batched = gradients(model, (weights * logprobs(model, pairs)).sum())

    def naive(prompt, response):
        logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1)[torch.arange(len(response)), response].sum()

    one_by_one = gradients(model, sum(weight * naive(*pair) for weight, pair in zip(weights, pairs, strict=True)))
    for name, gradient in one_by_one.items():
        torch.testing.assert_close(batched[name], gradient, rtol=1e-9, atol=1e-11)
    assert any(gradient.abs().max() > 1e-3 for gradient in one_by_one.values())


def test_scoring_leaves_no_gradient_and_training_values_are_the_cached_ones(model):
    pairs = random_pairs(5)
    model.zero_grad()
    cached = score(model, pairs, 10_000)
    trained = logprobs(model, pairs)
    assert trained.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    # The same code on the same micro-batch, with and without gradients: the same bits.
    order = bucket(pairs, 10_000, Padded())[0]
    assert logprobs(model, [pairs[index] for index in order]).tolist() == [cached[index] for index in order]


def test_only_response_positions_reach_the_language_model_head(model):
    seen = []
    hook = model.get_output_embeddings().register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    logprobs(model, [([0] * 40, [7, 8, 1]), ([0] * 3, [7, 1])])
    hook.remove()
    assert seen == [5]


@pytest.mark.parametrize("pair", [([0], []), ([], [1])])
def test_a_prompt_or_response_without_tokens_is_refused(model, pair):
    with pytest.raises(ValueError, match="at least one token"):
        logprobs(model, [([0], [1]), pair])


def test_nothing_to_score_gives_nothing(model):
    assert score(model, [], 100) == []


def test_a_saved_and_loaded_policy_has_the_same_logprobs(folder, tmp_path):
    model, pairs = load_causal_lm(folder), random_pairs(6)
    save_policy(model, folder, tmp_path, "float32")
    assert score(load_causal_lm(tmp_path), pairs, 60) == score(model, pairs, 60)


def test_sampled_responses_score_as_the_sampler_drew_them(folder):
    sampler = TransformersSampler({folder: 1.0}, "float64")
    settings = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 5, "batch_size": 4}
    (((_, best),),) = sampler.sample([[0, 7]], [0], **settings)
    rivals = [([0, 7], [token]) for token in range(VOCABULARY)]
    values = score(sampler.model, rivals, 100)
    assert int(np.argmax(values)) == best.ids[0]


lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=30)


def of_lengths(sizes):
    return [([0] * prompt, [1] * response) for prompt, response in sizes]


@given(sizes=lengths, max_tokens=st.integers(1, 200))
def test_buckets_hold_each_sequence_once_within_the_budget_shortest_first(sizes, max_tokens):
    batches = bucket(of_lengths(sizes), max_tokens, Padded())
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    totals = [[sum(sizes[index]) for index in batch] for batch in batches]
    assert all(len(batch) * max(batch) <= max_tokens or len(batch) == 1 for batch in totals)
    flat = [(sum(sizes[index]), index) for batch in batches for index in batch]
    assert flat == sorted(flat)
    # No two neighbours would have fitted into one.
    assert all((len(one) + 1) * other[0] > max_tokens for one, other in pairwise(totals))


@pytest.mark.skipif("NASHFLOW_MODELS" not in os.environ, reason="NASHFLOW_MODELS names no folder of real models")
def test_a_real_chat_model_scores_its_own_answers_as_full_forwards_do():
    sampler = TransformersSampler({Path(os.environ["NASHFLOW_MODELS"]) / "tiny-llama-7m-chat": 1.0})
    prompts = [
        Dialogues(sampler.tokenizer).prompt([{"role": "user", "content": text}])
        for text in ("Name three colours.", "What is rain?", "Write a poem about the sea and the people who cross it.")
    ]
    batches = sampler.sample(prompts, [1, 2, 3], temperature=1.0, top_p=1.0, max_new_tokens=24, batch_size=3)
    pairs = [(prompts[row], one.ids) for row, one in next(batches)]
    expected = [alone(sampler.model, *pair) for pair in pairs]
    assert score(sampler.model, pairs, 200) == pytest.approx(expected, rel=1e-5)
    assert all(value < -1 for value in expected)
