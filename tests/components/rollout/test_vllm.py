"""Rollouts by vLLM: neither shards nor batch sizes change a token, nor that the step is killed and runs again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nashflow.components.rollout import step as rollout
from nashflow.components.sampling.rollouts import Samplers
from tests.fixtures.engines import NEEDS_VLLM
from tests.fixtures.runs import SandboxRun

pytestmark = NEEDS_VLLM
BY_VLLM = {"rollout.engine": "vllm", "rollout.dtype": "float32"}


class Killed(Exception):
    """What strikes in the middle of a step."""


class Struck(Samplers):
    """Is killed after some micro-batches."""

    def sampled(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        for made, batch in enumerate(super().sampled(*arguments, **options)):
            if made == 5:
                raise Killed
            yield batch


def test_shards_and_batch_sizes_change_no_token(prepare: Callable[..., SandboxRun]) -> None:
    plain, sharded = prepare(BY_VLLM), prepare({**BY_VLLM, "prompts.shards": 4, "rollout.batch_size": 7}, "sharded")
    for run in (plain, sharded):
        run.data(1, ["rollout"])
    rows = plain.content("rollouts", 1)
    assert len(rows) == 192
    assert len({row["text"] for row in rows}) > 10
    assert sharded.content("rollouts", 1) == rows

    killed = prepare({**BY_VLLM, "rollout.batch_size": 7}, "killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollout, "Samplers", Struck)
        with pytest.raises(Killed):
            killed.step("rollout", 1)
    assert killed.store.list("iterations/001/main/rollouts/00000.journal")
    killed.step("rollout", 1)
    assert killed.content("rollouts", 1) == rows
