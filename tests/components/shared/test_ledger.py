"""Only new prompts: what runs of one name have taken is left to none of the others."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.preparation import step as preparation
from nashflow.components.shared import generations, lock
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.ledger import Ledger
from nashflow.components.shared.run import read_run
from nashflow.components.shared.store import open_store
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
def fresh(fresh: New, prepared_root: SandboxRun, tmp_path: Path) -> New:
    """Fresh runs beside a reference that is made already."""
    shutil.copytree(Path(prepared_root.root).parent / "cache", tmp_path / "cache")
    return fresh


def fire(fresh: New, root: str) -> preparation.Result:
    """One firing of a recurring run over the sandbox's eight prompts."""
    return fresh({"prompts.held_out": 1}, root).step("preparation", only_new_prompts="true")


def test_a_second_firing_without_new_prompts_ends_green_through_go(fresh: New, tmp_path: Path) -> None:
    first = fire(fresh, "one")
    assert first.parameters["go"] == "true"
    assert first.manifest.metrics["prompts"] == 8
    second = fire(fresh, "two")
    assert second.parameters["go"] == "false"
    assert second.parameters["resolved_run_root"] == str(tmp_path / "two")
    assert second.manifest.metrics["prompts"] == 0
    assert read_run(open_store(str(tmp_path / "two"))) is None, "nothing of a run is left"
    again = fire(fresh, "one")
    assert again.parameters["go"] == "true", "the first firing resumes on its own prompts"


def test_without_the_flag_prompts_are_taken_again(fresh: New) -> None:
    fire(fresh, "one")
    assert fresh({"prompts.held_out": 1}, "two").step("preparation").parameters["go"] == "true"


def close(run: SandboxRun, state: str) -> None:
    run.step("closing", run_name="", job_id="", owner="", continues="false", status=json.dumps({"state": state}))


def test_a_firing_that_failed_leaves_its_prompts_to_the_next(fresh: New) -> None:
    fire(fresh, "one")
    close(fresh({"prompts.held_out": 1}, "one"), "FAILED")
    second = fire(fresh, "two")
    assert second.parameters["go"] == "true"
    assert second.manifest.metrics["prompts"] == 8
    close(fresh({"prompts.held_out": 1}, "two"), "SUCCEEDED")
    assert fire(fresh, "three").parameters["go"] == "false"


def other(fresh: New, tmp_path: Path) -> Ledger:
    """The ledger as another firing, `two`, sees it."""
    return Ledger(open_store(str(tmp_path / "two")), fresh().recipe.run.name)


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


def test_prompts_taken_while_a_firing_prepares_are_left_out(
    fresh: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another firing of the same name takes half of the prompts between this one's look and its claim."""
    looked = overtake(monkeypatch, other(fresh, tmp_path), 4)
    assert fire(fresh, "one").manifest.metrics["prompts"] == 4
    assert len(looked) == 8


def test_a_firing_that_died_while_it_prepared_leaves_its_prompts_to_the_next(
    fresh: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(preparation.reference, "bring_in", full)
        with pytest.raises(OSError, match="No space left"):
            fire(fresh, "one")
    assert fire(fresh, "two").parameters["go"] == "false"
    close(fresh({"prompts.held_out": 1}, "one"), "FAILED")
    assert fire(fresh, "two").manifest.metrics["prompts"] == 8


@pytest.mark.parametrize("lost", [3, 8])
def test_a_firing_cannot_go_on_when_others_have_taken_its_prompts(fresh: New, tmp_path: Path, lost: int) -> None:
    fire(fresh, "one")
    close(fresh({"prompts.held_out": 1}, "one"), "FAILED")
    newest = max((tmp_path / "ledgers").rglob("*.json"))
    assert other(fresh, tmp_path).take(sorted(json.loads(newest.read_text())["taken"])[:lost])
    before = (tmp_path / "one/run.json").read_bytes()
    with pytest.raises(UserError, match=r"have taken prompts of this one since it failed.* submit a new run$"):
        fire(fresh, "one")
    assert (tmp_path / "one/run.json").read_bytes() == before


def test_a_firing_that_finds_nothing_after_all_holds_no_lock(
    fresh: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another firing takes everything between this one's look and its claim."""
    overtake(monkeypatch, other(fresh, tmp_path), 8)
    assert fire(fresh, "one").parameters["go"] == "false"
    assert lock.held_by(open_store(str(tmp_path / "one"))) == ("", "")
