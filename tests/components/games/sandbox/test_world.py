import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.games.equilibrium import least_eta, nash_policy, rotation
from nashflow.components.games.preference import Game, check_matrix, duality_gap, kl_divergence, log_normalise, payoff
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import CONTEXTS, RESPONSES, World, make_world
from tests.fixtures.games import play

TAU, ETA, BETA = 0.1, 0.5, 0.5


def test_a_world_has_general_preferences_and_targets_with_full_support() -> None:
    world = make_world(WorldSettings())
    assert world.matrix.shape == (CONTEXTS, len(RESPONSES), len(RESPONSES)) == (8, 25, 25)
    check_matrix(world.matrix)
    np.testing.assert_allclose(np.exp(world.log_target).sum(axis=-1), 1, atol=1e-14)
    assert np.exp(world.log_target).min() > 1e-4


def test_preferences_are_mostly_cyclic() -> None:
    beats = (make_world(WorldSettings()).matrix > 0.5).astype(float)
    cycles = np.einsum("cij,cjk,cki->c", beats, beats, beats) / 3
    triples = 25 * 24 * 23 / 6
    # a coin for each pair gives 1/4 of all triples, a reward model none
    assert (cycles / triples > 0.15).all()


def test_an_intransitivity_of_0_is_a_reward_and_the_usual_one_is_no_news() -> None:
    transitive = make_world(WorldSettings(intransitivity=0)).matrix
    margins = np.log(transitive / (1 - transitive))
    np.testing.assert_allclose(margins, margins[..., :1] + margins[:, :1], atol=1e-9)
    assert WorldSettings(intransitivity=2.5).model_dump() == {"seed": 0}
    assert WorldSettings(intransitivity=5).model_dump() == {"seed": 0, "intransitivity": 5}
    # The largest of the contexts' is what the documentation says of eta.
    usual = make_world(WorldSettings())
    game = Game(usual.matrix, usual.log_target, TAU)
    assert least_eta(game, rotation(game, nash_policy(game))).max() == pytest.approx(0.31, abs=0.005)


def test_a_world_is_drawn_as_it_says() -> None:
    random = np.random.default_rng(7)
    world = make_world(WorldSettings(seed=7))
    for context in range(CONTEXTS):
        u, w = random.standard_normal((25, 4)), random.standard_normal((25, 4))
        quality, target = random.standard_normal(25), random.standard_normal(25)
        for i, j in ((0, 1), (3, 20), (24, 5)):
            margin = 2.5 * (u[i] @ w[j] - w[i] @ u[j]) / 2 + 0.5 * (quality[i] - quality[j])
            assert world.matrix[context, i, j] == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-12)
        np.testing.assert_allclose(world.log_target[context], log_normalise(target), atol=1e-13)


def test_the_seed_alone_makes_the_world() -> None:
    first, again, other = (make_world(WorldSettings(seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.matrix, again.matrix)
    assert np.array_equal(first.log_target, again.log_target)
    assert not np.allclose(first.matrix, other.matrix)


def test_a_malformed_response_loses_to_any_other_and_ties_with_its_like() -> None:
    world = make_world(WorldSettings())
    assert world.preference(2, 3, 4) == world.matrix[2, 3, 4]
    assert world.preference(2, 3, None) == 1
    assert world.preference(2, None, 4) == 0
    assert world.preference(2, None, None) == 0.5


def gaps(world: World, policies: list[np.ndarray]) -> list[float]:
    game = Game(world.matrix, world.log_target, TAU)
    return [float(duality_gap(game, policy).mean()) for policy in policies]


def exact_inpo(world: World, iterations: int) -> list[np.ndarray]:
    return play("inpo", Game(world.matrix, world.log_target, TAU), iterations, eta=ETA)


def exact_iterative_dpo(world: World, iterations: int) -> list[np.ndarray]:
    return play("iterative_dpo", Game(world.matrix, world.log_target, TAU), iterations, beta=BETA)


def test_the_default_world_tells_its_story() -> None:
    """INPO approaches the equilibrium, iterative DPO runs in circles away from it."""
    world = make_world(WorldSettings())
    nash_bound, runaway = gaps(world, exact_inpo(world, 10)), gaps(world, exact_iterative_dpo(world, 10))
    assert nash_bound == sorted(nash_bound, reverse=True)
    assert nash_bound[3] < 0.5 * nash_bound[0]
    assert nash_bound[10] < 0.1 * nash_bound[0]
    assert runaway[:4] == sorted(runaway[:4])
    assert runaway[10] > 5 * runaway[0]
    np.testing.assert_allclose([nash_bound[0], nash_bound[3], runaway[3]], [0.1124, 0.0476, 0.882], atol=1e-3)


def test_inpo_improves_on_the_reference_while_staying_near() -> None:
    world = make_world(WorldSettings())
    plain = Game(world.matrix, world.log_target, 0.0)
    policy = exact_inpo(world, 3)[-1]
    assert (payoff(plain, policy, world.log_target) > 0.5).all()
    assert kl_divergence(policy, world.log_target).mean() < 0.5


@pytest.mark.parametrize(("data", "complaint"), [({"seed": -1}, "seed"), ({"sede": 1}, "sede: unknown key.*seed")])
def test_settings_that_make_no_world(data: dict[str, int], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        WorldSettings.parse(data, "world")
