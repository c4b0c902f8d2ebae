"""The container engine and the images; these tests are asked for by name, so what is missing is a failure."""

import os
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from tests.images.containerfile import ROOT, RUNTIMES

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="session")
def engine() -> Any:
    """The client of the Docker-compatible engine at DOCKER_HOST."""
    if not os.environ.get("DOCKER_HOST"):
        pytest.fail(
            "no container engine: DOCKER_HOST is not set, such as unix:///run/podman/podman.sock", pytrace=False
        )
    import docker

    client = docker.from_env(timeout=300)
    try:
        client.ping()
    except Exception as error:
        pytest.fail(f"no container engine at DOCKER_HOST: {error}", pytrace=False)
    return client


@pytest.fixture(scope="session")
def image(engine: Any) -> Callable[[str], Any]:
    """A built image by its runtime."""
    from docker.errors import ImageNotFound

    def find(runtime: str) -> Any:
        if runtime not in os.environ.get("IMAGES", " ".join(RUNTIMES)).split():
            pytest.skip(f"{runtime} is not one of IMAGES")
        try:
            return engine.images.get(f"nashflow-{runtime}:{VERSION}")
        except ImageNotFound:
            pytest.fail(f"nashflow-{runtime}:{VERSION} is not built: make images IMAGES={runtime}", pytrace=False)

    return find
