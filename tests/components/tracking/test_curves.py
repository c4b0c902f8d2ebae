"""Curves in MLflow's real store while steps work: they grow, nothing comes twice, nothing waits."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.fitting.checkpoint import Checkpoints
from nashflow.components.storage.run import require_run
from nashflow.components.tracking.curves import Curves
from nashflow.components.tracking.opening import Tracking
from nashflow.components.tracking.tracker import Tracker
from tests.components.tracking.silence import Silent
from tests.fixtures import cli
from tests.fixtures.runs import SandboxRun
from tests.fixtures.tracking import free_port, nested, opened, points

FIGURES = ("loss", "h", "accuracy", "gradient_norm", "learning_rate")
CHANGES = {"run.iterations": 1, "training.checkpoint_updates": 2, "training.batch_size": 16, "training.epochs": 2}


@pytest.fixture
def store(client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's store, which is sent to at once."""
    monkeypatch.setenv("NASHFLOW_CURVE_SECONDS", "0.01")
    return client


def run_of(client: Any, run: SandboxRun, place: str) -> str:
    tracking = Tracking.from_json(require_run(run.store).tracking or {})
    return str(nested(client, tracking)[place].info.run_id)


def drawn(client: Any, run: SandboxRun, name: str, step: str = "training") -> list[tuple[int, float]]:
    """The points of a curve: MLflow step and value."""
    found = points(client, run_of(client, run, f"1/main/{step}"), f"curve/{name}")
    return sorted((step, value) for step, value, _ in found)


def whole(run: SandboxRun, name: str) -> list[tuple[int, float]]:
    """The curve that the training's manifest has."""
    return list(enumerate(run.manifest("policies/001/main").curves[name], start=1))


@pytest.fixture
def at_checkpoints(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Any]], None]:
    """Lets something be done at every checkpoint of a training, given the update."""

    save = Checkpoints.save

    def do(act: Callable[[int], Any]) -> None:
        def saved(self: Checkpoints, update: int, *rest: Any) -> None:
            save(self, update, *rest)
            self.wait()
            act(update)

        monkeypatch.setattr(Checkpoints, "save", saved)

    return do


def test_a_trainings_curves_grow_while_it_goes_on(store: Any, prepare: Any, at_checkpoints: Any) -> None:
    run = prepare(CHANGES)
    run.data(1)
    seen: list[int] = []

    def look(update: int) -> None:
        cli.wait_for(lambda: len(drawn(store, run, "loss")) == update)
        seen.append(update)

    at_checkpoints(look)
    run.step("training", 1)
    assert seen == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22][: len(seen)]
    assert len(seen) > 2
    for name in FIGURES:
        assert drawn(store, run, name) == whole(run, name)
    assert {step for step, _ in drawn(store, run, "tokens_per_second")} <= {step for step, _ in whole(run, "loss")}


def test_nothing_is_sent_twice_on_resume(store: Any, prepare: Any, at_checkpoints: Any) -> None:
    """Killed after an update that is in no checkpoint, and goes on before it."""
    run = prepare(CHANGES)
    run.data(1)

    def stop(update: int) -> None:
        cli.wait_for(lambda: len(drawn(store, run, "loss")) == update)
        if update == 4:
            shutil.rmtree(next(Path(run.root).glob("iterations/001/main/training/*/update-00000004")))
            raise InterruptedError

    at_checkpoints(stop)
    with pytest.raises(InterruptedError):
        run.step("training", 1)
    assert [step for step, _ in drawn(store, run, "loss")] == [1, 2, 3, 4]
    at_checkpoints(lambda update: None)
    assert not run.step("training", 1).skipped
    for name in FIGURES:
        assert drawn(store, run, name) == whole(run, name)
    assert run.step("training", 1).skipped
    assert drawn(store, run, "loss") == whole(run, "loss")


def test_what_mlflow_missed_of_a_training_is_sent_at_the_iterations_end(
    store: Any, prepare: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = prepare(CHANGES)
    run.step("evaluation")
    run.data(1)
    capfd.readouterr()
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        run.step("training", 1)
    (warning,) = capfd.readouterr().err.splitlines()
    assert warning.startswith("warning: not sent to MLflow: ")
    run.step("evaluation", 1)
    for name in FIGURES:
        assert drawn(store, run, name) == whole(run, name)


def test_mlflow_may_go_while_a_training_goes_on(
    store: Any, prepare: Any, at_checkpoints: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = prepare(CHANGES)
    run.data(1)
    database = Path(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))

    def lose(update: int) -> None:
        if update == 2:
            cli.wait_for(lambda: drawn(store, run, "loss"))
            database.write_bytes(b"no database")

    at_checkpoints(lose)
    assert run.step("training", 1).manifest
    (warning,) = capfd.readouterr().err.splitlines()
    assert warning.startswith("warning: not sent to MLflow: ")


def test_rollout_and_judging_report_rates_each_shard_by_itself(store: Any, prepare: Any) -> None:
    run = prepare({"prompts.shards": 2, "rollout.batch_size": 24, "judging.batch_prompts": 12})
    run.data(1, ("rollout", "judging"))
    for step, unit, other, total in (
        ("rollout", "responses", "tokens", 96),
        ("judging", "prompts", "oracle_calls", 48),
    ):
        for shard in ("00000", "00001"):
            rates = drawn(store, run, f"{unit}_per_second/{shard}", step)
            assert rates
            assert all(rate > 0 for _, rate in rates)
            assert rates[-1][0] == total
            assert [at for at, _ in drawn(store, run, f"{other}_per_second/{shard}", step)] == [at for at, _ in rates]


def test_work_does_not_wait_for_a_server_that_never_answers(
    store: Any, local_store: Any, silent: Silent, surroundings: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tracking = opened(local_store)
    surroundings.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.server_address[1]}")
    curves = Curves(Tracker(tracking, local_store), 1, "main/training")
    curves.put(1, {"loss": 1.0}, {"updates": 1})
    silent.asked.wait()
    for update in range(2, 50_000):  # would not end if one of them waited
        curves.put(update, {"loss": 1.0}, {"updates": update})
    silent.over.set()
    curves.close()
    (warning,) = capfd.readouterr().err.splitlines()
    assert warning.startswith("warning: not sent to MLflow: ")
