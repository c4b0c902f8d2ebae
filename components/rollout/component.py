"""The rollout step as a KFP component."""

from kfp import dsl


@dsl.container_component
def rollout(
    recipe: str,
    iteration: int,
    phase: str,
    shard: int,
    retries: int,
    policy: dsl.Input[dsl.Model],
    responses: dsl.Output[dsl.Dataset],
) -> dsl.ContainerSpec:
    """Sample K responses per prompt of one shard; `policy` is the one that was made last."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.rollout"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
