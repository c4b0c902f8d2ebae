"""The game benchmark: a policy's exact figures on the sandbox world, and those of its method's exact iterate."""

import numpy as np

from ...games.preference import Array, Game, duality_gap, kl_divergence, payoff
from ...games.regression import NoFiniteMinimiser, logistic_minimiser, squared_minimiser
from ...games.sandbox.enumeration import Enumeration, enumerate_policy
from ...games.sandbox.settings import WorldSettings
from ...games.sandbox.world import make_world
from ...methods.base import Method
from ...methods.phases import REFERENCE, Phase
from ...shared.models import load_causal_lm, load_tokenizer
from ...shared.policies import LocalPolicy


def measure(
    world: WorldSettings, method: Method, iteration: int, policy: LocalPolicy, reference: LocalPolicy, tau: float
) -> dict[str, float | None]:
    """Exact figures, averaged over the world's contexts; the gap of the exact iterate is None where none is known."""
    matrix = make_world(world).matrix
    enumerated, log_reference = _enumerated(policy), _enumerated(reference)
    regularised, unregularised = (Game(matrix, log_reference.log_policy, weight) for weight in (tau, 0.0))
    exact = exact_iterate(method, iteration, matrix, log_reference.log_policy)
    return {
        "duality_gap": float(duality_gap(regularised, enumerated.log_policy).mean()),
        "duality_gap_unregularised": float(duality_gap(unregularised, enumerated.log_policy).mean()),
        "duality_gap_exact": None if exact is None else float(duality_gap(regularised, exact).mean()),
        "kl": float(kl_divergence(enumerated.log_policy, log_reference.log_policy).mean()),
        "win_rate_exact": float(payoff(unregularised, enumerated.log_policy, log_reference.log_policy).mean()),
        "mass_outside": float(enumerated.mass_outside.max()),
    }


def exact_iterate(method: Method, iteration: int, matrix: Array, log_reference: Array) -> Array | None:
    """The policy (contexts, responses) that the method reaches when every phase finds its population minimiser.

    A bracket's minimiser has no closed form: in its place stands the theory's, of iid pairs labelled by the oracle's
    probabilities. None where it is not known, or not finite.
    """
    policies = {str(REFERENCE): log_reference}
    for step in range(1, iteration + 1):
        phases = {phase.name: phase for phase in method.phases(step)}
        for phase in phases.values():
            source = phases[phase.data_from] if phase.data_from else phase
            minimiser = _minimiser(phase, source, policies, matrix)
            if minimiser is None:
                return None
            policies[str(phase.result)] = minimiser
    return policies[f"{iteration:03d}/main"]


def _minimiser(phase: Phase, source: Phase, policies: dict[str, Array], matrix: Array) -> Array | None:
    base = sum((weight * policies[name] for name, weight in phase.weights.items()), np.zeros_like(policies["000/main"]))
    sampling = source.samples[0] if len(source.samples) == 1 else None
    if sampling is None or len(sampling.policies) != 1 or sampling.temperature != 1.0 or phase.reduction != "sum":
        return None
    sampler = policies[str(next(iter(sampling.policies)))]
    thresholded = phase.labels == "binary" and source.comparisons == "iid"
    judged = np.where(matrix == 0.5, 0.5, matrix > 0.5) if thresholded else matrix
    if phase.link == "squared":
        return squared_minimiser(base, sampler, judged, phase.target)
    if phase.link == "logistic":
        try:
            return logistic_minimiser(base, sampler, judged, phase.beta, phase.label_smoothing)
        except (NoFiniteMinimiser, RuntimeError, np.linalg.LinAlgError):  # or none within reach of float64
            return None
    return None


def _enumerated(policy: LocalPolicy) -> Enumeration:
    return enumerate_policy(load_causal_lm(policy.folder, "float64"), load_tokenizer(policy.folder))
