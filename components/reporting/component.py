"""The reporting step as a KFP component."""

from kfp import dsl


@dsl.container_component
def reporting(
    settings: str,
    run_root: str,
    iteration: int,
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> dsl.ContainerSpec:
    """Write the run's summary, figure and report; `iteration` is the last one."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.reporting"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
