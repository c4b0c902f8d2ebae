"""The game benchmark: a policy's exact figures on the sandbox world, and those of its method's exact iterate."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ..games.preference import Array, Game, duality_gap, kl_divergence, log_normalise, payoff
from ..games.regression import NoFiniteMinimiser, logistic_minimiser, squared_minimiser, unpaired_minimiser
from ..games.sandbox.enumeration import ACCURACY, Enumeration, enumerate_policy
from ..games.sandbox.settings import WorldSettings
from ..games.sandbox.world import make_world
from ..methods.base import Method
from ..methods.phases import REFERENCE, Phase, Sampling
from ..models.folders import Load, load_causal_lm, load_tokenizer
from ..models.policies import LocalPolicy
from ..storage.records import GAME_POLICY, GameProbability
from .base import Bench, Benchmark, Figure, Measured

_FROM_MANY = ("bracket", "seeded", "extremes", "max_min")
"""The comparisons whose pairs are chosen among many responses: what their labels say depends on the choice."""


class ExactGame(Benchmark):
    """A policy's exact figures on the sandbox world: duality gap, KL, win rate.

    They are those of the policy given that it says one of the world's responses; `mass_outside` is how often it does
    not, in the context where that is most often. Sampled figures count every response.
    """

    version: ClassVar[int] = 2
    kind: Literal["game"] = "game"
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure(
            "duality_gap",
            "gap",
            better="lower",
            digits=4,
            meaning="duality gap in the common game (evaluation.tau), 0 at its Nash equilibrium",
            headline=True,
        ),
        Figure(
            "duality_gap_own",
            "own gap",
            better="lower",
            digits=4,
            meaning="that in the method's own game (its KL weight, its labels)",
            unlike="duality_gap",
        ),
        Figure("duality_gap_unregularised", better="lower", digits=4),
        Figure("duality_gap_exact", "exact gap", digits=4, meaning="gap of the method's exact tabular iterate"),
        Figure("kl", "KL", unit="nats", meaning="to the reference, in nats", headline=True),
        Figure("win_rate_exact", better="higher"),
        Figure(
            "mass_outside",
            "outside",
            better="lower",
            digits=4,
            fault=True,
            meaning="probability of anything but the world's responses, in the worst context; gaps and KL leave it out",
        ),
    )
    needs_world: ClassVar[bool] = True

    def depends_on(self, bench: Bench) -> Any:
        """World and method, whose exact iterate is compared with, and τ."""
        world, method = _world(bench), bench.method
        return {
            "world": world.model_dump(mode="json"),
            "method": method.model_dump(mode="json"),
            "tau": bench.evaluation.tau,
        }

    def measure(self, bench: Bench) -> Measured:
        """Enumerate the policy and the reference."""
        policies = (bench.policy, bench.reference, bench.start)
        figures, rows = measure(
            _world(bench), bench.method, bench.iteration, *policies, bench.evaluation.tau, bench.load
        )
        return Measured(figures, {GAME_POLICY: rows})


def _world(bench: Bench) -> WorldSettings:
    world = bench.oracle.own_world
    assert world, "the recipe is checked: a benchmark that needs the sandbox world has it"
    return world


def measure(
    world: WorldSettings,
    method: Method,
    iteration: int,
    policy: LocalPolicy,
    reference: LocalPolicy,
    start: LocalPolicy,
    tau: float,
    load: Load = load_causal_lm,
) -> tuple[dict[str, float | None], list[GameProbability]]:
    """Exact figures, averaged over the world's contexts, and the policy as rows of GAME_POLICY.

    The gap of the exact iterate is None where none is known.
    """
    made = make_world(world)
    matrix = made.matrix
    log_reference = _enumerated(reference, load)
    enumerated = log_reference if policy.digest == reference.digest else _enumerated(policy, load)
    regularised, unregularised = (Game(matrix, log_reference.log_policy, weight) for weight in (tau, 0.0))
    begun = log_reference if start.digest == reference.digest else _enumerated(start, load)
    exact = exact_iterate(method, iteration, matrix, log_reference.log_policy, made.log_target, begun.log_policy)
    own = own_game(method, matrix, log_reference.log_policy)
    figures = {
        "duality_gap": float(duality_gap(regularised, enumerated.log_policy).mean()),
        "duality_gap_own": None if own is None else float(duality_gap(own, enumerated.log_policy).mean()),
        "duality_gap_unregularised": float(duality_gap(unregularised, enumerated.log_policy).mean()),
        "duality_gap_exact": None if exact is None else float(duality_gap(regularised, exact).mean()),
        "kl": float(kl_divergence(enumerated.log_policy, log_reference.log_policy).mean()),
        "win_rate_exact": float(payoff(unregularised, enumerated.log_policy, log_reference.log_policy).mean()),
        "mass_outside": outside if (outside := float(enumerated.mass_outside.max())) > ACCURACY else 0.0,
    }
    rows: list[GameProbability] = [
        {"context": context, "response": response, "logprob": float(value)}
        for (context, response), value in np.ndenumerate(enumerated.log_policy)
    ]
    return figures, rows


def own_game(method: Method, matrix: Array, log_reference: Array) -> Game | None:
    """The game whose equilibrium the method looks for: its own τ, and the preferences that its labels express."""
    tau = method.game_tau
    return None if tau is None else Game(_labelled(method.phases(1)[0], matrix), log_reference, tau)


def _labelled(source: Phase, matrix: Array) -> Array:
    """The preferences (..., n, n) that a phase's labels express: 0 and 1 where all wins count alike."""
    sharpened = source.labels == "binary" and not source.given and source.comparisons not in _FROM_MANY
    return np.where(matrix == 0.5, 0.5, matrix > 0.5) if sharpened else matrix


def exact_iterate(
    method: Method,
    iteration: int,
    matrix: Array,
    log_reference: Array,
    log_given: Array,
    log_start: Array | None = None,
) -> Array | None:
    """The policy (contexts, responses) that the method reaches when every phase finds its population minimiser.

    `log_given` is the law of given pairs; `log_start`, the policy that training starts from, is the reference by
    default. The minimiser on a bracket's pairs, or on best and worst, has no closed form:
    in its place stands the theory's, of iid pairs labelled by the oracle's probabilities. A mixture of policies is that
    of whole responses. None where the minimiser is not known, or not finite.
    """
    policies = {str(REFERENCE): log_reference if log_start is None else log_start, str(method.pi_ref): log_reference}
    for step in range(1, iteration + 1):
        phases = {phase.name: phase for phase in method.phases(step)}
        for phase in phases.values():
            source = phases[phase.data_from] if phase.data_from else phase
            minimiser = _minimiser(phase, source, {**policies, "given": log_given}, matrix)
            if minimiser is None:
                return None
            policies[str(phase.result)] = minimiser
    return policies[f"{iteration:03d}/main"]


def _minimiser(phase: Phase, source: Phase, policies: Mapping[str, Array], matrix: Array) -> Array | None:
    log_sampler = _sampler(source, policies)
    if log_sampler is None or phase.reduction != "sum" or phase.updates is not None:
        return None
    log_base = _mixture(phase.weights, policies)
    matrix = _labelled(source, matrix)
    if phase.link == "squared":
        # Measured against the opponent, a label's slope in the win rate is half of that against each other.
        slope = 0.5 if source.comparisons == "versus_opponent" else 1.0
        return squared_minimiser(log_base, log_sampler, matrix, slope * phase.target)
    if phase.link == "unpaired":
        # Each win rate is a mean over K responses, the response itself among them.
        count = source.samples[0].count
        target = phase.target * (count - 1) / count
        return None if source.comparisons in _FROM_MANY else unpaired_minimiser(log_base, log_sampler, matrix, target)
    kept = (np.abs(2 * matrix - 1) >= source.margin).astype(np.float64)
    try:
        return logistic_minimiser(log_base, log_sampler, matrix, phase.beta, phase.label_smoothing, kept)
    except (NoFiniteMinimiser, RuntimeError, np.linalg.LinAlgError):  # or none within reach of float64
        return None


def _sampler(source: Phase, policies: Mapping[str, Array]) -> Array | None:
    """The distribution of the opponents that responses are compared with; None if these are not independent draws from
    one policy."""
    if source.given:
        return policies["given"] if source.given == "pairs" else None
    opponent: Sampling = source.samples[-1]
    return _mixture(opponent.weights, policies) if opponent.temperature == 1.0 else None


def _mixture(weights: Mapping[str, float], policies: Mapping[str, Array]) -> Array:
    """Π_j π_j^{w_j}, normalised."""
    return log_normalise(sum((weight * policies[name] for name, weight in weights.items()), np.zeros(1)))


def _enumerated(policy: LocalPolicy, load: Load) -> Enumeration:
    return enumerate_policy(load(policy.folder, "float64"), load_tokenizer(policy.folder))
