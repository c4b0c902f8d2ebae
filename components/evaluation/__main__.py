"""Entry point: `python3 -m nashflow.components.evaluation`."""

from ..shared.protocol import main
from .settings import Step
from .step import run

if __name__ == "__main__":
    main("evaluation", Step, run)
