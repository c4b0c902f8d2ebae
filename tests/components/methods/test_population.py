"""Every method: what its loss leads to with endless data is its exact solver's iterate.

The data are enumerated and the loss is minimised by `population`, through the code that judges and trains in a run; the
solvers know updates in closed form or roots of equations. 56 random games of three to eight responses each time.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from nashflow.components.benchmarks.game import exact_iterate
from nashflow.components.games import solvers
from nashflow.components.games.equilibrium import nash_policy
from nashflow.components.games.preference import Array, Game, best_response, kl_divergence, log_normalise
from nashflow.components.games.regression import logistic_minimiser
from nashflow.components.games.updates import mirror_step
from nashflow.components.methods.base import Method
from nashflow.components.methods.dno import DNO
from nashflow.components.methods.egpo import EGPO
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.ipo import IPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.mnpo import MNPO
from nashflow.components.methods.nash_md import NashMD
from nashflow.components.methods.nash_mp import NashMP
from nashflow.components.methods.online_ipo import OnlineIPO
from nashflow.components.methods.onpo import ONPO
from nashflow.components.methods.phases import REFERENCE, PolicyRef
from nashflow.components.methods.sppo import SPPO

from . import population
from .population import Batch, batch, iterates

SIZES = ((3, 0), (4, 2), (5, 4), (5, 6), (6, 8), (7, 10), (8, 12))
"""Responses and family seed of each batch of eight games."""
SMALL = SIZES[:3]
ITERATIONS = 3
EXACT = 1e-10
"""What every residual of log π has to stay below."""


class Case(NamedTuple):
    """A method, and its solver on a game with KL weight τ."""

    method: Method
    solver: solvers.Solver
    tau: float = 0.0

    def game(self, games: Batch) -> Game:
        return Game(games.matrix, games.log_reference, self.tau)

    def exact(self, games: Batch) -> list[Array]:
        return list(islice(self.solver.iterates(self.game(games)), ITERATIONS))

    def changed(self, **changes: Any) -> "Case":
        return self._replace(method=type(self.method).parse({**self.method.model_dump(), **changes}, "test"))


SQUARED = {
    "inpo": Case(INPO(eta=0.5, tau=0.1), solvers.INPO(eta=0.5), 0.1),
    "inpo, decreasing": Case(INPO(eta="decreasing", tau=0.4), solvers.INPO(eta="decreasing"), 0.4),
    "inpo without kl": Case(INPO(eta=0.5, tau=0.0), solvers.INPO(eta=0.5)),
    "onpo": Case(ONPO(eta=0.5), solvers.ONPO(eta=0.5)),
    "egpo": Case(EGPO(eta=0.8, beta=0.2), solvers.EGPO(eta=0.8), 0.2),
    "nash_mp": Case(NashMP(beta=0.2, proximal_weight=0.7), solvers.NashMP(proximal_weight=0.7), 0.2),
    "mnpo": Case(MNPO(eta=0.4, tau=0.1, history=(0.7, 0.3)), solvers.MNPO(eta=0.4, history=(0.7, 0.3)), 0.1),
    "mnpo, three": Case(
        MNPO(eta=0.4, tau=0.2, history=(0.2, 0.3, 0.5)), solvers.MNPO(eta=0.4, history=(0.2, 0.3, 0.5)), 0.2
    ),
    "nash_md": Case(NashMD(eta=0.6, tau=0.5), solvers.NashMD(eta=0.6), 0.5),
    "nash_md, decreasing": Case(NashMD(tau=0.5), solvers.NashMD(), 0.5),
    # Endless updates between samplings: the best response to the policy before, which is a mirror step of 1/τ.
    "online_ipo": Case(OnlineIPO(tau=0.3, updates=7), solvers.INPO(eta=0.3), 0.3),
}
LOGISTIC = {
    "iterative_dpo": Case(IterativeDPO(beta=0.7), solvers.IterativeDPO(beta=0.7)),
    "iterative_dpo, fixed": Case(
        IterativeDPO(beta=0.7, reference="fixed"), solvers.IterativeDPO(beta=0.7, reference="fixed")
    ),
    "iterative_dpo, smoothed": Case(
        IterativeDPO(beta=0.7, label_smoothing=0.1), solvers.IterativeDPO(beta=0.7, label_smoothing=0.1)
    ),
    "dno without teacher": Case(
        DNO(beta=0.7, margin=0.2, teacher=False, labels="sampled"), solvers.DNO(beta=0.7, margin=0.2)
    ),
}
# K = 2 responses, each against both, itself among them: half of P − 1/2.
UNPAIRED = {"sppo": Case(SPPO(eta=2.0, samples=2), solvers.SPPO(eta=1.0))}
ALL = SQUARED | LOGISTIC | UNPAIRED


def each(sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Batch]:
    return (batch(responses, "uniform", seed) for responses, seed in sizes)


def residual(found: list[Array], expected: list[Array]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_the_loss_leads_to_the_solvers_iterates(name: str) -> None:
    case = ALL[name]
    for games in each():
        assert residual(iterates(case.method, games, ITERATIONS), case.exact(games)) <= EXACT


@pytest.mark.parametrize("name", SQUARED)
@pytest.mark.parametrize(
    "data",
    [
        {"labels": "soft"},
        {"labels": "soft", "samples": 3, "comparisons": "all_pairs"},
        {"labels": "soft", "comparisons": "versus_opponent", "temperature": 2.0},
    ],
    ids=["soft labels", "all pairs", "versus an opponent"],
)
def test_other_data_lead_to_the_same_iterates(name: str, data: dict[str, Any]) -> None:
    """Who makes the pairs does not matter where an opponent of its own, at temperature 1, says how good they are."""
    case = SQUARED[name].changed(**data)
    for games in each(SIZES[:4]):
        assert residual(iterates(case.method, games, ITERATIONS), case.exact(games)) <= EXACT


@pytest.mark.parametrize(
    "case",
    [
        SQUARED["inpo"].changed(samples=3, comparisons="all_pairs"),
        SQUARED["inpo"].changed(comparisons="versus_opponent", temperature=0.5),
        SQUARED["inpo"].changed(samples=4, labels="soft"),
        LOGISTIC["iterative_dpo"].changed(samples=3, comparisons="all_pairs"),
        LOGISTIC["dno without teacher"].changed(samples=3),
        # K = 4: three quarters of P − 1/2
        UNPAIRED["sppo"].changed(samples=4)._replace(solver=solvers.SPPO(eta=1.5)),
        UNPAIRED["sppo"].changed(labels="sampled"),
    ],
    ids=str,
)
def test_more_responses_and_coins_of_their_own(case: Case) -> None:
    for games in each(SMALL):
        assert residual(iterates(case.method, games, ITERATIONS), case.exact(games)) <= EXACT


@pytest.mark.parametrize("name", ["inpo", "sppo"])
def test_binary_labels_play_the_sharpened_game(name: str) -> None:
    case = ALL[name].changed(labels="binary")
    for games in each():
        sharp = replace(games, matrix=np.where(games.matrix == 0.5, 0.5, games.matrix > 0.5))
        assert residual(iterates(case.method, games, ITERATIONS), case.exact(sharp)) <= EXACT


@pytest.mark.parametrize("name", ALL)
def test_the_benchmarks_exact_iterates_are_the_solvers(name: str) -> None:
    case = ALL[name]
    for games in each():
        exact = [
            exact_iterate(case.method, iteration, games.matrix, games.log_reference, games.log_given)
            for iteration in range(1, ITERATIONS + 1)
        ]
        if case.method.phases(1)[0].updates is None:
            assert residual([log for log in exact if log is not None], case.exact(games)) <= EXACT
        else:
            assert exact == [None] * ITERATIONS, "N updates are not the end of a phase"


@pytest.mark.parametrize("name", ["inpo", "onpo", "egpo", "nash_md"])
def test_the_benchmark_knows_pairs_of_any_temperature_against_an_opponent(name: str) -> None:
    case = SQUARED[name].changed(comparisons="versus_opponent", temperature=2.0)
    for games in each(SMALL):
        exact = exact_iterate(case.method, 2, games.matrix, games.log_reference, games.log_given)
        assert exact is not None
        np.testing.assert_allclose(exact, case.exact(games)[1], atol=EXACT)


# --- given data ------------------------------------------------------------------------------------------------------


def test_ipo_on_given_pairs_is_the_best_response_to_who_made_them() -> None:
    method = IPO(tau=0.3)
    for games in each():
        best = best_response(Game(games.matrix, games.log_reference, 0.3), games.log_given)
        assert residual(iterates(method, games, ITERATIONS), [best] * ITERATIONS) <= EXACT
        mine = replace(games, log_given=games.log_reference)
        case = Case(method, solvers.IPO(), 0.3)
        assert residual(iterates(method, mine, ITERATIONS), case.exact(mine)) <= EXACT
        exact = exact_iterate(method, 2, games.matrix, games.log_reference, games.log_given)
        assert exact is not None
        assert residual([exact], [best]) <= EXACT


def test_dnos_teacher_joins_the_law_of_its_pairs() -> None:
    """Pairs of three responses, π_t's two and the teacher's, kept where |2p − 1| ≥ m: the root for exactly that law.

    Each of two different responses comes from π_t or the teacher: 2 μ μ' + 2 (μ ν' + ν μ') pairs in a prompt.
    """
    method = DNO(beta=0.7, margin=0.2, samples=2, labels="sampled")
    for games in each(SMALL):
        anchor = games.log_reference
        for found in iterates(method, games, ITERATIONS):
            current, teacher = np.exp(anchor), np.exp(games.log_given)
            mixed = current[:, :, None] * teacher[:, None, :]
            law = current[:, :, None] * current[:, None, :] + mixed + mixed.transpose(0, 2, 1)
            kept = law * (np.abs(2 * games.matrix - 1) >= 0.2)
            uniform = log_normalise(np.zeros_like(anchor))
            root = logistic_minimiser(anchor, uniform, games.matrix, 0.7, kept=kept)
            margins = (found - root)[:, :, None] - (found - root)[:, None, :]
            assert np.abs(margins[kept > 0]).max() <= EXACT
            u = 0.7 * (found - anchor)
            excess = 1 / (1 + np.exp(u[:, None, :] - u[:, :, None])) - games.matrix
            assert np.abs((kept * excess).sum(-1)).max() <= 1e-13
            anchor = found


def test_what_the_filter_drops_is_never_seen() -> None:
    """With a margin above every preference but those of the first two responses, only these move against each other."""
    games = batch(4, "uniform", 2)
    matrix = 0.5 + 0.1 * (games.matrix - 0.5)
    matrix[:, 0, 1], matrix[:, 1, 0] = 0.8, 0.2
    games = replace(games, matrix=matrix)
    (found,) = iterates(DNO(beta=0.5, margin=0.5, teacher=False, labels="sampled"), games, 1)
    moved = found - games.log_reference
    np.testing.assert_allclose(moved[:, 0] - moved[:, 1], np.log(0.8 / 0.2) / 0.5, atol=EXACT)
    np.testing.assert_allclose(moved[:, 2], moved[:, 3], atol=EXACT)


# --- what the theory adds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["moving", "fixed"])
@pytest.mark.parametrize("samples", [2, 3])
def test_iterative_dpo_recovers_bradley_terry_rewards(reference: Any, samples: int) -> None:
    """π_anchor exp(R / β): moving anchors take the reward in again every iteration."""
    method = IterativeDPO(beta=0.8, reference=reference, samples=samples, comparisons="all_pairs")
    for responses, seed in SIZES if samples == 2 else SMALL:
        games = batch(responses, "bradley_terry", seed)
        rewards = np.log(games.matrix[:, :, 0] / games.matrix[:, 0, :])
        times = (1, 2, 3) if reference == "moving" else (1, 1, 1)
        expected = [log_normalise(games.log_reference + count * rewards / 0.8) for count in times]
        assert residual(iterates(method, games, ITERATIONS), expected) <= EXACT


@pytest.mark.parametrize(
    ("eta", "distance"), [(0.1, 3.6e-13), (1.0, 3.3e-7), (5.0, 1.5e-3), (20.0, 0.19), (100.0, 1.2)]
)
def test_sppo_leaves_multiplicative_weights_as_eta_grows(eta: float, distance: float) -> None:
    """Mean KL from multiplicative weights, measured once elsewhere on other games: within a factor of ten of it."""
    divergences = []
    for games in each():
        (found,) = iterates(SPPO(eta=2 * eta, samples=2), games, 1)
        game = Game(games.matrix, games.log_reference, 0.0)
        weights = mirror_step(game, games.log_reference, games.log_reference, eta)
        divergences.extend(kl_divergence(weights, found))
    assert distance / 10 <= np.mean(divergences) <= 10 * distance


@pytest.mark.parametrize("labels", ["sampled", "soft"])
def test_one_update_of_online_ipo_is_a_gradient_step(labels: str) -> None:
    """N = 1 with plain gradient descent on the logits: the solver's update, sampled anew each time."""
    case = SQUARED["online_ipo"].changed(updates=1, labels=labels)
    for games in each():
        policies = {str(REFERENCE): games.log_reference}
        exact = solvers.OnlineIPO(learning_rate=0.2).iterates(case.game(games))
        for iteration, expected in zip(range(1, ITERATIONS + 1), exact, strict=False):
            (phase,) = case.method.phases(iteration)
            start = torch.from_numpy(policies[str(phase.start_from)])
            pairs, weight = population.population(phase, games, policies)
            gradient, _ = population.derivatives(phase, pairs, weight, policies, start)
            policies[str(phase.result)] = np.asarray((start - 0.2 * gradient).log_softmax(-1).numpy())
            assert residual([policies[str(phase.result)]], [expected]) <= EXACT


FIXED = ["inpo", "egpo", "nash_mp", "mnpo", "mnpo, three", "online_ipo"]


@pytest.mark.parametrize("name", FIXED)
def test_the_equilibrium_stays_where_it_is(name: str) -> None:
    """Every phase of an iteration whose past policies are all the equilibrium leads back to it."""
    case = SQUARED[name]
    for games in each():
        nash = nash_policy(case.game(games))
        assert residual(_next(case.method, games, nash), [nash] * len(case.method.phases(5))) <= EXACT


def test_a_fixed_step_of_nash_md_leaves_the_equilibrium() -> None:
    case = SQUARED["nash_md"]
    games = batch(5, "uniform", 4)
    nash = nash_policy(case.game(games))
    assert residual(_next(case.method, games, nash), [nash]) > 1e-3


def _next(method: Method, games: Batch, policy: Array) -> list[Array]:
    """Where the phases of iteration 5 lead when all policies since the reference are one."""
    policies = {str(PolicyRef(past)): policy for past in range(1, 5)} | {str(REFERENCE): games.log_reference}
    for phase in method.phases(5):
        policies[str(phase.result)] = population.minimiser(phase, phase, games, policies)
    return [policies[str(phase.result)] for phase in method.phases(5)]
