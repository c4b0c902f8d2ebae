"""Which runs go, which stay, and why."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nashflow.components.runtime import lock
from nashflow.components.storage import layout
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import Store
from nashflow.pipelines.report import report_runs
from tests.components.reports.toy_runs import WON, evaluations, policy, toy_run
from tests.pipelines.gc.runs import DAY, OLD, YOUNG, a_run, aged, assert_whole, clean, locked, names


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


def test_a_run_in_use_stays_and_one_whose_lock_has_expired_goes(
    prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock.acquire(a_run(prefix, "live"), "job-7")
    locked(a_run(prefix, "expired"))
    locked(a_run(prefix, "damaged"), owner=3)
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


def test_a_run_that_has_not_ended_stays_for_a_week(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its pods wait for a node: nothing is written, and the lock lapses."""
    waiting = a_run(prefix, "waiting", finished=False)
    a_run(prefix, "finished", 13 * 3600)
    aged(waiting.uri, 13 * 3600)
    locked(waiting)
    capsys.readouterr()
    clean(prefix, older_than="12h")
    assert names(prefix) == {"waiting"}
    assert "not ended, written to 13 hours ago: it may wait for nodes, so it stays 7 days" in capsys.readouterr().out
    aged(waiting.uri, 6.9 * DAY)
    clean(prefix, older_than="12h")
    assert names(prefix) == {"waiting"}
    aged(waiting.uri, 7.1 * DAY)
    clean(prefix, older_than="12h")
    assert names(prefix) == set()


def closed(store: Store) -> None:
    store.write(layout.OUTCOME, b"{}")


def goes_on_after_closing(store: Store) -> None:
    """It was tried again: preparation writes `run.json` anew."""
    closed(store)
    aged(store.uri, DAY + 60)
    require_run(store).write(store)
    os.utime(store.location(layout.RUN), (time.time() - DAY,) * 2)


def locked_again(store: Store) -> None:
    """A retry takes the lock before it writes anything."""
    closed(store)
    locked(store)


def reported(store: Store) -> None:
    store.write("report/report.manifest.json", b"{}")


def reported_before_it_was_extended(store: Store) -> None:
    reported(store)
    run = require_run(store)
    replace(run, recipe={**run.recipe, "run": {**run.recipe["run"], "iterations": 4}}).write(store)


@pytest.mark.parametrize(
    ("how", "ended"),
    [
        (closed, True),
        (reported, True),
        (goes_on_after_closing, False),
        (locked_again, False),
        (reported_before_it_was_extended, False),
    ],
)
def test_what_has_ended_goes_by_its_age_alone(prefix: Path, how: Callable[[Store], None], ended: bool) -> None:
    store = a_run(prefix, "run", finished=False)
    how(store)
    if how is not goes_on_after_closing:
        aged(prefix, DAY)
    clean(prefix, older_than="12h")
    assert names(prefix) == (set() if ended else {"run"})


RUNS = st.lists(
    st.fixed_dictionaries(
        {"age": st.sampled_from([0.5, 2.0, 6.0, 8.0, 29.0, 31.0, 50.0]), "name": st.sampled_from(["a", "b"])}
        | {key: st.booleans() for key in ("finished", "locked", "registered")}
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, keep_last=st.integers(0, 2), days=st.sampled_from([1, 30]))
def test_exactly_the_right_runs_go(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    runs: list[Any],
    keep_last: int,
    days: int,
) -> None:
    """A second way to the same answer: each run judged by the rules as they are written in the manual."""
    prefix = tmp_path_factory.mktemp("runs")
    registered: Mapping[str, str] = {
        str(prefix / str(number)): "m version 1" for number, run in enumerate(runs) if run["registered"]
    }
    monkeypatch.setattr("nashflow.pipelines.gc.keep.registered", lambda candidates, top: registered)
    for number, run in enumerate(runs):
        root = prefix / str(number)
        require = toy_run(root, evaluations(1, WON), name=run["name"])
        if run["finished"]:
            require.write("report/report.manifest.json", b"{}")
        aged(root, run["age"] * DAY + number)
        if run["locked"]:
            lock.acquire(require, "job")
    clean(prefix, older_than=f"{days}d", keep_last=keep_last)
    newest: dict[str, list[int]] = {}
    for number in sorted(range(len(runs)), key=lambda number: runs[number]["age"] * DAY + number):
        if runs[number]["finished"]:
            newest.setdefault(runs[number]["name"], []).append(number)
    last = {number for mine in newest.values() for number in mine[:keep_last]}
    expected = {
        str(number)
        for number, run in enumerate(runs)
        if run["age"] < days
        or (run["age"] < 7 and not run["finished"])
        or (run["locked"] or run["registered"] or number in last)
    }
    assert names(prefix) == expected
