"""The logarithm of a softmax at one place a row, against torch's own."""

import pytest
import torch

from nashflow.components.scoring.log_softmax import log_softmax_at


@pytest.mark.parametrize("spread", [1.0, 100.0], ids=["flat", "peaked"])
def test_values_and_gradients_are_those_of_the_whole_softmax(spread: float) -> None:
    drawn = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 5, generator=drawn, dtype=torch.float64, requires_grad=True)
    weights = (spread * torch.randn(5, 11, generator=drawn, dtype=torch.float64)).requires_grad_()
    places, upstream = torch.randint(11, (7,), generator=drawn), torch.randn(7, generator=drawn, dtype=torch.float64)
    expected = (hidden @ weights).log_softmax(-1).gather(-1, places[:, None]).squeeze(-1)
    wanted = torch.autograd.grad(expected, (hidden, weights), upstream)
    values = log_softmax_at(hidden @ weights, places)
    found = torch.autograd.grad(values, (hidden, weights), upstream)
    for one, other in zip((values, *found), (expected, *wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_logits_that_something_else_needs_stay_as_they_are() -> None:
    logits = torch.randn(2, 3, requires_grad=True).exp()  # whose gradient needs its own value
    before = logits.detach().clone()
    log_softmax_at(logits, torch.tensor([0, 1])).sum().backward()
    assert torch.equal(logits, before)
