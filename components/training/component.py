"""The training step as a KFP component."""

from kfp import dsl


@dsl.container_component
def training(
    recipe: str,
    iteration: int,
    phase: str,
    retries: int,
    scored: dsl.Input[dsl.Dataset],
    previous: dsl.Input[dsl.Model],
    policy: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    responses: dsl.Output[dsl.Dataset],
    comparisons: dsl.Output[dsl.Dataset],
    pairs: dsl.Output[dsl.Dataset],
) -> dsl.ContainerSpec:
    """Train on the pairs of all shards, and publish the next policy; and what it was trained on, for all shards."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.training"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
