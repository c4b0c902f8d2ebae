"""The reporting step as a KFP component."""

from kfp import dsl


@dsl.container_component
def reporting(
    recipe: str,
    iteration: int,
    retries: int,
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Write the run's summary, figure and report; `iteration` is the last one."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.reporting"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
