"""The training step as a KFP component."""

from kfp import dsl


@dsl.container_component
def training(
    settings: str,
    run_root: str,
    iteration: int,
    phase: str,
    logprobs: dsl.Input[list[dsl.Artifact]],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Train on the pairs of all shards, whose manifests are `logprobs`, and publish the next policy."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.training"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--phase", phase),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
