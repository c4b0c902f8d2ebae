"""The preparation step as a KFP component."""

from kfp import dsl


@dsl.container_component
def preparation(
    run_root: str,
    recipe: str,
    set: str,
    run_name: str,
    prompts: str,
    policy: str,
    only_new_prompts: bool,
    takes_over: str,
    job_id: str,
    reference: dsl.Output[dsl.Model],
    settings: dsl.Output[dsl.Metrics],
    resolved_run_root: dsl.OutputPath(str),  # type: ignore[valid-type]
    digest: dsl.OutputPath(str),  # type: ignore[valid-type]
    go: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Validate the recipe, a JSON object; bring in the reference policy, deal out the prompts, open the tracking."""
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.preparation"],
        args=[
            *("--run-root", run_root),
            *("--recipe", recipe),
            *("--set", set),
            *("--run-name", run_name),
            *("--prompts", prompts),
            *("--policy", policy),
            *("--only-new-prompts", only_new_prompts),
            *("--takes-over", takes_over),
            *("--job-id", job_id),
            *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        ],
    )
