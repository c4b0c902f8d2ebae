"""Whether the judge still says what it said: pairs that the first run's evaluation has compared, compared again now."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np

from nashflow.components.benchmarks.intervals import mean_interval, means_of
from nashflow.components.oracles.base import Oracle, Query
from nashflow.components.storage import layout
from nashflow.components.storage.records import COMPARISONS, PROMPTS, ROLLOUTS
from nashflow.components.storage.store import Store
from nashflow.components.storage.units import read_manifest

from .found import Fired

PROBES = 128
"""Pairs that are compared again, at most."""
_FOLDER = "cache/drift"


@dataclass(frozen=True)
class Probe:
    """A pair, and the probability that its first answer is better, as it was said at first."""

    query: Query
    said: float


@dataclass(frozen=True)
class Asked:
    """What the judge said of the probes on a day."""

    day: str
    pairs: int
    changed: float
    """The share of pairs on which it now decides otherwise: for the other answer, or for none."""
    changed_low: float
    changed_high: float
    """The ends of its 95 % interval, over prompts."""
    moved: float
    """The mean of |p now − p then|."""
    oracle: str
    """Its signature: of another judge, the changes are the other's."""


def probes_of(run: Fired) -> list[Probe]:
    """The pairs of the first comparisons with the reference that a run has made: those of its last iteration."""
    iteration = int(run.run.recipe["run"]["iterations"])
    compared = read_manifest(run.store, layout.evaluation(iteration, "head_to_head"))
    held_out = read_manifest(run.store, layout.held_out())
    sides = [
        read_manifest(run.store, layout.evaluation(*place)) for place in ((iteration, "responses"), (0, "opponents"))
    ]
    if not compared or not held_out or not all(sides):
        return []
    messages = {row["row_id"]: row["messages"] for row in held_out.rows(run.store, PROMPTS)}
    ours, theirs = (
        {(row["row_id"], row["sample"]): row["text"] for row in side.rows(run.store, ROLLOUTS)}
        for side in sides
        if side
    )
    rows = (row for row in compared.rows(run.store, COMPARISONS) if not row["abstained"])
    found = [
        Probe(
            Query(messages[row["row_id"]], ours[row["row_id"], row["first"]], theirs[row["row_id"], row["second"]]),
            row["probability"],
        )
        for row in rows
    ]
    return [probe for probe in found if not probe.query.identical][:PROBES]


def ask(oracle: Oracle, signature: str, probes: Sequence[Probe]) -> Asked | None:
    """Ask a judge about the probes, in one go; None where there are none that it judges."""
    verdicts = oracle.compare([probe.query for probe in probes])
    told = [(probe, verdict) for probe, verdict in zip(probes, verdicts, strict=True) if not verdict.abstained]
    if not told:
        return None
    now, then = (np.array(each) for each in zip(*((v.probability, p.said) for p, v in told), strict=True))
    changed = (np.sign(now - 0.5) != np.sign(then - 0.5)).astype(float)
    prompts = [json.dumps(probe.query.messages) for probe, _ in told]
    low, high = mean_interval(means_of(zip(prompts, changed.tolist(), strict=True)))
    today, moved = datetime.now(UTC).date().isoformat(), float(np.abs(now - then).mean())
    return Asked(today, len(told), float(changed.mean()), float(low), float(high), moved, signature)


def keep(beside: Store, name: str, asked: Asked) -> list[Asked]:
    """Keep what was said today beside the run roots; what was said on all days, in their order."""
    folder = f"{_FOLDER}/{name}"
    beside.write(f"{folder}/{asked.day}-{asked.oracle}.json", json.dumps(asdict(asked)).encode())
    return [Asked(**json.loads(beside.read(key))) for key in sorted(beside.list(folder))]
