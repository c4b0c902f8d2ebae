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
    image: str,
    vllm_image: str,
    training_image: str,
    reference: dsl.Output[dsl.Model],
    settings: dsl.Output[dsl.Metrics],
    resolved: dsl.OutputPath(str),  # type: ignore[valid-type]
    go: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Validate the recipe, bring in the reference policy, deal out the prompts, open the tracking.

    `recipe` is a JSON object; the other steps read it, with the other parameters in it, where `resolved` says.
    """
    return dsl.ContainerSpec(
        image="nashflow",
        command=["python3", "-m", "nashflow.components.preparation"],
        args=["--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER],
    )
