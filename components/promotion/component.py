"""The promotion step as a KFP component."""

from kfp import dsl


@dsl.container_component
def promotion(
    recipe: str,
    iteration: int,
    retries: int,
    policy: dsl.Input[dsl.Model],
    decision: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> dsl.ContainerSpec:
    """Compare a policy of the run with the champion, and make it the champion if it is better; `iteration` is the last
    one."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.promotion"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
