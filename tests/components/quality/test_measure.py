"""A judge's figures from the data to the figures: judges whose answers are known, asked about labelled pairs."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.oracles.base import ABSTENTION, Oracle, Query, Verdict
from nashflow.components.oracles.oracle_settings import OracleSettings, Reader, TooLong
from nashflow.components.prompts.compared import Compared
from nashflow.components.prompts.counts import Counts
from nashflow.components.prompts.layouts.base import Answer
from nashflow.components.quality.asking import ask, readable
from nashflow.components.quality.compare import differences
from nashflow.components.quality.measure import FIGURES, Quality, measure
from nashflow.components.quality.pairs import LabelledPairs
from nashflow.components.storage.store import Store


class Coins(Oracle):
    """Prefers the longer text, and counts what it is asked."""

    def __init__(self, coin: int) -> None:
        self.coin, self.asked = coin, 0

    @property
    def usage(self) -> dict[str, float]:
        return {"calls": self.asked}

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        self.asked += len(queries)
        return [self.verdict(query) for query in queries]

    def verdict(self, query: Query) -> Verdict:
        if "?" in query.first + query.second:
            return ABSTENTION
        if "coin" in query.messages[0]["content"]:
            return Verdict.of(float(self.coin), float(self.coin))
        p = 0.8 if len(query.first) > len(query.second) else 0.2
        return Verdict.of(p, p, truncated=len(query.first) > 20)


class CoinSettings(OracleSettings):
    """Draws a random number for some prompts."""

    kind: Literal["coins"] = "coins"
    coin: int = 0

    def check(self) -> None: ...

    def digest(self) -> str:
        return str(self.coin)

    def asked_again(self) -> "CoinSettings":
        return self.model_copy(update={"coin": 1 - self.coin})

    def load(self, store: Store | None = None) -> Coins:
        return Coins(self.coin)


class Repeats(CoinSettings):
    """Draws none."""

    def asked_again(self) -> None:  # type: ignore[override]
        return None


class Strict(Repeats):
    """Cannot read some prompts."""

    def reader(self) -> Reader:
        def read(messages: Sequence[Any]) -> int:
            if "system" in messages[0]["content"]:
                raise UserError("no system messages")
            if "long" in messages[0]["content"]:
                raise TooLong("too long")
            return 1

        return read


def entry(prompt: int, *answers: tuple[str, float | None] | tuple[str, float | None, str], about: str = "") -> Compared:
    messages = [{"role": "user", "content": f"question {prompt} {about}"}]
    return Compared(prompt, messages, [Answer(*each) for each in answers], about, f"line {prompt}")


def measured(compared: Sequence[Compared], judge: CoinSettings | None = None) -> Quality:
    pairs = LabelledPairs.of(compared)
    return measure(pairs, ask(judge or Repeats(), pairs))


def test_accuracy_is_that_of_length_for_a_judge_of_length() -> None:
    rows = [entry(0, ("long one", 0.0), ("short", None)), entry(1, ("short", 0.0), ("long one", None))]
    rows += [entry(2, ("even", 0.0), ("four", 0.0)), entry(3, ("longer", 0.0), ("?", None))]
    found = measured(rows).figures
    assert found["accuracy"] == (1 + 0 + 0.5) / 3  # the tie has no better answer; the abstention is half
    assert found["accuracy_longer"] == 2 / 3
    assert found["for_longer"] == 1
    assert (found["abstentions"], found["truncated"], found["pairs"], found["prompts"]) == (1 / 4, 0, 4, 4)
    assert (found["flips"], found["shown_first"], found["self_consistency"]) == (0, 0.5, 1)
    assert found["brier"] == pytest.approx((0.04 + 0.64) / 2)
    assert found["cyclic"] is found["accuracy_best"] is found["rank_correlation"] is None
    assert {figure.name for figure in FIGURES} <= found.keys()


def test_the_best_of_several_has_to_beat_all_others() -> None:
    right = entry(0, ("longest", 0.0), ("long", None), ("x", None))
    wrong = entry(1, ("longest", 0.0), ("still longer", None), ("x", None))
    ranked = entry(2, ("longest", 3.0), ("long", 1.0), ("short", 2.0))
    found = measured([right, wrong, ranked]).figures
    assert found["accuracy_best"] == 2 / 3
    assert found["pairs"] == 9
    # prompt by prompt: 2 of 2, 1 of 2, and of the ranked ones "short" against "long" is right as well
    assert found["accuracy"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found["cyclic"] == 0


def test_a_judge_that_tosses_coins_is_not_the_same_again() -> None:
    rows = [entry(0, ("long", 0.0), ("x", None)), entry(1, ("a", 0.0), ("b", None), about="coin")]
    pairs = LabelledPairs.of(rows)
    asked = ask(CoinSettings(), pairs)
    assert measure(pairs, asked).figures["self_consistency"] == 0.5
    assert asked.usage == {"calls": 4}
    assert asked.seconds >= 0


def test_models_are_rated_by_the_labels_and_by_the_judge() -> None:
    """The labels say a > b > c, and the judge, who goes by length, c > b > a."""
    texts = {"a": "x", "b": "xx", "c": "xxx"}
    rows = [
        entry(number, (texts[first], 1.0, first), (texts[second], 0.0, second))
        for number, (first, second) in enumerate([("a", "b"), ("b", "c"), ("a", "c")])
    ]
    found = measured(rows)
    assert [each.model for each in found.ratings] == ["a", "b", "c"]
    assert found.ratings[0].labels > 0 > found.ratings[0].judge
    assert found.figures["rank_correlation"] == pytest.approx(-1)
    assert found.figures["kappa"] == -1


def test_categories_have_an_accuracy_each() -> None:
    rows = [entry(0, ("long", 0.0), ("x", None), about="math"), entry(1, ("x", 0.0), ("long", None), about="code")]
    found = measured(rows).categories
    assert [(each.name, each.accuracy.value, each.pairs) for each in found] == [("code", 0, 1), ("math", 1, 1)]
    assert [each.accuracy_best for each in found] == [None, None]
    assert measured(rows[:1]).categories == []
    rows.append(entry(2, ("long", 0.0), ("x", None), ("xx", None), about="math"))
    code, math = measured(rows).categories
    assert code.accuracy_best is None
    assert math.accuracy_best is not None
    assert (math.accuracy_best.value, math.pairs) == (1, 3)


def test_two_judges_differ_by_pairs() -> None:
    rows = [entry(number, ("a", 0.0), ("b", None), about="coin") for number in range(40)]
    pairs = LabelledPairs.of(rows)
    (found,) = differences(pairs, [ask(Repeats(coin=coin), pairs).verdicts for coin in (1, 0)])
    assert (found.accuracy.value, found.kappa, found.apart) == (1, -1, 1)
    assert found.accuracy.low > 0.8
    (same,) = differences(pairs, [ask(Repeats(), pairs).verdicts] * 2)
    assert (same.accuracy.value, same.kappa, same.apart) == (0, 1, 0)


def test_prompts_that_a_template_refuses_are_left_out_and_long_ones_are_not() -> None:
    rows = [entry(number, ("a", 0.0), ("b", None), about=about) for number, about in enumerate(["", "system", "long"])]
    counts = Counts()
    assert readable(rows, [Repeats(), Strict()], counts) == [rows[0], rows[2]]
    assert (counts.kept, counts.left_out) == (2, {"unrendered": 1})
    assert counts.examples["unrendered"] == "line 1: no system messages"
    with pytest.raises(UserError, match=r"no prompt can be read by every judge: line 1: no system messages"):
        readable(rows[1:2], [Strict()], Counts())


def test_figures_without_a_single_decision() -> None:
    found = measured([entry(0, ("a?", 0.0), ("b", None))])
    assert (found.figures["accuracy"], found.figures["abstentions"]) == (0.5, 1)
    for name in ("kappa", "flips", "for_longer", "calibration_error", "brier", "temperature"):
        assert found.figures[name] is None
    assert not any(each.pairs for each in found.curve)
    assert not np.isnan([value for value in found.figures.values() if value is not None]).any()
