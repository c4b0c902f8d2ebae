"""The parts that the model oracles share."""

from pathlib import Path

from nashflow.components.models.folders import load_causal_lm, load_tokenizer
from nashflow.components.oracles.inference import context_length
from tests.fixtures import models


def test_the_context_is_the_shorter_of_the_models_and_the_tokenizers(tmp_path: Path) -> None:
    model = load_causal_lm(models.llama(tmp_path))
    tokenizer = load_tokenizer(tmp_path)
    assert context_length(model.config, tokenizer) == 512
    tokenizer.model_max_length = 100
    assert context_length(model.config, tokenizer) == 100
