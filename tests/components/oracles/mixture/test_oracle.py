"""A mixture of oracles: the weighted mean of the members' preferences, abstentions, and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.oracles.base import ABSTENTION, Oracle, Query, Verdict
from nashflow.components.oracles.human.oracle import HumanOracle
from nashflow.components.oracles.mixture.oracle import MixtureOracle
from nashflow.components.oracles.rules.oracle import RulesOracle
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.oracles.unanswered import Unanswered
from nashflow.components.storage.store import open_store
from tests.fixtures import models

PROMPT = [{"role": "user", "content": "Which?"}]
SANDBOX = {"kind": "sandbox", "world": {"seed": 3}}

sights = st.tuples(st.floats(0, 1), st.floats(0, 1))


class Recipe(Settings):
    oracle: AnyOracle


class Member(Oracle):
    """Gives one verdict, whatever it is asked."""

    def __init__(self, verdict: Verdict, **usage: float) -> None:
        self.verdict, self.used = verdict, usage

    @property
    def usage(self) -> dict[str, float]:
        return self.used

    def judge(self, queries: Sequence[Query]) -> list[Verdict]:
        return [self.verdict] * len(queries)


def parsed(**section: Any) -> Any:
    return Recipe.parse({"oracle": {"kind": "mixture", **section}}, "recipe.yaml").oracle


def mixed(*verdicts: Verdict, weights: Sequence[float]) -> tuple[MixtureOracle, Verdict]:
    oracle = MixtureOracle([Member(verdict) for verdict in verdicts], weights, ["kind"] * len(verdicts))
    return oracle, oracle.compare([Query(PROMPT, "a", "b")])[0]


@given(st.lists(st.tuples(sights, st.floats(0.01, 1)), min_size=2, max_size=5))
def test_the_preference_is_the_weighted_mean_in_either_order(members: list[tuple[tuple[float, float], float]]) -> None:
    total = sum(weight for _, weight in members)
    weights = [weight / total for _, weight in members]
    verdicts = [Verdict.of(*seen) for seen, _ in members]
    oracle, verdict = mixed(*verdicts, weights=weights)
    for name in ("forward", "backward", "probability"):
        mean = sum(weight * getattr(one, name) for weight, one in zip(weights, verdicts, strict=True))
        assert getattr(verdict, name) == pytest.approx(mean, abs=1e-12)
    assert verdict.members == tuple(one.probability for one in verdicts)
    assert oracle.compare([Query(PROMPT, "b", "a")]) == [verdict.swapped()]
    assert verdict.swapped().members == tuple(1 - one.probability for one in verdicts)


def test_one_that_abstains_makes_all_abstain_and_is_counted() -> None:
    oracle, verdict = mixed(Verdict.of(0.9, 0.7), ABSTENTION, weights=[0.5, 0.5])
    assert (verdict.abstained, verdict.probability, verdict.members) == (True, 0.5, (0.8, 0.5))
    assert oracle.usage == {"abstentions_0_kind": 0, "abstentions_1_kind": 1}


def test_what_members_use_adds_up() -> None:
    even = Verdict.of(0.5, 0.5)
    oracle = MixtureOracle([Member(even, tokens=3, cost=0.5), Member(even, tokens=4)], [0.5, 0.5], ["x", "y"])
    assert oracle.usage == {"abstentions_0_x": 0, "abstentions_1_y": 0, "tokens": 7, "cost": 0.5}


def test_one_that_saw_a_part_is_told() -> None:
    _, verdict = mixed(Verdict.of(0.5, 0.5), Verdict.of(0.5, 0.5, truncated=True), weights=[0.5, 0.5])
    assert verdict.truncated


def test_a_mixture_of_one_world_is_the_world_and_costs_nothing_to_read() -> None:
    oracle = parsed(oracles=[SANDBOX, SANDBOX], weights=[0.25, 0.75])
    oracle.check()
    assert (oracle.own_world.seed, oracle.paths, oracle.reader(), oracle.parameters()) == (3, (), None, None)
    assert oracle.responses_read == oracle.sequences([[(0, 1)]]) == 0
    query = Query([{"role": "user", "content": "x1"}], "a b", "c d")
    (verdict,), (alone,) = oracle.load().compare([query]), oracle.oracles[0].load().compare([query])
    assert verdict.probability == pytest.approx(alone.probability, abs=1e-15)


def test_models_are_read_dated_and_counted_together(tmp_path: Path) -> None:
    judge, reward = models.llama(tmp_path / "judge"), models.classifier(tmp_path / "reward")
    sections = [{"kind": "pair_preference", "model": str(judge)}, {"kind": "reward_model", "model": str(reward)}]
    oracle = parsed(oracles=sections, weights=[0.5, 0.5]).dated("2026-01-31")
    oracle.check()
    first, second = oracle.oracles
    assert oracle.paths == (judge, reward)
    assert oracle.responses_read == 2
    assert oracle.sequences([[(0, 1), (2, 3)]]) == 2 * 2 + 4
    assert oracle.parameters() == (first.parameters() + second.parameters()) / 2
    assert oracle.reader()(PROMPT) == min(first.reader()(PROMPT), second.reader()(PROMPT))
    (verdict,) = oracle.load().compare([Query(PROMPT, "a b", "c d")])
    assert verdict.probability == pytest.approx(sum(verdict.members) / 2)
    assert len(set(verdict.members)) == 2


def test_it_is_asked_again_where_a_member_draws() -> None:
    judge = {"kind": "llm_judge", "model": "m", "endpoint": {"url": "http://judge/v1"}}
    rules = {"kind": "rules", "function": "statistics:mean"}
    assert parsed(oracles=[rules, judge], weights=[0.5, 0.5]).asked_again() is None
    sampled = parsed(oracles=[rules, {**judge, "request": {"temperature": 1}}], weights=[0.5, 0.5])
    again = sampled.asked_again()
    assert again.oracles[0] == sampled.oracles[0]
    assert again.oracles[1].request == {"temperature": 1, "seed": 1}


def test_the_digest_is_of_members_and_weights() -> None:
    same = parsed(oracles=[SANDBOX, SANDBOX], weights=[0.5, 0.5])
    assert parsed(oracles=[SANDBOX, SANDBOX], weights=[0.5, 0.5]).digest() == same.digest()
    assert parsed(oracles=[SANDBOX, SANDBOX], weights=[0.25, 0.75]).digest() != same.digest()
    assert same.signature.startswith("mixture-")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        (
            {"oracles": [SANDBOX] * 2, "weights": [0.5, 0.3]},
            "oracle: weights sum to 0.8, not to 1: in the same proportions they are [0.625, 0.375]",
        ),
        (
            {"oracles": [SANDBOX] * 2, "weights": [1.0]},
            "oracle: weights has 1 numbers for 2 oracles: give one for each",
        ),
        (
            {"oracles": [SANDBOX, "sandbox"], "weights": [0.5, 0.5]},
            "oracle: oracles judge different worlds: a mixture is of one sandbox world, or of none",
        ),
        (
            {"oracles": [SANDBOX] * 2, "weights": [1.0, 0.0]},
            "oracle.weights.1: Input should be greater than 0",
        ),
        ({"oracles": [SANDBOX], "weights": [1.0]}, "oracle.oracles: a mixture is of two at least, not of 1"),
        (
            {"oracles": [SANDBOX, {"kind": "mixture"}], "weights": [0.5, 0.5]},
            "oracle.oracles.1.kind: 'mixture' is",
        ),
    ],
)
def test_what_makes_no_mixture_is_refused(section: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(**section)
    assert str(caught.value).startswith(f"recipe.yaml: {complaint}")


@pytest.mark.parametrize("weights", [[1, 1, 1], [0.3333, 0.3333, 0.3333], [2, 5, 7]])
def test_weights_in_the_same_proportions_are_taken_as_they_are_said(weights: list[float]) -> None:
    with pytest.raises(UserError) as caught:
        parsed(oracles=[SANDBOX] * 3, weights=weights)
    said = json.loads(str(caught.value).rpartition(" are ")[2])
    assert parsed(oracles=[SANDBOX] * 3, weights=said).weights == pytest.approx([w / sum(weights) for w in weights])


def test_a_member_that_cannot_be_opened_is_named() -> None:
    rules = {"kind": "rules", "function": "gone.py:f"}
    with pytest.raises(UserError, match=r"^oracle.oracles.0, rules: oracle.function: there is no file gone.py$"):
        parsed(oracles=[rules, rules], weights=[0.5, 0.5]).check()


def test_a_member_that_fails_while_it_is_asked_is_named() -> None:
    bad = RulesOracle("rules.py:f", lambda messages, first, second: 2)
    with pytest.raises(UserError, match=r"^oracle.oracles.1, rules: oracle.function rules.py:f returned 2"):
        MixtureOracle([Member(ABSTENTION), bad], [0.5, 0.5], ["sandbox", "rules"]).judge([Query(PROMPT, "a", "b")])


def test_what_judges_in_a_mixture_would_use_is_planned() -> None:
    judge = {"kind": "llm_judge", "model": "m", "endpoint": {"url": "http://judge/v1", "prices": {"input": 1.0}}}
    of_one = parsed(oracles=[judge, {"kind": "rules", "function": "a:b"}], weights=[0.5, 0.5]).expected_usage(10, 5, 5)
    of_two = parsed(oracles=[judge, judge], weights=[0.5, 0.5]).expected_usage(10, 5, 5)
    assert of_one["calls"] == 20
    assert of_two == {name: 2 * value for name, value in of_one.items()}


def test_all_people_are_asked_at_once(tmp_path: Path) -> None:
    """Members of unlike instructions export together; those of like ones ask once."""
    asked = ("Which is brief?", "Which is kind?", "Which is kind?")
    oracle = MixtureOracle([HumanOracle({}, text, 1) for text in asked], [0.2, 0.3, 0.5], ["human"] * 3)
    queries = [Query(PROMPT, "a", "b"), Query(PROMPT, "a", "c")]
    with pytest.raises(Unanswered, match="2 comparisons lack a verdict") as caught:
        oracle.compare(queries)
    store = open_store(str(tmp_path))
    said = caught.value.export(store, "judging", caught.value.questions)
    exports = [key for key in store.list() if key.endswith(".jsonl")]
    rows = [json.loads(line) for key in exports for line in store.read(key).decode().splitlines()]
    assert sorted(row["instructions"] for row in rows) == sorted([asked[0]] * 2 + [asked[1]] * 2)
    assert all(said.count(key.replace(".jsonl", ".html")) == 1 for key in exports)
