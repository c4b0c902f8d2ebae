"""One nested run of each step, whoever begins it, how often, at once with whom, and whoever is killed over it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from nashflow.components.storage.store import open_store
from nashflow.components.storage.store_local import LocalStore
from nashflow.components.tracking.tracker import Tracker
from tests.fixtures.tracking import FINISHED, every_run, nested, opened, reported, statuses

SETTINGS = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])

AT_ONCE = """
import json, os, sys
from nashflow.components.storage.store import open_store
from nashflow.components.tracking.tracker import Tracker
from nashflow.components.tracking.opening import Tracking
import mlflow.store.tracking.rest_store, mlflow.store.tracking.sqlalchemy_store
store, tracking = open_store(sys.argv[1]), Tracking.from_json(json.loads(sys.argv[2]))
gate, go = os.pipe()
children = []
for _ in range(16):
    if not (child := os.fork()):
        os.close(go)
        os.read(gate, 1)
        Tracker(tracking, store).begin(1, "main/rollout")
        os._exit(0)
    children.append(child)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.fixture(params=["on this machine", "on a cluster"])
def run_root_store(request):
    """SQLite and a folder, or a tracking server and the object store that KFP brings."""
    if request.param == "on this machine":
        request.getfixturevalue("client")
        return request.getfixturevalue("local_store")
    request.getfixturevalue("server")
    return open_store(f"{request.getfixturevalue('seaweedfs_prefix')}/run")


@pytest.mark.runs
def test_sixteen_processes_that_begin_one_step_make_one_run(run_root_store, surroundings):
    surroundings.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")  # how long one worker takes for all is not the question
    tracking = opened(run_root_store)
    call = [sys.executable, "-c", AT_ONCE, run_root_store.uri, json.dumps(tracking.to_json())]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    assert statuses(client, tracking) == {"1": "RUNNING", "1/main/rollout": "RUNNING"}
    assert len(every_run(client)) == 3


KILLED = """
import json, os, signal, sys
from nashflow.components.storage.store import open_store
from nashflow.components.storage.store_local import LocalStore
from nashflow.components.tracking.tracker import Tracker
from nashflow.components.tracking.opening import Tracking

class Store(LocalStore):
    def create(self, key, data):
        if key.endswith(sys.argv[3]):
            if sys.argv[4] == "after":
                super().create(key, data)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().create(key, data)

from pathlib import Path
Tracker(Tracking.from_json(json.loads(sys.argv[2])), Store(Path(sys.argv[1]))).begin(1, "main/rollout")
"""


@pytest.mark.parametrize(("place", "when"), [("1", "before"), ("1/main/rollout", "before"), ("1", "after")])
def test_a_kill_as_the_id_is_kept_leaves_one_run_for_the_next(client, local_store, place, when):
    tracking = opened(local_store)
    call = [sys.executable, "-c", KILLED, local_store.uri, json.dumps(tracking.to_json()), f"/{place}.id", when]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL
    left = nested(client, tracking)
    assert place in left
    Tracker(tracking, local_store).begin(1, "main/rollout")
    now = nested(client, tracking)
    assert {run.info.status for run in now.values()} == {"RUNNING"}
    assert {place: now[place].info.run_id for place in left} == {place: run.info.run_id for place, run in left.items()}


class Killed(BaseException):
    """The process is gone."""


class Overtaken(LocalStore):
    """A store whose process is overtaken by another between its search and its own run, and killed over its loss."""

    def __init__(self, root: Path, other: Tracker):
        super().__init__(root)
        self._other = other

    def read(self, key: str) -> bytes:
        try:
            return super().read(key)
        except FileNotFoundError:
            self._other.begin(1, "main/rollout")
            raise

    def create(self, key: str, data: bytes) -> bool:
        raise Killed


@pytest.mark.parametrize("by_whom", ["the step, begun again", "the end of the run"])
def test_a_run_that_lost_and_was_not_deleted_is_deleted_later(client, local_store, tmp_path, by_whom):
    tracking = opened(local_store)
    winner = Tracker(tracking, local_store)
    with pytest.raises(Killed):
        Tracker(tracking, Overtaken(tmp_path / "run", winner)).begin(1, "main/rollout")
    assert len(every_run(client)) == 1 + 3
    if by_whom == "the end of the run":
        winner.close("failed")
        assert statuses(client, tracking) == {"1": "FAILED", "1/main/rollout": "FAILED"}
    else:
        winner.begin(1, "main/rollout")
        assert statuses(client, tracking) == {"1": "RUNNING", "1/main/rollout": "RUNNING"}


def test_runs_nest_as_mlflows_own_page_finds_them(client, local_store):
    tracking = opened(local_store)
    tracker = Tracker(tracking, local_store)
    for iteration, step in ((0, "evaluation"), (1, "main/rollout"), (1, "evaluation")):
        tracker.begin(iteration, step)

    def below(run_id: str) -> dict[str, str]:
        found = client.search_runs([tracking.nested], f"tags.mlflow.parentRunId = '{run_id}'")
        return {run.info.run_name: run.info.run_id for run in found}

    iterations = below(tracking.parent)
    assert sorted(iterations) == ["iteration 0", "iteration 1"]
    assert sorted(below(iterations["iteration 1"])) == ["1/evaluation", "1/main/rollout"]


def test_what_has_not_begun_is_not_there_and_what_has_ended_says_when(client, local_store):
    tracking = opened(local_store)
    tracker = Tracker(tracking, local_store)
    tracker.begin(1, "main/rollout")
    tracker.end(1, "main/rollout", FINISHED)
    tracker.begin(1, "main/training")
    assert statuses(client, tracking) == {"1": "RUNNING", "1/main/rollout": "FINISHED", "1/main/training": "RUNNING"}
    assert nested(client, tracking)["1/main/rollout"].info.end_time == FINISHED
    assert nested(client, tracking)["1/main/training"].info.end_time is None


@pytest.mark.parametrize(("outcome", "status"), [("failed", "FAILED"), ("cancelled", "KILLED")])
def test_a_run_that_fails_takes_along_what_had_begun_and_goes_on_with_it(client, local_store, outcome, status):
    tracking = opened(local_store)
    tracker = Tracker(tracking, local_store)
    tracker.begin(1, "main/rollout")
    tracker.end(1, "main/rollout", FINISHED)
    tracker.begin(1, "main/training")
    tracker.close(outcome)
    assert statuses(client, tracking) == {"1": status, "1/main/rollout": "FINISHED", "1/main/training": status}
    opened(local_store, known=tracking)
    assert statuses(client, tracking) == {"1": status, "1/main/rollout": "FINISHED", "1/main/training": status}
    Tracker(tracking, local_store).begin(1, "main/training")
    assert statuses(client, tracking) == {"1": "RUNNING", "1/main/rollout": "FINISHED", "1/main/training": "RUNNING"}


# --- any order, with kills anywhere ----------------------------------------------------------------------------------


class Deadly(LocalStore):
    """A store over which its process is killed when it keeps its n-th id: before it is kept, or after."""

    def __init__(self, root: Path, countdown: int, kept: bool):
        super().__init__(root)
        self._countdown, self._kept = countdown, kept

    def create(self, key: str, data: bytes) -> bool:
        self._countdown -= 1
        if self._countdown == 0 and not self._kept:
            raise Killed
        done = super().create(key, data)
        if self._countdown == 0:
            raise Killed
        return done


STEPS = ("main/rollout", "main/training", "evaluation")
PROCESSES = st.lists(
    st.tuples(st.integers(1, 2), st.sampled_from(STEPS), st.booleans(), st.integers(0, 2), st.booleans()), max_size=8
)
"""Iteration and step that a process begins, whether it also ends it, and over which id it is killed."""


@SETTINGS
@given(processes=PROCESSES, end=st.sampled_from(["succeeded", "failed", "cancelled"]))
def test_whatever_begins_ends_and_dies_each_step_that_began_has_one_run(client, tmp_path, processes, end):
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    tracking = opened(LocalStore(root))
    begun, finished = set(), set()
    for iteration, step, ends, countdown, kept in processes:
        place = f"{iteration}/{step}"
        tracker = Tracker(tracking, Deadly(root, countdown, kept))
        try:
            tracker.begin(iteration, step)
        except Killed:
            continue
        begun |= {str(iteration), place}
        finished.discard(place)
        if ends:
            tracker.end(iteration, step, FINISHED)
            finished.add(place)
        there = statuses(client, tracking)
        assert begun <= there.keys()
        assert {each for each in begun if there[each] == "FINISHED"} == finished
    Tracker(tracking, LocalStore(root)).close(end)
    there = statuses(client, tracking)
    assert "RUNNING" not in there.values()
    if end != "succeeded":
        assert {place for place, status in there.items() if status == "FINISHED"} == finished


@SETTINGS
@given(events=st.lists(st.sampled_from(["begin", "report", "kill"]), min_size=1, max_size=6))
def test_a_step_is_counted_once_however_often_it_is_told(client, tmp_path, events):
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    tracking = opened(LocalStore(root))
    for event in [*events, "report"]:
        if event == "begin":
            Tracker(tracking, LocalStore(root)).begin(1, "main/rollout")
        elif event == "report":
            reported(Tracker(tracking, LocalStore(root)), metrics={"tokens": 128})
        else:
            with contextlib.suppress(Killed):
                reported(Tracker(tracking, Deadly(root, 2, False)), metrics={"tokens": 128})
    run = nested(client, tracking)["1/main/rollout"]
    assert (run.info.status, run.info.end_time) == ("FINISHED", FINISHED)
    assert [point.value for point in client.get_metric_history(run.info.run_id, "tokens")] == [128.0]
