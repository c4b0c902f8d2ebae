"""The training step as a KFP component."""

from kfp import dsl


@dsl.container_component
def training(
    run_root: str,
    recipe: str,
    iteration: int,
    phase: str,
    retries: int,
    log_probabilities: dsl.Input[list[dsl.Dataset]],
    policy: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Train on the pairs of all shards, and publish the next policy."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.training"],
        args=[
            *("--run-root", run_root),
            *("--recipe", recipe),
            *("--iteration", iteration),
            *("--phase", phase),
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
