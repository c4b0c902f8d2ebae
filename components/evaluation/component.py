"""The evaluation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def evaluation(
    settings: str,
    run_root: str,
    iteration: int,
    policy: dsl.Input[dsl.Artifact],
    reference: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Measure the policy whose manifest is `policy`; `reference` is the manifest of the reference's evaluation, or at
    iteration 0 that of the preparation."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.evaluation"],
        args=[
            *("--run-root", run_root),
            *("--iteration", iteration),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
