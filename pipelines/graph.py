"""The graph: preparation, T iterations unrolled behind its `go`, the report; and whatever happens, the closing."""

import copy
import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from kfp import compiler, dsl, kubernetes

from nashflow.components.closing.component import closing
from nashflow.components.closing.settings import Step as ClosingStep
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

from .continuation.component import continuation
from .lint import check_graph
from .placement import Images, place
from .recipe import Recipe

_LONGEST_SETTINGS = 64_000


def compile_graph(recipe: Recipe, package: Path, first: int = 1) -> None:
    """Write the recipe's graph as KFP IR (YAML); the same recipe gives the same bytes.

    `first` is the first iteration that the graph unrolls: those before it have to be finished under the run root, by a
    graph of their own. By `cluster.iterations_per_run` the graph ends before the recipe does, and submits the next one.

    Raises:
        UserError: settings that cannot travel through KFP: `{{` in a text, more than 64 kB; a graph that breaks a rule
            of `lint`, such as its size; or the file name.
    """
    if package.suffix != ".yaml":
        raise UserError(f"--output {package}: a pipeline is a YAML file: give a name that ends in .yaml")
    if not 1 <= first <= recipe.run.iterations:
        raise UserError(f"--first-iteration {first}: the recipe's iterations are 1 to {recipe.run.iterations}")
    with TemporaryDirectory(prefix="nashflow-compile-") as folder:
        made = Path(folder, package.name)
        _write(recipe.part(first), made, first, recipe)
        check_graph(made, package)
        package.write_bytes(made.read_bytes())


def write_local_graph(recipe: Recipe, package: Path) -> None:
    """Write the graph of all of the recipe's iterations, which need not be small enough for a cluster."""
    _write(recipe, package, 1, recipe)


def _write(recipe: Recipe, package: Path, first: int, whole: Recipe) -> None:
    # KFP looks at every frame of the stack for each setting of a task: a thread of its own has few.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: compiler.Compiler().compile(_graph(recipe, first, whole), str(package))).result()


def _graph(recipe: Recipe, first: int, whole: Recipe) -> Any:
    """The recipe's iterations from `first` on; and the next run of the `whole` recipe, where that has more of them."""
    # KFP allows no pipeline to be defined while another one is.
    unrolled = {number: _iteration(recipe, number) for number in range(first, recipe.run.iterations + 1)}
    cluster = recipe.cluster

    @dsl.pipeline(
        name=recipe.run.name,
        description=f"{recipe.method.name}, iterations {first} to {recipe.run.iterations}",
        pipeline_config=dsl.PipelineConfig(ttl_seconds_after_finished=cluster.ttl_seconds or None),
    )
    def graph(
        run_root: str = cluster.run_root,
        run_name: str = "",
        prompts: str = "",
        policy: str = "",
        owner: str = "",
        only_new_prompts: str = "false",
        image: str = cluster.images.steps,
        vllm_image: str = cluster.images.vllm,
        training_image: str = cluster.images.training,
    ) -> None:
        images = Images(image, vllm_image, training_image)
        job = {"job_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "owner": owner}
        continues = recipe.run.iterations < whole.run.iterations
        closed = closing(
            settings=_settings(recipe, ClosingStep),
            run_root=run_root,
            run_name=run_name,
            continues=str(continues).lower(),
            **job,
        )
        place(closed, recipe, "closing", images)
        with dsl.ExitHandler(closed, name="run"):
            prepared = preparation(
                settings=_settings(recipe, PreparationStep),
                run_root=run_root,
                run_name=run_name,
                prompts=prompts,
                policy=policy,
                only_new_prompts=only_new_prompts,
                **job,
            )
            place(prepared, recipe, "preparation", images)
            with dsl.If(prepared.outputs["go"] == "true"):
                reported = _unroll(recipe, unrolled, prepared, images)
                if continues:
                    _go_on(whole, recipe.run.iterations + 1, prepared, reported, images)

    return graph


def _unroll(recipe: Recipe, iterations: dict[int, Callable[..., Any]], prepared: Any, images: Images) -> Any:
    """The reference's evaluation, the iterations one after the other, the report; the last task."""
    root = prepared.outputs["resolved_run_root"]
    reference = _named(evaluation, 0)(
        settings=_settings(recipe, EvaluationStep),
        run_root=root,
        iteration=0,
        policy=prepared.outputs["manifest"],
    )
    place(reference, recipe, "evaluation", images, 0)
    reference.set_display_name("evaluation of the reference")
    current = prepared.outputs["manifest"]
    for number, iteration in iterations.items():
        done = iteration(run_root=root, policy=current, **images._asdict()).after(reference)
        done.set_display_name(f"iteration {number}").set_caching_options(False)
        current = done.outputs["policy"]
    reported = reporting(settings=_settings(recipe, ReportingStep), run_root=root, iteration=recipe.run.iterations)
    place(reported.after(done), recipe, "reporting", images)
    return reported


def _go_on(whole: Recipe, first: int, prepared: Any, after: Any, images: Images) -> None:
    """Submit the run of the iterations from `first` on."""
    continued = _named(continuation, first)(
        settings=_settings(whole, Recipe),
        run_root=prepared.outputs["resolved_run_root"],
        iteration=first,
        job_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    )
    place(continued.after(after), whole, "continuation", images, first)
    # Where Kubeflow has several users, its PodDefault of this name gives the pod a token for the API server.
    kubernetes.add_pod_label(continued, "access-ml-pipeline", "true")


class _Made(NamedTuple):
    """What an iteration hands to the next."""

    policy: dsl.Artifact


def _iteration(recipe: Recipe, iteration: int) -> Callable[..., Any]:
    """One iteration as a nested graph: the method's phases in their order, then the evaluation."""

    @dsl.pipeline(name=f"iteration-{iteration:03d}")
    def graph(
        run_root: str,
        policy: dsl.Input[dsl.Artifact],
        image: str,
        vllm_image: str,
        training_image: str,
    ) -> _Made:
        images = Images(image, vllm_image, training_image)
        made = policy
        for phase in recipe.method.phases(iteration):
            made = _phase(recipe, iteration, phase, run_root, made, images)
        evaluated = _named(evaluation, iteration)(
            settings=_settings(recipe, EvaluationStep),
            run_root=run_root,
            iteration=iteration,
            policy=made,
        )
        place(evaluated, recipe, "evaluation", images, iteration)
        return _Made(policy=made)

    return graph  # type: ignore[no-any-return]


def _phase(recipe: Recipe, iteration: int, phase: Phase, run_root: Any, upstream: Any, images: Images) -> Any:
    """The data of one phase, shard by shard, and its training; the new policy's manifest."""
    where = {"run_root": run_root, "iteration": iteration, "phase": phase.name}
    with dsl.ParallelFor(items=list(range(recipe.prompts.shards)), parallelism=recipe.cluster.parallelism) as shard:
        if not phase.data_from:
            sampled = _named(rollout, iteration, phase)(
                settings=_settings(recipe, RolloutStep), shard=shard, policy=upstream, **where
            )
            place(sampled, recipe, "rollout", images, iteration)
            judged = _named(judging, iteration, phase)(
                settings=_settings(recipe, JudgingStep),
                shard=shard,
                rollouts=sampled.outputs["manifest"],
                **where,
            )
            place(judged, recipe, "judging", images, iteration)
            upstream = judged.outputs["manifest"]
        scored = _named(logprobs, iteration, phase)(
            settings=_settings(recipe, LogprobsStep), shard=shard, pairs=upstream, **where
        )
        place(scored, recipe, "logprobs", images, iteration)
    trained = _named(training, iteration, phase)(
        settings=_settings(recipe, TrainingStep),
        logprobs=dsl.Collected(scored.outputs["manifest"]),
        **where,
    )
    place(trained, recipe, "training", images, iteration)
    return trained.outputs["manifest"]


def _named(component: Any, iteration: int, phase: Phase | None = None) -> Any:
    """A component under a name of its own.

    Where nested graphs have executors of one name, KFP 2.17 renames them while it merges what kfp-kubernetes says of
    them, and one iteration's labels end up with another's.
    """
    name = f"{component.component_spec.name}-{iteration:03d}{f'-{phase.name}' if phase else ''}"
    named = copy.copy(component)
    named.component_spec = dataclasses.replace(component.component_spec, name=name)
    return named


def _settings(recipe: Recipe, step: type[StepSettings]) -> str:
    text = json.dumps(recipe.subset(step), sort_keys=True)
    if "{{" in text:
        raise UserError("the recipe holds {{, which KFP takes for a placeholder: put such a text into a file")
    if len(text) > _LONGEST_SETTINGS:
        raise UserError(f"{len(text)} bytes of settings, above {_LONGEST_SETTINGS}: put long texts into files")
    return text
