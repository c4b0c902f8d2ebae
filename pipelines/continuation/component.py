"""The continuation as a KFP component."""

from kfp import dsl


@dsl.container_component
def continuation(
    settings: str,
    run_root: str,
    iteration: int,
    job_id: str,
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Submit the run that goes on from `iteration`; `settings` is the whole recipe."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.pipelines.continuation"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--job-id", job_id),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
