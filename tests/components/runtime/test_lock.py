"""The run lock: one live run under a run root, and no dead one in its way."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage import generations, layout
from nashflow.components.storage.store import Store, open_store

HOLDER = """
import sys
from nashflow.components.runtime import lock
from nashflow.components.storage.store import open_store
lock.acquire(open_store(sys.argv[1]), sys.argv[2], process=True)
print("held", flush=True)
sys.stdin.read()
"""


def content(store: Store) -> bytes:
    newest = generations.newest(store, layout.LOCK)
    assert newest
    return newest.data


def held(store: Store) -> dict[str, Any]:
    return dict(json.loads(content(store)))


def put(store: Store, data: bytes) -> None:
    assert generations.put(store, layout.LOCK, data, generations.newest(store, layout.LOCK))


def written(store: Store, **fields: Any) -> None:
    """A lock of the run `first`, as a pod elsewhere would have left it."""
    usual = {"owner": "first", "host": "elsewhere", "pid": None, "started": None}
    put(store, json.dumps(usual | fields).encode())


def number(store: Store) -> int:
    newest = generations.newest(store, layout.LOCK)
    assert newest
    return newest.number


def age(store: Store, seconds: float) -> None:
    """Let the lock in a local folder have been written so long ago."""
    os.utime(store.location(store.list(layout.LOCK)[-1]), (time.time() - seconds,) * 2)


def since(store: Store) -> float:
    """The age of the lock."""
    newest = generations.newest(store, layout.LOCK)
    assert newest
    return generations.age(store, layout.LOCK, newest)


@pytest.fixture
def lapse(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Every lock that is not renewed lapses at once, and is not watched for long."""

    def at_once() -> None:
        for name, value in {"TTL_SECONDS": 0.0, "PROCESS_TTL_SECONDS": 0.0, "_WATCH_SECONDS": 0.2}.items():
            monkeypatch.setattr(lock, name, value)
        monkeypatch.setattr(lock, "_LOOK_SECONDS", 0.01)

    return at_once


def this_process(**changes: Any) -> dict[str, Any]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()} | changes


@pytest.fixture
def holder(run_root: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock as `first`."""
    command = [sys.executable, "-c", HOLDER, run_root, "first"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


# --- who may have it -------------------------------------------------------------------------------------------------


def test_a_live_run_is_not_disturbed(run_store: Store) -> None:
    lock.acquire(run_store, "first")
    before = held(run_store)
    with pytest.raises(UserError) as caught:
        lock.acquire(run_store, "second")
    said = re.sub(r"(sign of life: )\d+ s", r"\1a moment", str(caught.value))
    assert said == (
        f"{run_store.uri}: in use by the run first on {socket.gethostname()} (its last sign of life: a moment ago): "
        "wait for it to end, or choose another run root; "
        "if it is gone for good, give a run on Kubeflow the parameter takes_over: first, "
        f"or delete all of {run_store.uri}/lock/"
    )
    assert held(run_store) == before


def test_the_lock_of_a_run_that_is_gone_for_good_goes_as_its_message_says(run_root: str) -> None:
    store = open_store(run_root)
    for _ in range(5):
        lock.acquire(store, "first")
    with pytest.raises(UserError) as caught:
        lock.acquire(store, "second")
    folder = open_store(str(caught.value).rpartition("delete all of ")[2])
    for key in folder.list():
        folder.delete(key)
    assert store.list() == []
    lock.acquire(store, "second")
    assert held(store)["owner"] == "second"


def test_a_lock_that_was_given_back_is_free(run_store: Store) -> None:
    lock.acquire(run_store, "first")
    lock.release(run_store, "first")
    assert lock.held_by(run_store) == ("", "")
    lock.acquire(run_store, "second")
    lock.release(run_store, "first")
    assert held(run_store)["owner"] == "second"
    lock.release(run_store, "second")
    lock.release(run_store, "second")


def test_a_retry_s_lock_is_not_given_back_by_the_end_of_the_run_before(local_store: Store) -> None:
    """Both have one owner."""
    lock.acquire(local_store, "first", job="first")
    lock.acquire(local_store, "first", job="its retry")
    lock.release(local_store, "first", "first")
    assert lock.held_by(local_store) == ("first", "its retry")
    lock.release(local_store, "first", "its retry")
    assert lock.held_by(local_store) == ("", "")


def test_a_run_renews_its_own(local_store: Store) -> None:
    written(local_store)
    age(local_store, 3600)
    lock.acquire(local_store, "first")
    assert since(local_store) < 600


@pytest.mark.parametrize(("holder", "lasts"), [({}, 24 * 3600), ({"pid": 7, "started": 1.0}, 600)])
def test_a_process_holds_it_for_minutes_and_a_clusters_run_for_a_day(
    local_store: Store, holder: dict[str, Any], lasts: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_WATCH_SECONDS", 0.0)
    written(local_store, **holder)
    age(local_store, lasts - 300)
    with pytest.raises(UserError, match="in use by the run first on elsewhere"):
        lock.acquire(local_store, "second")
    age(local_store, lasts + 1)
    lock.acquire(local_store, "second")


def test_it_says_who_held_it_last_and_who_is_alive(local_store: Store) -> None:
    assert (lock.held_by(local_store), lock.in_use_by(local_store)) == (("", ""), "")
    written(local_store)
    age(local_store, 25 * 3600)
    assert (lock.held_by(local_store), lock.in_use_by(local_store)) == (("first", ""), "")
    lock.acquire(local_store, "first", job="second-job")
    assert (lock.held_by(local_store), lock.in_use_by(local_store)) == (("first", "second-job"), "first")
    written(local_store, **this_process(started=0.0))
    assert (lock.held_by(local_store), lock.in_use_by(local_store)) == (("first", ""), "")


def test_only_what_was_given_back_can_be_removed(local_store: Store) -> None:
    lock.remove(local_store)
    assert not lock.exists(local_store)
    written(local_store)
    lock.remove(local_store)
    assert (lock.exists(local_store), lock.held_by(local_store)) == (True, ("first", ""))
    lock.release(local_store, "first")
    assert lock.exists(local_store)
    lock.remove(local_store)
    assert local_store.list() == []


def test_a_lapsed_lock_is_free(run_store: Store, lapse: Callable[[], None]) -> None:
    written(run_store)
    lapse()
    lock.acquire(run_store, "second")
    assert held(run_store)["owner"] == "second"


def test_a_lapsed_lock_is_free_even_of_a_live_process(local_store: Store, lapse: Callable[[], None]) -> None:
    written(local_store, **this_process())
    lapse()
    lock.acquire(local_store, "second")


# --- clocks ----------------------------------------------------------------------------------------------------------


SHIFTED = """
import sys, time
now = time.time
time.time = lambda: now() + float(sys.argv[2])
from nashflow.components.core.errors import UserError
from nashflow.components.runtime import lock
from nashflow.components.storage.store import open_store
store = open_store(sys.argv[1])
print(lock.in_use_by(store))
try:
    lock.acquire(store, "second")
except UserError as error:
    print("refused")
"""


@pytest.mark.parametrize("ahead", [-24 * 3600.0, 24 * 3600.0])
def test_a_machine_with_another_clock_steals_no_lock(run_store: Store, ahead: float) -> None:
    written(run_store, pid=7, started=1.0)
    command = [sys.executable, "-c", SHIFTED, run_store.uri, str(ahead)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["first", "refused"]
    assert held(run_store)["owner"] == "first"


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("ahead", [-24 * 3600.0, 24 * 3600.0])
def test_a_lock_that_is_renewed_is_alive_whatever_the_stores_clock_says(
    run_store: Store, lapse: Callable[[], None], ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapse()
    monkeypatch.setattr(generations, "age", lambda store, key, generation: max(0.0, ahead))
    written(run_store)
    refused = threading.Event()

    def intrude() -> None:
        with contextlib.suppress(UserError):
            lock.acquire(open_store(run_store.uri), "second")
        refused.set()

    with lock.renewing(run_store):
        threading.Thread(target=intrude, daemon=True).start()
        refused.wait(1.0)
        assert held(run_store)["owner"] == "first"
    if not refused.wait(0):
        wait_for(lambda: held(run_store)["owner"] == "second")  # once it is dead


ODD = [{"pid": 0}, {"pid": -1}, {"pid": 2**70}, {"started": "NaN"}, {"host": 7}, {"owner": None}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_values_are_no_traceback(local_store: Store, odd: dict[str, Any]) -> None:
    written(local_store, **this_process() | odd)
    lock.acquire(local_store, "second")
    assert held(local_store)["owner"] == "second"


DAMAGED = {
    "empty": b"",
    "cut short": b'{"owner": "fir',
    "no object": b"[]",
    "another program's": b'{"ID": "7", "Operation": "plan"}',
    "no time": json.dumps({"owner": "first", "host": "a", "pid": None, "started": "soon"}).encode(),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_lock_is_nobodys(local_store: Store, damage: bytes) -> None:
    put(local_store, damage)
    assert not lock.exists(local_store)
    lock.release(local_store, "first")
    assert content(local_store) == damage
    lock.acquire(local_store, "second")
    assert held(local_store)["owner"] == "second"


# --- processes -------------------------------------------------------------------------------------------------------


def test_the_lock_of_a_live_process_holds_until_it_is_killed(holder: subprocess.Popen[str], run_store: Store) -> None:
    with pytest.raises(UserError, match=rf"in use by the run first on {re.escape(socket.gethostname())} "):
        lock.acquire(run_store, "second", process=True)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock.acquire(run_store, "second", process=True)
    assert held(run_store)["pid"] == os.getpid()


def test_a_killed_process_that_nobody_has_buried_is_dead(tmp_path: Any) -> None:
    """Its parent does not wait for it, as a container's first process often does not: it stays as a zombie."""
    store = open_store(str(tmp_path / "run"))
    with subprocess.Popen([sys.executable, "-c", HOLDER, store.uri, "first"], stdin=-1, stdout=-1) as process:
        assert process.stdout
        process.stdout.readline()
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        lock.acquire(store, "second")


@pytest.mark.parametrize("run_root", ["local"], indirect=True)
def test_two_processes_are_two_runs_whatever_their_name(holder: subprocess.Popen[str], run_store: Store) -> None:
    with pytest.raises(UserError, match="in use by the run first"):
        lock.acquire(run_store, "first", process=True)


def test_a_process_may_take_its_lock_again(local_store: Store) -> None:
    lock.acquire(local_store, "first", process=True)
    lock.acquire(local_store, "first", process=True)
    lock.release(local_store, "first")


def test_a_step_renews_its_runners_lock_as_the_runners(local_store: Store) -> None:
    written(local_store, **this_process())
    age(local_store, 300)
    lock.acquire(local_store, "first")
    assert since(local_store) < 300
    assert {key: held(local_store)[key] for key in ("host", "pid", "started")} == this_process()


def test_a_dead_runners_lock_is_taken_over_whole(local_store: Store) -> None:
    """A run that goes on as a pod must not inherit the process that died: its lock would count as dead at once."""
    written(local_store, **this_process(started=0.0))
    lock.acquire(local_store, "first")
    assert held(local_store)["pid"] is None
    with pytest.raises(UserError, match="in use by the run first"):
        lock.acquire(local_store, "second")


def test_a_process_id_that_was_given_anew_is_not_the_holder(local_store: Store) -> None:
    written(local_store, **this_process(started=psutil.Process().create_time() - 3600))
    lock.acquire(local_store, "second")


def test_a_clock_that_was_set_does_not_kill(local_store: Store) -> None:
    """The kernel tells a start as seconds since a boot time that shifts with the clock."""
    written(local_store, **this_process(started=psutil.Process().create_time() + 1.0))
    with pytest.raises(UserError, match="in use by the run first"):
        lock.acquire(local_store, "second")


def test_another_hosts_process_counts_as_alive(local_store: Store) -> None:
    written(local_store, pid=2**22 + 1, started=1.0)
    with pytest.raises(UserError, match="in use by the run first on elsewhere"):
        lock.acquire(local_store, "second")


# --- races -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["nobody", "a dead run"])
def test_one_of_many_gets_it(before: str, run_root: str) -> None:
    if before == "a dead run":
        written(open_store(run_root), **this_process(started=0.0))
    winners, losers = [], []
    together = threading.Barrier(6)

    def run(owner: str) -> None:
        store = open_store(run_root)
        together.wait()
        try:
            lock.acquire(store, owner)
        except UserError:
            losers.append(owner)
        else:
            winners.append(owner)

    threads = [threading.Thread(target=run, args=(f"run {index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(winners), len(losers)) == (1, 5)
    assert held(open_store(run_root))["owner"] == winners[0]


def test_a_lock_that_is_given_back_while_it_is_renewed_is_free(
    local_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal comes between the look and the release."""
    lock.acquire(local_store, "first")
    give_back, renewals = generations.put, iter([None])

    def late(*arguments: Any) -> bool:
        for _ in renewals:
            lock.acquire(local_store, "first")
        return give_back(*arguments)

    monkeypatch.setattr(generations, "put", late)
    lock.release(local_store, "first")
    assert lock.held_by(local_store) == ("", "")


# --- renewal ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_RENEW_SECONDS", 0.02)


def wait_for(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


class Watched:
    """A store that counts the looks at the lock; the first ones fail, or hang until they are let go on."""

    def __init__(self, store: Store, failures: int = 0, hangs: bool = False) -> None:
        self._store, self._failures, self.looks = store, failures, 0
        self.go_on = threading.Event()
        if not hangs:
            self.go_on.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def list(self, prefix: str = "") -> list[str]:
        self.looks += 1
        self.go_on.wait()
        if self.looks <= self._failures:
            raise OSError("No space left on device")
        return self._store.list(prefix)

    def be_looked_at(self) -> None:
        """Wait until a renewal has begun and ended."""
        end = self.looks + 2
        wait_for(lambda: self.looks >= end)


@pytest.mark.usefixtures("often")
def test_a_working_step_keeps_the_lock_alive_and_no_longer(run_store: Store) -> None:
    written(run_store)
    begun = number(run_store)
    before = set(threading.enumerate())
    with lock.renewing(run_store):
        wait_for(lambda: number(run_store) > begun)
    wait_for(lambda: set(threading.enumerate()) <= before)
    assert (held(run_store)["owner"], held(run_store)["host"]) == ("first", "elsewhere")


@pytest.mark.usefixtures("often")
def test_no_lock_is_renewed_into_being(local_store: Store) -> None:
    store = Watched(local_store)
    with lock.renewing(store):
        store.be_looked_at()
        assert local_store.list() == []
        lock.acquire(local_store, "first")
        lock.release(local_store, "first")
        before = local_store.list()
        store.be_looked_at()
        assert local_store.list() == before


@pytest.mark.usefixtures("often")
def test_a_damaged_lock_is_not_renewed(local_store: Store) -> None:
    put(local_store, b"[1]")
    store = Watched(local_store)
    with lock.renewing(store):
        store.be_looked_at()
    assert content(local_store) == b"[1]"


@pytest.mark.usefixtures("often")
def test_renewal_outlives_a_store_that_fails_for_a_while(local_store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    written(local_store)
    begun = number(local_store)
    with lock.renewing(Watched(local_store, failures=3)):
        wait_for(lambda: number(local_store) > begun)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("often")
def test_a_store_that_hangs_does_not_hold_up_the_end(local_store: Store) -> None:
    store = Watched(local_store, hangs=True)
    with lock.renewing(store):
        wait_for(lambda: store.looks)
    store.go_on.set()
