"""A container engine, where there is one."""

import os
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from tests.images.containerfile import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="session")
def engine() -> Any:
    """The client of the Docker-compatible engine at DOCKER_HOST."""
    if not os.environ.get("DOCKER_HOST"):
        pytest.skip("no container engine: DOCKER_HOST is not set")
    docker = pytest.importorskip("docker")
    client = docker.from_env(timeout=300)
    try:
        client.ping()
    except Exception as error:
        pytest.skip(f"no container engine at DOCKER_HOST: {error}")
    return client


@pytest.fixture(scope="session")
def image(engine: Any) -> Callable[[str], Any]:
    """A built image by its runtime."""
    from docker.errors import ImageNotFound

    def find(runtime: str) -> Any:
        try:
            return engine.images.get(f"nashflow-{runtime}:{VERSION}")
        except ImageNotFound:
            pytest.skip(f"nashflow-{runtime}:{VERSION} is not built: make images IMAGES={runtime}")

    return find
