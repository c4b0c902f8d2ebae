"""Deleting: killed at any time it leaves runs that are whole, and what goes on meanwhile stays."""

from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.store_local import LocalStore
from nashflow.pipelines.gc.inventory import take
from nashflow.pipelines.gc.remove import remove_run
from nashflow.pipelines.report import report_runs
from tests.fixtures.runs import SandboxRun, copy_files
from tests.pipelines.gc.runs import DAY, OLD, a_run, aged, assert_whole, clean, names


class Killed(BaseException):
    pass


@pytest.fixture
def deletions(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Let a process die after so many deletions."""
    left = {"count": 10**9}
    delete = LocalStore.delete

    def dying(self: LocalStore, key: str) -> None:
        if not key.startswith("lock/"):
            if left["count"] <= 0:
                raise Killed
            left["count"] -= 1
        delete(self, key)

    monkeypatch.setattr(LocalStore, "delete", dying)
    return left


@pytest.mark.parametrize("count", [0, 1, 5, 9, 12, 14, 17, 20, 26, 30])
def test_killed_at_any_time_it_leaves_a_run_that_is_whole(
    prefix: Path, deletions: dict[str, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nashflow.pipelines.gc.remove._AT_ONCE", 1)
    store = a_run(prefix, "old", shards=2)
    deletions["count"] = count
    with pytest.raises(Killed):
        clean(prefix)
    assert_whole(store)
    assert store.exists(layout.RUN)
    deletions["count"] = 10**9
    aged(prefix, OLD)
    clean(prefix, older_than="0h")
    assert names(prefix) == set()


def test_later_iterations_go_first(prefix: Path, deletions: dict[str, int]) -> None:
    """So that what is left of a run is its beginning, from which it can go on."""
    store = a_run(prefix, "old")
    units = [key for key in store.list() if key.endswith(".manifest.json") and key.startswith("policies/")]
    deletions["count"] = sum(key.endswith(".manifest.json") for key in store.list()) - 4
    with pytest.raises(Killed):
        clean(prefix)
    left = [key for key in store.list() if key.endswith(".manifest.json")]
    assert units
    assert not [key for key in left if "002" in key]
    assert any("iterations/000" in key for key in left)


def test_a_run_that_goes_on_meanwhile_stays(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, acquire = a_run(prefix, "old"), lock.acquire
    a_run(prefix, "older", OLD + DAY)
    before = set(store.list())

    def resumed(target: Store, owner: str, **options: Any) -> None:
        if target.uri == store.uri:
            target.write("iterations/003/prompts/00000.manifest.json", b"{}")
        acquire(target, owner, **options)

    monkeypatch.setattr(lock, "acquire", resumed)
    with pytest.raises(UserError, match="was written to in the meantime"):
        clean(prefix)
    assert {key for key in store.list() if not key.startswith("lock/")} == before | {
        "iterations/003/prompts/00000.manifest.json"
    }
    assert names(prefix) == {"old"}
    lock.acquire(store, "somebody")


def test_a_run_that_is_taken_meanwhile_stays(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, acquire = a_run(prefix, "old"), lock.acquire

    def overtaken(target: Store, owner: str, **options: Any) -> None:
        acquire(target, "job-7")
        acquire(target, owner, **options)

    monkeypatch.setattr(lock, "acquire", overtaken)
    with pytest.raises(UserError, match="in use by the run job-7"):
        clean(prefix)
    assert_whole(store)


def test_a_kept_run_still_resumes_and_reports(finished_root: SandboxRun, tmp_path: Path) -> None:
    """Every step of it finds its work done; one whose last unit is undone does that alone, to the same result."""
    kept, gone = (finished_root.copied(str(tmp_path / "runs" / name)) for name in ("kept", "gone"))
    copy_files(finished_root.store.at("../cache"), open_store(str(tmp_path / "runs/cache")))
    before = {key: kept.store.read(key) for key in kept.store.list()}
    aged(gone.root, OLD)
    clean(tmp_path / "runs")
    assert not Path(gone.root).exists()
    assert {key: kept.store.read(key) for key in kept.store.list()} == before
    for step in ("rollout", "judging", "logprobs", "training", "evaluation"):
        assert kept.step(step, 2).skipped, step
    digest = kept.manifest("policies/002/main").digest
    kept.store.delete("policies/002/main.manifest.json")
    kept.store.delete("iterations/002/main/logprobs/00000.manifest.json")
    kept.step("logprobs", 2)
    assert not kept.step("training", 2).skipped
    assert kept.manifest("policies/002/main").digest == digest
    report_runs([kept.root], None)


def test_a_run_that_another_one_deletes_first_is_gone(prefix: Path) -> None:
    a_run(prefix, "old")
    (looked_at,) = take(open_store(str(prefix))).runs
    clean(prefix)
    remove_run(looked_at)
    assert not (prefix / "old").exists()
