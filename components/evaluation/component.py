"""The evaluation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def evaluation(
    recipe: str,
    iteration: int,
    phase: str,
    retries: int,
    policy: dsl.Input[dsl.Model],
    scores: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> dsl.ContainerSpec:
    """Measure a policy on the benchmarks of one group; but for iteration 0, the reference has been measured before."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.evaluation"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
