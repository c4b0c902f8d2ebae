"""Rollouts by vLLM: neither shards nor batch sizes change a token."""

from collections.abc import Callable

from tests.fixtures.engines import NEEDS_VLLM
from tests.fixtures.runs import SandboxRun

pytestmark = NEEDS_VLLM
BY_VLLM = {"rollout.engine": "vllm", "rollout.dtype": "float32"}


def test_shards_and_batch_sizes_change_no_token(prepare: Callable[..., SandboxRun]) -> None:
    plain, sharded = prepare(BY_VLLM), prepare({**BY_VLLM, "prompts.shards": 4, "rollout.batch_size": 7}, "sharded")
    for run in (plain, sharded):
        run.data(1, ["rollout"])
    rows = plain.content("rollouts", 1)
    assert len(rows) == 192
    assert len({row["text"] for row in rows}) > 10
    assert sharded.content("rollouts", 1) == rows
