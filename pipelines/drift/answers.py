"""How a run's policy does against the first champion, on the held-out prompts that both have answered."""

from collections.abc import Mapping
from dataclasses import dataclass

from nashflow.components.benchmarks.head_to_head import compare
from nashflow.components.core.digests import canonical_json
from nashflow.components.oracles.base import Oracle
from nashflow.components.storage import layout
from nashflow.components.storage.records import PROMPTS, ROLLOUTS, Message, Rollout
from nashflow.components.storage.units import read_manifest, require_manifest

from .found import Fired

FEWEST = 8
"""Prompts in common, below which a win rate says nothing."""


@dataclass(frozen=True)
class WinRate:
    """Against the first champion."""

    value: float
    low: float
    """The ends of its 95 % interval."""
    high: float
    prompts: int


Answers = Mapping[str, list[tuple[list[Message], Rollout]]]
"""By prompt, as text: the prompt and its answers, in their order."""


def answers_of(run: Fired) -> Answers:
    """The answers of a run's policy to its held-out prompts, as its evaluation has sampled them; none where no
    benchmark reads answers."""
    made = read_manifest(run.store, layout.evaluation(int(run.last.partition("/")[0]), "responses"))
    held_out = read_manifest(run.store, layout.held_out())
    if not made or not held_out:
        return {}
    messages = {row["row_id"]: row["messages"] for row in held_out.rows(run.store, PROMPTS)}
    found: dict[str, list[tuple[list[Message], Rollout]]] = {}
    for row in made.rows(run.store, ROLLOUTS):
        found.setdefault(canonical_json(messages[row["row_id"]]), []).append((messages[row["row_id"]], row))
    return found


def win_rate(oracle: Oracle, first: Answers, other: Answers) -> WinRate | None:
    """The share of comparisons that `other` wins against `first`; None where they have too few prompts in common."""
    common = sorted(first.keys() & other.keys())
    ours, theirs, prompts = list[Rollout](), list[Rollout](), dict[int, list[Message]]()
    for number, prompt in enumerate(common):
        prompts[number] = other[prompt][0][0]
        for (_, our), (_, their) in zip(other[prompt], first[prompt], strict=False):
            ours.append({**our, "row_id": number})
            theirs.append({**their, "row_id": number})
    if len(common) < FEWEST:
        return None
    figures, _ = compare(oracle, prompts, ours, theirs)
    value, low, high = (figures[name] for name in ("win_rate", "win_rate_low", "win_rate_high"))
    return (
        WinRate(value, low, high, len(common)) if value is not None and low is not None and high is not None else None
    )


def learned_from(run: Fired) -> list[list[Message]]:
    """The distinct prompts of all iterations of a run that were dealt out."""
    found: dict[str, list[Message]] = {}
    for iteration in range(1, int(run.run.recipe["run"]["iterations"]) + 1):
        for shard in range(int(run.run.recipe["prompts"]["shards"])):
            unit = layout.prompts(iteration, shard)
            if read_manifest(run.store, unit):
                for row in require_manifest(run.store, unit).rows(run.store, PROMPTS):
                    found[canonical_json(row["messages"])] = row["messages"]
    return list(found.values())
