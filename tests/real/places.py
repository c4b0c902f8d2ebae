"""Where the real run's models lie, and what its tests need."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMOLLM2, JUDGE = ROOT / "runs/models/smollm2", ROOT / "runs/models/judge"

NEEDS_DATA = pytest.mark.skipif(
    "NASHFLOW_DATA" not in os.environ, reason="NASHFLOW_DATA is not set: tests/real/README.md says what it holds"
)
NEEDS_TINY_MODEL = pytest.mark.skipif(
    "NASHFLOW_MODELS" not in os.environ, reason="NASHFLOW_MODELS is not set: tests/real/README.md says what it holds"
)
NEEDS_SMOLLM2 = pytest.mark.skipif(
    not SMOLLM2.is_dir(), reason=f"{SMOLLM2} is not there: make smollm2 makes it, or says why not"
)
