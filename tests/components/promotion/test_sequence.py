"""The confidence sequence: its equation, and how often it errs and finds out, whatever the values are like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.promotion.looks import look, schedule
from nashflow.components.promotion.sequence import STAKES, bounds, log_capital, log_needed
from tests.fixtures.statistics import BY_CHANCE

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
MEANS = st.floats(0.05, 0.95)
REPETITIONS, PROMPTS = 10_000, 512
CONFIDENCE = 0.95


@given(VALUES, MEANS)
def test_the_capital_is_the_mean_of_the_products_of_the_bets(values: list[float], mean: float) -> None:
    products = [np.prod([1 + stake / mean * (value - mean) for value in values]) for stake in STAKES]
    assert np.exp(log_capital(values, mean)) == pytest.approx(np.mean(products), rel=1e-9)


@given(VALUES, st.permutations(range(40)))
def test_the_order_of_the_values_says_nothing(values: list[float], order: list[int]) -> None:
    shuffled = [values[place] for place in order if place < len(values)]
    assert bounds(shuffled, CONFIDENCE) == pytest.approx(bounds(values, CONFIDENCE), abs=1e-9)


@given(VALUES)
def test_the_ends_are_where_the_capital_reaches_what_is_needed(values: list[float]) -> None:
    low, high = bounds(values, CONFIDENCE)
    mean = sum(values) / len(values)
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    mirrored = bounds([1 - value for value in values], CONFIDENCE)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high), abs=1e-9)
    if low > 1e-6:
        assert log_capital(values, low) == pytest.approx(log_needed(CONFIDENCE), abs=1e-6)
        assert log_capital(values, low - 1e-4 * low) > log_needed(CONFIDENCE) > log_capital(values, low * 1.0001)


def test_nothing_is_known_before_the_first_value_and_all_wins_of_many_leave_little_doubt() -> None:
    assert bounds([], CONFIDENCE) == (0.0, 1.0)
    low, high = bounds([1.0] * 100, CONFIDENCE)
    assert low > 0.9
    assert high == 1.0


def outcomes(kind: str, mean: float, random: np.random.Generator, count: int = 1000) -> np.ndarray:
    """Values of mean `mean` in [0, 1], (count, PROMPTS), one a prompt."""
    shape = (count, PROMPTS)
    if kind == "coins":
        return (random.random(shape) < mean).astype(float)
    if kind == "probabilities":
        return random.beta(4 * mean, 4 * (1 - mean), shape)
    if kind == "ties":  # half of the prompts
        draws = random.random(shape)
        return np.where(draws < 0.5, 0.5, np.where(draws < 0.5 + mean - 0.25, 1.0, 0.0))
    chances = random.beta(2 * mean, 2 * (1 - mean), shape)  # four answers to a prompt, which have much in common
    return random.binomial(4, chances) / 4


def promoted(kind: str, mean: float) -> float:
    """The share of repetitions in which some look finds the mean above ½."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(REPETITIONS // 1000):
        values = outcomes(kind, mean, random)
        looks = [log_capital(values[:, :count], 0.5) >= log_needed(CONFIDENCE) for count in schedule(64, PROMPTS)]
        hits += int(np.any(looks, axis=0).sum())
    return hits / REPETITIONS


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coins", "probabilities", "ties", "answers"])
def test_an_equal_one_is_hardly_ever_found_better_and_a_better_one_is(kind: str) -> None:
    """Type I error and power at 512 prompts, of 10,000 repetitions each, with looks at 64, 128, 256 and 512."""
    from scipy.stats import binom

    wrong = promoted(kind, 0.5) * REPETITIONS
    assert binom.sf(wrong - 1, REPETITIONS, (1 - CONFIDENCE) / 2) > BY_CHANCE
    assert promoted(kind, 0.48) <= wrong / REPETITIONS
    assert promoted(kind, 0.62) > 0.9


def test_answers_to_one_prompt_are_no_independent_values() -> None:
    """Sixteen answers of a prompt that are all the same, counted as sixteen, would promote by chance."""
    random = np.random.default_rng(0)
    coins = (random.random((1000, 64)) < 0.5).astype(float)
    by_prompt = log_capital(coins, 0.5) >= log_needed(CONFIDENCE)
    by_answer = log_capital(np.repeat(coins, 16, axis=1), 0.5) >= log_needed(CONFIDENCE)
    assert by_prompt.mean() < 0.025
    assert by_answer.mean() > 0.1


# --- looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "left", "word"),
    [
        ([0.9] * 64, 64, "better"),
        ([0.1] * 64, 64, "worse"),
        ([0.0, 1.0] * 32, 400, "open"),
        ([0.5] * 500, 12, "futile"),
        ([0.4, 0.6] * 32, 0, "undecided"),
        ([], 64, "open"),
    ],
)
def test_what_a_look_says(values: list[float], left: int, word: str) -> None:
    assert look(values, left, 0.5, CONFIDENCE).word == word


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.integers(1, 60))
def test_what_is_futile_cannot_become_better_within_what_the_interval_allows(values: list[float], left: int) -> None:
    seen = look(values, left, 0.5, CONFIDENCE)
    if seen.word == "futile":
        assert look([*values, *[seen.high] * left], 0, 0.5, CONFIDENCE).word != "better"


def test_the_number_of_prompts_doubles_up_to_the_budget() -> None:
    assert [*schedule(64, 300)] == [64, 128, 256, 300]
    assert [*schedule(64, 64)] == [64]
    assert [*schedule(64, 10)] == [10]
