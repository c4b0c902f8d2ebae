"""The losses against their formulas, and against what minimises them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nashflow.components.core.errors import UserError
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.objective import log_ratios, losses, margin, pair_losses
from nashflow.components.methods.phases import REFERENCE, Phase, PolicyRef
from nashflow.components.methods.sppo import SPPO

nats = st.floats(-60, 60)
labels = st.floats(-1, 1)
batches = st.lists(st.tuples(nats, nats, nats, nats, labels, labels), min_size=1, max_size=8).map(np.array)


def phase(link: str, **constants: float) -> Phase:
    made = PolicyRef(1)
    return Phase("main", {REFERENCE: 1.0}, link, REFERENCE, made, given="pairs", **constants)  # type: ignore[arg-type]


def computed(phase: Phase, batch: np.ndarray) -> np.ndarray:
    """Losses of rows (log π(y_w), log π(y_l), Σ w log π_j(y_w), Σ w log π_j(y_l), z_w, z_l)."""
    rows = torch.from_numpy(batch)
    ratios = log_ratios(rows[:, :2], rows[:, 2:4])
    np.testing.assert_allclose(margin(ratios).numpy(), expected_margin(batch), atol=1e-12)
    return losses(phase, ratios, rows[:, 4:]).numpy()


def expected_margin(batch: np.ndarray) -> np.ndarray:
    chosen, rejected, base_chosen, base_rejected = batch[:, :4].T
    return (chosen - rejected) - (base_chosen - base_rejected)


@given(batch=batches, target=st.floats(-10, 10))
def test_squared(batch: np.ndarray, target: float) -> None:
    expected = (expected_margin(batch) - target * (batch[:, 4] - batch[:, 5]) / 2) ** 2
    np.testing.assert_allclose(computed(phase("squared", target=target), batch), expected, rtol=1e-9, atol=1e-9)


@given(batch=batches, beta=st.floats(0.01, 5), smoothing=st.floats(0, 0.49))
def test_logistic(batch: np.ndarray, beta: float, smoothing: float) -> None:
    scaled = beta * expected_margin(batch)
    expected = (1 - smoothing) * np.logaddexp(0, -scaled) + smoothing * np.logaddexp(0, scaled)
    measured = computed(phase("logistic", beta=beta, label_smoothing=smoothing), batch)
    np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-12)


@given(batch=batches, target=st.floats(-10, 10))
def test_unpaired(batch: np.ndarray, target: float) -> None:
    chosen, rejected = batch[:, 0] - batch[:, 2], batch[:, 1] - batch[:, 3]
    expected = ((chosen - target * batch[:, 4]) ** 2 + (rejected - target * batch[:, 5]) ** 2) / 2
    np.testing.assert_allclose(computed(phase("unpaired", target=target), batch), expected, rtol=1e-9, atol=1e-9)


def test_huge_margins_overflow_nowhere() -> None:
    ratios = torch.tensor([[3e4, -3e4], [-3e4, 3e4]])
    values = losses(phase("logistic", beta=1.0), ratios, torch.tensor([[1.0, -1.0]] * 2)).tolist()
    assert values == pytest.approx([0.0, 6e4])


def stationary_margin(phase: Phase, labels: list[float]) -> float:
    """The one margin h that minimises the mean loss over pairs with these labels."""
    h = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([h], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        ratios = torch.stack([torch.stack([h, torch.zeros_like(h)])] * len(labels))
        loss = losses(phase, ratios, torch.tensor([[z, -z] for z in labels], dtype=torch.float64)).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(h.detach())


def test_soft_labels_and_coins_have_one_minimiser() -> None:
    """A pair that wins 3 times out of 4, as coins (lost ones with the sides exchanged, z = -1) and as 2p - 1."""
    squared = phase("squared", target=2.0)
    assert stationary_margin(squared, [1.0, 1.0, 1.0, -1.0]) == pytest.approx(1.0)
    assert stationary_margin(squared, [0.5]) == pytest.approx(1.0)


def test_smoothing_moves_the_logistic_minimiser_to_its_log_odds() -> None:
    smooth = phase("logistic", beta=0.5, label_smoothing=0.2)
    assert stationary_margin(smooth, [1.0]) == pytest.approx(np.log(0.8 / 0.2) / 0.5)


# --- plain log-probabilities -----------------------------------------------------------------------------------------

T, H = PolicyRef(1), PolicyRef(2)


def plain(count: int = 6) -> list[torch.Tensor]:
    return list(-20 * torch.rand(count, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


def test_inpos_loss_on_plain_tensors_is_its_equation() -> None:
    (second,) = INPO(eta=0.5, tau=0.1).phases(2)
    chosen, rejected, *others = plain()
    anchors = {REFERENCE: (others[0], others[1]), T: (others[2], others[3]), H: (chosen, rejected)}
    h = (chosen - rejected) - 0.2 * (others[0] - others[1]) - 0.8 * (others[2] - others[3])
    torch.testing.assert_close(pair_losses(second, chosen, rejected, anchors), (h - 1 / (2 * 0.5)) ** 2)


def test_dpos_loss_on_plain_tensors_is_its_equation() -> None:
    (first,) = IterativeDPO(beta=0.3).phases(1)
    chosen, rejected, *others = plain(4)
    h = (chosen - rejected) - (others[0] - others[1])
    expected = -torch.nn.functional.logsigmoid(0.3 * h)
    torch.testing.assert_close(pair_losses(first, chosen, rejected, {REFERENCE: (others[0], others[1])}), expected)


def test_labels_that_say_more_than_who_won_have_to_be_given() -> None:
    (first,) = SPPO(eta=4.0).phases(1)
    chosen, rejected, *others = plain(4)
    anchors, z = {REFERENCE: (others[0], others[1])}, torch.rand(5, 2, dtype=torch.float64)
    with pytest.raises(UserError, match="labels: win_rates pairs with soft labels need z of both"):
        pair_losses(first, chosen, rejected, anchors)
    expected = ((chosen - others[0] - 2 * z[:, 0]) ** 2 + (rejected - others[1] - 2 * z[:, 1]) ** 2) / 2
    torch.testing.assert_close(pair_losses(first, chosen, rejected, anchors, z), expected)


def test_the_gradient_is_the_trained_policys_alone() -> None:
    (second,) = INPO(eta=0.5, tau=0.1).phases(2)
    chosen, rejected, *others = plain()
    chosen.requires_grad_()
    loss = pair_losses(second, chosen, rejected, {REFERENCE: (others[0], others[1]), T: (others[2], others[3])})
    loss.sum().backward()
    assert chosen.grad is not None
    torch.testing.assert_close(chosen.grad.abs(), 2 * loss.detach().sqrt())


def test_an_anchor_that_is_missing_is_named() -> None:
    (second,) = INPO(eta=0.5, tau=0.1).phases(2)
    chosen, rejected, *others = plain(4)
    with pytest.raises(UserError, match="of 001/main are missing"):
        pair_losses(second, chosen, rejected, {REFERENCE: (others[0], others[1])})


# --- likelihood, weight, scores --------------------------------------------------------------------------------------

FEATURES: dict[str, dict[str, Any]] = {
    "likelihood": {"likelihood": 0.7},
    "likelihood, summed": {"likelihood": 0.7, "likelihood_reduction": "sum"},
    "likelihood of means": {"likelihood": 0.7, "likelihood_reduction": "sum", "reduction": "mean"},
    "weight": {"weight": "likelihood"},
    "weight of means": {"weight": "likelihood", "reduction": "mean"},
    "both": {"likelihood": 0.2, "weight": "likelihood"},
    "scores": {"labels": "score"},
}
LENGTHS = torch.tensor([[3, 7], [12, 1], [5, 5], [30, 8], [2, 9]])


def featured(link: str, **constants: Any) -> tuple[Phase, dict[str, Any]]:
    made = replace(phase(link, target=1.5, beta=0.4, label_smoothing=0.1), **constants)
    chosen, rejected, *others = plain(4)
    z = 5 * torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    anchors = {REFERENCE: (others[0], others[1])}
    given = {"anchors": anchors, "labels": torch.stack([z, -z], 1), "lengths": LENGTHS}
    return made, {"chosen": chosen, "rejected": rejected, **given}


@pytest.mark.parametrize("link", ["squared", "logistic", "unpaired"])
@pytest.mark.parametrize("feature", FEATURES)
def test_the_whole_loss_is_its_formula(link: str, feature: str) -> None:
    made, given = featured(link, **FEATURES[feature])
    plainly, _ = featured(link)
    expected = pair_losses(plainly, **given)
    chosen, rejected, lengths = given["chosen"], given["rejected"], given["lengths"]
    summed = made.reduction == "sum"
    means = torch.stack([chosen, rejected]) / (lengths.T if summed else 1)
    if made.weight == "likelihood":
        expected = expected * torch.exp(means[0] + means[1])
    whole = chosen if summed else chosen * lengths[:, 0]
    expected = expected - made.likelihood * (whole if made.likelihood_reduction == "sum" else means[0])
    torch.testing.assert_close(pair_losses(made, **given), expected)


@pytest.mark.parametrize("link", ["squared", "logistic", "unpaired"])
@pytest.mark.parametrize("feature", FEATURES)
def test_the_gradient_is_that_of_finite_differences(link: str, feature: str) -> None:
    """A weight counts as a constant: it is taken at the point itself."""
    made, given = featured(link, **FEATURES[feature])
    sides = [given.pop(side).requires_grad_() for side in ("chosen", "rejected")]
    weightless = replace(made, weight="one", likelihood=0.0)
    frozen = (
        pair_losses(replace(made, likelihood=0.0), *sides, **given) / pair_losses(weightless, *sides, **given)
    ).detach()

    def loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        term = pair_losses(replace(made, weight="one"), chosen, rejected, **given)
        link_alone = pair_losses(weightless, chosen, rejected, **given)
        return link_alone * frozen + (term - link_alone)

    found = torch.autograd.grad(pair_losses(made, *sides, **given).sum(), sides)
    step = 1e-6
    for side in (0, 1):
        up, down = ([s.detach() + sign * step * (at == side) for at, s in enumerate(sides)] for sign in (1, -1))
        slope = (loss(*up) - loss(*down)) / (2 * step)
        torch.testing.assert_close(found[side], slope, rtol=1e-6, atol=1e-6)


def test_scores_are_the_rewards_that_the_squared_loss_regresses_on() -> None:
    """REBEL: (D − D_t − η (r_w − r_l))²."""
    made, given = featured("squared", labels="score")
    rewards = given["labels"][:, 0]
    (base,) = given["anchors"].values()
    h = (given["chosen"] - given["rejected"]) - (base[0] - base[1])
    torch.testing.assert_close(pair_losses(made, **given), (h - 1.5 * rewards) ** 2)


@pytest.mark.parametrize(
    ("missing", "feature"), [("labels", "scores"), ("lengths", "likelihood"), ("lengths", "weight")]
)
def test_what_a_phase_needs_has_to_be_given(missing: str, feature: str) -> None:
    made, given = featured("squared", **FEATURES[feature])
    with pytest.raises(UserError, match=f"^{missing}: "):
        pair_losses(made, **{**given, missing: None})
