"""The rollout step as a KFP component."""

from kfp import dsl


@dsl.container_component
def rollout(
    settings: str,
    run_root: str,
    iteration: int,
    phase: str,
    shard: int,
    policy: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Sample K responses per prompt of one shard; `policy` is the manifest of the policy that was made last."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.rollout"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--phase", phase),
            *("--shard", shard),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
