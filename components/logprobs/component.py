"""The logprobs step as a KFP component."""

from kfp import dsl


@dsl.container_component
def logprobs(
    recipe: str,
    iteration: int,
    phase: str,
    shard: int,
    retries: int,
    source: dsl.Input[dsl.Artifact],
    log_probabilities: dsl.Output[dsl.Dataset],
) -> dsl.ContainerSpec:
    """Cache the anchors' log-probabilities of one shard's pairs.

    `source` is those pairs, or the anchor that was trained last where the pairs are an earlier phase's.
    """
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.logprobs"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
