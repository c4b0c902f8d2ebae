"""Entry point: `python3 -m nashflow.components.reporting`."""

from ..runtime.entry import enter

if __name__ == "__main__":
    enter("nashflow.components.reporting")
