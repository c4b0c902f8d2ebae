"""Entry point: `python3 -m nashflow.pipelines.continuation`."""

from nashflow.components.shared.protocol import main

from ..recipe import Recipe
from .step import FLAGS, run

if __name__ == "__main__":
    main("continuation", Recipe, run, FLAGS)
