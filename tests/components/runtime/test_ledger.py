"""Only new prompts: what runs of one name have taken is left to none of the others."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.preparation.policy import PolicySettings
from nashflow.components.runtime import lock
from nashflow.components.runtime.ledger import Ledger
from nashflow.components.runtime.protocol import Result
from nashflow.components.storage import generations, layout, outcome
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import open_store
from tests.fixtures.folders import over, write_prompts
from tests.fixtures.runs import SandboxRun

New = Callable[..., SandboxRun]


Runs = Callable[[str], Ledger]


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    """The ledger of the schedule `weekly`, as a run root of this name sees it."""
    return lambda name: Ledger(open_store(str(tmp_path / name)), "weekly")


def test_a_ledger_keeps_what_each_run_took(run: Runs, tmp_path: Path) -> None:
    assert run("a").free(["one", "two"]) == {"one", "two"}
    assert run("a").take(["one"])
    assert run("a").free(["one", "three"]) == {"one"}, "its own after a restart, and no more"
    assert run("b").free(["one", "two"]) == {"two"}
    assert run("b").take(["two"])
    assert run("c").free(["one", "two"]) == set()
    assert Ledger(open_store(str(tmp_path / "c")), "daily").free(["one"]) == {"one"}


def test_what_another_run_has_taken_meanwhile_is_not_taken(run: Runs) -> None:
    assert run("a").free(["one", "two"]) == run("b").free(["one", "two"]) == {"one", "two"}
    assert run("b").take(["two"])
    assert not run("a").take(["one", "two"])
    assert run("c").free(["one", "two"]) == {"one"}, "nothing of it was written"
    assert run("a").take(run("a").free(["one", "two"]))


def test_a_run_that_failed_leaves_its_prompts_to_others(run: Runs) -> None:
    run("a").take(["one", "two"])
    run("a").fail()
    assert run("b").free(["one", "two", "three"]) == {"one", "two", "three"}
    assert run("a").free(["one", "two", "three"]) == {"one", "two"}, "and finds them again, while nobody has taken them"
    assert run("a").take(["one", "two"])
    assert run("b").free(["one", "two", "three"]) == {"three"}, "it is at work again"


def test_a_run_that_died_without_a_word_leaves_its_prompts_to_others(run: Runs, tmp_path: Path) -> None:
    """Its pod was lost before `run.json`, or it was cancelled and its last task with it; gone without its lock."""
    root = open_store(str(tmp_path / "a"))
    lock.acquire(root, "job", job="job")
    run("a").take(["one"])
    assert run("b").free(["one"]) == set(), "it is at work"
    lock.release(root, "job")
    assert run("b").free(["one"]) == {"one"}
    assert run("b").take(["one"])
    assert run("c").free(["one"]) == set(), "nothing is known of b's run root, which was deleted, say, when it was done"


@pytest.mark.parametrize("last", ["succeeded", "report"])
def test_a_run_that_is_done_keeps_its_prompts(run: Runs, tmp_path: Path, last: str) -> None:
    root = open_store(str(tmp_path / "a"))
    lock.acquire(root, "job", job="job")
    run("a").take(["one"])
    lock.release(root, "job")
    if last == "succeeded":
        outcome.write(root, "succeeded", "", "job")
    else:
        root.write(layout.SUMMARY, b"{}")
    assert run("b").free(["one"]) == set()
    assert not run("b").take(["one"])


def test_what_a_failed_run_has_lost_stays_lost(run: Runs) -> None:
    run("a").take(["one", "two"])
    run("a").fail()
    assert run("b").take(["two"])
    assert run("a").free(["one", "two"]) == {"one"}
    assert not run("a").take(["one", "two"])
    run("b").fail()
    assert run("a").take(["one", "two"])


def test_a_run_that_took_nothing_has_nothing_to_leave(run: Runs, tmp_path: Path) -> None:
    run("a").fail()
    assert not (tmp_path / "ledgers").exists()


def test_two_runs_that_take_at_once_lose_nothing(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    put, others = generations.put, iter([["two"]])

    def put_late(*arguments: Any) -> bool:
        for taken in others:
            run("b").take(taken)
        return put(*arguments)

    monkeypatch.setattr(generations, "put", put_late)
    assert run("a").take(["one"])
    assert (run("a").free(["one", "two"]), run("b").free(["one", "two"])) == ({"one"}, {"two"})


# --- preparation and closing use it ----------------------------------------------------------------------------------


@pytest.fixture
def new(fresh: New, folders: Path, tmp_path: Path) -> Callable[[str], SandboxRun]:
    """A run under a run root of this name, over a file of eight prompts, one of which is held out."""
    file = write_prompts(tmp_path / "prompts.jsonl", [f"question {index}" for index in range(8)])
    prompts = {"path": str(file), "per_iteration": 4, "held_out": 1}
    return lambda root: fresh(over(folders, prompts=prompts), root)


def fire(run: SandboxRun) -> Result:
    """One firing of a recurring run."""
    return run.step("preparation", only_new_prompts="true")


def close(run: SandboxRun, state: str) -> None:
    run.step("closing", status=json.dumps({"state": state}))


def test_a_second_firing_without_new_prompts_ends_green_through_go(new: New, tmp_path: Path) -> None:
    first = fire(new("one"))
    assert (first.parameters["go"], first.metrics["prompts"]) == ("true", 8)
    second = fire(new("two"))
    assert (second.parameters["go"], second.metrics["prompts"]) == ("false", 0)
    assert second.parameters["resolved"] == ""
    assert read_run(open_store(str(tmp_path / "two"))) is None, "nothing of a run is left"
    again = fire(new("one"))
    assert again.parameters["go"] == "true", "the first firing resumes on its own prompts"


def test_without_the_flag_prompts_are_taken_again(new: New) -> None:
    fire(new("one"))
    assert new("two").step("preparation").parameters["go"] == "true"


def test_a_firing_that_failed_leaves_its_prompts_to_the_next(new: New) -> None:
    fire(new("one"))
    close(new("one"), "FAILED")
    second = fire(new("two"))
    assert (second.parameters["go"], second.metrics["prompts"]) == ("true", 8)
    close(new("two"), "SUCCEEDED")
    assert fire(new("three")).parameters["go"] == "false"


def other(new: New) -> Ledger:
    """The ledger as another firing, `two`, sees it."""
    run = new("two")
    return Ledger(run.store, run.recipe.run.name)


def overtake(monkeypatch: pytest.MonkeyPatch, faster: Ledger, count: int) -> list[str]:
    """Let `faster` take so many prompts between the next firing's look and its claim; all that it wanted."""
    take, looked = Ledger.take, []

    def take_late(self: Ledger, prompts: Any) -> bool:
        if not looked:
            looked.extend(sorted(prompts))
            take(faster, looked[:count])
        return take(self, prompts)

    monkeypatch.setattr(Ledger, "take", take_late)
    return looked


def test_prompts_taken_while_a_firing_prepares_are_left_out(new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another firing of the same name takes half of the prompts between this one's look and its claim."""
    looked = overtake(monkeypatch, other(new), 4)
    assert fire(new("one")).metrics["prompts"] == 4
    assert len(looked) == 8


def test_a_firing_that_failed_while_it_prepared_has_given_its_prompts_back(
    new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: without `run.json` the closing step does not know their ledger's name."""

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PolicySettings, "bring_in", full)
        with pytest.raises(OSError, match="No space left"):
            fire(new("one"))
    close(new("one"), "FAILED")
    assert fire(new("two")).metrics["prompts"] == 8
    assert fire(new("three")).parameters["go"] == "false"


def test_a_firing_that_was_prepared_keeps_its_prompts_though_a_later_attempt_fails(
    new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing gives them back, if the run goes no further."""
    fire(new("one"))
    with monkeypatch.context() as patch:
        patch.setattr(PolicySettings, "bring_in", lambda *_: sys.exit(143))
        with pytest.raises(SystemExit):
            fire(new("one"))
    assert fire(new("two")).parameters["go"] == "false"
    close(new("one"), "FAILED")
    assert fire(new("two")).parameters["go"] == "true"


@pytest.mark.parametrize("lost", [3, 8])
def test_a_firing_cannot_go_on_when_others_have_taken_its_prompts(new: New, tmp_path: Path, lost: int) -> None:
    fire(new("one"))
    close(new("one"), "FAILED")
    newest = max((tmp_path / "ledgers").rglob("*.json"))
    assert other(new).take(sorted(json.loads(newest.read_text())["taken"])[:lost])
    before = (tmp_path / "one/run.json").read_bytes()
    with pytest.raises(UserError, match=r"have taken prompts of this one since it failed.* submit a new run$"):
        fire(new("one"))
    assert (tmp_path / "one/run.json").read_bytes() == before


def test_a_firing_that_finds_nothing_after_all_holds_no_lock(
    new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another firing takes everything between this one's look and its claim."""
    overtake(monkeypatch, other(new), 8)
    assert fire(new("one")).parameters["go"] == "false"
    assert lock.held_by(open_store(str(tmp_path / "one"))) == ("", "")
