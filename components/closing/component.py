"""The closing step as a KFP component."""

from kfp import dsl


@dsl.container_component
def closing(
    run_root: str,
    takes_over: str,
    job_id: str,
    notifications: str,
    retries: int,
    status: dsl.PipelineTaskFinalStatus,
) -> dsl.ContainerSpec:
    """Record how the run ended, whichever way it did, and tell the webhooks; `status` is KFP's."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.closing"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
