import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nashflow.components.core.errors import UserError
from nashflow.components.models.dialogues import Dialogues
from nashflow.components.sampling.processors import uniforms
from nashflow.components.sampling.stop import Stop
from nashflow.components.sampling.transformers_sampler import TransformersSampler
from tests.fixtures import models
from tests.fixtures.models import BOS, EOS
from tests.fixtures.statistics import BY_CHANCE, chance

WORDS = ("a", "b", "c", "d")
A, B, C, D = range(len(models.SPECIALS), len(models.SPECIALS) + 4)
PROMPTS = [[BOS, A, B, C, D, A], [BOS], [BOS, B, A], [BOS, D, D, D]]
ROWS = [prompt for prompt in PROMPTS for _ in range(4)]
SEEDS = [1000 + 7 * row for row in range(len(ROWS))]
PLAIN = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "batch_size": 8}


@pytest.fixture(scope="module", params=[models.llama, models.gpt2])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("policy"), WORDS, spread=0.1)


@pytest.fixture(scope="module")
def sampler(folder):
    return TransformersSampler({folder: 1.0}, "float64")


@pytest.fixture(scope="module")
def llama_sampler(tmp_path_factory):
    return TransformersSampler({models.llama(tmp_path_factory.mktemp("llama"), WORDS, spread=0.1): 1.0}, "float64")


def sample(sampler, prompts=ROWS, seeds=SEEDS, **settings):
    return [response for batch in sampler.sample(prompts, seeds, **(PLAIN | settings)) for _, response in batch]


def next_token_logits(model, ids):
    """Of the last position: one sequence, no cache, no padding."""
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0, -1].numpy()


def sample_one(model, prompt, seed, temperature, top_p, max_new_tokens):
    """The sampler written a second time: a full forward for each token and numpy."""
    tokens = []
    for uniform in uniforms(seed, max_new_tokens):
        weights = np.exp(next_token_logits(model, prompt + tokens) / temperature)
        probabilities = weights / weights.sum()
        order = np.argsort(-probabilities)
        outside = order[1:][np.cumsum(probabilities[order])[:-1] >= top_p]
        probabilities[outside] = 0
        edges = np.cumsum(probabilities)
        tokens.append(int(np.searchsorted(edges, uniform * edges[-1], side="right")))
        if tokens[-1] == EOS:
            break
    return tokens


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (2.0, 0.95)])
def test_responses_equal_those_of_a_second_implementation(sampler, temperature, top_p):
    expected = [sample_one(sampler.model, *row, temperature, top_p, 8) for row in zip(ROWS, SEEDS, strict=True)]
    assert [one.ids for one in sample(sampler, temperature=temperature, top_p=top_p)] == expected


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_batch_size_changes_no_token(sampler, batch_size):
    assert sample(sampler, batch_size=batch_size) == sample(sampler)


def test_the_order_and_the_neighbours_change_no_token(sampler):
    whole = sample(sampler)
    order = np.random.default_rng(0).permutation(len(ROWS))
    shuffled = sample(sampler, [ROWS[row] for row in order], [SEEDS[row] for row in order])
    assert shuffled == [whole[row] for row in order]
    assert sample(sampler, ROWS[5:9], SEEDS[5:9]) == whole[5:9]  # a restart, or another shard


def test_a_longer_limit_only_continues_responses(sampler):
    for short, long in zip(sample(sampler, max_new_tokens=3), sample(sampler, max_new_tokens=9), strict=True):
        assert long.ids[: len(short.ids)] == short.ids
        assert short == long or short.finish == "length"


def test_another_seed_gives_another_response(sampler):
    assert len({tuple(one.ids) for one in sample(sampler, [PROMPTS[0]] * 16)}) > 12


def test_float32_gives_the_tokens_of_float64(folder, sampler):
    assert sample(TransformersSampler({folder: 1.0}, "float32")) == sample(sampler)


def test_micro_batches_come_one_by_one_in_order(llama_sampler, monkeypatch):
    calls = []
    generate = llama_sampler.model.generate
    monkeypatch.setattr(
        llama_sampler.model,
        "generate",
        lambda **inputs: (calls.append(len(inputs["input_ids"])), generate(**inputs))[1],
    )
    batches = llama_sampler.sample(ROWS[:8], SEEDS[:8], **(PLAIN | {"batch_size": 3}))
    first = next(batches)
    assert (len(first), calls) == (3, [3])  # a caller can journal before the next one is begun
    rest = list(batches)
    assert ([len(batch) for batch in rest], calls) == ([3, 2], [3, 3, 2])
    assert [*first, *rest[0], *rest[1]] == list(enumerate(sample(llama_sampler, ROWS[:8], SEEDS[:8])))


def test_no_prompts_give_no_batches(llama_sampler):
    assert sample(llama_sampler, [], []) == []


def test_a_response_ends_with_its_first_stop_token_or_at_the_limit(sampler):
    responses = sample(sampler, ROWS * 4, range(len(ROWS) * 4), max_new_tokens=6)
    assert {one.finish for one in responses} == {"stop", "length"}
    for one in responses:
        assert EOS not in one.ids[:-1]
        assert (one.ids[-1] == EOS) == (one.finish == "stop")
        assert len(one.ids) == 6 or (one.finish == "stop" and len(one.ids) < 6)
        words = [(*models.SPECIALS, *WORDS)[token] for token in one.ids[: -1 if one.finish == "stop" else None]]
        assert one.text == " ".join(words)


def test_every_stop_token_of_the_generation_settings_ends_a_response(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, C]}))
    responses = sample(TransformersSampler({copy: 1.0}, "float64"), ROWS * 2, range(len(ROWS) * 2))
    ends = {one.ids[-1] for one in responses if one.finish == "stop"}
    assert ends == {EOS, C}
    assert not any({EOS, C} & set(one.ids[:-1]) for one in responses)


TEXTS = ("a b", "d d", "<|user|>")


def test_a_stop_text_ends_a_response_where_it_is_complete(sampler):
    free = sample(sampler, ROWS * 4, range(len(ROWS) * 4))
    stopped = sample(sampler, ROWS * 4, range(len(ROWS) * 4), stop=Stop((EOS,), TEXTS))
    ended = 0
    for one, other in zip(free, stopped, strict=True):
        cut = min((one.text.index(text) for text in TEXTS if text in one.text), default=None)
        assert other.text == one.text[:cut]
        assert other.ids == one.ids[: len(other.ids)]
        if cut is not None:
            ended += 1
            assert other.finish == "stop"
            assert sampler.tokenizer.decode(other.ids).endswith(TEXTS)
    assert ended > 3


def test_generation_ends_once_every_row_has_met_a_stop_token(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(D + 1))}))
    sampler, forwards = TransformersSampler({copy: 1.0}), []
    sampler.model.register_forward_hook(lambda *_: forwards.append(1))
    assert all(len(one.ids) == 1 and one.finish == "stop" for one in sample(sampler, batch_size=len(ROWS)))
    assert len(forwards) == 1


def test_generation_settings_of_the_folder_do_not_bend_the_distribution(folder, sampler, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    settings = {"repetition_penalty": 3.0, "top_k": 1, "temperature": 0.1, "suppress_tokens": [A], "max_length": 3}
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": EOS, "do_sample": True, **settings}))
    assert sample(TransformersSampler({copy: 1.0}, "float64")) == sample(sampler)


def test_temperature_zero_is_greedy(sampler):
    (response,) = sample(sampler, [PROMPTS[0]], [1], temperature=0.0)
    ids = list(PROMPTS[0])
    for token in response.ids:
        assert token == next_token_logits(sampler.model, ids).argmax()
        ids.append(token)


def test_whole_responses_have_their_exact_probabilities(llama_sampler):
    # Responses of two tokens, enumerated: log p(y) from full forwards against frequencies.
    prompt, samples = PROMPTS[2], 6000
    settings = {"max_new_tokens": 2, "batch_size": 2000, "temperature": 1.3}
    responses = sample(llama_sampler, [prompt] * samples, range(samples), **settings)

    def distribution(ids):
        weights = np.exp(next_token_logits(llama_sampler.model, ids) / 1.3)
        return weights / weights.sum()

    first = distribution(prompt)
    expected = {(EOS,): first[EOS]}
    for token in set(range(len(first))) - {EOS}:
        expected |= {(token, last): first[token] * p for last, p in enumerate(distribution([*prompt, token]))}
    assert sum(expected.values()) == pytest.approx(1)
    counts = dict.fromkeys(expected, 0)
    for one in responses:
        counts[tuple(one.ids)] += 1
    assert chance(list(counts.values()), list(expected.values())) > BY_CHANCE


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_sampled(sampler):
    assert sample(sampler, [[BOS] * 504], [1], max_new_tokens=8)
    with pytest.raises(UserError, match=r"longest prompt has 505 tokens; with max_new_tokens = 8 .* 512 positions"):
        sampler.sample([[BOS], [BOS] * 505], [1, 2], **PLAIN)


def test_rows_without_a_seed_of_their_own_are_refused(llama_sampler):
    with pytest.raises(ValueError, match="2 prompts and 1 seeds"):
        llama_sampler.sample([[BOS], [BOS]], [1], **PLAIN)


@pytest.mark.skipif("NASHFLOW_MODELS" not in os.environ, reason="NASHFLOW_MODELS names no folder of real models")
def test_a_real_chat_model_answers_within_its_limits():
    folder = Path(os.environ["NASHFLOW_MODELS"]) / "tiny-llama-7m-chat"
    sampler = TransformersSampler({folder: 1.0})
    prompt = Dialogues(sampler.tokenizer).prompt([{"role": "user", "content": "Name three colours."}])
    settings = {"temperature": 0.8, "top_p": 0.95, "max_new_tokens": 24}
    responses = sample(sampler, [prompt] * 8, range(8), batch_size=8, **settings)
    assert responses == sample(sampler, [prompt] * 8, range(8), batch_size=3, **settings)
    assert len({one.text for one in responses}) == 8
    assert all(sampler.tokenizer.decode(one.ids, skip_special_tokens=True) == one.text for one in responses)
