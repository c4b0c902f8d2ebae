"""The judging step as a KFP component."""

from kfp import dsl


@dsl.container_component
def judging(
    recipe: str,
    iteration: int,
    phase: str,
    shard: int,
    retries: int,
    responses: dsl.Input[dsl.Dataset],
    comparisons: dsl.Output[dsl.Dataset],
    pairs: dsl.Output[dsl.Dataset],
) -> dsl.ContainerSpec:
    """Judge the responses of one shard, and choose pairs."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.judging"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
