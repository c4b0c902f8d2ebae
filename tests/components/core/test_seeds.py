"""Derived seeds: functions of their parts alone, spread evenly, and the same on every machine."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.seeds import derive_seed, derive_uniform

PARTS = st.lists(st.integers() | st.text(st.characters(exclude_categories=["Cs"])), max_size=5)


def test_known_seeds_stay() -> None:
    """Another value here would change every token that any run ever sampled. The first: SHA-256 of `[]`."""
    assert derive_seed() == int(hashlib.sha256(b"[]").hexdigest()[:16], 16) == 0x4F53CDA18C2BAA0C
    assert derive_seed(0, 1, "main", 17, 3) == int(hashlib.sha256(b'[0,1,"main",17,3]').hexdigest()[:16], 16)
    assert derive_uniform() == (0x4F53CDA18C2BAA0C >> 11) / 2**53


@given(PARTS)
def test_a_seed_has_64_bits_and_comes_back(parts: list[int | str]) -> None:
    assert 0 <= derive_seed(*parts) < 2**64
    assert derive_seed(*parts) == derive_seed(*list(parts))
    assert 0.0 <= derive_uniform(*parts) < 1.0


@given(PARTS, PARTS)
def test_other_parts_give_another_seed(one: list[int | str], other: list[int | str]) -> None:
    assert (derive_seed(*one) == derive_seed(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"), [((1, 2), (2, 1)), ((1,), ("1",)), (("a", "bc"), ("ab", "c")), ((1, 23), (12, 3)), ((0,), (0, 0))]
)
def test_parts_do_not_run_together(one: tuple[int | str, ...], other: tuple[int | str, ...]) -> None:
    assert derive_seed(*one) != derive_seed(*other)


def test_neighbours_are_as_good_as_independent() -> None:
    """16,384 uniforms of neighbouring parts, and successive pairs of them: chi-square below its 99.9% point."""
    draws = [int(16 * derive_uniform(7, iteration, "main", row)) for iteration in range(4) for row in range(4096)]
    cells, pairs = Counter(draws), Counter(zip(draws[::2], draws[1::2], strict=True))
    assert sum((cells[cell] - 1024) ** 2 / 1024 for cell in range(16)) < 37.7
    assert sum((pairs[one, two] - 32) ** 2 / 32 for one in range(16) for two in range(16)) < 330.5
