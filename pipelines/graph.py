"""The graph: preparation, T iterations unrolled behind its `go`, the report; and whatever happens, the closing."""

import copy
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kfp import compiler, dsl

from nashflow.components.closing.component import closing
from nashflow.components.core.errors import UserError
from nashflow.components.evaluation.component import evaluation
from nashflow.components.judging.component import judging
from nashflow.components.logprobs.component import logprobs
from nashflow.components.methods.phases import Phase
from nashflow.components.preparation.component import preparation
from nashflow.components.reporting.component import reporting
from nashflow.components.rollout.component import rollout
from nashflow.components.training.component import training

from .carried import carried
from .description import described
from .lint import check_graph
from .placement import Images, place
from .recipe import Recipe
from .slimming import slim

_LONGEST_RECIPE = 64_000
_OF_SHARDS = ("rollout", "judging", "logprobs")
_DATA = ("responses", "comparisons", "pairs")

_OfShards = dict[tuple[str, bool], Any]
"""Graph by what `_content` says of a phase."""


def compile_graph(recipe: Recipe, package: Path, first: int = 1) -> None:
    """Write the recipe's graph as KFP IR (YAML); the same recipe gives the same bytes.

    `first` is the first iteration that the graph unrolls: those before it have to be finished under the run root, by a
    graph of their own.

    Raises:
        UserError: a recipe of more than 64 kB; a graph that breaks a rule of `lint`, such as its size; or the file
            name.
    """
    if package.suffix != ".yaml":
        raise UserError(f"--output {package}: a pipeline is a YAML file: give a name that ends in .yaml")
    if not 1 <= first <= recipe.run.iterations:
        raise UserError(f"--first-iteration {first}: the recipe's iterations are 1 to {recipe.run.iterations}")
    with TemporaryDirectory(prefix="nashflow-compile-") as folder:
        made = Path(folder, package.name)
        write_graph(recipe, made, first)
        check_graph(made, recipe.run.name)
        package.write_bytes(made.read_bytes())


def write_graph(recipe: Recipe, package: Path, first: int = 1) -> None:
    """Write the graph of a run from iteration `first` on, whether a cluster would take it or not."""
    # KFP looks at every frame of the stack for each setting of a task: a thread of its own has few.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: compiler.Compiler().compile(_graph(recipe, first), str(package))).result()
    slim(package)


def _graph(recipe: Recipe, first: int) -> Any:
    """The recipe's iterations, from `first` on."""
    cluster, of_shards = recipe.cluster, _graphs_of_shards(recipe)

    @dsl.pipeline(
        name=recipe.run.name,
        description=described(recipe, first),
        pipeline_config=_kept(cluster.ttl_seconds),
    )
    def graph(
        run_root: str = cluster.run_root,
        set: str = "",
        prompts: str = "",
        policy: str = "",
        only_new_prompts: bool = False,
        run_name: str = "",
        takes_over: str = "",
        image: str = cluster.images.steps,
        vllm_image: str = cluster.images.vllm,
        training_image: str = cluster.images.training,
    ) -> None:
        """A run of a recipe.

        Args:
            run_root: Where everything of the run is kept: s3://bucket/prefix; {job} becomes the run's id.
            set: Settings that differ from the recipe, such as: method.eta=0.1 training.learning_rate=1e-6
            prompts: Another file of prompts, as the pods see it; empty: the recipe's.
            policy: Another model folder to start from, as the pods see it; empty: the recipe's.
            only_new_prompts: Leave out prompts that runs of this name have taken before; too few: the run ends at once.
            run_name: Another name of the run, for MLflow and the record of taken prompts; empty: the recipe's.
            takes_over: Id of a run that has ended, to go on under its run root although that is still locked by it.
            image: Image of the steps that need no other.
            vllm_image: Image of the steps that sample with vLLM, or ask for accelerators.
            training_image: Image of training with DeepSpeed or on accelerators.
        """
        images = Images(image, vllm_image, training_image)
        job = {"job_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "takes_over": takes_over}
        retries = {"retries": cluster.resources("closing").retries}
        closed = closing(run_root=run_root, **job, **retries)
        place(closed, recipe, "closing", images)
        with dsl.ExitHandler(closed, name="run"):
            prepared = preparation(
                run_root=run_root,
                recipe=_argument(recipe),
                set=set,
                run_name=run_name,
                prompts=prompts,
                policy=policy,
                only_new_prompts=only_new_prompts,
                **job,
            )
            place(prepared, recipe, "preparation", images)
            with dsl.If(prepared.outputs["go"] == "true", name="iterations"):
                tasks = _Tasks(recipe, prepared.outputs["resolved"], images)
                tasks.unroll(prepared.outputs["reference"], first, of_shards)

    return graph


def _kept(seconds: int) -> dsl.PipelineConfig:
    """How long a workflow stays: said of every end, because an installation's own defaults speak of them one by one."""
    ends = ("finished", "success", "failure")
    return dsl.PipelineConfig(**{f"ttl_seconds_after_{end}": seconds or None for end in ends})


class _Tasks:
    """Makes the tasks of one graph, which read the recipe where it is `found` in the store."""

    def __init__(self, recipe: Recipe, found: Any, images: Images) -> None:
        self._recipe, self._found, self._images = recipe, found, images
        self._sharded = recipe.prompts.shards > 1

    def unroll(self, reference: Any, first: int, of_shards: _OfShards) -> None:
        """The reference's evaluation, the iterations from `first` on, the report."""
        policy, iterations = reference, self._recipe.run.iterations
        last = self._add(evaluation, iteration=0, policy=policy)
        for iteration in range(first, iterations + 1):
            for phase in self._recipe.method.phases(iteration):
                where: dict[str, Any] = {"iteration": iteration, "phase": phase.name}
                if self._sharded:
                    data = of_shards[_content(phase)]
                    all_shards = data(iteration=iteration, recipe=self._found, **self._images._asdict())
                    last, scored = all_shards.set_display_name(f"shards {_where(where)}").after(last), None
                else:
                    last = self.data({**where, "shard": 0}, not phase.data_from, policy, last)
                    scored = last.outputs["log_probabilities"]
                last = self._add(training, **where, scored=scored, previous=policy).after(last)
                policy = last.outputs["policy"]
            last = self._add(evaluation, iteration=iteration, policy=policy)
        self._add(reporting, name="reporting", iteration=iterations).after(last)

    def data(self, where: dict[str, Any], samples: bool, policy: Any = None, last: Any = None) -> Any:
        """The steps of one shard of a phase, after the task `last` if there is one; the last of them."""
        source = policy
        if samples:
            sampled = _after(self._add(rollout, **where, policy=policy), last)
            last = _after(self._add(judging, **where, responses=_output(sampled, "responses")), sampled)
            source = _output(last, "pairs")
        return _after(self._add(logprobs, **where, source=source), last)

    def _add(self, component: Any, name: str = "", **arguments: Any) -> Any:
        """A task of a step, named and placed.

        Where there are several shards, their steps have no artifacts, each of which would take half a kilobyte of the
        workflow's status: training is given the policy that they sample, and hands out the data of all of them. Steps
        find their data in the store.
        """
        step = component.component_spec.name
        if step in _OF_SHARDS and self._sharded:
            component, name = _without(component, lambda key: True), step
        elif step == "training":
            without = ("scored",) if self._sharded else ("previous", *_DATA)
            component = _without(component, lambda key: key in without)
        component = _named(component, name or _name(step, arguments))
        arguments = {key: value for key, value in arguments.items() if key in component.component_spec.inputs}
        task = component(recipe=self._found, retries=self._recipe.cluster.resources(step).retries, **arguments)
        place(task, self._recipe, step, self._images)
        return task.set_display_name(name or f"{step} {_where(arguments)}")


def _graphs_of_shards(recipe: Recipe) -> _OfShards:
    """The data of a phase, by what distinguishes it: a loop over the shards, in a graph of its own.

    All iterations share that graph, and the workflow's specification holds it once. A loop cannot be shared: KFP names
    its template after the loop's component, and refuses a second one of that name.
    """
    if recipe.prompts.shards == 1:
        return {}
    iterations = range(1, recipe.run.iterations + 1)
    phases = {_content(phase): phase for iteration in iterations for phase in recipe.method.phases(iteration)}
    return {content: _graph_of_shards(recipe, phase) for content, phase in phases.items()}


def _graph_of_shards(of: Recipe, phase: Phase) -> Any:
    shards, parallelism = list(range(of.prompts.shards)), of.cluster.parallelism

    @dsl.pipeline(name="shards")
    def graph(iteration: int, recipe: str, image: str, vllm_image: str, training_image: str) -> None:
        tasks = _Tasks(of, recipe, Images(image, vllm_image, training_image))
        with dsl.ParallelFor(shards, name="each shard", parallelism=parallelism) as shard:
            tasks.data({"iteration": iteration, "phase": phase.name, "shard": shard}, not phase.data_from)

    return graph


def _content(phase: Phase) -> tuple[str, bool]:
    """What the data of a phase depend on: its name, and whether it samples."""
    return phase.name, not phase.data_from


def _name(step: str, arguments: dict[str, Any]) -> str:
    """A task's name, such as `training-001-main`."""
    return "-".join([step, f"{arguments['iteration']:03d}", *filter(None, [arguments.get("phase")])])


def _named(component: Any, name: str) -> Any:
    """A component after whose name KFP names the task."""
    named = copy.copy(component)
    named.component_spec = dataclasses.replace(component.component_spec, name=name)
    return named


def _without(component: Any, leaves_out: Callable[[str], bool]) -> Any:
    """A component without some of its artifacts, read and written."""
    spec = component.component_spec
    inputs = {key: each for key, each in spec.inputs.items() if not (_is_artifact(each) and leaves_out(key))}
    outputs = {key: each for key, each in (spec.outputs or {}).items() if not (_is_artifact(each) and leaves_out(key))}
    less = copy.copy(component)
    less.component_spec = dataclasses.replace(spec, inputs=inputs, outputs=outputs)
    return less


def _is_artifact(declared: Any) -> bool:
    return str(declared.type).startswith("system.")


def _output(task: Any, name: str) -> Any:
    """An output of a task, or None where its component goes without."""
    return task.outputs.get(name)


def _after(task: Any, last: Any) -> Any:
    return task.after(last) if last else task


def _where(arguments: dict[str, Any]) -> str:
    """Iteration, and phase where it is not the only one, for people."""
    phase = arguments.get("phase", "main")
    return f"{arguments['iteration']}" if phase == "main" else f"{arguments['iteration']} {phase}"


def _argument(recipe: Recipe) -> str:
    text = carried(recipe.model_dump(mode="json"))
    if len(text) > _LONGEST_RECIPE:
        raise UserError(f"a recipe of {len(text)} bytes, above {_LONGEST_RECIPE}: put long texts into files")
    return text
