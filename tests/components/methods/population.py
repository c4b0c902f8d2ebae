"""Endless data, made by the code that makes the real ones: every draw with its probability, judged and regressed.

A batch is eight games of one size on the sandbox's texts. Every tuple of responses that a phase can draw is judged by
`judge`, with either result of every coin; the pairs that come of it are weighed by the policies and by the coins; and
the mean of `objective.losses` is minimised over all policies by Newton's method, with torch's own derivatives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from nashflow.components.games.families import draw_games
from nashflow.components.games.preference import Array, log_normalise
from nashflow.components.games.sandbox.texts import prompt_messages, response_index, response_text
from nashflow.components.games.sandbox.world import CONTEXTS, World
from nashflow.components.methods.base import Method
from nashflow.components.methods.objective import log_ratios, losses
from nashflow.components.methods.phases import REFERENCE, Phase
from nashflow.components.oracles import referee, rounds
from nashflow.components.oracles.sandbox.oracle import MatrixOracle
from nashflow.components.scoring.groups import Group
from nashflow.components.training.data import PairData

if TYPE_CHECKING:
    import torch

Indices = NDArray[np.int64]
Policies = Mapping[str, Array]
"""log π (8, n) by the policy's text form."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Eight games: `matrix` (8, n, n), `log_reference` (8, n), and `log_given` (8, n), the law of given responses."""

    matrix: Array
    log_reference: Array
    log_given: Array

    @property
    def responses(self) -> int:
        return self.matrix.shape[-1]


@cache
def batch(responses: int, family: str = "uniform", seed: int = 0) -> Batch:
    """The first eight games of a family; responses are given by the references of other games."""
    games = draw_games(family, CONTEXTS, seed, responses)
    return Batch(games.matrix, games.log_reference, draw_games(family, CONTEXTS, seed + 1, responses).log_reference)


@dataclass(frozen=True)
class Pairs:
    """N pairs: the prompt and the game of each, its two responses, and their labels."""

    prompt: Indices
    game: Indices
    sides: Indices
    labels: Array


def judge(games: Batch, game: Indices, drawn: Indices, source: Phase, seed: int = 0) -> Pairs:
    """The pairs of prompts, each with its game and its responses (prompts, m), under a phase's rules."""
    prompts = [
        referee.PromptSamples(
            row_id,
            prompt_messages(number),
            [],
            [referee.Sample(response_text(response), [response]) for response in responses],
        )
        for row_id, (number, responses) in enumerate(zip(game.tolist(), drawn.tolist(), strict=True))
    ]
    rules = referee.Rules(source.labels, seed, drop_identical=True, margin=source.margin)
    oracle = MatrixOracle(World(games.matrix, games.log_reference))
    rows = rounds.judge(prompts, source.comparisons, rules, oracle).pairs
    prompt = np.array([row["row_id"] for row in rows])
    sides = np.array([(*row["chosen_ids"], *row["rejected_ids"]) for row in rows])
    labels = np.array([(row["chosen_label"], row["rejected_label"]) for row in rows])
    return Pairs(prompt, game[prompt], sides, labels)


# --- every draw, with its probability --------------------------------------------------------------------------------


def population(source: Phase, games: Batch, policies: Policies) -> tuple[Pairs, Array]:
    """Every pair that a phase's data can hold, and how often it comes up in a prompt."""
    laws = samplers(source, games, policies)
    pairs, drawn, chance = _everything(games, len(laws), source.comparisons, source.labels, source.margin)
    logs = sum(law[pairs.game, drawn[pairs.prompt, place]] for place, law in enumerate(laws))
    return pairs, chance[pairs.prompt] * np.exp(logs)


def samplers(source: Phase, games: Batch, policies: Policies) -> list[Array]:
    """The law (8, n) of each response of a prompt; a mixture is that of whole responses."""
    laws = [
        log_normalise(sum(weight * policies[name] for name, weight in drawn.weights.items()) / drawn.temperature)
        for drawn in source.samples
        for _ in range(drawn.count)
    ]
    return laws + [games.log_given] * {"responses": 1, "pairs": 2, None: 0}[source.given]


def sample(source: Phase, games: Batch, policies: Policies, count: int, seed: int) -> Pairs:
    """The pairs of `count` prompts a game: responses drawn by numpy's generator, coins tossed by the run's seed."""
    random, game = np.random.default_rng(seed), np.repeat(np.arange(CONTEXTS), count)
    laws = [np.exp(law) for law in samplers(source, games, policies)]
    drawn = [[random.choice(games.responses, count, p=law[number]) for law in laws] for number in range(CONTEXTS)]
    return judge(games, game, np.concatenate(np.transpose(drawn, (0, 2, 1))), source, seed)


@cache
def _everything(games: Batch, count: int, comparisons: Any, labels: Any, margin: float) -> tuple[Pairs, Indices, Array]:
    """The pairs of a prompt for every `count` responses and every fall of its coins; its responses; its coins' chance.

    The coins replace what the seed says of them, nothing else.
    """
    tables = [
        (game, drawn, coins)
        for game in range(CONTEXTS)
        for drawn in product(range(games.responses), repeat=count)
        for coins in _coins(set(drawn) if labels == "sampled" else set())
    ]

    def toss(_seed: int, _name: str, row_id: int, low: str, high: str) -> float:
        return 0.0 if tables[row_id][2][response_index(low), response_index(high)] else 1 - 2**-53

    game, drawn = np.array([table[0] for table in tables]), np.array([table[1] for table in tables])
    rules: dict[str, Any] = {"comparisons": comparisons, "labels": labels, "margin": margin}
    source = Phase("main", {REFERENCE: 1.0}, "squared", REFERENCE, REFERENCE, given="pairs", **rules)
    with patch.object(referee, "derive_uniform", toss):
        pairs = judge(games, game, drawn, source)
    if comparisons == "given":
        return pairs, drawn, games.matrix[game, drawn[:, 0], drawn[:, 1]]  # the winner comes first
    chances = [
        np.prod([games.matrix[game][pair if low_wins else pair[::-1]] for pair, low_wins in coins.items()])
        for game, _, coins in tables
    ]
    return pairs, drawn, np.array(chances)


def _coins(responses: set[int]) -> Iterator[dict[tuple[int, int], bool]]:
    """Every way in which the coins between some responses can fall: whether the lower number wins."""
    meetings = list(combinations(sorted(responses), 2))
    return (dict(zip(meetings, results, strict=True)) for results in product((True, False), repeat=len(meetings)))


# --- the minimiser ---------------------------------------------------------------------------------------------------


def iterates(method: Method, games: Batch, iterations: int) -> list[Array]:
    """log π (8, n) after each iteration when every phase finds its population minimiser."""
    policies, found = {str(REFERENCE): games.log_reference}, []
    for iteration in range(1, iterations + 1):
        phases = {phase.name: phase for phase in method.phases(iteration)}
        for phase in phases.values():
            policies[str(phase.result)] = minimiser(phase, phases[phase.data_from or phase.name], games, policies)
        found.append(policies[f"{iteration:03d}/main"])
    return found


def minimiser(phase: Phase, source: Phase, games: Batch, policies: Policies) -> Array:
    """The policies (8, n) that minimise the mean loss of a phase on the endless data of `source`."""
    scale = np.exp(samplers(source, games, policies)[0] / 2)
    return newton(phase, *population(source, games, policies), policies, scale)


def newton(phase: Phase, pairs: Pairs, weight: Array, policies: Policies, scale: Array) -> Array:
    """Newton's method from `start_from`, by the least steps, in units of 1 / `scale` (8, n), where several will do.

    Steps of spread r are shortened by log(1 + r) / r, which keeps self-concordant losses falling.
    """
    import torch

    position, metric = torch.from_numpy(policies[str(phase.start_from)].copy()), torch.from_numpy(scale)
    for _ in range(100):
        gradient, hessian = derivatives(phase, pairs, weight, policies, position)
        scaled = hessian / (metric[:, :, None] * metric[:, None, :])
        inverse = torch.linalg.pinv(scaled, rtol=1e-11, hermitian=True)
        step = -(inverse @ (gradient / metric)[..., None])[..., 0] / metric
        spread = step.amax(-1, keepdim=True) - step.amin(-1, keepdim=True)
        position = position + step * torch.log1p(spread) / spread.clamp(min=1e-300)
        if spread.max() < 1e-8:  # the error after this step is of its square
            gradient, _ = derivatives(phase, pairs, weight, policies, position)
            assert gradient.abs().max() <= 1e-13
            return np.asarray(position.log_softmax(-1).numpy())
    raise AssertionError(f"phase {phase.name}: the last step is {float(spread.max()):g}")


def derivatives(
    phase: Phase, pairs: Pairs, weight: Array, policies: Policies, logits: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Gradient (8, n) and Hessian (8, n, n) of each game's mean loss at π = softmax(logits)."""
    import torch

    game, sides = torch.from_numpy(pairs.game)[:, None], torch.from_numpy(pairs.sides)
    anchors = {name: policies[name][pairs.game[:, None], pairs.sides] for name in phase.weights}
    data = PairData([Group([], ())] * len(weight), pairs.labels, anchors)
    logits = logits.clone().requires_grad_()
    ratios = log_ratios(logits.log_softmax(-1)[game, sides], torch.from_numpy(data.base(phase)))
    loss = torch.from_numpy(weight) @ losses(phase, ratios, torch.from_numpy(data.labels))
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    # No loss touches two games, so one derivative gives a row of every game's Hessian.
    rows = [torch.autograd.grad(column.sum(), logits, retain_graph=True)[0] for column in gradient.T]
    return gradient.detach(), torch.stack(rows, 1)
