"""Which units of work an iteration of a method consists of."""

from ..storage import layout
from .base import Method


def units_of(method: Method, iteration: int, shards: int) -> dict[str, list[str]]:
    """The units by `<phase>/<step>` in the order of work, and `evaluation`; iteration 0 has its evaluation alone."""
    units: dict[str, list[str]] = {}
    for phase in method.phases(iteration) if iteration else ():
        records = {"logprobs": "logprobs"}
        if not phase.data_from:
            records = {"rollout": "rollouts", "judging": "pairs"} | records
        for step, kind in records.items():
            units[f"{phase.name}/{step}"] = [
                layout.shard(iteration, phase.name, kind, shard) for shard in range(shards)
            ]
        units[f"{phase.name}/training"] = [layout.policy(phase.result.iteration, phase.result.name)]
    units["evaluation"] = [layout.evaluation(iteration)]
    return units
