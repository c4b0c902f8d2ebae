"""The order of the pairs, and what they are read from."""

import time
from typing import Any

import numpy as np
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.oracles.referee import COUNTS
from nashflow.components.storage import records
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import Manifest, Unit
from nashflow.components.training.data import load
from tests.fixtures.runs import SandboxRun


def test_pairs_come_with_the_values_of_their_own_responses(finished_root: SandboxRun) -> None:
    pairs, scored = (finished_root.manifest(f"002/main/{kind}/00000") for kind in ("pairs", "logprobs"))
    phase = finished_root.phase(2)
    data = load(finished_root.store, phase, [pairs], [scored])
    rows, values = finished_root.content("pairs", 2), finished_root.content("logprobs", 2)
    assert len(data) == len(rows) == 96
    for index, row in enumerate(rows):
        assert data.groups[index] == (row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"]))
        for anchor in ("000/main", "001/main"):
            (mine,) = (v for v in values if (v["row_id"], v["policy"]) == (row["row_id"], anchor))
            assert data.anchors[anchor][index].tolist() == [mine["chosen"], mine["rejected"]]
    assert phase.weights == pytest.approx({"000/main": 0.2, "001/main": 0.8})
    expected = 0.2 * data.anchors["000/main"] + 0.8 * data.anchors["001/main"]
    np.testing.assert_allclose(data.base(phase), expected, rtol=1e-12)


def published(store: Any, shard: int, pairs: list[int], scored: list[int], **counts: int) -> tuple[Manifest, Manifest]:
    """Pairs of the prompts with these row ids, and log-probs of those; and how many pairs were dropped, by reason."""
    dropped = dict.fromkeys((name for name in COUNTS if name.startswith("dropped")), 0) | counts
    pair = {
        "pair": 0,
        "chosen": 0,
        "rejected": 1,
        "prompt_ids": [1],
        "rejected_ids": [2],
        "probability": 0.5,
        "chosen_label": 1,
        "rejected_label": -1,
    }
    tables: dict[records.Record[Any], list[Any]] = {
        records.PAIRS: [{**pair, "row_id": row_id, "chosen_ids": [row_id]} for row_id in pairs],
        records.LOGPROBS: [
            {"row_id": row_id, "pair": 0, "policy": "000/main", "chosen": -row_id, "rejected": -0.5}
            for row_id in scored
        ],
    }
    made = []
    for record, rows in tables.items():
        unit = Unit(store, f"iterations/001/main/{record.name}/{shard:05d}", 1, None, {})
        made.append(unit.publish_records({record: rows}, dropped, time.time()))
    return made[0], made[1]


def test_shards_are_put_together_in_order(tmp_path: Any) -> None:
    (phase,) = IterativeDPO().phases(1)
    store = open_store(str(tmp_path))
    shards = [published(store, 0, [3, 5], [3, 5]), published(store, 1, [], []), published(store, 2, [8], [8])]
    data = load(store, phase, [pairs for pairs, _ in shards], [scored for _, scored in shards])
    assert [group.responses[0] for group in data.groups] == [[3], [5], [8]]
    assert data.anchors["000/main"].tolist() == [[-3, -0.5], [-5, -0.5], [-8, -0.5]]


MORE = "sample more responses (method.samples), at a higher method.temperature"


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("dropped_identical", f"one text twice: {MORE}, or set judging.drop_identical to false"),
        (
            "dropped_abstained",
            "without a verdict, because the oracle's context is too short for them, or it reads both answers as one: "
            "lower prompts.max_tokens or rollout.max_new_tokens, or set oracle.model to another folder",
        ),
        ("dropped_tie", f"a tie: {MORE}"),
        ("dropped_lost", f"of a best that lost to the worst: {MORE}"),
        ("dropped_margin", "more even than method.margin: lower it"),
    ],
)
def test_not_one_pair_is_an_error_of_the_recipe(reason: str, line: str, tmp_path: Any) -> None:
    (phase,) = IterativeDPO().phases(1)
    store = open_store(str(tmp_path))
    other = "dropped_tie" if reason != "dropped_tie" else "dropped_lost"
    shards = [published(store, shard, [], [], **{reason: 3, other: shard}) for shard in range(2)]
    with pytest.raises(UserError) as caught:
        load(store, phase, [pairs for pairs, _ in shards], [scored for _, scored in shards])
    assert str(caught.value) == f"phase main: not one pair is left: 6 of 7 were {line}"


def test_pairs_without_values_are_refused(tmp_path: Any) -> None:
    (phase,) = IterativeDPO().phases(1)
    store = open_store(str(tmp_path))
    pairs, scored = published(store, 0, [3, 5], [3])
    with pytest.raises(ValueError, match=r"phase main: no log-probability for .* \('000/main', 5, 0\)"):
        load(store, phase, [pairs], [scored])
