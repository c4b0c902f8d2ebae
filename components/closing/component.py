"""The closing step as a KFP component."""

from kfp import dsl


@dsl.container_component
def closing(
    settings: str,
    run_root: str,
    run_name: str,
    job_id: str,
    owner: str,
    continues: str,
    status: dsl.PipelineTaskFinalStatus,
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Record how the run ended, whichever way it did; `status` is KFP's."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.closing"],
        args=[
            *("--run-root", run_root),
            *("--run-name", run_name),
            *("--job-id", job_id),
            *("--owner", owner),
            *("--continues", continues),
            *("--status", status),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
