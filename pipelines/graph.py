"""The graph: preparation, then T iterations unrolled behind its `go`, then the report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl

from nashflow.components.evaluation.component import evaluation
from nashflow.components.evaluation.settings import Step as EvaluationStep
from nashflow.components.judging.component import judging
from nashflow.components.judging.settings import Step as JudgingStep
from nashflow.components.logprobs.component import logprobs
from nashflow.components.logprobs.settings import Step as LogprobsStep
from nashflow.components.methods.phases import Phase
from nashflow.components.preparation.component import preparation
from nashflow.components.preparation.settings import Step as PreparationStep
from nashflow.components.reporting.component import reporting
from nashflow.components.reporting.settings import Step as ReportingStep
from nashflow.components.rollout.component import rollout
from nashflow.components.rollout.settings import Step as RolloutStep
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import StepSettings
from nashflow.components.training.component import training
from nashflow.components.training.settings import Step as TrainingStep

from .recipe import Recipe

_LONGEST_SETTINGS = 64_000


def compile_graph(recipe: Recipe, package: Path) -> None:
    """Write the recipe's graph as KFP IR (YAML); the same recipe gives the same bytes.

    Raises:
        UserError: settings that cannot travel through KFP: `{{` in a text, more than 64 kB; or the file name.
    """
    if package.suffix != ".yaml":
        raise UserError(f"--output {package}: a pipeline is a YAML file: give a name that ends in .yaml")
    compiler.Compiler().compile(_graph(recipe), str(package))


def _graph(recipe: Recipe) -> Any:
    # KFP allows no pipeline to be defined while another one is.
    iterations = [_iteration(recipe, iteration) for iteration in range(1, recipe.run.iterations + 1)]

    @dsl.pipeline(name=recipe.run.name, description=f"{recipe.method.name}, {len(iterations)} iterations")
    def graph(
        run_root: str = recipe.cluster.run_root,
        run_name: str = "",
        prompts: str = "",
        policy: str = "",
        owner: str = "",
        image: str = recipe.cluster.image,
    ) -> None:
        prepared = preparation(
            settings=_settings(recipe, PreparationStep),
            run_root=run_root,
            run_name=run_name,
            prompts=prompts,
            policy=policy,
            job_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            owner=owner,
        )
        _place(prepared, image)
        root = prepared.outputs["resolved_run_root"]
        with dsl.If(prepared.outputs["go"] == "true"):
            reference = evaluation(
                settings=_settings(recipe, EvaluationStep),
                run_root=root,
                iteration=0,
                policy=prepared.outputs["manifest"],
                reference=prepared.outputs["manifest"],
            )
            _place(reference, image, "evaluation of the reference")
            current = prepared.outputs["manifest"]
            for number, iteration in enumerate(iterations, start=1):
                done = iteration(run_root=root, policy=current, reference=reference.outputs["manifest"], image=image)
                done.set_display_name(f"iteration {number}").set_caching_options(False)
                current = done.outputs["policy"]
            reported = reporting(settings=_settings(recipe, ReportingStep), run_root=root, iteration=len(iterations))
            _place(reported.after(done), image)

    return graph


class _Made(NamedTuple):
    """What an iteration hands to the next."""

    policy: dsl.Artifact


def _iteration(recipe: Recipe, iteration: int) -> Callable[..., Any]:
    """One iteration as a nested graph: the method's phases in their order, then the evaluation."""

    @dsl.pipeline(name=f"iteration-{iteration:03d}")
    def graph(run_root: str, policy: dsl.Input[dsl.Artifact], reference: dsl.Input[dsl.Artifact], image: str) -> _Made:
        made = policy
        for phase in recipe.method.phases(iteration):
            made = _phase(recipe, iteration, phase, run_root, made, image)
        evaluated = evaluation(
            settings=_settings(recipe, EvaluationStep),
            run_root=run_root,
            iteration=iteration,
            policy=made,
            reference=reference,
        )
        _place(evaluated, image)
        return _Made(policy=made)

    return graph  # type: ignore[no-any-return]


def _phase(recipe: Recipe, iteration: int, phase: Phase, run_root: Any, upstream: Any, image: Any) -> Any:
    """The data of one phase, shard by shard, and its training; the new policy's manifest."""
    place = {"run_root": run_root, "iteration": iteration, "phase": phase.name}
    with dsl.ParallelFor(items=list(range(recipe.prompts.shards))) as shard:
        if not phase.data_from:
            sampled = rollout(settings=_settings(recipe, RolloutStep), shard=shard, policy=upstream, **place)
            _place(sampled, image)
            judged = judging(
                settings=_settings(recipe, JudgingStep),
                shard=shard,
                rollouts=sampled.outputs["manifest"],
                **place,
            )
            _place(judged, image)
            upstream = judged.outputs["manifest"]
        scored = logprobs(settings=_settings(recipe, LogprobsStep), shard=shard, pairs=upstream, **place)
        _place(scored, image)
    trained = training(
        settings=_settings(recipe, TrainingStep),
        logprobs=dsl.Collected(scored.outputs["manifest"]),
        **place,
    )
    _place(trained, image)
    return trained.outputs["manifest"]


def _place(task: dsl.PipelineTask, image: Any, name: str | None = None) -> None:
    """What every task has: its image, and no KFP cache, whose hit would skip verification and ignore code changes."""
    task.set_container_image(image).set_caching_options(False)
    if name:
        task.set_display_name(name)


def _settings(recipe: Recipe, step: type[StepSettings]) -> str:
    text = json.dumps(recipe.subset(step), sort_keys=True)
    if "{{" in text:
        raise UserError("the recipe holds {{, which KFP takes for a placeholder: put such a text into a file")
    if len(text) > _LONGEST_SETTINGS:
        raise UserError(f"{len(text)} bytes of settings, above {_LONGEST_SETTINGS}: put long texts into files")
    return text
