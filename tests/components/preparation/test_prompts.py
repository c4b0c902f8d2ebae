"""Reading prompts from files, and dealing them out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import response_index
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.preparation.prompts import ResponseSource, Stream, held_out, sandbox_responses, shards
from nashflow.components.preparation.settings import PromptSettings
from nashflow.components.prompts.pool import Prompt


def settings(path: Path | str = "", **changes: Any) -> PromptSettings:
    return PromptSettings.parse({"path": str(path), "per_iteration": 4, "held_out": 1, **changes}, "prompts")


# --- dealing ---------------------------------------------------------------------------------------------------------


CONTEXTS = [Prompt([{"role": "user", "content": f"x{context}"}], []) for context in range(8)]
"""The sandbox's prompts."""


def deal(
    prompts: list[Prompt], chosen: PromptSettings, seed: int, iteration: int, source: ResponseSource | None = None
) -> list[dict[str, Any]]:
    return Stream(prompts, chosen, seed, chosen.held_out).deal(iteration, source)


def numbered(count: int) -> list[Prompt]:
    return [
        Prompt([{"role": "user", "content": f"prompt {index}"}], [f"answer {index}"] * (index % 3))
        for index in range(count)
    ]


def contents(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


cases = st.integers(2, 40).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(1, count - 1), st.integers(1, 50), st.integers(0, 2**32))
)


@given(case=cases, iterations=st.integers(1, 6))
def test_every_iteration_gets_the_next_prompts_and_never_one_held_out(
    case: tuple[int, int, int, int], iterations: int
) -> None:
    count, kept_back, per_iteration, seed = case
    chosen, prompts = settings("file", held_out=kept_back, per_iteration=per_iteration), numbered(count)
    dealt = [deal(prompts, chosen, seed, iteration) for iteration in range(1, iterations + 1)]
    stream = [row for rows in dealt for row in rows]
    evaluated = held_out(prompts, chosen, seed)

    assert [row["row_id"] for row in stream] == list(range(per_iteration * iterations))
    assert [row["row_id"] for row in evaluated] == [-1 - index for index in range(kept_back)]
    assert len(set(contents(evaluated))) == kept_back
    assert not set(contents(evaluated)) & set(contents(stream))
    for row in stream:
        index = int(row["messages"][0]["content"].split()[1])
        assert row["given"] == [f"answer {index}"] * (index % 3), "what comes with a prompt stays with it"
    left = count - kept_back
    for start in range(0, len(stream), left):  # every pass has each prompt once
        turn = contents(stream[start : start + left])
        assert len(set(turn)) == len(turn)


@given(case=cases)
def test_the_order_is_a_function_of_the_seed(case: tuple[int, int, int, int]) -> None:
    count, kept_back, per_iteration, seed = case
    chosen, prompts = settings("file", held_out=kept_back, per_iteration=per_iteration), numbered(count)
    assert deal(prompts, chosen, seed, 3) == deal(prompts, chosen, seed, 3)
    assert held_out(prompts, chosen, seed) == held_out(prompts, chosen, seed)


def test_another_seed_deals_other_prompts_in_another_order() -> None:
    chosen, prompts = settings("file", held_out=20, per_iteration=40), numbered(60)
    assert contents(deal(prompts, chosen, 0, 1)) != contents(deal(prompts, chosen, 1, 1))
    assert set(contents(held_out(prompts, chosen, 0))) != set(contents(held_out(prompts, chosen, 1)))


def test_passes_have_orders_of_their_own() -> None:
    chosen, prompts = settings("file", held_out=1, per_iteration=30), numbered(31)
    first, second = (contents(deal(prompts, chosen, 0, iteration)) for iteration in (1, 2))
    assert first != second
    assert sorted(first) == sorted(second)


def test_the_sandboxs_contexts_are_dealt_and_evaluated_equally_often() -> None:
    chosen = settings(held_out=24, per_iteration=16)
    prompts = CONTEXTS
    for rows, times in ((held_out(prompts, chosen, 0), 3), (deal(prompts, chosen, 0, 2), 2)):
        assert sorted(contents(rows)) == sorted([f"x{context}" for context in range(8)] * times)


@given(rows=st.lists(st.fixed_dictionaries({"row_id": st.integers()}), max_size=60), count=st.integers(1, 9))
def test_shards_put_together_are_the_rows(rows: list[dict[str, Any]], count: int) -> None:
    pieces = shards(rows, count)
    assert [row for piece in pieces for row in piece] == rows
    assert len(pieces) == count
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_an_empty_shard_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        settings(per_iteration=4, shards=5)
    assert str(caught.value) == (
        "prompts: shards is 5, above per_iteration = 4, which leaves shards without prompts: set it to at most 4"
    )


def test_the_sandboxs_teacher_says_what_wins_most_often() -> None:
    world = make_world(WorldSettings())
    rows = deal(CONTEXTS, settings(per_iteration=16), 0, 1, sandbox_responses(WorldSettings(), "responses", 0))
    for row in rows:
        context, (text,) = int(row["messages"][0]["content"][1:]), row["given"]
        rates = world.matrix[context] @ np.exp(world.log_target[context])
        assert rates[response_index(text)] == rates.max()


def test_the_sandboxs_pairs_are_labelled_draws_from_its_target() -> None:
    """Each response as often as the target has it, and each pair's winner as often as the oracle has it."""
    world, chosen = make_world(WorldSettings()), settings(per_iteration=8 * 2000)
    prompts = CONTEXTS
    rows = deal(prompts, chosen, 3, 1, sandbox_responses(WorldSettings(), "pairs", 3))
    assert rows == deal(prompts, chosen, 3, 1, sandbox_responses(WorldSettings(), "pairs", 3))
    drawn, expected_wins, variance, wins = np.zeros((8, 25)), 0.0, 0.0, 0
    for row in rows:
        context, (won, lost) = int(row["messages"][0]["content"][1:]), map(response_index, row["given"])
        drawn[context, [won, lost]] += 1 + (won == lost)
        if won != lost:
            low, high = sorted((won, lost))
            probability = world.matrix[context, low, high]
            wins += won == low
            expected_wins += probability
            variance += probability * (1 - probability)
    assert abs(wins - expected_wins) < 4 * variance**0.5
    target = np.exp(world.log_target)
    assert np.abs(drawn / 4000 - target).max() < 5 * np.sqrt(target.max() / 4000)
