"""Generations: of several that change a value at once one succeeds, however slow, late or dead the others are."""

import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings

from nashflow.components.storage import generations
from nashflow.components.storage.generations import Generation
from nashflow.components.storage.store import Store, open_store
from tests.fixtures.interleaving import Objects, Turns, interleave, turns

KEY = "value"


@pytest.fixture(params=["local", "s3_bucket", "seaweedfs_prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    place = tmp_path if request.param == "local" else request.getfixturevalue(request.param)
    return open_store(f"{place}/run")


def put(store: Store, data: bytes, previous: Generation | None) -> Generation:
    assert generations.put(store, KEY, data, previous)
    newest = generations.newest(store, KEY)
    assert newest
    return newest


def many(store: Store, count: int, data: bytes = b"later") -> Generation | None:
    newest = generations.newest(store, KEY)
    for _ in range(count):
        newest = put(store, data, newest)
    return newest


def test_each_stands_in_the_place_of_the_one_before(store: Store) -> None:
    assert generations.newest(store, KEY) is None
    first = put(store, b"first", None)
    second = put(store, b"second", first)
    assert (first, second) == (Generation(1, b"first"), Generation(2, b"second"))
    for previous in (None, first):
        assert not generations.put(store, KEY, b"late", previous)
    assert generations.newest(store, KEY) == second


def test_many_renewals_leave_a_few(local_store: Store) -> None:
    many(local_store, 200)
    assert local_store.list() == [f"value/{number:012d}.json" for number in (198, 199, 200)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize("read", [0, 1, 5], ids=["read nothing", "read the first", "read the fifth"])
def test_who_paused_does_not_succeed(local_store: Store, read: int, count: int) -> None:
    """Whether its number is still there or was tidied away and is free again."""
    previous = many(local_store, read, b"before")
    newest = many(local_store, count)
    assert not generations.put(local_store, KEY, b"late", previous)
    assert generations.newest(local_store, KEY) == newest
    assert put(local_store, b"next", newest).number == read + count + 1


def test_a_late_ones_leftover_is_tidied(local_store: Store) -> None:
    previous = many(local_store, 1)
    newest = many(local_store, 10)
    generations.put(local_store, KEY, b"late", previous)
    put(local_store, b"next", newest)
    assert local_store.list() == [f"value/{number:012d}.json" for number in (10, 11, 12)]


@pytest.mark.parametrize("since", [0, 1, 3, 4, 9])
def test_who_paused_while_all_was_deleted_and_begun_anew_does_not_succeed(local_store: Store, since: int) -> None:
    """Where it read number 4, and there is none now, a lower one, another one of that number, or a higher one."""
    previous = many(local_store, 4, b"before")
    assert previous
    generations.remove(local_store, KEY, previous)
    assert local_store.list() == []
    newest = many(local_store, since)
    assert not generations.put(local_store, KEY, b"late", previous)
    assert generations.newest(local_store, KEY) == newest


def test_what_was_put_while_older_ones_are_removed_stays(local_store: Store) -> None:
    last = many(local_store, 2)
    assert last
    newest = put(local_store, b"meanwhile", last)
    generations.remove(local_store, KEY, last)
    assert generations.newest(local_store, KEY) == newest


def test_while_all_are_removed_no_older_one_comes_back(local_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    last, delete = many(local_store, 3), type(local_store).delete
    stood: list[Generation | None] = []

    def watched(self: Any, key: str) -> None:
        stood.append(generations.newest(self, KEY))
        delete(self, key)

    monkeypatch.setattr(type(local_store), "delete", watched)
    assert last
    generations.remove(local_store, KEY, last)
    assert (stood, local_store.list()) == ([last] * 3, [])


def test_only_generations_count(local_store: Store) -> None:
    first = put(local_store, b"first", None)
    for name in (
        "value/1.json",
        "value/000000000009.json.bak",
        "value/x/000000000009.json",
        "values/000000000009.json",
    ):
        local_store.write(name, b"not mine")
    assert generations.newest(local_store, KEY) == first
    put(local_store, b"second", first)
    generations.remove(local_store, KEY, Generation(2, b"second"))
    assert len(local_store.list()) == 4


# --- any order of requests -------------------------------------------------------------------------------------------


def newest_of(objects: Objects) -> Generation | None:
    key = max(objects, default=None)
    return Generation(int(key[-17:-5]), objects[key]) if key else None


class Put(NamedTuple):
    """A put that succeeded."""

    word: str
    read: Generation | None
    stood: Generation | None
    """When its key was created."""


class Story:
    """A text, to which writers add words."""

    def __init__(self) -> None:
        self.objects: Objects = {}
        self.puts: list[Put] = []
        self.looks: list[tuple[Generation | None, Generation | None]] = []

    def write(self, store: Any) -> None:
        for _ in range(4):
            succeeded = False
            while not succeeded:
                word, read = uuid.uuid4().hex[:8], generations.newest(store, KEY)
                text = (read.data if read else b"") + word.encode() + b" "
                succeeded = generations.put(store, KEY, text, read)
            self.puts.append(Put(word, read, newest_of(store.at_creation)))

    def look(self, store: Any) -> None:
        for _ in range(8):
            stood = newest_of(self.objects)
            self.looks.append((stood, generations.newest(store, KEY)))

    def remove(self, store: Any) -> None:
        for _ in range(3):
            if read := generations.newest(store, KEY):
                generations.remove(store, KEY, read)


@settings(max_examples=200)
@given(order=turns(3))
def test_in_any_order_of_requests_and_deaths_nothing_is_lost(order: Turns) -> None:
    story = Story()
    interleave(story.objects, order, story.write, story.write, story.look)
    assert [put.read for put in story.puts] == [put.stood for put in story.puts]
    assert len({put.read for put in story.puts}) == len(story.puts), "of those who read one generation one succeeds"
    last = newest_of(story.objects)
    words = last.data.decode().split() if last else []
    # A later put may return before an earlier one does: they stand in the order of their numbers.
    puts = [put.word for put in sorted(story.puts, key=lambda put: put.read.number if put.read else 0)]
    assert [word for word in words if word in puts] == puts
    for stood, found in story.looks:
        assert stood is None or (found is not None and found.number >= stood.number)
    interleave(story.objects, [], story.write)
    assert len(story.objects) == 3


@settings(max_examples=200)
@given(order=turns(3))
def test_even_while_all_is_removed_nobody_succeeds_but_where_it_read(order: Turns) -> None:
    story = Story()
    interleave(story.objects, order, story.write, story.write, story.remove)
    assert [put.read for put in story.puts] == [put.stood for put in story.puts]
