"""Entry point: `python3 -m nashflow.components.judge_training`."""

from ..runtime.entry import enter

if __name__ == "__main__":
    enter("nashflow.components.judge_training")
