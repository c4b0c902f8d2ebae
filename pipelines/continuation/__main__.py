"""Entry point: `python3 -m nashflow.pipelines.continuation`."""

from nashflow.components.shared.entry import enter

if __name__ == "__main__":
    enter("nashflow.pipelines.continuation")
