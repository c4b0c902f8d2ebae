"""What a decision leaves under the run root: JSON for programs, a page for people, and the manifest."""

import json
from collections.abc import Sequence

from ..core.digests import sha256_bytes
from ..reports.promotion import Sample, render_promotion
from ..storage.records import COMPARISONS, ROLLOUTS, Prompt
from ..storage.store import Store
from ..storage.units import File, Manifest, Unit
from .decision import Decision

_SAMPLES = 8
"""Prompts whose answers are shown."""


def publish(
    unit: Unit, decision: Decision, contest: Manifest | None, prompts: Sequence[Prompt], started: float
) -> Manifest:
    """Write the files, then the manifest with the decision's figures."""
    said = decision.to_json()
    samples = _samples(unit.store, contest, prompts) if contest else []
    contents = {
        f"{unit.key}.json": json.dumps(said, ensure_ascii=False, allow_nan=False, indent=1).encode(),
        f"{unit.key}.html": render_promotion(said, samples).encode(),
    }
    files = {}
    for key, data in contents.items():
        unit.store.write(key, data)
        files[key.rpartition("/")[2]] = File(key, sha256_bytes(data), len(data))
    figures = {**decision.figures, "promoted": int(decision.promoted and not decision.dry_run)}
    return unit.publish(files, figures, started)


def _samples(store: Store, contest: Manifest, prompts: Sequence[Prompt]) -> list[Sample]:
    """The first answers to the first prompts that differ."""
    distinct = {str(prompt["messages"]): prompt for prompt in reversed(prompts)}
    answers = {(row["row_id"], row["role"]): row for row in contest.rows(store, ROLLOUTS) if row["sample"] == 0}
    verdicts = {row["row_id"]: row for row in contest.rows(store, COMPARISONS) if row["first"] == 0}
    shown = [each for each in reversed(distinct.values()) if each["row_id"] in verdicts][:_SAMPLES]
    return [
        Sample(
            prompt["messages"],
            answers[row_id, "opponent"]["text"],
            answers[row_id, "pair"]["text"],
            None if verdicts[row_id]["abstained"] else verdicts[row_id]["probability"],
        )
        for prompt in shown
        for row_id in [prompt["row_id"]]
    ]
