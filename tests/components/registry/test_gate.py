"""The gate of a registered model: one run at a time; a dead holder's place is taken, a live one's never."""

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import TryAgain
from nashflow.components.registry import gate as gates
from nashflow.components.registry.gate import Gate, gate
from nashflow.components.storage.store import Store, open_store
from tests.fixtures.interleaving import Actor, Objects, interleave


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(gates, "_SILENT_SECONDS", 3.0)
    monkeypatch.setattr(gates, "_LOOK_SECONDS", 0.02)


def run(prefix: str, name: str) -> Store:
    return open_store(f"{prefix}/{name}")


@pytest.fixture(params=["local", "s3_bucket", "seaweedfs_prefix"])
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path if request.param == "local" else request.getfixturevalue(request.param))


def test_one_at_a_time_and_the_other_says_so(prefix: str) -> None:
    with gate(run(prefix, "a"), "m"):
        with pytest.raises(TryAgain) as refused, gate(run(prefix, "b"), "m"):
            pytest.fail("two are at the gate")
        (line,) = str(refused.value).splitlines()
        assert f"the run {run(prefix, 'a').uri} is at the gate" in line
        assert f"{prefix}/gates/m" in line
        with gate(run(prefix, "b"), "another model"):
            pass
    with gate(run(prefix, "b"), "m"):
        pass


def test_a_dead_holders_place_is_taken(tmp_path: Path) -> None:
    dead = Gate(open_store(str(tmp_path)), "gates/m", "dead")
    dead.take()  # and gives no sign of life
    with gate(run(str(tmp_path), "b"), "m") as held:
        held.require()
        with pytest.raises(TryAgain, match="another run is at the gate"):
            dead.require()
        dead.give_back()
        held.require()


def test_of_several_at_once_one_is_let_through(tmp_path: Path) -> None:
    through, said, go = [], [], threading.Barrier(8)

    def come(name: str) -> None:
        go.wait()
        try:
            with gate(run(str(tmp_path), name), "m"):
                through.append(name)
                while len(said) < 7:
                    done.wait(0.02)
        except TryAgain as error:
            said.append(str(error))

    done = threading.Event()
    threads = [threading.Thread(target=come, args=(f"run-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 1
    assert all(f"{tmp_path}/{through[0]} is at the gate" in line for line in said)


def test_a_holder_that_is_slow_to_write_does_not_lose_it(tmp_path: Path) -> None:
    """What it reads may be its own sign of a moment ago, of which it never heard that it was written."""
    store = open_store(str(tmp_path))
    held = Gate(store, "gates/m", "a")
    held.take()
    twin = json.loads(store.read("gates/m/000000000001.json"))
    assert store.create("gates/m/000000000002.json", json.dumps(twin | {"beats": 9}).encode())
    held.require()
    assert [json.loads(store.read(key))["beats"] for key in store.list("gates/m")][-1] >= 2


@pytest.mark.parametrize("order", range(64))
def test_takers_of_a_free_gate_exclude_each_other_in_any_order(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every order of two takers' first requests, one of them holds it."""
    objects: Objects = {}
    held: list[str] = []
    monkeypatch.setattr(Gate, "_alive", lambda self, seen: True)
    monkeypatch.setattr(Actor, "location", lambda self, key: key, raising=False)

    def take(name: str) -> Callable[[Any], None]:
        def work(store: Any) -> None:
            with contextlib.suppress(TryAgain):
                Gate(store, "gates/m", name).take()
                held.append(name)

        return work

    interleave(objects, [(order >> bit & 1, False) for bit in range(6)], take("a"), take("b"))
    assert len(held) == 1
