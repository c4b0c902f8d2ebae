"""The figures of a judge on held-out pairs, of an oracle whose verdicts are known."""

from collections.abc import Sequence

import pytest

from nashflow.components.judge_training.held_out import measured, verdict
from nashflow.components.oracles.base import ABSTENTION, Oracle, Query, Verdict
from nashflow.components.oracles.fitted.fitting import Pair
from nashflow.components.oracles.fitted.labelled import Labelled


class Says(Oracle):
    """Prefers answers with `good` in them; abstains from those with `?`."""

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        return [self._one(query) for query in queries]

    def _one(self, query: Query) -> Verdict:
        if "?" in query.first + query.second:
            return ABSTENTION
        probability = 0.5 + ("good" in query.first) / 4 - ("good" in query.second) / 4
        return Verdict.of(probability, probability)


def pair(opening: str, chosen: str, rejected: str) -> Pair:
    return Pair([{"role": "user", "content": opening}], chosen, rejected)


def test_agreement_is_a_mean_over_dialogues_and_length_goes_the_way_of_training() -> None:
    training = [pair("a", "1", "123"), pair("b", "1", "12"), pair("c", "12", "1")]
    held_out = [
        pair("x", "good", "bad one"),  # right; the shorter one
        pair("x", "bad", "good one"),  # wrong; the shorter one
        pair("y", "good it is", "bad"),  # right; the longer one
        pair("z", "??", "!"),  # abstains; the longer one
    ]
    found = measured(Says(), Labelled(training, held_out, ""))
    assert found["accuracy"]["value"] == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert found["length_only"]["prefers"] == "shorter"
    assert found["length_only"]["value"] == pytest.approx((1 + 0 + 0) / 3)
    assert found["over_length"]["value"] == pytest.approx(found["accuracy"]["value"] - found["length_only"]["value"])
    assert (found["pairs"], found["dialogues"], found["abstentions"]) == (4, 3, 1)


@pytest.mark.parametrize("right", [100, 55])
def test_the_verdict_says_what_is_clear(right: int) -> None:
    held_out = [pair(f"{number}", *(("good", "bad") if number < right else ("bad!", "good"))) for number in range(100)]
    said = verdict(measured(Says(), Labelled([pair("a", "12", "1")], held_out, "")))
    clear = right == 100
    assert said.startswith(f"held-out accuracy {right / 100:.3f}, 95 % ")
    assert ("beats chance" in said) == clear
    assert ("does not clearly beat chance" in said) == (not clear)
