"""The training loop against computations of its figures that share nothing with it."""

import math
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from nashflow.components.core.errors import UserError
from nashflow.components.fitting.checkpoint import Checkpoints
from nashflow.components.games.preference import Game, kl_divergence, log_normalise
from nashflow.components.games.sandbox.settings import WorldSettings
from nashflow.components.games.sandbox.world import make_world
from nashflow.components.games.updates import mirror_step
from nashflow.components.methods import AnyMethod
from nashflow.components.methods.inpo import INPO
from nashflow.components.methods.iterative_dpo import IterativeDPO
from nashflow.components.methods.phases import Phase
from nashflow.components.models.folders import load_causal_lm
from nashflow.components.scoring.groups import Group
from nashflow.components.scoring.layouts.packed import Packed
from nashflow.components.scoring.layouts.padded import Padded
from nashflow.components.scoring.layouts.shared_prefix import SharedPrefix
from nashflow.components.storage.store import open_store
from nashflow.components.training.data import PairData
from nashflow.components.training.diagnostics import summary
from nashflow.components.training.loop import Trainer, updates_of
from nashflow.components.training.settings import TrainingSettings
from tests.fixtures.runs import SandboxRun, log_policy, logprobs, responses

SOFT = INPO(eta=0.5, tau=0.1, labels="soft")
METHODS: dict[str, AnyMethod] = {
    "squared": INPO(eta=0.5, tau=0.1),
    "squared, soft labels": SOFT,
    "squared, means": INPO(eta=0.5, tau=0.1, reduction="mean"),
    "logistic": IterativeDPO(beta=0.5, reference="fixed"),
    "logistic, smoothed": IterativeDPO(beta=2.0, label_smoothing=0.1),
}

THREE_PARTS = 22 * 2 * 7
"""Tokens of 22 pairs: prompts have 4, responses 3."""
SIZES = {64: [22, 22, 20], 50: [17, 17, 16]}
"""Pairs of the micro-batches of such batches."""


def fixed_batch(run: SandboxRun, phase: Phase, seed: int = 0, count: int = 64) -> PairData:
    """Some pairs of the second iteration with random labels, and the anchors' exact log-probs."""
    rows = run.content("pairs", 2)[:count]
    groups = [Group(row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"])) for row in rows]
    exact = {name: exact_logprobs(run.folder(name), groups, phase) for name in phase.weights}
    labels = np.random.default_rng(seed).uniform(-1, 1, len(rows)) if phase.labels == "soft" else np.ones(len(rows))
    return PairData(groups, np.stack([labels, -labels], axis=1), exact)


def exact_logprobs(folder: Path, groups: list[Group], phase: Phase) -> np.ndarray:
    """log π of both sides of the pairs, (pairs, 2), by the phase's reduction."""
    sums = logprobs(folder, [pair for group in groups for pair in group.pairs]).reshape(-1, 2)
    lengths = np.array([[len(response) for response in group.responses] for group in groups])
    return np.asarray(sums / lengths if phase.reduction == "mean" else sums)


def expected_losses(run: SandboxRun, phase: Phase, data: PairData, policy: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses and h of every pair, from exact log-probs and the paper's formulas."""
    margins = {}
    for name in {policy, *phase.weights}:
        chosen, rejected = exact_logprobs(run.folder(name), data.groups, phase).T
        margins[name] = chosen - rejected
    h = margins[policy] - sum(weight * margins[name] for name, weight in phase.weights.items())
    if phase.link == "squared":
        return (h - phase.target * data.labels[:, 0]) ** 2, h
    right, wrong = np.log1p(np.exp(-phase.beta * h)), np.log1p(np.exp(phase.beta * h))
    return (1 - phase.label_smoothing) * right + phase.label_smoothing * wrong, h


def trainer(run: SandboxRun, phase: Phase, data: PairData, start: str = "", **settings: Any) -> Trainer:
    model = load_causal_lm(run.folder(start or str(phase.start_from)))
    chosen = {"batch_size": len(data), "warmup_ratio": 0.5, "epochs": 2, **settings}
    return Trainer(model, phase, data, TrainingSettings(**chosen), (0, 2, "main"))


# --- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["000/main", "001/main", "002/main"])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.usefixtures("norms_in_float64")
def test_the_loss_is_the_formulas(name: str, policy: str, finished_root: SandboxRun) -> None:
    """As it is trained, in float32; then in float64 throughout, so that the formulas and no roundings are compared."""
    (phase,) = METHODS[name].phases(2)
    data = fixed_batch(finished_root, phase)
    expected, margins = expected_losses(finished_root, phase, data, policy)
    made = trainer(finished_root, phase, data, policy, micro_batch_tokens=THREE_PARTS)
    everything = list(range(len(data)))
    single = made.update(everything)  # the warm-up's first: it changes nothing
    assert single["loss"] == pytest.approx(expected.mean(), rel=2e-5)
    assert single["h"] == pytest.approx(margins.mean(), abs=1e-5)
    assert abs(single["accuracy"] - (margins > 0).mean()) <= (abs(margins) < 1e-4).mean()
    made.model.double()
    made.base, made.labels = torch.from_numpy(data.base(phase)), torch.from_numpy(data.labels)
    with torch.no_grad():
        losses, figures = made.forward(everything)
        h = figures["h"]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(h.numpy(), margins, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.usefixtures("norms_in_float64")
def test_the_gradient_is_the_mean_losss(name: str, finished_root: SandboxRun) -> None:
    """In a random direction, in which every weight has a part, the loss rises as the gradient says.

    By central differences over ±s and ±2s, in float64 throughout. They are off by c s² and 4 c s², up to O(s⁴), so they
    differ by three times the error of the first. Rounding adds the loss's own error divided by s; 1e-12 of the loss is
    thousands of times float64's epsilon.
    """
    (phase,) = METHODS[name].phases(2)
    data = fixed_batch(finished_root, phase)
    made = trainer(finished_root, phase, data, "002/main", micro_batch_tokens=THREE_PARTS, max_gradient_norm=1e9)
    made.model.double()
    start = parameters_to_vector(made.model.parameters()).detach()
    seen: list[torch.Tensor] = []
    made.descent.optimizer.register_step_pre_hook(
        lambda *_: seen.append(parameters_to_vector([weights.grad for weights in made.model.parameters()]))
    )
    norm = made.update(list(range(len(data))))["gradient_norm"]  # at the warm-up's rate of 0
    assert norm == pytest.approx(float(seen[0].norm()), rel=1e-10)
    direction = torch.randn(len(start), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction /= direction.norm()

    @torch.no_grad()
    def loss(distance: float) -> float:
        vector_to_parameters(start + distance * direction, made.model.parameters())
        return float(made.forward(list(range(len(data))))[0].mean())

    step = 1e-3
    narrow, wide = ((loss(distance) - loss(-distance)) / (2 * distance) for distance in (step, 2 * step))
    bound = abs(wide - narrow) + 1e-12 * loss(0) / step
    slope = float(seen[0] @ direction)
    assert abs(narrow - slope) < bound < 1e-5 * abs(slope)


def test_inpos_margin_before_the_first_update_is_the_anchors(finished_root: SandboxRun) -> None:
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase)
    with torch.no_grad():
        h = trainer(finished_root, phase, data).forward(list(range(len(data))))[1]["h"]
    current, reference = (
        np.subtract(*exact_logprobs(finished_root.folder(name), data.groups, phase).T)
        for name in ("001/main", "000/main")
    )
    expected = current * (1 - phase.weights["001/main"]) - phase.weights["000/main"] * reference
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(h.numpy(), expected, atol=1e-4)


# --- updates ---------------------------------------------------------------------------------------------------------


def trained(made: Trainer, tmp_path: Path) -> dict[str, torch.Tensor]:
    made.train(Checkpoints(open_store(str(tmp_path)), "training", "f"))
    return {name: parameter.detach() for name, parameter in made.model.named_parameters()}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("norms_in_float64")
def test_micro_batches_change_no_update(size: int, finished_root: SandboxRun, tmp_path: Path) -> None:
    """Not even where one is smaller: 50 pairs are 17, 17 and 16.

    In float64: Adam divides a gradient by its size plus 1e-8, so that a rounding error of 1e-15 in a gradient that
    should be nought moves its weight by 1e-7 of the learning rate, and one of float32 by all of it.
    """
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase, count=size)
    settings = {"epochs": 4, "learning_rate": 1e-5, "warmup_ratio": 0.0}
    made = [trainer(finished_root, phase, data, micro_batch_tokens=most, **settings) for most in (8192, THREE_PARTS)]
    assert [[len(part) for part in one.parts(list(range(size)))] for one in made] == [[size], SIZES[size]]
    start = {name: weights.detach().double() for name, weights in made[0].model.named_parameters()}
    for one in made:
        one.model.double()
    whole, parts = (trained(one, tmp_path) for one in made)
    assert max(float((whole[name] - start[name]).abs().max()) for name in whole) > 1e-5
    assert max(float((whole[name] - parts[name]).abs().max()) for name in whole) < 1e-10


def test_pairs_of_one_prompt_share_it_and_the_loss_is_that_of_each_alone(finished_root: SandboxRun) -> None:
    """64 pairs of eight prompts of 4 tokens, with 6 tokens of responses each."""
    phase, everything = finished_root.phase(2), list(range(64))
    data = fixed_batch(finished_root, phase)
    shared, packed, padded = (
        trainer(finished_root, phase, data, layout=layout, micro_batch_tokens=60)
        for layout in (SharedPrefix(), Packed(), Padded())
    )
    parts = shared.parts(everything)
    assert sorted(chain.from_iterable(parts)) == everything
    assert max(map(shared.tokens_of_pass, parts)) <= 60
    assert len(parts) < len(packed.parts(everything)) == 16
    prompts = [{tuple(data.groups[index].prompt) for index in part} for part in parts]
    assert sum(map(shared.tokens_of_pass, parts)) == 64 * 6 + 4 * sum(map(len, prompts))
    found, expected = (made.update(everything) for made in (shared, padded))
    for name in ("loss", "h", "gradient_norm"):
        assert found[name] == pytest.approx(expected[name], rel=1e-4), name


def test_ranks_share_the_pairs_of_one_prompt(finished_root: SandboxRun) -> None:
    phase, everything = finished_root.phase(2), list(range(64))
    data = fixed_batch(finished_root, phase)
    data.groups[:] = [Group(data.groups[0].prompt, group.responses) for group in data.groups]
    made = trainer(finished_root, phase, data, layout=SharedPrefix())
    made.descent.ranks = 4
    tokens = []
    for rank in range(4):
        made.descent.rank = rank
        (part,) = made.parts(everything)
        tokens.append(made.tokens_of_pass(part))
    assert max(tokens) < 1.7 * 64 * 6 / 4
    assert min(tokens) > 0


def test_where_the_first_pass_is_too_large_a_smaller_one_is_tried(
    finished_root: SandboxRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase, everything = finished_root.phase(2), list(range(64))
    data, real = fixed_batch(finished_root, phase), Trainer.forward

    def forward(made: Trainer, indices: list[int]) -> Any:
        if made.tokens_of_pass(indices) > 300:
            raise RuntimeError("CUDA out of memory")
        return real(made, indices)

    monkeypatch.setattr(Trainer, "forward", forward)
    line = r"^out of memory in a pass over 896 tokens, .*: set training\.micro_batch_tokens to at most 220$"
    with pytest.raises(UserError, match=line):
        trainer(finished_root, phase, data).update(everything)
    trainer(finished_root, phase, data, micro_batch_tokens=220).update(everything)


def test_pairs_that_no_micro_batch_holds_are_refused(finished_root: SandboxRun) -> None:
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase, count=12)
    data.groups[3] = Group(data.groups[3].prompt, (data.groups[3].responses[0], [14, 14, 14, 1]))
    line = r"1 of 12 pairs have more tokens than training\.micro_batch_tokens = 15, .*: set it to at least 16$"
    with pytest.raises(UserError, match=line):
        trainer(finished_root, phase, data, micro_batch_tokens=15)
    trainer(finished_root, phase, data, micro_batch_tokens=16)


def expected_rates(schedule: str, peak: float, warmup: int, updates: int) -> list[float]:
    rates = []
    for done in range(updates):
        if done < warmup:
            rates.append(peak * done / warmup)
            continue
        rest = (done - warmup) / (updates - warmup)
        rates.append(peak * {"cosine": (1 + math.cos(math.pi * rest)) / 2, "linear": 1 - rest, "constant": 1}[schedule])
    return rates


@pytest.mark.parametrize(
    ("schedule", "ratio", "warmup"),
    [("cosine", 0.1, 2), ("cosine", 0.0, 0), ("linear", 0.25, 6), ("constant", 0.5, 12), ("cosine", 0.03, 0)],
)
def test_the_learning_rate_rises_and_falls(
    schedule: str, ratio: float, warmup: int, finished_root: SandboxRun, tmp_path: Path
) -> None:
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase, count=12)
    made = trainer(
        finished_root,
        phase,
        data,
        schedule=schedule,
        warmup_ratio=ratio,
        batch_size=4,
        epochs=8,
        learning_rate=3e-4,
    )
    curves = made.train(Checkpoints(open_store(str(tmp_path)), "training", "f"))
    assert curves["learning_rate"] == pytest.approx(expected_rates(schedule, 3e-4, warmup, 24), abs=1e-12)
    assert made.scheduler.get_last_lr()[0] == pytest.approx(3e-4 if schedule == "constant" else 0.0, abs=1e-12)


def test_a_training_of_one_update_learns(finished_root: SandboxRun, tmp_path: Path) -> None:
    """Its warm-up must not be all of it."""
    phase = finished_root.phase(2)
    made = trainer(finished_root, phase, fixed_batch(finished_root, phase, count=8), epochs=1, learning_rate=1e-4)
    before = made.model.get_parameter("lm_head.weight").detach().clone()
    assert not torch.equal(trained(made, tmp_path)["lm_head.weight"], before)


def test_gradients_are_clipped_to_the_norm(finished_root: SandboxRun) -> None:
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase)
    seen = []
    for limit in (1e9, 0.5):
        made = trainer(finished_root, phase, data, max_gradient_norm=limit)
        made.model.double()
        applied: list[torch.Tensor] = []
        made.descent.optimizer.register_step_pre_hook(
            lambda *_, made=made, applied=applied: applied.append(
                torch.cat([p.grad.flatten().clone() for p in made.model.parameters()])
            )
        )
        figures = made.update(list(range(len(data))))
        seen.append((figures["gradient_norm"], applied[0]))
    (norm, free), (same_norm, clipped) = seen
    assert norm == same_norm == pytest.approx(float(free.norm()), rel=1e-10)
    assert norm > 0.5
    # torch divides by the norm plus 1e-6
    torch.testing.assert_close(clipped, free * 0.5 / (norm + 1e-6), rtol=1e-10, atol=0)


def test_gradients_do_not_pile_up(finished_root: SandboxRun) -> None:
    """At a learning rate of nought every update finds the same gradient."""
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase)
    made = trainer(finished_root, phase, data, epochs=3, learning_rate=1e-30, schedule="constant", warmup_ratio=0.0)
    norms = [made.update(list(range(len(data))))["gradient_norm"] for _ in range(3)]
    assert norms[0] == norms[1] == norms[2]


def test_weight_decay_is_decoupled(finished_root: SandboxRun) -> None:
    """AdamW (arXiv 1711.05101): weights shrink by lr × decay, whatever the gradient."""
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase)
    after = {}
    for decay in (0.0, 0.3):
        made = trainer(finished_root, phase, data, weight_decay=decay, warmup_ratio=0.0, learning_rate=1e-2)
        before = made.model.get_parameter("lm_head.weight").detach().clone()
        made.update(list(range(len(data))))
        after[decay] = made.model.get_parameter("lm_head.weight").detach()
    torch.testing.assert_close(after[0.0] - after[0.3], 1e-2 * 0.3 * before, rtol=1e-3, atol=1e-6)


def test_a_training_that_diverges_says_so(finished_root: SandboxRun) -> None:
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase)
    made = trainer(finished_root, phase, data)
    made.base[0, 0] = 1e20
    with pytest.raises(UserError, match=r"training diverged at loss inf: lower training\.learning_rate"):
        made.update([0, 1])
    made = trainer(finished_root, phase, data)
    made.update([0, 1])
    with torch.no_grad():
        made.model.get_parameter("lm_head.weight").fill_(torch.nan)
    with pytest.raises(UserError, match=r"infinite or NaN, .*: that is after 1 updates: lower training\.learning_rate"):
        made.update([0, 1])


# --- how long, and what is said of it --------------------------------------------------------------------------------


def test_updates_are_epochs_over_the_pairs_unless_the_phase_says(finished_root: SandboxRun) -> None:
    phase = finished_root.phase(2)
    settings = TrainingSettings(epochs=3, batch_size=10)
    assert [updates_of(phase, settings, pairs) for pairs in (1, 10, 11, 100)] == [3, 3, 6, 30]
    assert updates_of(replace(phase, updates=7), settings, 100) == 7


def test_a_phase_can_ask_for_its_number_of_updates(finished_root: SandboxRun, tmp_path: Path) -> None:
    phase = replace(finished_root.phase(2), updates=5)
    made = trainer(finished_root, phase, fixed_batch(finished_root, phase, count=12), batch_size=8)
    curves = made.train(Checkpoints(open_store(str(tmp_path)), "training", "f"))
    assert {len(values) for values in curves.values()} == {5}


def test_the_summary_is_of_the_last_tenth(finished_root: SandboxRun) -> None:
    phase = finished_root.phase(2)
    data = fixed_batch(finished_root, phase)
    names = ("loss", "h", "accuracy", "gradient_norm", "learning_rate")
    curves = {name: [float(update) for update in range(1, 41)] for name in names}
    figures = summary(phase, data, {**curves, "clipped": [1.0] * 10 + [0.0] * 30})
    tail = (37 + 38 + 39 + 40) / 4
    margins = {name: float((values[:, 0] - values[:, 1]).mean()) for name, values in data.anchors.items()}
    assert figures == pytest.approx(
        dict.fromkeys(names[:4], tail)
        | {"loss_first": 1.0, "h_first": 1.0, "clipped": 0.25, "chosen_length": 3.0, "rejected_length": 3.0}
        | {f"margin/{name}": margin for name, margin in margins.items()}
    )


# --- the stationary point --------------------------------------------------------------------------------------------

CONTEXT = 5


def population(run: SandboxRun, copies: np.ndarray) -> PairData:
    """Soft labels over pairs of responses i > j in one context, each as often as `copies` (25, 25) has it."""
    prompts, spelt = responses()
    matrix = make_world(WorldSettings()).matrix[CONTEXT]
    exact = {name: log_policy(run.folder(name))[CONTEXT] for name in ("000/main", "001/main")}
    below = np.tril_indices(25, -1)
    one, two = (np.repeat(index, copies[below]) for index in below)
    labels = 2 * matrix[one, two] - 1
    return PairData(
        [Group(prompts[CONTEXT], (spelt[i], spelt[j])) for i, j in zip(one, two, strict=True)],
        np.stack([labels, -labels], 1),
        {name: np.stack([values[one], values[two]], 1) for name, values in exact.items()},
    )


def reached(run: SandboxRun, data: PairData, epochs: int, tmp_path: Path) -> np.ndarray:
    """The policy (25,) that the whole of the data as one batch leads to, from π_1 on."""
    (phase,) = SOFT.phases(2)
    made = trainer(run, phase, data, epochs=epochs, learning_rate=1e-3, warmup_ratio=0.1, max_gradient_norm=10.0)
    made.train(Checkpoints(open_store(str(tmp_path)), "training", "f"))
    made.model.save_pretrained(tmp_path / "trained")
    return log_normalise(log_policy(tmp_path / "trained")[CONTEXT])


def game_and_policy(run: SandboxRun) -> tuple[Game, np.ndarray]:
    """The game in the context, and π_1."""
    reference, current = (log_normalise(log_policy(run.folder(name))[CONTEXT]) for name in ("000/main", "001/main"))
    return Game(make_world(WorldSettings()).matrix[CONTEXT], reference, SOFT.tau), current


def test_every_pair_once_leads_to_the_exact_step_against_the_uniform_policy(
    finished_root: SandboxRun, tmp_path: Path
) -> None:
    """Whoever generates the pairs is the opponent; the anchors are the base."""
    game, current = game_and_policy(finished_root)
    wanted = mirror_step(game, current, np.full(25, -np.log(25)), 1 / SOFT.eta)
    policy = reached(finished_root, population(finished_root, np.ones((25, 25), int)), 70, tmp_path)
    assert kl_divergence(wanted, policy) < 0.01 * kl_divergence(wanted, current)


@pytest.mark.slow
def test_pairs_of_the_policys_own_lead_to_the_exact_inpo_update(finished_root: SandboxRun, tmp_path: Path) -> None:
    """Pairs of the likelier responses, as often as two draws of π_1 are them, in whole numbers of copies."""
    game, current = game_and_policy(finished_root)
    likely = current > np.log(0.02)
    assert np.exp(current)[likely].sum() > 0.8
    game = Game(game.matrix[np.ix_(likely, likely)], log_normalise(game.log_reference[likely]), game.tau)
    start = log_normalise(current[likely])
    wanted = mirror_step(game, start, start, 1 / SOFT.eta)
    chances = np.exp(log_normalise(np.where(likely, current, -np.inf)))
    data = population(finished_root, np.round(2000 * np.outer(chances, chances)).astype(int))
    policy = log_normalise(reached(finished_root, data, 80, tmp_path)[likely])
    assert kl_divergence(wanted, policy) < 0.01 * kl_divergence(wanted, start)
