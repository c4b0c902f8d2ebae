"""Whom a candidate meets while there is no champion."""

from nashflow.components.promotion.opponent import Opponent
from nashflow.components.storage.store import Store
from tests.components.reports.toy_runs import WON, evaluations, policy, toy_run


def test_the_reference_is_the_one_that_is_apart(local_store: Store) -> None:
    store = toy_run(local_store.uri, evaluations(2, WON))
    assert Opponent.reference(store).policy == "000/main"
    policy(store, 0, "reference")
    assert Opponent.reference(store).policy == "000/reference"
    assert Opponent.reference(store).place == store.location("policies/000/reference/0123456789abcdef")
