"""The closing step as a KFP component."""

from kfp import dsl


@dsl.container_component
def closing(
    run_root: str,
    takes_over: str,
    job_id: str,
    continues: bool,
    retries: int,
    status: dsl.PipelineTaskFinalStatus,
) -> dsl.ContainerSpec:
    """Record how the run ended, whichever way it did; `status` is KFP's."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.closing"],
        args=[
            *("--run-root", run_root),
            *("--takes-over", takes_over),
            *("--job-id", job_id),
            *("--continues", continues),
            *("--retries", retries),
            *("--status", status),
        ],
    )
