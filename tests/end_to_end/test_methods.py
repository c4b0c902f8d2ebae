"""Every method through every step: two small iterations of each shipped sandbox recipe's method."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from nashflow.components.models.identity import digest_of
from nashflow.components.reports.summary import summarise
from nashflow.components.storage.run import require_run
from nashflow.pipelines.plan import work_of
from nashflow.pipelines.recipe import SHIPPED, load_recipe
from tests.fixtures.runs import SandboxRun, logprobs, recipe

SIZE = {"prompts.per_iteration": 64, "prompts.held_out": 8, "training.epochs": 1, "training.batch_size": 64}
NAMES = sorted(path.stem.removeprefix("sandbox-") for path in SHIPPED.glob("sandbox-*.yaml"))


@pytest.fixture(scope="module", params=NAMES)
def run(request: pytest.FixtureRequest, prepared_root: SandboxRun, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two iterations of one method, on the reference that all tests share."""
    method = load_recipe(f"sandbox-{request.param}").method.model_dump()
    root = tmp_path_factory.mktemp(request.param) / "run"
    for key in prepared_root.store.list("policies/000"):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(prepared_root.store.read(key))
    made = SandboxRun(str(root), recipe({**SIZE, "method": method}))
    made.step("preparation")
    made.step("evaluation", 0)
    for iteration in (1, 2):
        made.iterate(iteration)
    return made


def test_counts_are_those_of_the_plan(run: SandboxRun) -> None:
    rows = summarise(run.store, require_run(run.store), 2)["iterations"]
    for iteration in (1, 2):
        work = work_of(run.recipe, iteration)
        phases = [phase for phase in run.recipe.method.phases(iteration) if not phase.data_from]
        rollouts = [run.manifest(f"{iteration:03d}/{phase.name}/rollouts/00000").metrics for phase in phases]
        pairs = [run.manifest(f"{iteration:03d}/{phase.name}/pairs/00000").metrics for phase in phases]
        assert sum(figures["responses"] for figures in rollouts) == work.responses
        assert rows[iteration]["comparisons"] == work.comparisons
        dropped = sum(value for figures in pairs for name, value in figures.items() if name.startswith("dropped"))
        candidates = sum(work_of(run.recipe, iteration).candidates[phase.name] for phase in phases)
        assert rows[iteration]["pairs"] + dropped == candidates
        assert rows[iteration]["duality_gap"] > 0
        assert rows[iteration]["duality_gap_average"] > 0


def test_every_phase_trains_a_policy_of_its_own_from_where_it_should(run: SandboxRun) -> None:
    weights = Counter[str]()
    for iteration in (1, 2):
        for phase in run.recipe.method.phases(iteration):
            made = run.manifest(f"policies/{phase.result}")
            start = run.manifest(f"policies/{phase.start_from}")
            assert made.inputs["start"] == digest_of(start)
            weights[made.weights_digest] += 1
            # The start policy's log-probs, cached and live, wherever it is an anchor.
            assert made.metrics.get("cache_mismatch", 0.0) < 1e-5
            assert ("cache_mismatch" in made.metrics) == (str(phase.start_from) in phase.weights)
            if phase.updates:
                assert made.metrics["updates"] == phase.updates
    assert set(weights.values()) == {1}


def test_cached_log_probabilities_are_the_anchors(run: SandboxRun) -> None:
    for phase in run.recipe.method.phases(2):
        source = phase.data_from or phase.name
        pairs = {row["pair"] + 1000 * row["row_id"]: row for row in run.rows(f"002/{source}/pairs/00000")}
        rows = run.rows(f"002/{phase.name}/logprobs/00000")
        assert {row["policy"] for row in rows} == set(phase.weights)
        for policy in phase.weights:
            mine = [row for row in rows if row["policy"] == policy][:20]
            for side in ("chosen", "rejected"):
                sequences = [
                    (pairs[row["pair"] + 1000 * row["row_id"]]["prompt_ids"],
                     pairs[row["pair"] + 1000 * row["row_id"]][f"{side}_ids"])
                    for row in mine
                ]  # fmt: skip
                expected = logprobs(run.folder(policy), sequences)
                np.testing.assert_allclose([row[side] for row in mine], expected, atol=1e-5)


def test_roles_and_labels(run: SandboxRun) -> None:
    for phase in run.recipe.method.phases(2):
        if phase.data_from:
            continue
        rollouts = run.rows(f"002/{phase.name}/rollouts/00000")
        roles = Counter(row["role"] for row in rollouts)
        given = {None: 0, "responses": 1, "pairs": 2}[phase.given]
        assert roles["given"] == 64 * given
        assert roles["pair"] == 64 * sum(sampling.count for sampling in phase.samples)
        for row in run.rows(f"002/{phase.name}/pairs/00000"):
            assert -1 <= row["rejected_label"] <= 1
            assert -1 <= row["chosen_label"] <= 1
            assert row["chosen_label"] >= row["rejected_label"] or phase.labels == "soft"
            assert abs(2 * row["probability"] - 1) >= phase.margin


def test_a_finished_method_is_left_alone(run: SandboxRun) -> None:
    """Every unit of every phase, auxiliary and half-way policies included."""
    for phase in run.recipe.method.phases(2):
        for step in ("logprobs",) if phase.data_from else ("rollout", "judging", "logprobs"):
            assert run.step(step, 2, phase=phase.name).skipped
        assert run.step("training", 2, phase=phase.name).skipped
    assert run.step("evaluation", 2).skipped
