"""The logprobs step as a KFP component."""

from kfp import dsl


@dsl.container_component
def logprobs(
    settings: str,
    run_root: str,
    iteration: int,
    phase: str,
    shard: int,
    pairs: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Cache the anchors' log-probabilities of one shard's pairs, whose manifest is `pairs`."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.logprobs"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--phase", phase),
            *("--shard", shard),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
