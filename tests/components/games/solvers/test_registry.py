"""What all solvers have in common."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games import solvers
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import Game
from nashflow.components.games.solvers import SOLVERS, make_solver
from tests.fixtures.games import fifty_games, play

TO_NASH = {
    "inpo": {},
    "egpo": {},
    "nash_mp": {},
    "mnpo": {},
    "online_ipo": {},
    "nash_md_pg": {"mixture": 0},
}


def test_every_file_holds_the_solver_of_its_name() -> None:
    files = {path.stem for path in Path(str(solvers.__file__)).parent.glob("*.py")} - {"__init__", "base"}
    assert files == set(SOLVERS)
    assert all(solver.__module__.endswith(f".{name}") for name, solver in SOLVERS.items())


@pytest.mark.parametrize("name", SOLVERS)
def test_games_side_by_side_are_played_as_they_are_alone(name: str) -> None:
    game = fifty_games(0.2)
    together = play(name, game, 6)[-1]
    np.testing.assert_allclose(np.exp(together).sum(axis=-1), 1, atol=1e-12)
    for index in (0, 17, 49):
        alone = Game(game.matrix[index], game.log_reference[index], game.tau)
        np.testing.assert_allclose(play(name, alone, 6)[-1], together[index], atol=1e-10)


@pytest.mark.parametrize("name", SOLVERS)
def test_one_reference_serves_many_matrices(name: str) -> None:
    game = fifty_games(0.2)
    shared = play(name, Game(game.matrix, game.log_reference[0], game.tau), 3)[-1]
    repeated = np.broadcast_to(game.log_reference[0], game.log_reference.shape)
    np.testing.assert_allclose(
        np.broadcast_to(shared, repeated.shape), play(name, Game(game.matrix, repeated, 0.2), 3)[-1]
    )


@pytest.mark.parametrize("name", SOLVERS)
def test_only_the_regularised_solvers_read_tau(name: str) -> None:
    small, large = (play(name, fifty_games(tau), 3)[-1] for tau in (0.1, 0.4))
    assert np.array_equal(small, large) is not SOLVERS[name].regularised


@pytest.mark.parametrize(("name", "settings"), TO_NASH.items())
def test_what_starts_at_the_nash_policy_of_a_small_pull_stays_near(name: str, settings: dict[str, float]) -> None:
    """A reference that is already the equilibrium, of a game of equals, is no one's to leave."""
    random = np.random.default_rng(0)
    log_reference = fifty_games(0.2).log_reference
    equals = Game(np.full((50, 6, 6), 0.5), log_reference, 0.2)
    np.testing.assert_allclose(nash_policy(equals), log_reference, atol=1e-12)
    for policy in islice(make_solver(name, settings).iterates(equals), int(random.integers(3, 9))):
        np.testing.assert_allclose(policy, log_reference, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("nash_mq", {}, "method 'nash_mq' is unknown; did you mean nash_mp?"),
        ("inpo", {"eat": 1}, "inpo: eat: unknown key; did you mean eta?"),
        ("sppo", {"history": [1]}, "sppo: history: unknown key; known here: eta, name"),
        ("onpo", {"name": "inpo"}, "onpo: name: Input should be 'onpo', not 'inpo'"),
        ("onpo", {"eta": -1}, "onpo: eta: Input should be greater than 0, not -1"),
        ("online_ipo", {"sampler": "reference"}, "online_ipo: sampler: Input should be 'policy' or 'uniform'"),
    ],
)
def test_what_no_solver_reads_is_refused(name: str, settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        make_solver(name, settings)
    assert str(caught.value).startswith(complaint)
