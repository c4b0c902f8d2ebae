"""The sandbox's exact figures, computed once more from their definitions, and the exact iterates."""

from typing import Any

import numpy as np
import pytest

from nashflow.components.benchmarks.game import exact_iterate, measure, own_game
from nashflow.components.games.preference import Game, duality_gap, log_normalise
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.games.updates import mirror_step
from nashflow.components.methods import AnyMethod
from nashflow.components.methods.dno import DNO
from nashflow.components.methods.egpo import EGPO
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.ipo import IPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.onpo import ONPO
from nashflow.components.methods.sppo import SPPO
from nashflow.components.models.policies import open_policy
from tests.fixtures.runs import SandboxRun, log_policy

WORLD = WorldSettings()
MATRIX = make_world(WORLD).matrix
REFERENCE = make_world(WORLD).log_target
GIVEN = log_normalise(np.random.default_rng(1).standard_normal(REFERENCE.shape))
"""The law of given pairs."""


def measured(run: SandboxRun, policy: str, tau: float = 0.1) -> dict[str, Any]:
    opened, reference = (open_policy(run.store, name) for name in (policy, "000/main"))
    return measure(WORLD, run.recipe.method, int(policy[:3]), opened, reference, reference, tau)[0]


def distributions(run: SandboxRun, *policies: str) -> list[np.ndarray]:
    """π(y | x) over the 25 responses, (8, 25)."""
    exact = (np.exp(log_policy(run.folder(policy))) for policy in policies)
    return [values / values.sum(1, keepdims=True) for values in exact]


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_the_gap_is_what_both_players_could_gain(tau: float, finished_root: SandboxRun) -> None:
    """max_p J(p, π) − min_q J(π, q), each at its maximiser, context by context."""
    policies, references = distributions(finished_root, "002/main", "000/main")
    gaps = []
    for matrix, policy, reference in zip(MATRIX, policies, references, strict=True):

        def payoff(one: Any, other: Any, matrix: Any = matrix, reference: Any = reference) -> float:
            divergences = [float((p * np.log(p / reference)).sum()) for p in (one, other)]
            return float(one @ matrix @ other) - tau * (divergences[0] - divergences[1])

        against = reference * np.exp(matrix @ policy / tau)
        against /= against.sum()
        spiteful = reference * np.exp(-(policy @ matrix) / tau)
        spiteful /= spiteful.sum()
        gaps.append(payoff(against, policy) - payoff(policy, spiteful))
    assert measured(finished_root, "002/main", tau)["duality_gap"] == pytest.approx(np.mean(gaps), abs=1e-6)


def test_the_other_figures_are_their_definitions(finished_root: SandboxRun) -> None:
    policies, references = distributions(finished_root, "002/main", "000/main")
    figures = measured(finished_root, "002/main")
    rates = np.einsum("cij,cj->ci", MATRIX, policies)
    assert figures["duality_gap_unregularised"] == pytest.approx(2 * (rates.max(1) - 0.5).mean(), abs=1e-6)
    assert figures["kl"] == pytest.approx((policies * np.log(policies / references)).sum(1).mean(), abs=1e-6)
    won = np.einsum("ci,cij,cj->c", policies, MATRIX, references)
    assert figures["win_rate_exact"] == pytest.approx(won.mean(), abs=1e-6)
    outside = 1 - np.exp(log_policy(finished_root.folder("002/main"))).sum(1)
    assert figures["mass_outside"] == pytest.approx(outside.max(), abs=1e-6)


def test_the_reference_is_even_with_itself(finished_root: SandboxRun) -> None:
    figures = measured(finished_root, "000/main")
    assert figures["win_rate_exact"] == pytest.approx(0.5, abs=1e-12)
    assert figures["kl"] == pytest.approx(0, abs=1e-12)
    assert figures["duality_gap"] == figures["duality_gap_exact"] > 0


def test_the_exact_gap_is_that_of_the_exact_iterate(finished_root: SandboxRun) -> None:
    (references,) = distributions(finished_root, "000/main")
    game, policy = Game(MATRIX, np.log(references), 0.1), np.log(references)
    gaps = []
    for _ in range(3):
        best = np.logaddexp.reduce(game.log_reference + np.einsum("cij,cj->ci", MATRIX, np.exp(policy)) / 0.1, axis=-1)
        divergence = (np.exp(policy) * (policy - game.log_reference)).sum(-1)
        gaps.append(float((2 * 0.1 * (best + divergence) - 1).mean()))
        policy = mirror_step(game, policy, policy, 1 / 0.5)
    names = ("000/main", "001/main", "002/main")
    assert [measured(finished_root, name)["duality_gap_exact"] for name in names] == pytest.approx(gaps, abs=1e-6)


def test_the_own_gap_is_that_of_the_methods_own_game(finished_root: SandboxRun) -> None:
    """The small recipe's τ is 0.1."""
    figures = measured(finished_root, "002/main", 0.5)
    assert figures["duality_gap_own"] == measured(finished_root, "002/main", 0.1)["duality_gap"]
    assert figures["duality_gap_own"] != figures["duality_gap"]


CONVERGING: dict[str, AnyMethod] = {
    "inpo": INPO(eta=2.0, tau=0.4),
    "inpo, binary": INPO(eta=4.0, tau=0.8, labels="binary"),
    "egpo": EGPO(eta=0.5, beta=0.4),
}


@pytest.mark.parametrize("case", CONVERGING)
def test_a_converged_policy_has_no_gap_in_its_own_game_alone(case: str) -> None:
    method = CONVERGING[case]
    policy, own = exact_iterate(method, 120, MATRIX, REFERENCE, GIVEN), own_game(method, MATRIX, REFERENCE)
    assert policy is not None
    assert own is not None
    assert duality_gap(own, policy).max() < 1e-6
    assert duality_gap(Game(MATRIX, REFERENCE, 0.1), policy).min() > 1e-3


@pytest.mark.parametrize(
    ("method", "tau"),
    [(ONPO(eta=0.5), 0.0), (SPPO(eta=0.5), 0.0), (DNO(), 0.0), (IPO(tau=0.1), None), (IterativeDPO(beta=0.5), None)],
)
def test_a_method_without_a_kl_term_or_without_a_game_says_so(method: AnyMethod, tau: float | None) -> None:
    own = own_game(method, MATRIX, REFERENCE)
    assert (own and own.tau) == tau


# --- the exact iterates ----------------------------------------------------------------------------------------------


def test_inpos_iterates_are_mirror_steps() -> None:
    game, policy = Game(MATRIX, REFERENCE, 0.1), REFERENCE
    for iteration in range(6):
        exact = exact_iterate(INPO(eta=0.5, tau=0.1), iteration, MATRIX, REFERENCE, GIVEN)
        np.testing.assert_allclose(exact, policy, atol=1e-10)
        policy = mirror_step(game, policy, policy, 1 / 0.5)


def test_binary_labels_play_the_sharpened_game() -> None:
    sharp = np.where(MATRIX > 0.5, 1.0, 0.0) + 0.5 * np.eye(25)
    game, policy = Game(sharp, REFERENCE, 0.1), REFERENCE
    for iteration in range(4):
        exact = exact_iterate(INPO(eta=0.5, tau=0.1, labels="binary"), iteration, MATRIX, REFERENCE, GIVEN)
        np.testing.assert_allclose(exact, policy, atol=1e-10)
        policy = mirror_step(game, policy, policy, 1 / 0.5)


def test_soft_and_sampled_labels_have_the_same_iterates() -> None:
    sampled, soft = (
        exact_iterate(INPO(eta=0.5, tau=0.1, labels=labels), 3, MATRIX, REFERENCE, GIVEN)  # type: ignore[arg-type]
        for labels in ("sampled", "soft")
    )
    np.testing.assert_array_equal(sampled, soft)


UNKNOWN: dict[str, AnyMethod] = {
    "another temperature": INPO(eta=0.5, tau=0.1, temperature=0.7),
    "means": INPO(eta=0.5, tau=0.1, reduction="mean"),
    "no finite minimiser": IterativeDPO(beta=0.1, labels="binary"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_where_no_iterate_is_known_there_is_none(case: str) -> None:
    assert exact_iterate(UNKNOWN[case], 3, MATRIX, REFERENCE, GIVEN) is None
    np.testing.assert_array_equal(exact_iterate(UNKNOWN[case], 0, MATRIX, REFERENCE, GIVEN), REFERENCE)


def test_inpos_exact_gap_falls_and_iterative_dpos_grows(finished_root: SandboxRun) -> None:
    """The picture of the quickstart, before anything is sampled or trained."""

    def gap(method: AnyMethod, iteration: int) -> float:
        policy = exact_iterate(method, iteration, MATRIX, REFERENCE, GIVEN)
        assert policy is not None
        log_rates = np.einsum("cij,cj->ci", MATRIX, np.exp(log_normalise(policy))) / 0.1
        best = np.logaddexp.reduce(REFERENCE + log_rates, axis=-1)
        return float((0.2 * (best + (np.exp(policy) * (policy - REFERENCE)).sum(-1)) - 1).mean())

    falling = [gap(INPO(eta=0.5, tau=0.1), iteration) for iteration in (0, 1, 3, 10)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < 0.15 * falling[0]
    growing = [gap(IterativeDPO(beta=0.5), iteration) for iteration in (0, 3, 10)]
    assert growing == sorted(growing)
