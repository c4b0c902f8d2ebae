"""Phases: what one must say, and how anchors are merged, named and ordered."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.methods.phases import REFERENCE, Phase, PolicyRef, Sampling, merge

policies = st.builds(PolicyRef, st.integers(0, 12), st.sampled_from(["main", "half", "auxiliary"]))
CURRENT = PolicyRef(2)


def phase(**fields: Any) -> Phase:
    sampled = (Sampling({CURRENT: 1.0}, 2),)
    said = {"name": "main", "anchors": {CURRENT: 1.0}, "link": "squared", "samples": sampled} | fields
    return Phase(start_from=CURRENT, result=PolicyRef(3), **said)


def test_a_policy_is_called_by_iteration_and_name() -> None:
    assert [str(REFERENCE), str(PolicyRef(12, "half"))] == ["000/main", "012/half"]


@given(st.lists(policies, max_size=8))
def test_names_sort_as_their_policies(refs: list[PolicyRef]) -> None:
    assert [str(ref) for ref in sorted(refs)] == sorted(str(ref) for ref in refs)


@given(st.lists(st.tuples(policies, st.floats(-2, 2))))
def test_merging_keeps_every_policys_total(weighted: list[tuple[PolicyRef, float]]) -> None:
    merged = merge(*weighted)
    assert set(merged) == {policy for policy, _ in weighted}
    for policy, weight in merged.items():
        assert weight == pytest.approx(sum(w for p, w in weighted if p == policy), abs=1e-12)


def test_the_weights_that_count_stand_in_one_order() -> None:
    anchors = {PolicyRef(10): 0.25, PolicyRef(2, "half"): 0.0, PolicyRef(2): 0.5, REFERENCE: 0.25}
    expected = [("000/main", 0.25), ("002/main", 0.5), ("010/main", 0.25)]
    for order in itertools.permutations(anchors.items()):
        assert list(phase(anchors=dict(order)).weights.items()) == expected


@pytest.mark.parametrize("anchors", [{}, {CURRENT: 0.9}, {CURRENT: 1.0, REFERENCE: 1e-6}, {CURRENT: -1.0}])
def test_weights_sum_to_one(anchors: dict[PolicyRef, float]) -> None:
    with pytest.raises(ValueError, match=r"^phase main: the anchors' weights sum to .*, not to 1$"):
        phase(anchors=anchors)


def test_rounding_is_no_mistake() -> None:
    assert phase(anchors=dict.fromkeys(map(PolicyRef, range(10)), 0.1)).weights["009/main"] == 0.1


@pytest.mark.parametrize("policies", [{}, {CURRENT: 0.9}, {CURRENT: 0.5, REFERENCE: 0.6}])
def test_the_weights_of_a_mixture_sum_to_one(policies: dict[PolicyRef, float]) -> None:
    with pytest.raises(ValueError, match=r"^the weights of the policies that are sampled, \{.*\}, do not sum to 1$"):
        Sampling(policies, 2)


def test_a_mixture_names_the_policies_that_count_in_one_order() -> None:
    mixture = {PolicyRef(3): 0.75, PolicyRef(2): 0.0, REFERENCE: 0.25}
    for order in itertools.permutations(mixture.items()):
        assert list(Sampling(dict(order), 2).weights.items()) == [("000/main", 0.25), ("003/main", 0.75)]


def test_a_phase_has_data() -> None:
    with pytest.raises(ValueError, match=r"^phase main: no data: set samples, data_from or given$"):
        phase(samples=())


@pytest.mark.parametrize(
    "make",
    [
        lambda: phase(samples=(), data_from="auxiliary"),
        lambda: phase(samples=(), given="pairs"),
        lambda: phase(given="responses"),
    ],
    ids=["earlier phase", "given pairs", "samples and given responses"],
)
def test_data_may_come_from_elsewhere(make: Callable[[], Phase]) -> None:
    assert make().name == "main"
