"""What all tests share: fixtures, and settings that have to hold before anything else is imported."""

import gc
import os
import sys

import hypothesis
import pytest

pytest_plugins = [
    "tests.fixtures.folders",
    "tests.fixtures.mlflow_store",
    "tests.fixtures.nltk_data",
    "tests.fixtures.postgresql",
    "tests.fixtures.precision",
    "tests.fixtures.runs",
    "tests.fixtures.s3",
    "tests.fixtures.seaweedfs",
]

# Many processes import the project: each would compile all of it anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Read when torch is imported: two threads on two busy cores make tiny models many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A slow machine's steps would say how they get on, on an stderr that tests read; those of it set their own.
os.environ.setdefault("NASHFLOW_LOG_SECONDS", "3600")

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("nashflow", deadline=None)
hypothesis.settings.load_profile("nashflow")


def pytest_collection_finish() -> None:
    """Keep what is there by now out of garbage collections: of millions of objects, each would take a second."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first: a long file dealt out last would leave the other worker idle."""
    long = ("/faults/", "/end_to_end/", "/real/", "/kubeflow/")
    items.sort(key=lambda item: not any(part in str(item.path) for part in long))
