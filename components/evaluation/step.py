"""Measure an iteration's policy on the benchmarks, and close the iteration in the tracker."""

import time
from typing import Any

from ..methods.at_work import begin
from ..models.folders import load_causal_lm
from ..models.policies import LocalPolicy, open_policy
from ..runtime.artifacts import metrics_artifact
from ..runtime.progress import over
from ..runtime.protocol import Call, Result
from ..sampling.rollouts import sample_rows
from ..scoring.logprobs import score
from ..storage import layout, records
from ..storage.units import Manifest, Unit, require_manifest
from ..tracking.tracker import Tracker
from .benchmarks import game, head_to_head
from .iteration import close_iteration
from .settings import EvaluationStep

SETTINGS = EvaluationStep
VERSION = 2
OUTPUTS = ("scores",)
_REFERENCE = "000/main"


def run(call: Call[EvaluationStep]) -> Result:
    """Evaluate the policy of an iteration, or the reference (iteration 0), which the others are compared with."""
    prompts = require_manifest(call.store, layout.held_out())
    policy, reference = (open_policy(call.store, name) for name in (f"{call.iteration:03d}/main", _REFERENCE))
    inputs = {"prompts": prompts.digest, "policy": policy.weights, "reference": reference.weights}
    if call.iteration:
        inputs["opponents"] = require_manifest(call.store, layout.evaluation(0)).digest
    settings = {**call.settings.model_dump(mode="json"), "oracle_digest": call.settings.oracle.digest()}
    unit = Unit(call.store, layout.evaluation(call.iteration), VERSION, settings, inputs)
    manifest = unit.finished()
    skipped = manifest is not None
    manifest = manifest or _evaluate(call, unit, prompts, policy, reference)
    shards = call.settings.prompts.shards
    close_iteration(Tracker.of(call.store), call.store, call.settings.method, call.iteration, shards)
    return Result(manifest, skipped, {"scores": metrics_artifact(manifest.metrics)})


def _evaluate(
    call: Call[EvaluationStep], unit: Unit, prompts: Manifest, policy: LocalPolicy, reference: LocalPolicy
) -> Manifest:
    begun = begin(call, "evaluation")
    started = time.time()
    rows = prompts.table(call.store, "prompts", records.PROMPTS).to_pylist()
    ours = _sample(call, policy, rows, "pair")
    theirs = _opponents(call, reference, rows)
    lengths = [len(row["response_ids"]) for row in ours]
    figures: dict[str, Any] = {"mean_length": sum(lengths) / len(lengths)}
    compared: list[dict[str, Any]] = []
    played: list[dict[str, Any]] = []
    settings = call.settings.evaluation
    if "head_to_head" in settings.benchmarks:
        messages = {row["row_id"]: row["messages"] for row in rows}
        won, compared = head_to_head.compare(call.settings.oracle.load(), messages, ours, theirs)
        figures |= won
    if "game" in settings.benchmarks:
        world = call.settings.oracle.world  # type: ignore[union-attr]
        exact, played = game.measure(world, call.settings.method, call.iteration, policy, reference, settings.tau)
        figures |= exact
    else:
        figures["kl"] = _kl(call, policy, reference, ours)
    tables = {
        "rollouts": (records.table(ours if call.iteration else ours + theirs, records.ROLLOUTS), records.ROLLOUTS),
        "comparisons": (records.table(compared, records.COMPARISONS), records.COMPARISONS),
        "game_policy": (records.table(played, records.GAME_POLICY), records.GAME_POLICY),
    }
    manifest = unit.publish_records(tables, figures, started)
    begun.end(manifest)
    return manifest


def _opponents(
    call: Call[EvaluationStep], reference: LocalPolicy, prompts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The reference's responses: made at iteration 0, read from there afterwards."""
    if call.iteration == 0:
        return _sample(call, reference, prompts, "opponent")
    manifest = require_manifest(call.store, layout.evaluation(0))
    rows = manifest.table(call.store, "rollouts", records.ROLLOUTS).to_pylist()
    return [row for row in rows if row["role"] == "opponent"]


def _sample(
    call: Call[EvaluationStep], policy: LocalPolicy, prompts: list[dict[str, Any]], role: str
) -> list[dict[str, Any]]:
    """One rollout row for each held-out prompt and sample."""
    work = [(prompt, index) for prompt in prompts for index in range(call.settings.evaluation.samples)]
    batches = sample_rows(
        {policy.folder: 1.0},
        call.settings.rollout,
        work,
        role=role,
        temperature=call.settings.evaluation.temperature,
        seed=(call.settings.run.seed, "evaluation", call.iteration, role),
    )
    return [row for batch in over(batches, "responses", len(work)) for row in batch]


def _kl(
    call: Call[EvaluationStep], policy: LocalPolicy, reference: LocalPolicy, rows: list[dict[str, Any]]
) -> float | None:
    """Monte Carlo KL(π‖π_ref) in nats a response: the mean of log π(y) − log π_ref(y) over y ~ π.

    None where the responses were not sampled from π itself, but at another temperature or from a nucleus.
    """
    if call.settings.evaluation.temperature != 1.0 or call.settings.rollout.top_p != 1.0:
        return None
    if policy.weights == reference.weights:
        return 0.0
    pairs = [(row["prompt_ids"], row["response_ids"]) for row in rows]
    settings = call.settings.logprobs
    ours, theirs = (
        score(load_causal_lm(each.folder, settings.dtype), pairs, settings.batch_tokens) for each in (policy, reference)
    )
    return sum(ours) / len(ours) - sum(theirs) / len(theirs)
