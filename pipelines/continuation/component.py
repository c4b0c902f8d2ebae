"""The continuation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def continuation(
    recipe: str,
    iteration: int,
    job_id: str,
    retries: int,
) -> dsl.ContainerSpec:
    """Submit the run that goes on from `iteration`."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.pipelines.continuation"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
