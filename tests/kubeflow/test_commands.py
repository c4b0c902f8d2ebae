"""The commands that a user has, against a Kubeflow whose steps a stub plays: what they say of what goes wrong."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..fixtures.seaweedfs import SeaweedFS
from .cluster import kubeflow
from .conftest import started
from .pods.cluster import Trouble
from .server.users import Token, Users
from .site import Site, equipped
from .stub import Stub

pytestmark = pytest.mark.runs
SETS = ("run.iterations=1",)


@pytest.fixture
def place(tmp_path: Path, seaweedfs_server: SeaweedFS) -> Iterator[Site]:
    with started(tmp_path / "pods", seaweedfs_server) as running:
        yield equipped(running, seaweedfs_server, "http://127.0.0.1:9", tmp_path)


@pytest.fixture
def stub(place: Site, tmp_path: Path) -> Stub:
    return Stub(tmp_path / "stub", place.kubeflow)


def _follow(place: Site, recipe: Path, *options: str) -> "subprocess.Popen[str]":
    command = place.command("submit", recipe, "--wait", "--kube-context", "here", *options, sets=SETS)
    return subprocess.Popen(command, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _told(process: "subprocess.Popen[str]", *words: str) -> str:
    """What a command prints until a line has all of these words."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if all(word in line for word in words):
            return said
    raise AssertionError(f"not said: {words}\n{said}")


def test_an_image_that_does_not_exist_is_told_soon(place: Site, stub: Stub) -> None:
    image = "registry.example.com/none:9"
    place.kubeflow.cluster.missing_images.add(image)
    recipe = place.recipe("noimage", cluster={"images": {"steps": image}})
    with _follow(place, recipe) as process:
        said = _told(process, image)
        assert "preparation" in said
        place.kubeflow.cluster.missing_images.clear()
        _told(process, "succeeded in")
    assert process.returncode == 0


def test_a_secret_without_a_key_is_told(place: Site, stub: Stub) -> None:
    key = place.kubeflow.cluster.secrets["nashflow-s3"].pop("AWS_SECRET_ACCESS_KEY")
    with _follow(place, place.recipe("nokey")) as process:
        _told(process, "AWS_SECRET_ACCESS_KEY", "nashflow-s3")
        place.kubeflow.cluster.secrets["nashflow-s3"]["AWS_SECRET_ACCESS_KEY"] = key
        _told(process, "succeeded in")
    assert process.returncode == 0


def test_a_quota_is_told(place: Site, stub: Stub) -> None:
    place.kubeflow.cluster.troubles.append(Trouble("preparation.*executor", "quota", times=10**6))
    with _follow(place, place.recipe("quota")) as process:
        _told(process, "exceeded quota")
        place.kubeflow.cluster.troubles.clear()
        _told(process, "succeeded in")


def test_a_run_is_followed_though_its_status_is_compressed(place: Site, stub: Stub) -> None:
    place.kubeflow.server.workflow_limit = 120_000
    done = place.nashflow("submit", place.recipe("large"), "--wait", "--kube-context", "here", sets=SETS)
    run = place.run(done.stdout)
    assert "compressedNodes" in place.kubeflow.server.workflows[run.run_id].stored()["status"]
    assert "succeeded in" in done.stdout


def test_a_step_that_fails_says_its_own_line(place: Site, stub: Stub) -> None:
    stub.tell(preparation={"exit": 2})
    done = place.nashflow("submit", place.recipe("bad"), "--wait", "--kube-context", "here", sets=SETS, check=False)
    assert done.returncode == 1
    assert "preparation: told to fail" in done.stdout + done.stderr


def test_a_step_that_waits_ends_the_run_as_pending(place: Site, stub: Stub) -> None:
    stub.tell(judging={"exit": 3})
    done = place.nashflow("submit", place.recipe("people"), "--wait", "--kube-context", "here", sets=SETS, check=False)
    assert done.returncode == 3
    assert "is pending: told to fail; then resume it with `nashflow retry" in done.stderr
    assert "judging" in next(line for line in done.stdout.splitlines() if " pending " in line)
    told = [seen["step"] for seen in stub.seen]
    assert (told.count("judging"), told[-1]) == (1, "closing")


def test_a_log_is_followed_to_its_end(place: Site, stub: Stub) -> None:
    stub.tell(training={"seconds": 3})
    run = place.run(place.nashflow("submit", place.recipe("follow"), sets=SETS).stdout)
    place.step(run, "training-001")
    said = place.nashflow("logs", run.run_id, "--step", "training", "--follow", "--kube-context", "here").stdout
    assert '"step": "training"' in said
    assert "launcher_v2.go" not in said
    place.kubeflow.ended(run)


@pytest.fixture
def shared(tmp_path: Path, seaweedfs_server: SeaweedFS) -> Iterator[Site]:
    users = Users({"ann's": Token("ann"), "bob's": Token("bob")}, {"team": {"ann"}})
    with kubeflow(tmp_path / "pods", seaweedfs_server, "team", users) as running:
        yield equipped(running, seaweedfs_server, "http://127.0.0.1:9", tmp_path)


def test_several_users(shared: Site, tmp_path: Path) -> None:
    Stub(tmp_path / "stub", shared.kubeflow)
    options: list[Any] = ["submit", shared.recipe("mine"), "--wait", "--namespace", "team"]
    refused = shared.nashflow(*options, "--token", "bob's", sets=SETS, check=False)
    assert refused.returncode != 0
    assert "not allowed" in refused.stderr
    done = shared.nashflow(*options, "--token", "ann's", sets=SETS)
    assert shared.run(done.stdout).service_account == "default-editor"
