"""Finite data, judged: how fast INPO's update is learnt, what soft labels save, and what a bracket distorts."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nashflow.components.games.preference import Array
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.phases import REFERENCE

from .population import Batch, batch, minimiser, newton, sample


def learnt(method: INPO, games: Batch, prompts: int, seed: int) -> Array:
    """The policies (8, n) that minimise INPO's loss on the pairs of some prompts a game, at iteration 1."""
    (phase,) = method.phases(1)
    policies = {str(REFERENCE): games.log_reference}
    pairs = sample(phase, games, policies, prompts, seed)
    weight = np.full(len(pairs.game), 1 / prompts)
    return newton(phase, pairs, weight, policies, np.exp(games.log_reference / 2))


def exact(method: INPO, games: Batch) -> Array:
    (phase,) = method.phases(1)
    return minimiser(phase, phase, games, {str(REFERENCE): games.log_reference})


def error(method: INPO, games: Batch, prompts: int, repetitions: int) -> float:
    """Root of the mean square error of log π."""
    update = exact(method, games)
    errors = [learnt(method, games, prompts, seed) - update for seed in range(repetitions)]
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize(
    ("prompts", "repetitions"),
    [pytest.param((100, 1_000), (10, 2)), pytest.param((1_000, 10_000, 100_000), (5, 2, 1), marks=pytest.mark.slow)],
    ids=["100 and 1,000", "up to 100,000"],
)
def test_the_update_is_learnt_at_the_rate_of_the_square_root(
    prompts: tuple[int, ...], repetitions: tuple[int, ...]
) -> None:
    """Three actions, iid pairs, sampled labels: the error falls as n^−1/2."""
    method, games = INPO(eta=0.5, tau=0.1), batch(3)
    errors = [error(method, games, n, times) for n, times in zip(prompts, repetitions, strict=True)]
    rates = np.diff(np.log(errors)) / np.diff(np.log(prompts))
    assert rates == pytest.approx(-0.5, abs=0.15)
    at_a_thousand = errors[prompts.index(1_000)]
    assert 0.01 < at_a_thousand < 0.1


@pytest.mark.parametrize("family", ["rock_paper_scissors", "uniform", "bradley_terry"])
def test_soft_labels_have_the_same_minimiser_and_a_lower_variance(family: str) -> None:
    """On the same responses: the coins' part of the variance is gone, that of the responses stays."""
    games, methods = batch(3, family), [INPO(eta=1.0, tau=0.1, labels=labels) for labels in ("sampled", "soft")]
    np.testing.assert_allclose(*(exact(method, games) for method in methods), atol=1e-10)
    sampled, soft = (error(method, games, prompts=100, repetitions=8) for method in methods)
    assert soft**2 < 0.5 * sampled**2


# --- what is lost with pairs that are no independent draws -----------------------------------------------------------


def step(games: Batch, update: Array) -> tuple[Array, Array]:
    """An update's length along INPO's own of η = 1 without KL, (8,), and how much of it points elsewhere, (8,).

    Both by the variance of log-ratios under the reference.
    """
    law = np.exp(games.log_reference)

    def centred(values: Array) -> Array:
        return values - (law * values).sum(-1, keepdims=True)

    theory = centred((games.matrix @ law[..., None])[..., 0])
    taken = centred(update - games.log_reference)
    length = (law * taken * theory).sum(-1) / (law * theory**2).sum(-1)
    elsewhere = (law * (taken - length[:, None] * theory) ** 2).sum(-1) / (law * taken**2).sum(-1)
    return length, np.sqrt(elsewhere)


def faint(games: Batch) -> Batch:
    """The same games with preferences a fifth as far from 1/2."""
    return replace(games, matrix=0.5 + 0.2 * (games.matrix - 0.5))


def method(samples: int, **changes: Any) -> INPO:
    return INPO(eta=1.0, tau=0.0, samples=samples, **changes)


@pytest.mark.parametrize("family", ["rock_paper_scissors", "uniform"])
def test_a_bracket_of_two_is_one_iid_pair(family: str) -> None:
    length, elsewhere = step(batch(3, family), exact(method(2, comparisons="bracket"), batch(3, family)))
    np.testing.assert_allclose(length, 1, atol=1e-10)
    np.testing.assert_allclose(elsewhere, 0, atol=1e-10)


@pytest.mark.parametrize("family", ["rock_paper_scissors", "uniform"])
def test_a_bracket_of_four_takes_larger_steps_to_another_place(family: str) -> None:
    """Endless data, three responses: every game's step is longer than the theory's, and points elsewhere."""
    games = batch(3, family)
    length, elsewhere = step(games, exact(method(4, comparisons="bracket"), games))
    assert (length > 1).all()
    assert 1.1 < length.mean() < 2
    assert (elsewhere > 1e-3).all()


@pytest.mark.parametrize(
    ("preferences", "least", "most"), [("the sandbox's", 1.4, 2.2), ("a fifth as strong", 2.0, 4.0)]
)
def test_a_bracket_of_eight_on_the_sandbox(preferences: str, least: float, most: float) -> None:
    """25 responses: steps about 1.8 times the theory's on the sandbox, 2.7 times where preferences are weak."""
    world = make_world(WorldSettings())
    games = Batch(world.matrix, world.log_target, world.log_target)
    games = faint(games) if preferences == "a fifth as strong" else games
    length, _ = step(games, learnt(method(8, comparisons="bracket"), games, prompts=600, seed=0))
    assert least < length.mean() < most


def test_iid_pairs_take_the_theorys_step_on_the_sandbox() -> None:
    world = make_world(WorldSettings())
    games = Batch(world.matrix, world.log_target, world.log_target)
    length, _ = step(games, learnt(method(2), games, prompts=1_000, seed=0))
    assert math.isclose(length.mean(), 1, abs_tol=0.1)
