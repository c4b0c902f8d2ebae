"""Whether prompts have changed: known divergences, and a test that keeps its level and finds what is there."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashflow.pipelines.drift.prompts import difference, divergence

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "omicron"]


def some(count: int, seed: int, words: list[str] = WORDS, length: int = 12) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(words, length)) for _ in range(count)]


def test_the_divergence_of_known_distributions() -> None:
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert divergence(one, other) == 1.0
    assert divergence(one, one) == 0.0
    half = np.array([0.5, 0.5])
    by_hand = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)) - 0.5
    assert divergence(one, half) == pytest.approx(by_hand, abs=1e-12)
    assert divergence(half, one) == divergence(one, half)


@given(st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4))
def test_a_divergence_is_of_either_order_and_at_most_one_bit(one: list[float], other: list[float]) -> None:
    p, q = (np.array(each) / sum(each) for each in (one, other))
    assert divergence(p, q) == pytest.approx(divergence(q, p), abs=1e-12)
    assert -1e-12 <= divergence(p, q) <= 1.0


def test_prompts_of_one_source_are_seldom_taken_for_others() -> None:
    p_values = [difference(some(24, 2 * seed), some(30, 2 * seed + 1)).p_value for seed in range(40)]
    assert sum(p <= 0.05 for p in p_values) <= 7, "2 of 40 are expected; 8 or more have a chance below 1 in 1,000"
    assert 0.3 < np.mean(p_values) < 0.7


def test_other_prompts_are_found_in_any_script() -> None:
    first = some(40, 0)
    assert difference(first, some(40, 1)).shifted is False
    for words in (
        ["привет", "мир", "язык", "модель"],
        ["你好", "世界", "语言", "模型"],
        ["alpha", "beta", "omega", "psi"],
    ):
        found = difference(first, some(40, 2, words))
        assert found.shifted
        assert found.divergence > found.expected


def test_longer_prompts_are_told_by_their_length() -> None:
    found = difference(some(60, 0), some(60, 1, length=20))
    assert found.longer_low > 0
    assert found.characters - found.longer_by == pytest.approx(np.mean([len(text) for text in some(60, 0)]))
    same = difference(some(60, 0), some(60, 1))
    assert same.longer_low < 0 < same.longer_high


@settings(max_examples=20)
@given(st.permutations(some(12, 0)), st.permutations(some(12, 5)))
def test_the_order_of_prompts_does_not_matter(one: list[str], other: list[str]) -> None:
    assert difference(one, other).p_value == difference(some(12, 0), some(12, 5)).p_value


@pytest.mark.parametrize("texts", [[""], ["a"], ["ab", "\ud800"]])
def test_short_and_odd_prompts_are_taken(texts: list[str]) -> None:
    found = difference(texts, ["something else"])
    assert 0.0 < found.p_value <= 1.0


def test_no_prompts_are_no_set() -> None:
    with pytest.raises(ValueError, match="no prompts"):
        difference([], ["a"])
