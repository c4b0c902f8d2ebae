"""The two estimators of the KL divergence, on distributions of which it is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.benchmarks.kl import estimates


def rows(prompts: int, samples: int) -> list[Any]:
    return [{"row_id": -1 - prompt} for prompt in range(prompts) for _ in range(samples)]


def test_both_are_right_on_average_and_their_standard_errors_are_how_far_they_vary() -> None:
    """KL(N(0.5, 1)‖N(0, 1)) is 1/8; here 16 prompts with four responses each."""
    random = np.random.default_rng(0)
    made = [estimates(rows(16, 4), 0.125 - 0.5 * random.normal(0.5, 1, 64)) for _ in range(400)]
    for name in ("kl", "kl_k3"):
        values, errors = (np.array([figures[key] for figures in made]) for key in (name, f"{name}_error"))
        assert values.mean() == pytest.approx(0.125, abs=0.01)
        assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.15)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_k3_is_never_negative(log_ratios: list[float]) -> None:
    figures = estimates(rows(len(log_ratios), 1), log_ratios)
    assert figures["kl_k3"] >= 0  # type: ignore[operator]
    assert figures["kl"] == pytest.approx(-np.mean(log_ratios))


def test_responses_to_one_prompt_are_not_independent() -> None:
    """Four like answers to each prompt say no more than one."""
    log_ratios = np.random.default_rng(0).normal(0, 1, 8)
    one, four = estimates(rows(8, 1), log_ratios), estimates(rows(8, 4), np.repeat(log_ratios, 4))
    assert four == pytest.approx(one)
