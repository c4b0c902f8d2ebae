"""The step that fits judges as a KFP component."""

from kfp import dsl


@dsl.container_component
def judge_training(
    recipe: str,
    iteration: int,
    retries: int,
    judges: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Fit the judges that the recipe's oracle names to labelled pairs, and measure them on pairs held out."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.judge_training"],
        args=[
            *("--retries", retries),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
