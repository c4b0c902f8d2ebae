"""`nashflow gc`: what goes, what stays and why; what stays is whole."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from nashflow.components.logprobs.cache import LogprobCache
from nashflow.components.shared import layout, lock
from nashflow.components.shared.digests import sha256_bytes
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.run import require_run
from nashflow.components.shared.store import Store, open_store
from nashflow.components.shared.store_local import LocalStore
from nashflow.components.shared.units import File, Manifest, Unit
from nashflow.pipelines.costs_table import amount
from nashflow.pipelines.gc.collect import collect, seconds
from nashflow.pipelines.report import report_runs
from tests.components.reporting.toy_runs import GAME, WON, evaluations, policy, toy_run
from tests.fixtures.runs import SandboxRun, copy_files
from tests.fixtures.tracking import free_port

DAY = 86_400.0
OLD, YOUNG = 40 * DAY, 2 * DAY


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def aged(root: Path | str, age: float) -> None:
    """Let everything below a folder be written so long ago."""
    for path in Path(root).rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - age,) * 2)


def a_run(prefix: Path | str, name: str, age: float = OLD, *, finished: bool = True, **options: Any) -> Store:
    """A run of two iterations below a prefix; its folder's name is the run's, before an optional `@`."""
    store = toy_run(f"{prefix}/{name}", evaluations(3, WON, GAME), name=name.partition("@")[0], **options)
    if finished:
        store.write("report/summary.json", b"{}")
        file = File("report/summary.json", sha256_bytes(b"{}"), 2)
        Unit(store, "report/report", 1, None, {}).publish({"summary.json": file}, {}, time.time())
    if "://" not in store.uri:
        aged(store.uri, age)
    return store


def clean(prefix: Path | str, *, older_than: str = "30d", keep_last: int = 0, delete: bool = True) -> None:
    collect(str(prefix), older_than, keep_last, delete)


def names(prefix: Path) -> set[str]:
    """The run roots below a prefix."""
    return {path.name for path in prefix.iterdir() if path.is_dir()} - {"cache", "ledgers"}


def files(folder: Path) -> dict[str, bytes]:
    """Content by name, but for a store's own hidden files."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".nashflow-"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def assert_whole(store: Store) -> None:
    """Every manifest's files are there, as it says."""
    for key in store.list():
        if key.endswith(".manifest.json") and "preparation" not in key:
            manifest = Manifest.from_json(json.loads(store.read(key)))
            for name in manifest.files if not manifest.source else ():
                manifest.read(store, name)


# --- what goes, what stays -------------------------------------------------------------------------------------------


def test_old_runs_go_and_young_ones_stay(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(prefix, "old")
    young = a_run(prefix, "young", YOUNG)
    begun = a_run(prefix, "begun", YOUNG, finished=False)
    abandoned = a_run(prefix, "abandoned", finished=False)
    capsys.readouterr()
    clean(prefix)
    out = capsys.readouterr().out
    assert names(prefix) == {"young", "begun"}
    assert f"keep    {young.uri}" in out
    assert "written to 2 days ago" in out
    assert f"deleted {abandoned.uri}" in out
    assert "unfinished, written to 40 days ago" in out
    for store in (young, begun):
        assert_whole(store)
        report_runs([store.uri], None)


def test_a_dry_run_says_what_would_go_and_touches_nothing(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = a_run(prefix, "old", inputs={"policy": "gone"})
    a_run(prefix, "young", YOUNG)
    open_store(str(prefix)).write("cache/references/gone/x/config.json", b"{}")
    aged(prefix / "cache", OLD)
    before = files(prefix)
    size = sum(map(len, files(prefix / "old").values()))
    capsys.readouterr()
    clean(prefix, delete=False)
    said = capsys.readouterr().out
    assert files(prefix) == before
    assert f"delete  {old.uri}" in said
    assert f"delete  {prefix}/cache/references/gone  2 B" in said
    assert f"would delete 1 runs and 1 folders beside them, {amount(size + 2)}, and keep 1 runs" in said
    assert "add --yes" in said
    clean(prefix)
    done = capsys.readouterr().out
    assert [line.split()[1:4] for line in done.splitlines()[:-1]] == [
        line.split()[1:4] for line in said.splitlines()[:-1]
    ]
    assert f"deleted 1 runs and 1 folders beside them, {amount(size + 2)}" in done
    assert not (prefix / "old").exists()


def test_a_run_in_use_stays_and_one_whose_lock_has_expired_goes(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock.acquire(a_run(prefix, "live"), "job-7")
    for name, text in {"expired": {"owner": "job-8", "expires": 1.0}, "damaged": {"owner": 3}}.items():
        a_run(prefix, name).write(layout.LOCK, json.dumps(text).encode())
    clean(prefix)
    assert names(prefix) == {"live"}
    assert "in use by job-7" in capsys.readouterr().out


def test_the_last_finished_runs_of_each_name_stay(prefix: Path) -> None:
    for name in ("weekly", "daily"):
        for number in range(4):
            a_run(prefix, f"{name}@{number}", OLD + number * DAY)
    a_run(prefix, "weekly@failed", OLD - DAY, finished=False)
    clean(prefix, keep_last=2)
    assert names(prefix) == {"weekly@0", "weekly@1", "daily@0", "daily@1"}


def test_a_run_that_a_kept_one_reads_stays_and_so_on(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One starts from the policy of another one, whose prompts lie in a third."""
    third = a_run(prefix, "third")
    path = third.location("iterations/000/answers.jsonl")
    section = {"path": path, "per_iteration": 4, "held_out": 4, "shards": 1}
    second = toy_run(f"{prefix}/second", evaluations(2, WON), name="second")
    recipe = {**require_run(second).recipe, "prompts": section}
    replace(require_run(second), recipe=recipe).write(second)
    first = toy_run(f"{prefix}/first", evaluations(2, WON), name="first")
    first.delete(f"{layout.policy(0, 'main')}.manifest.json")
    policy(first, 0, source=second.location("policies/001/main/0123456789abcdef"))
    for store, age in ((first, YOUNG), (second, OLD)):
        aged(store.uri, age)
    a_run(prefix, "unrelated")
    capsys.readouterr()
    clean(prefix)
    assert names(prefix) == {"first", "second", "third"}
    out = capsys.readouterr().out
    assert f"needed by {first.uri}" in out
    assert f"needed by {second.uri}" in out


def test_what_is_no_run_is_left_alone(prefix: Path) -> None:
    store = a_run(prefix, "old")
    a_run(prefix, "young", YOUNG)
    store.write("notes.txt", b"mine")
    open_store(str(prefix)).write("archive/old/run.json", b"{}")
    aged(prefix, OLD)
    aged(prefix / "young", YOUNG)
    clean(prefix)
    assert files(prefix / "old") == {"notes.txt": b"mine"}
    assert (prefix / "archive/old/run.json").exists()


def test_a_firing_that_found_no_new_prompts_goes(prefix: Path) -> None:
    a_run(prefix, "young", YOUNG)
    open_store(f"{prefix}/job-7").write("preparation.manifest.json", b"{}")
    clean(prefix)
    assert "job-7" in names(prefix)
    aged(prefix / "job-7", OLD)
    clean(prefix)
    assert names(prefix) == {"young"}


def test_a_damaged_run_is_for_a_person_to_look_at(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(prefix, "damaged").write(layout.RUN, b"{")
    aged(prefix, OLD)
    clean(prefix)
    assert names(prefix) == {"damaged"}
    assert "cannot be read" in capsys.readouterr().out


# --- registered models -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def registry(empty_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    uri = f"sqlite:///{shutil.copy(empty_registry, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    client.create_registered_model("champion")
    return client


def tracked(store: Store, parent: str) -> None:
    """Let a run be tracked by MLflow runs."""
    tracking = {"uri": "x", "experiment": "0", "parent": parent, "runs": {}}
    replace(require_run(store), tracking=tracking).write(store)
    aged(store.uri, OLD)


def by_source(client: MlflowClient, store: Store) -> None:
    client.create_model_version("champion", store.location("policies/001/main"))


def by_file_uri(client: MlflowClient, store: Store) -> None:
    client.create_model_version("champion", Path(store.location("policies/002/main")).as_uri())


def by_run(client: MlflowClient, store: Store) -> None:
    run = client.create_run("0")
    tracked(store, run.info.run_id)
    client.create_model_version("champion", "s3://elsewhere/copy", run.info.run_id)


def by_logged_model(client: MlflowClient, store: Store) -> None:
    tags = {"nashflow.uri": store.location("policies/001/main"), "mlflow.model.isExternal": "true"}
    model = client.create_logged_model("0", "main-001", tags=tags)
    client.finalize_logged_model(model.model_id, "READY")
    client.create_model_version("champion", f"models:/{model.model_id}", model_id=model.model_id)


@pytest.mark.parametrize("register", [by_source, by_file_uri, by_run, by_logged_model])
def test_a_run_with_a_registered_model_stays(
    prefix: Path, registry: MlflowClient, register: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    registered, similar = a_run(prefix, "run"), a_run(prefix, "run-2")
    register(registry, registered)
    clean(prefix)
    assert names(prefix) == {"run"}
    assert "registered as champion version 1" in capsys.readouterr().out
    assert_whole(registered)
    assert similar.list() == []


def test_the_store_beside_the_runs_is_asked(
    prefix: Path, registry: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_source(registry, a_run(prefix, "registered"))
    a_run(prefix, "other")
    shutil.copy(tmp_path / "mlflow.db", prefix / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    clean(prefix)
    assert names(prefix) == {"registered"}


@pytest.mark.parametrize("delete", [True, False])
def test_without_a_registry_nothing_tracked_is_deleted(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, delete: bool
) -> None:
    tracked(a_run(prefix, "tracked"), "0123")
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI"):
        clean(prefix, delete=delete)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://joe:hunter2@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="nothing is deleted") as refused:
        clean(prefix, delete=delete)
    assert "hunter2" not in str(refused.value)
    assert names(prefix) == {"tracked"}


# --- what runs share -------------------------------------------------------------------------------------------------


def test_of_the_cache_only_what_no_kept_run_has_goes(prefix: Path) -> None:
    """Weights are named `<iteration><name>` here, so the two runs of one world share their reference's."""
    top = open_store(str(prefix))
    kept = a_run(prefix, "kept", YOUNG, inputs={"policy": "shared-reference"})
    gone = a_run(prefix, "gone", inputs={"policy": "other-reference"})
    for store, weights in ((kept, "1main"), (gone, "of another run"), (gone, "0main")):
        LogprobCache(store, weights, "transformers", "float32").add("group", "0", {"key": -1.0})
    for name in ("shared-reference", "other-reference"):
        top.write(f"cache/references/{name}.manifest.json", b"{}")
        top.write(f"cache/references/{name}/0123/config.json", b"{}")
    top.write("ledgers/kept.json", b"{}")
    top.write("ledgers/gone.json", b"{}")
    clean(prefix)
    assert "cache/references/other-reference.manifest.json" in top.list(), "written to a moment ago"
    a_run(prefix, "gone", inputs={"policy": "other-reference"})
    for folder in ("cache", "ledgers"):
        aged(prefix / folder, OLD)
    clean(prefix)
    assert {key.rpartition("/")[0] for key in top.list("cache")} == {
        "cache/logprobs/0main/transformers-float32-sum",
        "cache/logprobs/1main/transformers-float32-sum",
        "cache/references",
        "cache/references/shared-reference/0123",
    }
    assert top.list("ledgers") == ["ledgers/kept.json"]
    assert not (prefix / "cache/references/other-reference").exists()


def test_ledgers_stay_while_a_firing_does_not_say_whose_it_is(prefix: Path) -> None:
    """A schedule without new prompts leaves run roots without a run; its ledger must not be forgotten."""
    a_run(prefix, "weekly")
    top = open_store(str(prefix))
    top.write("ledgers/weekly.json", b"{}")
    aged(prefix / "ledgers", OLD)
    top.write("job-7/preparation.manifest.json", b"{}")
    clean(prefix)
    assert top.list("ledgers") == ["ledgers/weekly.json"]
    aged(prefix / "job-7", OLD)
    a_run(prefix, "daily", YOUNG)
    clean(prefix)
    assert top.list("ledgers") == []


# --- deleting --------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.fixture
def deletions(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Let a process die after so many deletions."""
    left = {"count": 10**9}
    delete = LocalStore.delete

    def dying(self: LocalStore, key: str) -> None:
        if key != layout.LOCK:
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
    with pytest.raises(UserError, match="has been written to meanwhile"):
        clean(prefix)
    assert set(store.list()) == before | {"iterations/003/prompts/00000.manifest.json"}
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


def test_s3(s3_bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = f"{s3_bucket}/team/runs"
    live, old = a_run(prefix, "live"), a_run(prefix, "old", inputs={"policy": "mine"})
    lock.acquire(live, "job-7")
    top = open_store(prefix)
    top.write("cache/logprobs/nobodys/x/00000.parquet", b"x" * 1500)
    before = {key: top.read(key) for key in top.list("live")}
    capsys.readouterr()
    clean(prefix, older_than="0h", delete=False)
    out = capsys.readouterr().out
    size = sum(len(old.read(key)) for key in old.list())
    assert f"delete  {old.uri}  {amount(size)}" in out
    assert f"delete  {prefix}/cache/logprobs/nobodys  1.5 kB" in out
    clean(prefix, older_than="0h")
    assert {key: top.read(key) for key in top.list()} == before


# --- what stays is whole ---------------------------------------------------------------------------------------------


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


RUNS = st.lists(
    st.fixed_dictionaries(
        {"age": st.sampled_from([0.5, 10.0, 29.0, 31.0, 50.0]), "name": st.sampled_from(["a", "b"])}
        | {key: st.booleans() for key in ("finished", "locked", "registered")}
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, keep_last=st.integers(0, 2))
def test_exactly_the_right_runs_go(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, runs: list[Any], keep_last: int
) -> None:
    """A second way to the same answer: each run judged by the rules as they are written in the manual."""
    prefix = tmp_path_factory.mktemp("runs")
    registered: Mapping[str, str] = {
        str(prefix / str(number)): "m version 1" for number, run in enumerate(runs) if run["registered"]
    }
    monkeypatch.setattr("nashflow.pipelines.gc.keep.registered", lambda candidates, top: registered)
    for number, run in enumerate(runs):
        root = prefix / str(number)
        require = toy_run(root, [], name=run["name"])
        if run["finished"]:
            require.write("report/report.manifest.json", b"{}")
        aged(root, run["age"] * DAY + number)
        if run["locked"]:
            lock.acquire(require, "job")
    clean(prefix, keep_last=keep_last)
    newest: dict[str, list[int]] = {}
    for number in sorted(range(len(runs)), key=lambda number: runs[number]["age"] * DAY + number):
        if runs[number]["finished"]:
            newest.setdefault(runs[number]["name"], []).append(number)
    last = {number for mine in newest.values() for number in mine[:keep_last]}
    expected = {
        str(number)
        for number, run in enumerate(runs)
        if run["age"] < 30 or run["locked"] or run["registered"] or number in last
    }
    assert names(prefix) == expected


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"), [("12h", 43_200.0), ("30d", 30 * DAY), ("1.5w", 10.5 * DAY), ("0d", 0.0)]
)
def test_ages(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "d", "-1d", "30 days", "", "1m"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="give a number with h, d or w"):
        seconds(text)


def test_a_run_root_is_no_prefix(prefix: Path) -> None:
    store = a_run(prefix, "old")
    with pytest.raises(UserError, match="is a run root: give the folder"):
        clean(store.uri)
    assert_whole(store)


@pytest.mark.parametrize("there", [True, False])
def test_a_prefix_without_runs_is_refused(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "file").write_text("x")
    with pytest.raises(UserError, match="no runs right below it"):
        clean(tmp_path / "elsewhere" if there else tmp_path / "nowhere")


def test_a_bucket_that_is_not_there(s3_bucket: str) -> None:
    with pytest.raises(UserError, match="no bucket"):
        clean("s3://no-such-bucket-anywhere/runs")
