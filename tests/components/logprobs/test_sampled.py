"""What the sampler has recorded stands for what is scored, of the policy that was sampled, if the two are close."""

from collections.abc import Mapping, Sequence

import pytest

from nashflow.components.logprobs.cache import key_of
from nashflow.components.logprobs.sampled import TOLERANCE, close, recorded
from nashflow.components.methods.phases import Phase, PolicyRef, Sampling
from nashflow.components.storage.records import Pair, Rollout

ONE, OTHER = PolicyRef(1, "main"), PolicyRef(0, "main")
PHASE = Phase(
    name="main",
    anchors={ONE: 1.0},
    link="squared",
    start_from=ONE,
    result=PolicyRef(2, "main"),
    samples=(Sampling({ONE: 1.0}, 2), Sampling({ONE: 0.5, OTHER: 0.5}, 1), Sampling({OTHER: 1.0}, 1)),
)


def rollout(sample: int, logprob: list[float]) -> Rollout:
    return {
        "row_id": 7,
        "sample": sample,
        "role": "pair",
        "prompt_ids": [1],
        "response_ids": [10 + sample],
        "text": "",
        "finish": "stop",
        "logprob": logprob,
    }


def pair(chosen: int, rejected: int) -> Pair:
    return {
        "row_id": 7,
        "pair": 0,
        "chosen": chosen,
        "rejected": rejected,
        "prompt_ids": [1],
        "chosen_ids": [10 + chosen],
        "rejected_ids": [10 + rejected],
        "probability": 1.0,
        "chosen_label": 1.0,
        "rejected_label": -1.0,
    }


def test_each_response_is_recorded_for_the_policy_that_was_sampled_and_for_no_mixture() -> None:
    rollouts = [rollout(sample, [-1.0 - sample]) for sample in range(4)]
    assert recorded(PHASE, [pair(0, 2), pair(3, 0)], rollouts) == {
        "001/main": {key_of(([1], [10])): -1.0},
        "000/main": {key_of(([1], [13])): -4.0},
    }
    assert recorded(PHASE, [pair(0, 1)], [rollout(0, []), rollout(1, [])]) == {}


@pytest.mark.parametrize(("distance", "trusted"), [(0.9 * TOLERANCE, True), (1.1 * TOLERANCE, False)])
def test_they_are_compared_where_sequences_are_longest(distance: float, trusted: bool) -> None:
    own, asked = {"a": -1.0, "b": -2.0, "d": -0.1}, list[Sequence[str]]()

    def score(keys: Sequence[str]) -> Mapping[str, float]:
        asked.append(keys)
        return {key: own.get(key, -9.0) - distance for key in keys}

    kept, apart = close(own, [["a", "d"], ["b", "c"], ["e"]], score)
    assert asked == [["b", "c"]]
    assert apart == pytest.approx(distance)
    assert kept == pytest.approx(own if trusted else {})
    assert close({}, [["a"]], score) == ({}, 0.0)
