"""The sandbox's oracle against the matrix itself."""

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.texts import prompt_messages, response_text
from nashflow.components.games.sandbox.world import CONTEXTS, RESPONSES, make_world
from nashflow.components.oracles.base import EVEN, Oracle, Query, Verdict
from nashflow.components.oracles.sandbox.oracle import MatrixOracle
from nashflow.components.oracles.sandbox.settings import SandboxOracle

SIZE = len(RESPONSES)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return SandboxOracle(world=WorldSettings(seed=3)).load()


def test_the_oracle_says_what_the_matrix_says(oracle: Oracle) -> None:
    asked = [
        Query(prompt_messages(context), response_text(first), response_text(second))
        for context in range(CONTEXTS)
        for first in range(SIZE)
        for second in range(SIZE)
    ]
    found = np.array([verdict.probability for verdict in oracle.compare(asked)]).reshape(CONTEXTS, SIZE, SIZE)
    np.testing.assert_allclose(found, make_world(WorldSettings(seed=3)).matrix, atol=1e-15)
    np.testing.assert_array_equal(found, 1 - found.transpose(0, 2, 1))


@pytest.mark.parametrize("malformed", ["", "a", "a b c", "a  b", "f a", " a b", "ab"])
def test_a_malformed_text_loses_to_every_response_and_ties_with_its_like(oracle: Oracle, malformed: str) -> None:
    prompt = prompt_messages(0)
    responses = [response_text(index) for index in range(SIZE)]
    verdicts = oracle.compare([Query(prompt, malformed, response) for response in responses])
    assert verdicts == [Verdict(0.0, 0.0, 0.0)] * SIZE
    assert oracle.compare([Query(prompt, "no response", malformed)]) == [EVEN]


def test_a_prompt_of_another_world_is_refused(oracle: Oracle) -> None:
    with pytest.raises(UserError, match="not of the sandbox"):
        oracle.compare([Query([{"role": "user", "content": "Why is the sky blue?"}], "a b", "b a")])


def test_two_sights_of_a_matrix_that_is_not_quite_antisymmetric_are_averaged() -> None:
    world = make_world(WorldSettings())
    world.matrix[0, 0, 1], world.matrix[0, 1, 0] = 0.75, 0.5
    asked = Query(prompt_messages(0), response_text(0), response_text(1))
    assert MatrixOracle(world).compare([asked]) == [Verdict(0.75, 0.5, 0.625)]
