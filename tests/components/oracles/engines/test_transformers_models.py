"""Models of transformers: what is read together, and that the answers are those of one plain forward pass each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nashflow.components.oracles.engines.pieces import Piece, pieces
from nashflow.components.oracles.engines.transformers_models import LanguageModel
from tests.fixtures import models
from tests.fixtures.forwards import batches_read

CONTEXT = [7 + index % 200 for index in range(300)]
ENDS = [[9], [9, 10, 11], [12, 13], [9, 10, 14, 15, 16]]
SHORT = [[7, 8], [20, 21, 22]]


def test_a_long_beginning_of_one_prompt_is_shared_and_a_short_one_is_not() -> None:
    sequences = [[1, *CONTEXT, *end] for end in ENDS]
    found = pieces([*SHORT, *sequences], ["a", "a", "b", "b", "b", "b"], 3)
    assert found == [Piece([5, 3, 4, 2], 301), Piece([1, 0])]
    assert [piece.tokens([*SHORT, *sequences]) for piece in found] == [301 + sum(map(len, ENDS)), 5]
    apart = pieces(sequences, range(4), 3)
    assert apart == [Piece([3, 1, 2]), Piece([0])]
    assert pieces([], [], 3) == []


def test_a_sequence_that_the_others_begin_with_keeps_a_token_of_its_own() -> None:
    assert pieces([CONTEXT, [*CONTEXT, 8]], "aa", 4) == [Piece([1, 0], len(CONTEXT) - 1)]


@pytest.fixture(scope="module", params=[models.llama, models.gpt2], ids=["llama", "gpt2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = request.param(tmp_path_factory.mktemp("judge"))
    return path


def plain(folder: Path, sequences: Sequence[Sequence[int]], tokens: Sequence[int]) -> Any:
    """Log-probabilities of the tokens, a forward pass for each sequence."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        found = [model(torch.tensor([sequence])).logits[0, -1].log_softmax(-1)[list(tokens)] for sequence in sequences]
    return torch.stack(found).numpy()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
def test_answers_after_a_shared_beginning_are_those_of_the_whole(folder: Path, dtype: Any, tolerance: float) -> None:
    sequences = [*SHORT, *([1, *CONTEXT, *end] for end in ENDS), *([2, *CONTEXT, *end] for end in ENDS)]
    prompts = ["a"] * 2 + ["b"] * 4 + ["c"] * 4
    model = LanguageModel(folder, dtype, 3, [40, 41])
    with batches_read() as read:
        found = model.read(sequences, prompts)
    assert np.abs(found - plain(folder, sequences, [40, 41])).max() < tolerance
    assert sorted(read) == sorted([(1, 301), (3, 3 * 5), (1, 1)] * 2 + [(2, 2 * 3)])


def test_without_prompts_in_common_every_sequence_is_read_whole(folder: Path) -> None:
    sequences = [[1, *CONTEXT, *end] for end in ENDS]
    with batches_read() as read:
        LanguageModel(folder, "float32", 4, [40]).read(sequences, range(4))
    assert read == [(4, 4 * 306)]
