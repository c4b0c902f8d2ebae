"""The graph: preparation, T iterations unrolled behind its `go`, the report; and whatever happens, the closing."""

import copy
import dataclasses
import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import dsl

from nashflow.components.core.errors import UserError
from nashflow.components.methods.phases import Phase

from .carried import carried
from .description import described
from .lint import check_graph
from .placement import place
from .recipe import Recipe
from .slimming import slim
from .steps import IMAGES, STEPS, Level, Step, only, steps_in, steps_of, steps_of_data, task_name

_LONGEST_RECIPE = 64_000
# libyaml's is many times faster, where it is there.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_POLICY = "policy"
"""The artifact that one phase hands on to the next one."""
_OPTIONAL = ("phase", "notifications", *IMAGES.values())
"""Parameters that tasks have only where there is something to say."""

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
        made = thread.submit(_graph, recipe, first).result()
    # What KFP's compiler would write as YAML, which takes it longer than all else.
    documents = slim(_document(made.pipeline_spec), _document(made.platform_spec))
    text = yaml.dump_all(filter(None, documents), Dumper=_Dumper, sort_keys=True, allow_unicode=True)
    package.write_text(text, encoding="utf-8")


def _document(message: Any) -> dict[str, Any]:
    """A message of KFP's in JSON, keys in order."""
    read: dict[str, Any] = json.loads(json_format.MessageToJson(message, indent=None, sort_keys=True))
    return read


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
        images = {"image": image, "vllm_image": vllm_image, "training_image": training_image}
        lock = {"run_root": run_root, "job_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "takes_over": takes_over}
        closed = _Tasks(recipe, images, lock | _webhooks(recipe)).add(only("exit"))
        with dsl.ExitHandler(closed, name="run"):
            told = {"set": set, "run_name": run_name, "prompts": prompts, "policy": policy, "recipe": _argument(recipe)}
            used = {name: images[name] for name in sorted(_images_of(recipe))}
            given = {**lock, **told, **used, "only_new_prompts": only_new_prompts}
            prepared = _Tasks(recipe, images, given).add(only("beginning"))
            with dsl.If(prepared.outputs["go"] == "true", name="iterations"):
                tasks = _Tasks(recipe, images, {"recipe": prepared.outputs["resolved"]})
                tasks.unroll(prepared.outputs["reference"], first, of_shards)

    return graph


def _webhooks(recipe: Recipe) -> dict[str, str]:
    """What the closing step is told of the recipe, which it does not read: the run may fail before there is one."""
    section = recipe.notifications
    return (
        {"notifications": carried({"run": recipe.run.name, **section.model_dump(mode="json")})}
        if section.webhooks
        else {}
    )


def _images_of(recipe: Recipe) -> set[str]:
    """The parameters of the images that the steps of a recipe use."""
    groups = {
        (name, group)
        for name in steps_in(recipe)
        for iteration in range(recipe.run.iterations + 1)
        for group in STEPS[name].groups(recipe, iteration)
    }
    return {IMAGES[STEPS[name].runtime_in(recipe, group)] for name, group in groups}


def _kept(seconds: int) -> dsl.PipelineConfig:
    """How long a workflow stays: said of every end, because an installation's own defaults speak of them one by one."""
    ends = ("finished", "success", "failure")
    return dsl.PipelineConfig(**{f"ttl_seconds_after_{end}": seconds or None for end in ends})


class _Tasks:
    """Makes tasks of one graph, one after the other."""

    def __init__(self, recipe: Recipe, images: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """`given`: the parameters of all of these tasks, such as where in the store they find the recipe."""
        self._recipe, self._images, self._given = recipe, images, given
        self._sharded = recipe.prompts.shards > 1
        self._made: dict[str, Any] = {}
        self._last: Any = None

    def unroll(self, reference: Any, first: int, of_shards: _OfShards) -> None:
        """What precedes the iterations, the reference's, those from `first` on, the run's end."""
        self._all_of("start", iteration=0)
        self._made, iterations = {_POLICY: reference}, self._recipe.run.iterations
        self._all_of("iteration", iteration=0)
        for iteration in range(first, iterations + 1):
            for phase in self._recipe.method.phases(iteration):
                self._made = {_POLICY: self._made[_POLICY]}
                if self._sharded:
                    data = of_shards[_content(phase)](iteration=iteration, **self._given, **self._images)
                    self._follow(data.set_display_name(f"shards {_where(iteration, phase.name)}"))
                else:
                    self.data(phase, iteration, 0)
                self._all_of("phase", iteration=iteration, phase=phase.name)
            self._all_of("iteration", iteration=iteration)
        self._all_of("end", iteration=iterations)

    def data(self, phase: Phase, iteration: Any, shard: Any) -> None:
        """The steps of one shard of a phase."""
        for step in steps_of_data(phase):
            self.add(step, iteration=iteration, phase=phase.name, shard=shard)

    def _all_of(self, level: Level, **where: Any) -> None:
        for step in steps_of(level):
            for group in step.groups(self._recipe, where["iteration"]):
                self.add(step, group, **where)

    def add(self, step: Step, group: str = "", **where: Any) -> Any:
        """A task of a step, or of one of its groups: its settings, its name, its placement; after the one before."""
        if group:
            where["phase"] = group
        looped = self._sharded and step.level == "shard"
        name = shown = task_name(step.name)
        if not (step.once or looped):
            at = where["iteration"], where.get("phase", "")
            name, shown = task_name(step.name, *at), f"{step.name} {_where(*at)}"
        read, spec = self._read_by(step), step.component.component_spec
        written = () if looped else [key for key in spec.outputs or () if self._sharded or key not in step.if_sharded]
        values = {**self._given, **where, "retries": self._recipe.cluster.resources(step.name).retries, **read}
        arguments = {key: value for key, value in values.items() if key in spec.inputs}
        task = _fitted(step.component, name, arguments, written)(**arguments)
        place(task, step, self._recipe, self._images, group)
        self._made |= task.outputs
        return self._follow(task.set_display_name(shown))

    def _follow(self, task: Any) -> Any:
        self._last = task.after(self._last) if self._last else task
        return self._last

    def _read_by(self, step: Step) -> dict[str, Any]:
        """The artifacts that there are for a step to read, by its name for them."""
        read = {}
        for key, declared in step.component.component_spec.inputs.items():
            there = [self._made[source] for source in step.reads.get(key, (key,)) if source in self._made]
            if there and _is_artifact(declared) and (self._sharded or key not in step.if_sharded):
                read[key] = there[0]
        return read


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
        images = {"image": image, "vllm_image": vllm_image, "training_image": training_image}
        tasks = _Tasks(of, images, {"recipe": recipe})
        with dsl.ParallelFor(shards, name="each shard", parallelism=parallelism) as shard:
            tasks.data(phase, iteration, shard)

    return graph


def _content(phase: Phase) -> tuple[str, bool]:
    """The properties that determine the graph of a phase's data: its name, and whether it samples."""
    return phase.name, not phase.data_from


def _fitted(component: Any, name: str, read: Collection[str], written: Collection[str]) -> Any:
    """A component after whose name KFP names the task, without other artifacts than these, or optional parameters that
    are not read.

    Steps find their data in the store. Where there are several shards, their steps have no artifacts, each of which
    would take half a kilobyte of the workflow's status.
    """
    spec = component.component_spec
    inputs, outputs = (
        {
            key: each
            for key, each in (declared or {}).items()
            if key in kept or not (_is_artifact(each) or key in _OPTIONAL)
        }
        for declared, kept in ((spec.inputs, read), (spec.outputs, written))
    )
    fitted = copy.copy(component)
    fitted.component_spec = dataclasses.replace(spec, name=name, inputs=inputs, outputs=outputs)
    return fitted


def _is_artifact(declared: Any) -> bool:
    return str(declared.type).startswith("system.")


def _where(iteration: int, phase: str) -> str:
    """Iteration, and phase where it is not the only one, for people."""
    return f"{iteration}" if phase in ("", "main") else f"{iteration} {phase}"


def _argument(recipe: Recipe) -> str:
    """The recipe as preparation is given it.

    Raises:
        UserError: it is too long, or a step misses what it reads of it.
    """
    data = recipe.model_dump(mode="json")
    for step in STEPS.values():
        step.settings.parse(data, f"the step {step.name}")
    text = carried(data)
    if len(text) > _LONGEST_RECIPE:
        raise UserError(f"a recipe of {len(text)} bytes, above {_LONGEST_RECIPE}: put long texts into files")
    return text
