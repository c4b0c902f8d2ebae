"""The engines that score: the default opens a folder with what loads its model."""

from pathlib import Path
from typing import Any

import numpy as np

from nashflow.components.models.folders import load_causal_lm
from nashflow.components.scoring.engines import SCORING_ENGINES
from nashflow.components.scoring.layouts.padded import Padded
from nashflow.components.scoring.settings import ScoringSettings
from tests.fixtures import models
from tests.fixtures.runs import logprobs


def test_transformers_scores_with_what_load_gives(tmp_path: Path) -> None:
    folder, loaded = models.llama(tmp_path), list[tuple[Path, Any]]()

    def load(folder: Path, dtype: Any) -> Any:
        loaded.append((folder, dtype))
        return load_causal_lm(folder, dtype)

    engine = ScoringSettings().engine
    engine.check()
    scorer = engine.open(folder, "float64", load, Padded())
    pairs = [([0, 7], [8, 9, 1]), ([0], [1]), ([0, 9, 9], [7])]
    for max_tokens in (1, 100):
        np.testing.assert_allclose(scorer.score(pairs, max_tokens), logprobs(folder, pairs), rtol=1e-10)
    assert loaded == [(folder, "float64")]


def test_the_image_is_that_of_the_engine() -> None:
    runtimes = {kind: engine.runtime for kind, engine in SCORING_ENGINES.members.items()}  # type: ignore[attr-defined]
    assert runtimes == {"transformers": "steps", "vllm": "vllm"}
