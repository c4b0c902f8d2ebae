import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from nashflow.components.sampling.processors import SeededSampler, processors, uniforms
from tests.fixtures.statistics import BY_CHANCE, chance

PROMPT = torch.zeros(1, 3, dtype=torch.long)


def chosen(scores, seeds, position=0, temperature=1.0, top_p=1.0):
    """The token that the processors force in each row of scores (rows, vocabulary)."""
    chain = processors(seeds, 3, temperature=temperature, top_p=top_p, max_new_tokens=position + 1)
    ids = torch.zeros(len(seeds), 3 + position, dtype=torch.long)
    forced = chain(ids, torch.as_tensor(np.asarray(scores)))
    assert ((forced == 0).sum(-1) == 1).all()
    assert (torch.isneginf(forced).sum(-1) == forced.shape[1] - 1).all()
    return forced.argmax(-1).tolist()


def numpy_choice(scores, uniform, temperature, top_p):
    """Temperature, nucleus and inverse CDF after their definitions, and how near the draw was to a boundary."""
    weights = np.exp((scores - scores.max()) / temperature)
    probabilities = weights / weights.sum()
    order = np.argsort(-probabilities)
    sums = np.cumsum(probabilities[order])
    kept = order[: 1 + int((sums < top_p).sum())]  # the smallest set of the most probable that reaches top_p
    nucleus = np.zeros_like(probabilities)
    nucleus[kept] = probabilities[kept] / probabilities[kept].sum()
    edges = np.cumsum(nucleus)
    margin = min(np.abs(edges - uniform).min(), np.abs(sums - top_p).min())
    return int(np.searchsorted(edges, uniform, side="right")), margin


def test_uniforms_are_numpys_philox_and_a_longer_series_begins_with_the_shorter():
    for seed in (0, 1, 2**63, 2**64 - 1):
        series = uniforms(seed, 100)
        assert np.array_equal(series, np.random.Generator(np.random.Philox(seed)).random(100))
        assert np.array_equal(series[:7], uniforms(seed, 7))


def test_uniforms_of_consecutive_seeds_are_uniform_and_uncorrelated():
    table = np.stack([uniforms(seed, 4) for seed in range(5000)])
    assert table.min() >= 0
    assert table.max() < 1
    assert kstest(table.ravel(), "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef(table.T) - np.eye(4)).max() < 0.05
    assert abs(np.corrcoef(table[:-1, 0], table[1:, 0])[0, 1]) < 0.05


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(st.floats(-8, 8), min_size=2, max_size=12),
    seed=st.integers(0, 2**64 - 1),
    position=st.integers(0, 5),
    temperature=st.floats(0.1, 3),
    top_p=st.floats(0.05, 1),
)
def test_temperature_and_nucleus_agree_with_their_definitions(scores, seed, position, temperature, top_p):
    scores = np.unique(np.asarray(scores))  # equal scores leave the nucleus open
    uniform = uniforms(seed, position + 1)[position]
    expected, margin = numpy_choice(scores, uniform, temperature, top_p)
    if margin > 1e-9 and np.diff(scores, prepend=-9).min() > 1e-9:
        assert chosen([scores], [seed], position, temperature, top_p) == [expected]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.5, 0.8)])
def test_sampled_frequencies_match_the_distribution(temperature, top_p):
    scores = np.array([0.3, -1.0, 2.0, 1.1, 0.0])
    samples = 20_000
    tokens = chosen(np.tile(scores, (samples, 1)), range(samples), 2, temperature, top_p)
    weights = np.exp(scores / temperature)
    probabilities = weights / weights.sum()
    if top_p < 1:
        probabilities[[1, 4]] = 0  # 0.47, 0.26 and 0.15 of the others reach 0.8
        probabilities /= probabilities.sum()
    assert chance(np.bincount(tokens, minlength=5), probabilities) > BY_CHANCE


def test_a_row_does_not_depend_on_its_neighbours():
    scores = np.random.default_rng(0).normal(size=(6, 50)) * 3
    seeds = [11, 12, 13, 14, 15, 16]
    together = chosen(scores, seeds, 4, 0.9, 0.95)
    alone = [chosen(scores[row : row + 1], seeds[row : row + 1], 4, 0.9, 0.95)[0] for row in range(6)]
    backwards = chosen(scores[::-1].copy(), seeds[::-1], 4, 0.9, 0.95)[::-1]
    assert together == alone == backwards


def test_impossible_tokens_are_never_drawn_at_either_end_of_the_unit_interval():
    scores = torch.tensor([[-torch.inf, 1.0, -torch.inf, 2.0, -torch.inf]])
    sampler = SeededSampler([0], 3, 1)
    for uniform, token in ((0.0, 1), (1 - 2**-53, 3)):
        sampler.uniforms[:] = uniform
        assert sampler(PROMPT, scores).argmax().item() == token


def test_a_draw_on_a_boundary_belongs_to_the_token_above_it():
    sampler = SeededSampler([0], 3, 1)
    sampler.uniforms[:] = 0.5
    assert sampler(PROMPT, torch.zeros(1, 2)).argmax().item() == 1


def test_temperature_zero_leaves_the_scores_to_greedy_decoding():
    assert not processors([1], 3, temperature=0.0, top_p=0.5, max_new_tokens=1)
