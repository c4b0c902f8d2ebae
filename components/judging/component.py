"""The judging step as a KFP component."""

from kfp import dsl


@dsl.container_component
def judging(
    settings: str,
    run_root: str,
    iteration: int,
    phase: str,
    shard: int,
    rollouts: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Judge the responses of one shard, whose manifest is `rollouts`, and choose pairs."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.judging"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--phase", phase),
            *("--shard", shard),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
