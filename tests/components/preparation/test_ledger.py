"""Only new prompts: what runs of one name have taken is left to none of the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.preparation import step as preparation
from nashflow.components.preparation.ledger import Ledger
from nashflow.components.preparation.prompts import Prompt
from nashflow.components.shared.run import read_run
from nashflow.components.shared.store import open_store
from tests.fixtures.runs import SandboxRun

New = Callable[..., SandboxRun]


def prompts(*texts: str) -> list[Prompt]:
    return [Prompt([{"role": "user", "content": text}], []) for text in texts]


def test_a_ledger_keeps_what_each_run_took(tmp_path: Path) -> None:
    first, second = (Ledger(open_store(str(tmp_path / name)), "weekly") for name in ("a", "b"))
    assert first.new(prompts("one", "two")) == prompts("one", "two")
    first.take(prompts("one"))
    assert first.new(prompts("one", "three")) == prompts("one"), "its own after a restart, and no more"
    assert second.new(prompts("one", "two")) == prompts("two")
    second.take(prompts("two"))
    assert Ledger(open_store(str(tmp_path / "c")), "weekly").new(prompts("one", "two")) == []
    assert Ledger(open_store(str(tmp_path / "c")), "daily").new(prompts("one")) == prompts("one")


def test_prompts_with_other_given_responses_are_new(tmp_path: Path) -> None:
    Ledger(open_store(str(tmp_path / "a")), "weekly").take(prompts("one"))
    answered = [Prompt(prompts("one")[0].messages, ["yes"])]
    assert Ledger(open_store(str(tmp_path / "b")), "weekly").new(answered) == answered


def test_two_runs_that_take_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "a"))
    ledger, swap = Ledger(store, "weekly"), type(store).swap
    others = iter([prompts("two")])

    def swap_late(self: Any, *arguments: Any) -> bool:
        for taken in others:
            Ledger(open_store(str(tmp_path / "b")), "weekly").take(taken)
        return swap(self, *arguments)

    monkeypatch.setattr(type(store), "swap", swap_late)
    ledger.take(prompts("one"))
    taken = json.loads((tmp_path / "ledgers/weekly.json").read_text())
    assert sorted(Path(root).name for root in taken.values()) == ["a", "b"]


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
