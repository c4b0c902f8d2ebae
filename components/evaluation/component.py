"""The evaluation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def evaluation(
    settings: str,
    run_root: str,
    iteration: int,
    policy: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Measure the policy whose manifest is `policy`; but for iteration 0, the reference has been measured before."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.evaluation"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
