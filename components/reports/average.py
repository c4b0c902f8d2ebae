"""The average of a run's iterates on the sandbox world, to which the guarantees without a KL term apply."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..core.settings import Part
from ..games.preference import Array, Game, duality_gap
from ..games.sandbox.world import make_world
from ..oracles.settings import AnyOracle
from ..storage import layout
from ..storage.records import GAME_POLICY
from ..storage.run import Run
from ..storage.store import Store
from ..storage.units import Manifest


class _Judged(Part):
    oracle: AnyOracle


def average_gaps(store: Store, run: Run, evaluations: Mapping[int, Sequence[Manifest]]) -> dict[int, float]:
    """The unregularised duality gap of the uniform mixture of iterates 0 to t, by t; averaged over the contexts.

    Empty where an evaluation has not recorded the exact policy.
    """
    played = {t: made for t, units in evaluations.items() for made in units if GAME_POLICY.name in made.files}
    if len(played) < len(evaluations):
        return {}
    world = _Judged.parse(run.recipe, layout.RUN).oracle.own_world
    assert world, "policies are recorded exactly in the oracle's world alone"
    matrix = make_world(world).matrix
    policies = [np.exp(_log_policy(store, manifest, matrix.shape[:2])) for manifest in played.values()]
    means = np.cumsum(policies, axis=0) / np.arange(1, len(policies) + 1)[:, None, None]
    uniform = np.zeros(matrix.shape[:2])
    game = Game(matrix, uniform, 0.0)
    return {
        iteration: float(duality_gap(game, np.log(mean)).mean()) for iteration, mean in zip(played, means, strict=True)
    }


def _log_policy(store: Store, manifest: Manifest, shape: tuple[int, ...]) -> Array:
    rows = manifest.table(store, GAME_POLICY)
    policy = np.empty(shape)
    policy[rows["context"].to_numpy(), rows["response"].to_numpy()] = rows["logprob"].to_numpy()
    return policy
