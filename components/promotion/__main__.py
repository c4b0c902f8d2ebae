"""Entry point: `python3 -m nashflow.components.promotion`."""

from ..runtime.entry import enter

if __name__ == "__main__":
    enter("nashflow.components.promotion")
