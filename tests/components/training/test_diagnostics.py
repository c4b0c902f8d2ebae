"""The figures of pairs and of trainings against sums written out, and what they warn of."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.onpo import ONPO
from nashflow.components.training.diagnostics import pair_figures, warnings

(SECOND,) = INPO(eta=0.5, tau=0.1).phases(2)
LENGTHS = torch.tensor([[3, 7], [12, 1], [5, 5]])
GENERATOR = torch.Generator().manual_seed(0)
POLICY, REFERENCE, CURRENT = (-20 * torch.rand(3, 2, generator=GENERATOR, dtype=torch.float64) for _ in range(3))
ANCHORS = {"000/main": REFERENCE, "001/main": CURRENT}
BASE = 0.2 * REFERENCE + 0.8 * CURRENT


def test_figures_of_pairs_by_hand() -> None:
    figures = pair_figures(SECOND, POLICY.requires_grad_(), BASE, ANCHORS, LENGTHS)
    ratios = (POLICY - BASE).detach()
    h = ratios[:, 0] - ratios[:, 1]
    expected = {
        "h": h,
        "accuracy": (h > 0).double(),
        "h_over_target": h.abs(),  # c is 1
        "chosen_ratio": ratios[:, 0],
        "rejected_ratio": ratios[:, 1],
        "chosen_logprob": POLICY.detach()[:, 0],
        "rejected_logprob": POLICY.detach()[:, 1],
        "length_drift": h * torch.tensor([-2, 5.5, 0.0]),
        "kl/000/main": (POLICY.detach() - REFERENCE).mean(1),
        "kl/001/main": (CURRENT - POLICY.detach()).mean(1),
    }
    assert list(figures) == list(expected)
    for name, values in expected.items():
        torch.testing.assert_close(figures[name], values)
        assert not figures[name].requires_grad


def test_divergences_of_mean_log_probabilities_are_of_whole_responses() -> None:
    means = [values / LENGTHS for values in (POLICY.detach(), BASE, REFERENCE, CURRENT)]
    anchors = {"000/main": means[2], "001/main": means[3]}
    figures = pair_figures(replace(SECOND, reduction="mean"), means[0], means[1], anchors, LENGTHS)
    whole = pair_figures(SECOND, POLICY.detach(), BASE, ANCHORS, LENGTHS)
    for name in ANCHORS:
        torch.testing.assert_close(figures[f"kl/{name}"], whole[f"kl/{name}"])
    torch.testing.assert_close(figures["chosen_logprob"], means[0][:, 0])


def test_divergences_and_drift_are_those_of_many_draws() -> None:
    """Two policies over five responses of 1 to 5 tokens, pairs drawn from the first; to first order in their distance
    the second one's responses are longer by what the drift says."""
    rng = np.random.default_rng(0)
    start = np.log(rng.dirichlet(np.ones(5)))
    after = start + 0.02 * rng.normal(size=5)
    after -= np.log(np.exp(after).sum())
    pairs = rng.choice(5, size=(200_000, 2), p=np.exp(start))
    (first,) = IterativeDPO().phases(1)
    policy, anchor = (torch.from_numpy(values[pairs]) for values in (after, start))
    figures = pair_figures(first, policy, anchor, {"000/main": anchor}, torch.from_numpy(pairs + 1))
    assert "h_over_target" not in figures
    divergence = float((np.exp(start) * (start - after)).sum())
    longer = float(((np.exp(after) - np.exp(start)) * np.arange(1, 6)).sum())
    error = 5 / np.sqrt(len(pairs))
    assert float(figures["kl/000/main"].mean()) == pytest.approx(divergence, abs=error * 0.02)
    assert float(figures["length_drift"].mean()) == pytest.approx(longer, abs=error * 0.1)


def test_pairs_of_an_earlier_phase_are_nobodys_in_particular() -> None:
    main = ONPO(eta=0.5).phases(1)[1]
    figures = pair_figures(main, POLICY.detach(), CURRENT, {"001/auxiliary": CURRENT}, LENGTHS)
    torch.testing.assert_close(figures["kl/001/auxiliary"], (POLICY.detach() - CURRENT).mean(1))


SMALL = {"h": 2.0, "chosen_ratio": 1.0, "rejected_ratio": -1.0, "h_over_target": 0.3}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"h_over_target": 0.01}, ["|h| is 0.01 of the target c = 1 nats"]),
        (
            {"chosen_ratio": -3.0, "rejected_ratio": -5.0},
            ["both become less likely than under the anchors, by 3 and 5"],
        ),
        ({"chosen_ratio": -0.1, "rejected_ratio": -2.1}, []),
        ({"chosen_ratio": -3.0, "rejected_ratio": 0.5}, []),
    ],
)
def test_what_is_warned_of(changes: dict[str, float], said: list[str]) -> None:
    found = list(warnings(SECOND, SMALL | changes))
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))
