"""Batches of sequences of different lengths."""

import pytest
import torch

from nashflow.components.models.padding import padded

CPU = torch.device("cpu")


def test_padded_on_the_left_sequences_end_together_and_padding_is_masked() -> None:
    ids, mask = padded([[5, 6, 7], [8], [0, 9]], "left", CPU)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8], [0, 0, 9]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert ids.dtype == mask.dtype == torch.int64


def test_padded_on_the_right_sequences_start_together_and_the_token_is_the_callers() -> None:
    ids, mask = padded([[5, 6, 7], [8], [9, 0]], "right", CPU, token=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9], [9, 0, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_sequences_of_one_length_get_no_padding(side: str) -> None:
    ids, mask = padded([(1, 2), (3, 4)], side, CPU, token=7)
    assert (ids.tolist(), mask.tolist()) == ([[1, 2], [3, 4]], [[1, 1], [1, 1]])
