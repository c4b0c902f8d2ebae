"""The preparation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def preparation(
    settings: str,
    run_root: str,
    run_name: str,
    prompts: str,
    policy: str,
    job_id: str,
    owner: str,
    only_new_prompts: str,
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    resolved_run_root: dsl.OutputPath(str),  # type: ignore[valid-type]
    go: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Validate the recipe, bring in the reference policy, deal out the prompts and open the tracking."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.preparation"],
        args=[
            *("--run-root", run_root),
            *("--run-name", run_name),
            *("--prompts", prompts),
            *("--policy", policy),
            *("--job-id", job_id),
            *("--owner", owner),
            *("--only-new-prompts", only_new_prompts),
            *("--settings", settings),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
