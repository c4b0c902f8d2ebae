import torch

from nashflow.components.engines.padding import left_pad


def test_sequences_end_together_and_padding_is_masked():
    ids, mask = left_pad([[5, 6, 7], [8], [0, 9]], torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8], [0, 0, 9]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert ids.dtype == mask.dtype == torch.int64
