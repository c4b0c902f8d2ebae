"""Biases: every figure on verdicts whose answer is known."""

from itertools import combinations

import numpy as np

from nashflow.components.quality.bias import cyclic, flips, for_longer, shown_first


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_a_judge_that_always_says_a_flips_always() -> None:
    forward, backward = array(0.9, 0.9), array(0.1, 0.1)
    assert (flips(forward, backward), shown_first(forward, backward)) == (1, 1)
    assert (flips(backward, forward), shown_first(backward, forward)) == (1, 0)


def test_a_judge_that_reads_one_answer_at_a_time_never_flips() -> None:
    probability = array(0.9, 0.2, 0.6)
    assert (flips(probability, probability), shown_first(probability, probability)) == (0, 0.5)


def test_a_sight_without_a_decision_is_no_flip_and_half_for_the_first() -> None:
    assert flips(array(0.9, 0.9, 0.9, 0.5), array(0.9, 0.1, 0.5, 0.5)) == 1 / 4
    assert shown_first(array(0.9, 0.5), array(0.5, 0.5)) == (1 + 0.5 + 0.5 + 0.5) / 4
    assert flips(array(), array()) is shown_first(array(), array()) is None


def test_decisions_for_the_longer_answer_are_counted_where_lengths_differ() -> None:
    longer = array(1, 0, 1, 0.5)
    assert for_longer(longer, array(1, 0, 0, 1)) == 2 / 3
    assert for_longer(longer, array(1, 0.5, 0.5, 1)) == 1
    assert for_longer(longer, array(0.5, 0.5, 0.5, 0.5)) is None
    assert for_longer(array(0.5), array(1)) is None


def circles(*rows: tuple[int, int, int, float]) -> tuple[int, int]:
    entry, first, second, decision = zip(*rows, strict=True)
    return cyclic(np.array(entry), np.array(first), np.array(second), array(*decision))


def test_rock_paper_scissors_is_a_circle() -> None:
    assert circles((0, 0, 1, 1), (0, 1, 2, 1), (0, 0, 2, 0)) == (1, 1)
    assert circles((0, 0, 1, 0), (0, 1, 2, 0), (0, 0, 2, 1)) == (1, 1)


def test_an_order_a_tie_and_a_pair_that_is_missing_are_none() -> None:
    assert circles((0, 0, 1, 1), (0, 1, 2, 1), (0, 0, 2, 1)) == (0, 1)
    assert circles((0, 0, 1, 1), (0, 1, 2, 1), (0, 0, 2, 0.5)) == (0, 1)
    assert circles((0, 0, 1, 1), (0, 1, 2, 1)) == (0, 0)
    assert circles((0, 0, 1, 1), (0, 1, 2, 1), (1, 0, 2, 0)) == (0, 0)


def test_of_four_answers_there_are_four_triples() -> None:
    """0 beats 1 beats 2 beats 0, and all three beat 3."""
    wins = {(0, 1): 1.0, (1, 2): 1.0, (0, 2): 0.0, (0, 3): 1.0, (1, 3): 1.0, (2, 3): 1.0}
    rows = [(5, *pair, wins[pair]) for pair in combinations(range(4), 2)]
    assert circles(*rows) == (1, 4)
