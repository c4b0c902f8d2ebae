"""A Kubeflow for each test, whose steps are real processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..fixtures.seaweedfs import SeaweedFS
from .cluster import Kubeflow, kubeflow
from .pods.sandbox import missing
from .stub import Stub


@pytest.fixture
def cluster(tmp_path: Path, seaweedfs_server: SeaweedFS) -> Iterator[Kubeflow]:
    with started(tmp_path, seaweedfs_server) as running:
        yield running


@contextmanager
def started(folder: Path, store: SeaweedFS) -> Iterator[Kubeflow]:
    """A Kubeflow, where pods can be had."""
    if why := missing():
        pytest.skip(f"pods need mount namespaces of their own: {why}")
    with kubeflow(folder, store) as running:
        yield running


@pytest.fixture
def stub(tmp_path: Path, cluster: Kubeflow) -> Stub:
    """What `python3` is in the images, in the place of the real one."""
    return Stub(tmp_path / "stub", cluster)


Submit = Callable[..., Any]


@pytest.fixture
def submit(cluster: Kubeflow) -> Submit:
    """Run a pipeline's specification; the run, once it has ended."""
    return lambda spec, platform=None, **parameters: cluster.ended(cluster.submit(spec, platform, parameters))
