"""The token-level mixture: exact on every prefix, and sampled as the sampler would sample it."""

import numpy as np
import pytest
import torch

from nashflow.components.models.folders import load_causal_lm
from nashflow.components.models.padding import padded
from nashflow.components.sampling.mixture import GeometricMixture
from nashflow.components.sampling.processors import uniforms
from nashflow.components.sampling.transformers_sampler import TransformersSampler
from tests.fixtures import models
from tests.fixtures.models import BOS, EOS

WORDS = ("a", "b", "c", "d")
A, B, C, D = range(len(models.SPECIALS), len(models.SPECIALS) + 4)
PROMPTS = [[BOS, A, B, C], [BOS], [BOS, D, D]]
WEIGHTS = (0.7, 0.3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [
        models.llama(tmp_path_factory.mktemp("policy"), WORDS, spread=spread, seed=seed)
        for seed, spread in enumerate((0.3, 0.5))
    ]


def next_token(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).numpy()


def mixed(folders, ids):
    """log of the normalised product of both models' next-token distributions, without cache or padding."""
    logs = sum(w * next_token(load_causal_lm(f, "float64"), ids) for w, f in zip(WEIGHTS, folders, strict=True))
    return logs - np.logaddexp.reduce(logs)


def test_every_prefix_has_the_normalised_product(folders):
    """Fed token by token, the companion's cache and the padding change nothing."""
    first, second = (load_causal_lm(folder, "float64") for folder in folders)
    ids, mask = padded(PROMPTS, "left", "cpu")
    mixture = GeometricMixture(WEIGHTS[0], [(second, WEIGHTS[1])], PROMPTS, mask)
    for token in ([A, B, C], [B, B, B], [D, A, EOS]):
        with torch.inference_mode():
            rows = [prompt + tokens for prompt, tokens in zip(PROMPTS, ids[:, mask.shape[1] :].tolist(), strict=True)]
            scores = torch.stack([torch.from_numpy(next_token(first, row)) for row in rows])
            made = mixture(ids, scores).log_softmax(-1).numpy()
        for row, values in zip(rows, made, strict=True):
            np.testing.assert_allclose(values, mixed(folders, row), atol=1e-6)
        ids = torch.cat([ids, torch.tensor(token)[:, None]], dim=1)


def test_generation_draws_from_the_mixture(folders):
    """The sampler written a second time: both models on the whole prefix for each token, and numpy."""
    sampler = TransformersSampler(dict(zip(folders, WEIGHTS, strict=True)), "float64")
    rows, seeds = PROMPTS * 3, list(range(9))
    batches = sampler.sample(rows, seeds, temperature=1.0, top_p=1.0, max_new_tokens=5, batch_size=4)
    responses = [response for batch in batches for _, response in batch]
    for prompt, seed, response in zip(rows, seeds, responses, strict=True):
        tokens: list[int] = []
        for uniform in uniforms(seed, 5):
            edges = np.exp(mixed(folders, prompt + tokens)).cumsum()
            tokens.append(int((edges > uniform * edges[-1]).argmax()))
            if tokens[-1] == EOS:
                break
        assert response.ids == tokens


def test_the_mixture_is_greedy_at_temperature_nought(folders):
    sampler = TransformersSampler(dict(zip(folders, WEIGHTS, strict=True)), "float64")
    (((_, response),),) = sampler.sample([[BOS, A]], [0], temperature=0, top_p=1.0, max_new_tokens=1, batch_size=1)
    assert response.ids == [int(mixed(folders, [BOS, A]).argmax())]
