"""Run roots made by hand: every unit that a run leaves behind, with figures that a test chooses."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from nashflow.components.benchmarks import BENCHMARKS
from nashflow.components.core.digests import sha256_bytes
from nashflow.components.iterations.units import Shape
from nashflow.components.storage import layout
from nashflow.components.storage.records import COMPARISONS, PROMPTS, ROLLOUTS, Record
from nashflow.components.storage.run import Run, require_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import File, Manifest, Unit

NOW = 1_700_000_000.0
GAME = (
    {"duality_gap": 0.11, "duality_gap_unregularised": 0.2, "duality_gap_exact": 0.11, "kl": 0.0},
    {"duality_gap": 0.08, "duality_gap_unregularised": 0.19, "duality_gap_exact": 0.075, "kl": 0.02},
    {"duality_gap": 0.06, "duality_gap_unregularised": 0.18, "duality_gap_exact": 0.05, "kl": 0.05},
)
WON = (
    {"win_rate": 0.5, "win_rate_low": 0.47, "win_rate_high": 0.53},
    {"win_rate": 0.54, "win_rate_low": 0.51, "win_rate_high": 0.57},
    {"win_rate": 0.56, "win_rate_low": 0.53, "win_rate_high": 0.59},
)
"""The figures of three evaluations on the sandbox."""
_MARKS = {"head_to_head": "win_rate", "game": "duality_gap", "kl": "kl"}
SECONDS = {"rollouts": 1.5, "pairs": 0.25, "logprobs": 0.5, "training": 4.0, "evaluation": 2.0}
QUESTIONS = ("x0", "x1", "x0", "x2")


def _now() -> float:
    return NOW


def evaluations(count: int, *kinds: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The figures of iterations 0 to `count` - 1: a KL, and those in each of `kinds`; with a win rate a mean length."""
    made = []
    for iteration in range(count):
        figures = {"kl": 0.1 * iteration}
        for kind in kinds:
            figures |= kind[iteration]
        made.append(figures | ({"mean_length": 2.0 + iteration} if "win_rate" in figures else {}))
    return made


def benchmarks(figures: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The benchmarks that measure the figures, each with its own; what the game measures, no other does."""
    found: dict[str, dict[str, float]] = {}
    kinds = [kind for kind, marks in _MARKS.items() if marks in figures]
    for kind in kinds[:-1] if kinds[-2:] == ["game", "kl"] else kinds:
        names = {figure.name for figure in BENCHMARKS.members[kind].figures}
        found[kind] = {name: value for name, value in figures.items() if name in names}
    return found


def recipe(
    name: str, iterations: int, shards: int, measured: Sequence[str], **sections: Mapping[str, Any]
) -> dict[str, Any]:
    """A recipe; `sections` replaces whole sections, but for the evaluation's, of which it replaces keys."""
    made: dict[str, Any] = {
        "run": {"name": name, "seed": 7, "threads": 1, "iterations": iterations},
        "method": {"name": "inpo", "eta": 0.5, "tau": 0.1},
        "policy": {"kind": "sandbox", "world": {"seed": 0}},
        "prompts": {"path": "", "per_iteration": 4, "held_out": len(QUESTIONS), "shards": shards},
        "oracle": {"kind": "sandbox", "world": {"seed": 0}},
        "evaluation": {"benchmarks": list(measured), "tau": 0.1, "temperature": 1.0, **sections.pop("evaluation", {})},
    }
    return {**made, **sections}


@mock.patch("time.time", _now)
def toy_run(
    root: Path | str,
    metrics: Sequence[Mapping[str, Any]],
    *,
    name: str = "toy",
    shards: int = 1,
    phases: Sequence[str] = ("main",),
    inputs: Mapping[str, str] | None = None,
    questions: Sequence[str] = QUESTIONS,
    answers: Mapping[int, str] | None = None,
    **sections: Mapping[str, Any],
) -> Store:
    """A finished run whose iterations' evaluations have the given metrics; every unit takes its `SECONDS`.

    A shard's pairs are 10 t + shard + 1, its comparisons and calls to the oracle twice and thrice as many.
    `answers`: the text of iteration t's answers, after which comes the prompt's index.
    """
    store = open_store(str(root))
    named = {"prompts": "p" * 64, "policy": "q" * 64, "oracle": "o" * 64, **(inputs or {})}
    made = recipe(name, len(metrics) - 1, shards, list(benchmarks(metrics[0])), **sections)
    Run(name, made, named, {"nashflow": "0.1.0"}).write(store)
    rows = [
        {"row_id": -1 - i, "messages": [{"role": "user", "content": text}], "given": []}
        for i, text in enumerate(questions)
    ]
    _unit(store, layout.held_out()).publish_records({PROMPTS: rows}, {}, NOW)
    for iteration, measured in enumerate(metrics):
        for phase in phases if iteration else ():
            data(store, iteration, phase, shards)
        policy(store, iteration)
        evaluation(store, iteration, measured, len(questions), (answers or {}).get(iteration, f"t{iteration} "))
    return store


@mock.patch("time.time", _now)
def data(store: Store, iteration: int, phase: str, shards: int, kinds: Iterable[str] = tuple(SECONDS)[:3]) -> None:
    """The shards of a phase's rollouts, pairs and log-probs."""
    for shard in range(shards):
        pairs = 10 * iteration + shard + 1
        judged = {
            "pairs": pairs,
            "comparisons": 2 * pairs,
            "oracle_calls": 3 * pairs,
            "abstentions": shard,
            "truncated": 0,
        }
        for kind in kinds:
            unit = _unit(store, layout.shard(iteration, phase, kind, shard))
            unit.publish({}, judged if kind == "pairs" else {"pairs": -1}, NOW - SECONDS[kind])


@mock.patch("time.time", _now)
def policy(store: Store, iteration: int, name: str = "main", source: str | None = None) -> Manifest:
    """A policy of one file."""
    key = layout.policy(iteration, name)
    file = File(f"{key}/0123456789abcdef/config.json", sha256_bytes(b"{}"), 2)
    if not source:
        store.write(file.key, b"{}")
    return _unit(store, key).publish(
        {"config.json": file},
        {"pairs": -1, "comparisons": -1},
        NOW - SECONDS["training"],
        weights_digest=f"{iteration}{name}",
        source=source,
    )


@mock.patch("time.time", _now)
def evaluation(store: Store, iteration: int, figures: Mapping[str, float], prompts: int, text: str) -> None:
    """An evaluation with two samples a prompt; the first one's probability is the prompt's index / 10."""
    shape, found = Shape.of(require_run(store)), benchmarks(figures)
    records: dict[str, tuple[Record[Any], list[dict[str, Any]]]] = {
        "responses": (ROLLOUTS, rollouts("pair", text, prompts)),
        "opponents": (ROLLOUTS, rollouts("opponent", "reference ", prompts)),
        "head_to_head": (COMPARISONS, verdicts(prompts)),
    }
    began = NOW - SECONDS["evaluation"]
    for part in (key.split("/")[-2] for key in shape.evaluations(iteration)):
        unit = _unit(store, layout.evaluation(iteration, part))
        store.delete(f"{unit.key}.manifest.json")
        unit.publish_records(dict([records[part]]) if part in records else {}, found.get(part, {}), began)
        began = NOW


def rollouts(role: str, text: str, prompts: int) -> list[dict[str, Any]]:
    """Two responses to each prompt."""
    return [
        {"row_id": -1 - i, "sample": sample, "role": role, "prompt_ids": [0], "response_ids": [1], "finish": "stop"}
        | {"text": f"{text}{i}" if sample == 0 else "another sample"}
        for i in range(prompts)
        for sample in range(2)
    ]


def verdicts(prompts: int) -> list[dict[str, Any]]:
    """Those of the oracle on the two responses to each prompt."""
    return [
        {"row_id": -1 - i, "index": 2 * i + sample, "first": sample, "second": sample, "winner": sample}
        | dict.fromkeys(("forward", "backward", "probability"), i / 10 if sample == 0 else 1.0)
        | {"abstained": False, "repeated": False, "oracle": "toy-0", "members": []}
        for i in range(prompts)
        for sample in range(2)
    ]


def forget_evaluation(store: Store, iteration: int, *parts: str) -> None:
    """Make an iteration's evaluation undone, or some parts of it."""
    for part in parts or [key.split("/")[-2] for key in Shape.of(require_run(store)).evaluations(iteration)]:
        store.delete(f"{layout.evaluation(iteration, part)}.manifest.json")


def _unit(store: Store, key: str) -> Unit:
    return Unit(store, key, 1, None, {})
