"""Log-probabilities by vLLM: those recorded with samples stand for scored ones, where they are close."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nashflow.components.logprobs import sampled
from tests.fixtures.engines import NEEDS_VLLM
from tests.fixtures.runs import SandboxRun, logprobs, remove, without_cache

pytestmark = NEEDS_VLLM
UNIT = "iterations/001/main/logprobs/00000"


def exact(run: SandboxRun) -> list[float]:
    pairs = [(row["prompt_ids"], row["chosen_ids"]) for row in run.content("pairs", 1)]
    return logprobs(run.folder("000/main"), pairs).tolist()


def test_what_vllm_recorded_is_not_scored_again_unless_it_is_not_close(
    prepare: Callable[..., SandboxRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_vllm: dict[str, Any] = {"rollout.engine": "vllm", "rollout.dtype": "float32", "logprobs.dtype": "float32"}
    run = prepare(by_vllm)
    run.data(1, ["rollout", "judging", "logprobs"])
    figures = run.manifest(UNIT).metrics
    assert figures["sampled"] == figures["sequences"]
    assert figures["tokens"] == figures["cache_hits"] == 0
    assert figures["sampled_apart"] < 1e-3
    assert [row["chosen"] for row in run.content("logprobs", 1)] == pytest.approx(exact(run), abs=1e-3)
    remove(run, UNIT)
    without_cache(run)
    monkeypatch.setattr(sampled, "TOLERANCE", -1.0)
    run.step("logprobs", 1)
    figures = run.manifest(UNIT).metrics
    assert (figures["sampled"], figures["cache_hits"]) == (0, 0)
    assert figures["tokens"] > 0
    remove(run, UNIT)
    run.changed(logprobs__engine="vllm").step("logprobs", 1)
    assert run.manifest(UNIT).metrics["tokens"] > 0, "another engine has a cache of its own"
    np.testing.assert_allclose([row["chosen"] for row in run.content("logprobs", 1)], exact(run), atol=1e-3)
