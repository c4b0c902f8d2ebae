"""What lies beside the runs: the cache goes with the runs that need it, ledgers only when they are named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.logprobs.cache import LogprobCache
from nashflow.components.models.identity import digest_of
from nashflow.components.runtime.ledger import Ledger
from nashflow.components.storage import layout
from nashflow.components.storage.dropped import drop
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import require_manifest
from nashflow.pipelines.gc import collect
from nashflow.pipelines.gc.inventory import RunRoot
from tests.pipelines.gc.runs import OLD, YOUNG, a_run, aged, clean, names


def test_of_the_cache_only_what_no_kept_run_has_goes(prefix: Path) -> None:
    """The two runs of one world share their reference's."""
    top = open_store(str(prefix))
    kept = a_run(prefix, "kept", YOUNG, inputs={"policy": "shared-reference"})
    gone = a_run(prefix, "gone", inputs={"policy": "other-reference"})
    first, second = (digest_of(require_manifest(kept, f"policies/00{t}/main")) for t in (0, 1))
    for store, policy in ((kept, second), (gone, "of another run"), (gone, first)):
        LogprobCache(store, policy, "transformers", "float32").add("group", "0", {"key": -1.0})
    for name in ("shared-reference", "other-reference"):
        top.write(f"cache/references/{name}.manifest.json", b"{}")
        top.write(f"cache/references/{name}/0123/config.json", b"{}")
    clean(prefix)
    assert "cache/references/other-reference.manifest.json" in top.list(), "written to a moment ago"
    a_run(prefix, "gone", inputs={"policy": "other-reference"})
    aged(prefix / "cache", OLD)
    clean(prefix)
    assert {key.rpartition("/")[0] for key in top.list("cache")} == {
        f"cache/logprobs/{first}/transformers-float32-sum",
        f"cache/logprobs/{second}/transformers-float32-sum",
        "cache/references",
        "cache/references/shared-reference/0123",
    }
    assert not (prefix / "cache/references/other-reference").exists()


def test_of_policies_that_are_not_kept_no_values_are_kept_and_masters_go_with_their_run(prefix: Path) -> None:
    top, kept, gone = open_store(str(prefix)), a_run(prefix, "kept"), a_run(prefix, "gone")
    first, second = (digest_of(require_manifest(kept, f"policies/00{t}/main")) for t in (1, 2))
    for policy in (first, second):
        LogprobCache(kept, policy, "transformers", "float32").add("group", "0", {"key": -1.0})
    gone.write("masters/002/main/0123/model.safetensors", b"")
    gone.write("masters/002/main.manifest.json", b"{}")
    aged(prefix, OLD)
    drop(kept, "policies/001/main", "run.keep = last 1")
    clean(prefix)
    assert {key.split("/")[2] for key in top.list("cache")} == {second}
    assert gone.list() == []


def test_what_a_run_starts_from_stays_while_one_does_not_say(prefix: Path) -> None:
    """Its `run.json` is damaged."""
    a_run(prefix, "old")
    open_store(str(prefix)).write("cache/references/any/x/config.json", b"{}")
    a_run(prefix, "damaged").write(layout.RUN, b"{")
    aged(prefix, OLD)
    clean(prefix)
    assert (prefix / "cache/references/any/x/config.json").exists()


@pytest.fixture
def ledgers(prefix: Path) -> Path:
    """Those of two schedules; the last firing of the monthly one was 31 days ago, and others run daily."""
    monthly, daily = a_run(prefix, "monthly"), a_run(prefix, "daily", YOUNG)
    for store, name in ((monthly, "monthly"), (daily, "daily")):
        Ledger(store, name).take([f"prompt of {name}"])
    aged(prefix / "ledgers", OLD)
    return prefix / "ledgers"


def test_ledgers_stay_though_none_of_their_runs_does(prefix: Path, ledgers: Path) -> None:
    """The next firing would find all prompts new."""
    clean(prefix)
    assert names(prefix) == {"daily"}
    next_one = Ledger(open_store(f"{prefix}/next"), "monthly")
    assert next_one.free(["prompt of monthly", "new"]) == {"new"}


def test_a_ledger_goes_when_it_is_named(prefix: Path, ledgers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean(prefix, forget=("monthly",), delete=False)
    assert f"delete  {ledgers}/monthly  " in capsys.readouterr().out
    assert sorted(path.name for path in ledgers.iterdir()) == ["daily", "monthly"]
    clean(prefix, forget=("monthly",))
    out = capsys.readouterr().out
    assert f"deleted {ledgers}/monthly  " in out
    assert "the prompts already taken" in out
    assert "deleted 1 runs and 1 folders" in out
    clean(prefix, older_than="0h", forget=("daily",))
    assert list(ledgers.iterdir()) == []


def test_a_ledger_goes_though_no_run_is_left(prefix: Path, ledgers: Path) -> None:
    open_store(str(prefix)).write("cache/logprobs/nobodys/x.parquet", b"x")
    aged(prefix, OLD)
    for name in ("monthly", "daily"):
        (prefix / name).rename(prefix.parent / name)
    clean(prefix, forget=("monthly", "daily"))
    assert list(ledgers.iterdir()) == []
    assert (prefix / "cache/logprobs/nobodys/x.parquet").exists(), "this may be no prefix of runs"


def test_a_ledger_that_is_not_there(prefix: Path, ledgers: Path) -> None:
    with pytest.raises(UserError, match=r"--forget monthl: no ledger of that name in .*; did you mean monthly\?"):
        clean(prefix, forget=("monthl",))
    assert names(prefix) == {"monthly", "daily"}


Act = Callable[[Path], object]


def a_firing_takes_prompts(prefix: Path) -> object:
    return Ledger(open_store(f"{prefix}/job-9"), "monthly").take(["another one"])


def a_run_begins(prefix: Path) -> None:
    a_run(prefix, "job-9", finished=False)


def a_run_writes_to_the_cache(prefix: Path) -> None:
    open_store(str(prefix)).write("cache/references/any/x/weights", b"x")


@pytest.mark.parametrize(
    ("happens", "kept"),
    [
        (a_firing_takes_prompts, {"ledgers/monthly"}),
        (a_run_begins, {"cache/references/any"}),
        (a_run_writes_to_the_cache, {"cache/references/any"}),
        (lambda prefix: None, set()),
    ],
)
def test_what_changes_while_runs_are_deleted_stays(
    prefix: Path,
    ledgers: Path,
    happens: Act,
    kept: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    top = open_store(str(prefix))
    top.write("cache/references/any/x/weights", b"old")
    aged(prefix / "cache", OLD)
    remove = collect.remove_run

    def slowly(run: RunRoot) -> None:
        remove(run)
        happens(prefix)

    monkeypatch.setattr(collect, "remove_run", slowly)
    capsys.readouterr()
    clean(prefix, forget=("monthly",))
    left = (*top.list("cache"), *top.list("ledgers"))
    folders = {key.removesuffix("/x/weights").partition("/0")[0] for key in left}
    assert folders == kept | {"ledgers/daily"}
    out = capsys.readouterr().out
    assert [f"keep    {prefix}/{folder}  " in out for folder in kept] == [True] * len(kept)
    assert f"deleted 1 runs and {2 - len(kept)} folders" in out
