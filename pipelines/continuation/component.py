"""The continuation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def continuation(
    run_root: str,
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
            *("--run-root", run_root),
            *("--recipe", recipe),
            *("--iteration", iteration),
            *("--job-id", job_id),
            *("--retries", retries),
        ],
    )
