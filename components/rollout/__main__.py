"""Entry point: `python3 -m nashflow.components.rollout`."""

from ..runtime.entry import enter

if __name__ == "__main__":
    enter("nashflow.components.rollout")
