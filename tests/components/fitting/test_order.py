"""The order of pairs in a training."""

from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.fitting.order import batches

counts = st.integers(1, 60)


@given(count=counts, size=counts, updates=st.integers(0, 30), seed=st.integers(0, 99))
def test_every_pass_has_every_pair_once(count: int, size: int, updates: int, seed: int) -> None:
    made = list(batches(count, size, updates, seed))
    assert len(made) == updates
    a_pass = -(-count // size)
    for start in range(0, updates - a_pass + 1, a_pass):
        turn = made[start : start + a_pass]
        assert sorted(index for batch in turn for index in batch) == list(range(count))
        assert all(len(batch) == size for batch in turn[:-1])


@given(count=counts, size=counts, updates=st.integers(0, 30), more=st.integers(0, 30))
def test_a_longer_training_begins_like_a_shorter_one(count: int, size: int, updates: int, more: int) -> None:
    longer = list(batches(count, size, updates + more, 5, "main"))
    assert longer[:updates] == list(batches(count, size, updates, 5, "main"))


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    first, second = batches(50, 50, 2, 0)
    (other,) = batches(50, 50, 1, 1)
    assert len({tuple(order) for order in (first, second, other, range(50))}) == 4
