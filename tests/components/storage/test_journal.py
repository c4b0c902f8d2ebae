"""Journals: a restarted unit goes on exactly where the last flush left it, whatever stopped it and wherever."""

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nashflow.components.storage import journal as module
from nashflow.components.storage.journal import Journal, discard
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.units import Unit
from tests.fixtures.units import KEY, unit_in

NEVER, ALWAYS = "1e9", "0"


class Stopped(Exception):
    pass


@pytest.fixture
def unit(local_store: Store) -> Unit:
    return unit_in(local_store)


def stopped_after(unit: Unit, entries: list[Any]) -> None:
    """Append, then fail inside the block."""
    with contextlib.suppress(Stopped), Journal(unit) as journal:
        for entry in entries:
            journal.append(entry)
        raise Stopped


def test_a_stopped_unit_goes_on_where_it_was(run_store: Store) -> None:
    unit = unit_in(run_store)
    batches = [[{"row_id": 1, "text": "ä ≻ b"}], [], [{"row_id": 2, "text": ""}, {"row_id": 3, "text": "\x00"}]]
    stopped_after(unit, batches[:1])
    stopped_after(unit, batches[1:])
    assert list(Journal(unit)) == batches
    discard(unit)
    assert list(Journal(unit)) == []
    assert run_store.list() == []


def test_without_a_flush_nothing_is_kept(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", NEVER)
    with Journal(unit) as journal:
        journal.append(1)
        assert list(Journal(unit)) == []
        assert list(journal) == [1]
    assert unit.store.list() == []


def test_every_entry_is_kept_where_that_is_asked(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", ALWAYS)
    journal = Journal(unit)
    for count in range(1, 13):
        journal.append(count)
        assert list(Journal(unit)) == list(range(1, count + 1))


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"settings": {"batch": 9}}, {"inputs": {"pairs": "c" * 64}}], ids=lambda c: next(iter(c))
)
def test_a_journal_of_other_work_is_not_read(change: dict[str, Any], unit: Unit) -> None:
    stopped_after(unit, [1, 2])
    other = replace(unit, **change)
    assert list(Journal(other)) == []
    stopped_after(other, [3])
    assert (list(Journal(unit)), list(Journal(other))) == ([1, 2], [3])


def test_discarding_takes_this_units_journals_and_no_others(unit: Unit) -> None:
    neighbour, stale = replace(unit, key=f"{KEY}0"), replace(unit, version=0)
    for each in (unit, neighbour, stale):
        stopped_after(each, [1])
    discard(unit)
    assert [list(Journal(each)) for each in (unit, neighbour, stale)] == [[], [1], []]


def test_what_could_not_be_written_is_written_next_time(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", ALWAYS)
    journal = Journal(unit)
    journal.append(1)
    with (
        mock.patch.object(type(unit.store), "write", side_effect=OSError("disk full")),
        pytest.raises(OSError, match="full"),
    ):
        journal.append(2)
    journal.append(3)
    assert list(Journal(unit)) == [1, 2, 3]


# --- wherever it is stopped ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def signal_at_line(number: int) -> Iterator[Callable[[], bool]]:
    """Raise SystemExit, as the SIGTERM handler does, at the n-th line that the journal's methods run; tells whether."""
    lines, fired = itertools.count(), False

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal fired
        if frame.f_code.co_filename != module.__file__ or frame.f_code.co_name not in ("append", "_flush"):
            return None
        if event == "line" and next(lines) == number:
            fired = True
            raise SystemExit(143)
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: fired
    finally:
        sys.settrace(previous)


@pytest.mark.parametrize("seconds", [ALWAYS, NEVER], ids=["flushing each", "flushing at the end"])
def test_sigterm_between_any_two_lines_loses_nothing(seconds: str, unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASHFLOW_JOURNAL_SECONDS", seconds)
    for number in itertools.count():
        unit = replace(unit, version=number)
        appended: list[int] = []
        with signal_at_line(number) as fired, contextlib.suppress(SystemExit), Journal(unit) as journal:
            for entry in range(5):
                journal.append(entry)
                appended.append(entry)
        if not fired():
            break
        kept = list(Journal(unit))
        assert kept in (appended, [*appended, len(appended)]), f"signal at line {number}"
    assert number >= 10


class Clock:
    """A clock that a test winds on by a journal's fifteen seconds."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@contextlib.contextmanager
def fresh_unit() -> Iterator[tuple[Unit, Clock]]:
    clock = Clock()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(module, "time", SimpleNamespace(monotonic=clock.monotonic)),
    ):
        yield unit_in(open_store(folder)), clock


session = st.tuples(st.lists(st.booleans(), max_size=6), st.sampled_from(["killed", "failed"]))


@settings(max_examples=30)
@given(st.lists(session, max_size=4))
def test_what_was_flushed_is_what_comes_back(sessions: list[tuple[list[bool], str]]) -> None:
    """Each session appends entries, winding the clock on before some, and is killed or fails; the next one loads."""
    with fresh_unit() as (unit, clock):
        flushed = 0
        for ticks, end in sessions:
            journal = Journal(unit)
            assert list(journal) == list(range(flushed))
            with contextlib.suppress(Stopped), journal if end == "failed" else contextlib.nullcontext():
                for tick in ticks:
                    clock.now += 15.0 * tick
                    journal.append(len(journal))
                    flushed = len(journal) if tick else flushed
                raise Stopped
            flushed = len(journal) if end == "failed" else flushed
        assert list(Journal(unit)) == list(range(flushed))


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["append", "flush", "restart"])), max_size=16), st.integers(1, 9)
)
@example([(False, "append")] * 4 + [(False, "flush"), (True, "append"), (False, "flush")], 9)
def test_two_copies_of_a_unit_do_no_harm(steps: list[tuple[bool, str]], more: int) -> None:
    """Two pods work on one unit: what is loaded stays a beginning of the work, and whoever is left alone gets on."""
    with fresh_unit() as (unit, clock):
        copies = [Journal(unit), Journal(unit)]
        for who, step in steps:
            if step == "restart":
                copies[who] = Journal(unit)
                continue
            clock.now += 15.0 * (step == "flush")
            copies[who].append(len(copies[who]))
        loaded = list(Journal(unit))
        assert loaded == list(range(len(loaded)))
        for _ in range(2):
            before = len(list(Journal(unit)))
            stopped_after(unit, list(range(before, before + more)))
            again = list(Journal(unit))
            assert again == list(range(len(again)))
            assert len(again) >= before + more


def test_the_seconds_of_what_is_left_are_those_of_all_attempts(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)

    def attempt(seconds: float, entry: str) -> None:
        with contextlib.suppress(Stopped), Journal(unit) as journal:
            clock.now += seconds
            journal.append(entry)
            raise Stopped

    attempt(7.5, "a")
    clock.now += 1000  # nobody works
    attempt(2.0, "b")
    assert (list(Journal(unit)), Journal(unit).spent) == (["a", "b"], 9.5)


def test_segments_of_earlier_versions_are_read(unit: Unit) -> None:
    """They are lists of entries, without the time."""
    stopped_after(unit, ["a"])
    (segment,) = unit.store.list()
    unit.store.write(segment, b'["a"]')
    assert (list(Journal(unit)), Journal(unit).spent) == (["a"], 0.0)
    stopped_after(unit, ["b"])
    assert list(Journal(unit)) == ["a", "b"]
