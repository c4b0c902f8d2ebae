"""Races between two processes with a connection each, in a folder and on a real SeaweedFS: one winner each."""

import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

import pytest

from nashflow.components.runtime import lock
from nashflow.components.runtime.ledger import Ledger
from nashflow.components.storage import generations
from nashflow.components.storage.store import Store, open_store
from tests.fixtures import racer

NAMES = ("one", "two")


class Place(NamedTuple):
    """URI of an empty run root, and how many races are run there."""

    root: str
    races: int


@pytest.fixture(
    params=[
        pytest.param(("", 100), id="local"),
        pytest.param(("seaweedfs_prefix", 10), id="seaweedfs"),
        pytest.param(("seaweedfs_prefix", 200), id="seaweedfs-long", marks=pytest.mark.slow),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    fixture, races = request.param
    return Place(f"{request.getfixturevalue(fixture) if fixture else tmp_path}/run", races)


def run(place: Place, race: str) -> list[str]:
    """Let both take part in each race at the same time; the name of the winner of each."""
    winners = []
    with ExitStack() as stack:
        commands = [[sys.executable, racer.__file__, place.root, race, name, str(place.races)] for name in NAMES]
        racers = [stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True)) for command in commands]
        for _ in range(place.races):
            assert [_heard(process) for process in racers] == ["ready", "ready"]
            for process in racers:
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
            results = [_heard(process) for process in racers]
            assert sorted(results) == ["lost", "won"]
            winners.append(NAMES[results.index("won")])
    return winners


def _heard(process: "Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_key_is_created_by_one(place: Place) -> None:
    winners = run(place, "create")
    store = open_store(place.root)
    assert [store.read(f"{number}").decode() for number in range(place.races)] == winners


def test_a_generation_is_put_by_one(place: Place) -> None:
    winners = run(place, "put")
    newest = generations.newest(open_store(place.root), "value")
    assert newest == (place.races, winners[-1].encode())


def test_a_lock_is_acquired_by_one(place: Place) -> None:
    winners, top = run(place, "acquire"), open_store(place.root)
    assert [lock.held_by(top.at(f"{number}"))[0] for number in range(place.races)] == winners


def test_prompts_are_taken_by_one_firing(place: Place) -> None:
    """And nothing of what others took before is lost."""
    winners = run(place, "take")
    prompts = [[f"{number}.{prompt}" for prompt in range(3)] for number in range(place.races)]

    def free(firing: Store) -> set[str]:
        return Ledger(firing, "weekly").free(prompt for taken in prompts for prompt in taken)

    top = open_store(place.root)
    for number, (winner, taken) in enumerate(zip(winners, prompts, strict=True)):
        assert free(top.at(f"{number}-{winner}")) == set(taken)
