"""Where responses are no samples of the policy itself, the settings of sampling say so."""

import pytest

from nashflow.components.methods.inpo import INPO
from nashflow.components.sampling.settings import GenerationSettings


@pytest.mark.parametrize(
    ("rollout", "temperature", "said"),
    [
        ({}, 1.0, ""),
        ({"engine": "vllm"}, 1.0, ""),
        ({"top_p": 0.9}, 1.0, "top_p 0.9"),
        ({"engine": "vllm", "top_p": 0.9}, 0.7, "temperature 0.7 and top_p 0.9"),
        ({"engine": {"kind": "vllm", "kv_cache_dtype": "fp8"}}, 1.0, "a KV cache in fp8"),
    ],
)
def test_what_is_sampled_otherwise_is_said(rollout: dict[str, object], temperature: float, said: str) -> None:
    phases = INPO(eta=0.5, tau=0.1, temperature=temperature).phases(1)
    whole = f"responses are sampled with {said}: they are not π_t's own, which the theory assumes" if said else ""
    assert GenerationSettings.parse(rollout, "rollout").otherwise(phases) == whole
