"""Entry point: `python3 -m nashflow.components.closing`."""

from ..shared.protocol import main
from .settings import Step
from .step import FLAGS, run

if __name__ == "__main__":
    main("closing", Step, run, FLAGS)
