"""What a cluster does not forgive and a laptop does, as rules over the compiled graph (KFP 2.17)."""

import argparse
import importlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import parser

LARGEST_IR = 400_000
"""Bytes of IR, as JSON: Argo's workflow is up to three times as large, and etcd takes 1.5 MB."""
MOST_TASKS = 100
"""Tasks in the graph, each shard's loop counted once: each is two pods and their status in the workflow."""
MOST_PODS = 2_000
"""Pods, every shard's counted: each has several nodes in the workflow's status, of which 1 MiB, compressed, is kept."""
LONGEST_ARGUMENT = 100_000
"""Bytes of one argument: Linux takes 128 KiB, and the launcher adds to it."""

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([\w-]+)'\]\}\}")
_EXECUTOR_INPUT = "{{$}}"
_WHOLE_ARGUMENTS = ("{{$.pipeline_job_uuid}}", "{{$.pipeline_job_name}}", "{{$.pipeline_task_uuid}}")
_STEP = re.compile(r"nashflow\.(?:components|pipelines)\.(\w+)")

# libyaml's loader is many times faster, where it is there.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A compiled pipeline: its IR, and what kfp-kubernetes says of its executors."""

    ir: Json
    platform: Json

    @property
    def executors(self) -> Mapping[str, Json]:
        """Container by executor."""
        return {name: made["container"] for name, made in self.ir["deploymentSpec"]["executors"].items()}

    def placed(self, executor: str) -> Json:
        """What kfp-kubernetes says of an executor."""
        found: Json = self.platform.get("deploymentSpec", {}).get("executors", {}).get(executor, {})
        return found

    def component(self, task: Json) -> Json:
        """What a task is an instance of."""
        found: Json = self.ir["components"][task["componentRef"]["name"]]
        return found

    def graphs(self) -> Iterator[Json]:
        """The root and every graph nested in it."""
        yield from (part for part in (self.ir["root"], *self.ir["components"].values()) if "dag" in part)

    def tasks(self) -> Iterator[tuple[Json, str, Json]]:
        """Every task: the graph that it stands in, its name, itself."""
        for part in self.graphs():
            yield from ((part, name, task) for name, task in part["dag"]["tasks"].items())

    def users(self) -> Iterator[tuple[str, Json]]:
        """Every executor with the component that it runs for."""
        for part in self.ir["components"].values():
            if "executorLabel" in part:
                yield part["executorLabel"], part


def read_graph(package: Path) -> Graph:
    """The graph in a compiled YAML file.

    Raises:
        UserError: the file cannot be read, or holds no compiled pipeline.
    """
    try:
        documents = [document for document in yaml.load_all(package.read_text(), _Loader) if document]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{package}: cannot be read: {' '.join(str(error).split())}") from None
    if not documents or not isinstance(documents[0], dict) or "deploymentSpec" not in documents[0]:
        raise UserError(f"{package}: no compiled pipeline; make one by `nashflow compile`")
    platforms = documents[1].get("platforms", {}) if len(documents) > 1 else {}
    return Graph(documents[0], platforms.get("kubernetes", {}))


def lint(graph: Graph) -> list[str]:
    """What breaks a rule, one line each, the rule's name before it."""
    return [f"{rule.__name__}: {complaint}" for rule in RULES for complaint in rule(graph)]


class _Strict(argparse.ArgumentParser):
    """A parser that says what is wrong instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def inputs_are_passed(graph: Graph) -> Iterator[str]:
    """The driver fails a task one of whose declared inputs is not passed, optional or not; a null is no value."""
    for _, name, task in graph.tasks():
        declared = graph.component(task).get("inputDefinitions", {})
        iterated = task.get("parameterIterator", {}).get("itemInput")
        for kind in ("parameters", "artifacts"):
            passed = task.get("inputs", {}).get(kind, {})
            for missing in sorted(set(declared.get(kind, {})) - set(passed) - {iterated}):
                yield f"task {name} is called without {missing}"
            for given, source in passed.items():
                if "runtimeValue" in source and source["runtimeValue"].get("constant") is None:
                    yield f"task {name} is given null for {given}"


def references_are_declared(graph: Graph) -> Iterator[str]:
    """A task may read what a task of its own graph, on which it depends, declares as an output."""
    for part, name, task in graph.tasks():
        for kind, key in (("parameters", "Parameter"), ("artifacts", "Artifact")):
            for source in task.get("inputs", {}).get(kind, {}).values():
                output = source.get(f"taskOutput{key}")
                if not output:
                    continue
                producer = part["dag"]["tasks"].get(output["producerTask"])
                outputs = graph.component(producer).get("outputDefinitions", {}).get(kind, {}) if producer else {}
                if output[f"output{key}Key"] not in outputs or output["producerTask"] not in task["dependentTasks"]:
                    yield f"task {name} reads {output['producerTask']}.{output[f'output{key}Key']}, which it cannot"


def placeholders_are_resolved(graph: Graph) -> Iterator[str]:
    """The backend replaces input parameters and the executor input anywhere, the job's id alone as a whole argument.

    It knows no concatenation, no artifact's metadata, no path of the executor output and no condition on an artifact.
    """
    for label, part in graph.users():
        declared = set(part.get("inputDefinitions", {}).get("parameters", {}))
        container = graph.executors[label]
        for text in (*container.get("command", []), *container.get("args", [])):
            if not isinstance(text, str):
                yield f"{label}: an argument that is no text: {json.dumps(text)[:80]}"
            elif "{{" in _PARAMETER.sub("", text).replace(_EXECUTOR_INPUT, ""):
                yield f"{label}: {text[:80]!r} holds a placeholder that a cluster leaves as it is"
            elif unknown := set(_PARAMETER.findall(text)) - declared:
                yield f"{label}: {', '.join(sorted(unknown))} is no input of its component"
    for _, name, task in graph.tasks():
        for given, source in task.get("inputs", {}).get("parameters", {}).items():
            constant = source.get("runtimeValue", {}).get("constant")
            if isinstance(constant, str) and "{{" in _PARAMETER.sub("", constant) and constant not in _WHOLE_ARGUMENTS:
                yield f"task {name}: {given} holds {{{{, which KFP takes for a placeholder"


def executors_are_distinct(graph: Graph) -> Iterator[str]:
    """Components whose containers are equal become one in the workflow, and the other's interface is lost."""
    interfaces: dict[str, list[str]] = {}
    for label, part in graph.users():
        interface = json.dumps([part.get("inputDefinitions"), part.get("outputDefinitions")], sort_keys=True)
        interfaces.setdefault(json.dumps(graph.executors[label], sort_keys=True), []).append(interface)
    for container, found in interfaces.items():
        if len(set(found)) > 1:
            command = " ".join(json.loads(container)["command"])
            yield f"{len(set(found))} components with different inputs or outputs have the same container, {command}"


def steps_take_their_arguments(graph: Graph) -> Iterator[str]:
    """Every container runs a step by its own module, with flags that its parser knows."""
    for label, part in graph.users():
        container = graph.executors[label]
        step = _STEP.fullmatch(container["command"][-1])
        if container["command"][:2] != ["python3", "-m"] or not step:
            yield f"{label}: {' '.join(container['command'])} is no step"
            continue
        if not all(isinstance(text, str) for text in container["args"]):
            continue  # which placeholders_are_resolved tells
        kinds = {"NUMBER_INTEGER": "1", "NUMBER_DOUBLE": "1.0"}
        declared = part["inputDefinitions"].get("parameters", {})
        values = {name: kinds.get(spec["parameterType"], "text") for name, spec in declared.items()}
        arguments = [_PARAMETER.sub(lambda match, v=values: v.get(match[1], ""), text) for text in container["args"]]  # type: ignore[misc]
        own = getattr(importlib.import_module(f"{container['command'][-1]}.step"), "FLAGS", ())
        try:
            parser(step[1], own, _Strict).parse_args(arguments)
        except ValueError as error:
            yield f"{label}: its entry point refuses its arguments: {error}"


def outputs_are_written(graph: Graph) -> Iterator[str]:
    """Every declared output must be written: the protocol writes these, and preparation and reporting their own."""
    written = {"manifest", "metrics"}
    own = {"preparation": {"resolved_run_root", "go"}, "reporting": {"report"}}
    for label, part in graph.users():
        outputs = part.get("outputDefinitions", {})
        step = graph.executors[label]["command"][-1].rpartition(".")[2]
        declared = {*outputs.get("artifacts", {}), *outputs.get("parameters", {})}
        for name in sorted(declared - written - own.get(step, set())):
            yield f"{label}: nothing writes its output {name}"


def loops_are_static(graph: Graph) -> Iterator[str]:
    """A loop over artifacts is not implemented, and one over a task's output breaks locally: shards are numbers."""
    for _, name, task in graph.tasks():
        if "artifactIterator" in task:
            yield f"task {name} loops over artifacts"
        if "parameterIterator" in task and "raw" not in task["parameterIterator"]["items"]:
            yield f"task {name} loops over what another task says"


def nothing_is_cached(graph: Graph) -> Iterator[str]:
    """A hit of KFP's cache would skip verification and ignore code changes; finished units are found by manifests."""
    for _, name, task in graph.tasks():
        if "dag" not in graph.component(task) and task.get("cachingOptions", {}).get("enableCache"):
            yield f"task {name} is cached"


def accelerators_have_what_they_need(graph: Graph) -> Iterator[str]:
    """vLLM's workers and NCCL need more shared memory than a pod has, and a pod that hangs holds its accelerators."""
    for label, container in graph.executors.items():
        if "accelerator" not in container.get("resources", {}):
            continue
        placed = graph.placed(label)
        volumes = {mount.get("mountPath") for mount in placed.get("emptyDirMounts", [])}
        if "/dev/shm" not in volumes:
            yield f"{label}: no /dev/shm in memory; set cluster.steps.<step>.shared_memory"
        if "activeDeadlineSeconds" not in placed:
            yield f"{label}: no timeout; set cluster.steps.<step>.timeout_seconds"


def steps_are_retried(graph: Graph) -> Iterator[str]:
    """Pods die with their nodes; preparation alone refuses the user's mistakes, and closing ends the run anyway."""
    for _, name, task in graph.tasks():
        part = graph.component(task)
        if "executorLabel" not in part:
            continue
        step = graph.executors[part["executorLabel"]]["command"][-1].rpartition(".")[2]
        if "retryPolicy" not in task and step not in ("preparation", "closing"):
            yield f"task {name} is not retried; set cluster.steps.{step}.retries"
        if "retryPolicy" in task and step == "preparation":
            yield f"task {name} is retried, though what it refuses is the user's to mend"


def arguments_are_short(graph: Graph) -> Iterator[str]:
    """One argument is limited to 128 KiB, and the launcher passes all parameters as one: long texts belong in files."""
    for _, name, task in graph.tasks():
        parameters = task.get("inputs", {}).get("parameters", {})
        total = sum(len(json.dumps(source.get("runtimeValue", {}))) for source in parameters.values())
        if total > LONGEST_ARGUMENT:
            yield f"task {name} has {total:,} bytes of parameters, above {LONGEST_ARGUMENT:,}"


def it_is_small(graph: Graph) -> Iterator[str]:
    """The API server makes one Argo workflow of it, which has to fit into one object of etcd."""
    size = len(json.dumps(graph.ir)) + len(json.dumps(graph.platform))
    count = sum("executorLabel" in graph.component(task) for _, _, task in graph.tasks())
    pods = _pods(graph, graph.ir["root"])
    way_out = "set cluster.iterations_per_run, which chains runs of so many iterations under one run root"
    if size > LARGEST_IR:
        yield f"{size:,} bytes of IR, above {LARGEST_IR:,}; {way_out}"
    if count > MOST_TASKS:
        yield f"{count} tasks, above {MOST_TASKS}; {way_out}"
    if pods > MOST_PODS:
        yield f"{pods:,} pods, above {MOST_PODS:,}; lower prompts.shards, or {way_out}"


def _pods(graph: Graph, part: Json) -> int:
    """Pods of a graph: a task is a driver and an executor, a graph nested in it a driver besides its own tasks."""
    total = 0
    for task in part["dag"]["tasks"].values():
        inner = graph.component(task)
        items = task.get("parameterIterator", {}).get("items", {}).get("raw", "[0]")
        total += len(json.loads(items)) * (1 + (_pods(graph, inner) if "dag" in inner else 1))
    return total


def names_are_short(graph: Graph) -> Iterator[str]:
    """Labels of pods take 63 characters: letters, digits, dots, dashes and underscores."""
    for label in graph.executors:
        for key, value in graph.placed(label).get("podMetadata", {}).get("labels", {}).items():
            if not re.fullmatch(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", value):
                yield f"{label}: label {key} cannot be {value!r}"


Rule = Callable[[Graph], Iterator[str]]

RULES: tuple[Rule, ...] = (
    inputs_are_passed,
    references_are_declared,
    placeholders_are_resolved,
    executors_are_distinct,
    steps_take_their_arguments,
    outputs_are_written,
    loops_are_static,
    nothing_is_cached,
    accelerators_have_what_they_need,
    steps_are_retried,
    arguments_are_short,
    it_is_small,
    names_are_short,
)


def check_graph(package: Path, shown: Path | None = None) -> Counter[str]:
    """Hold every rule against a compiled file, `shown` as another one; how many containers of each step it has.

    Raises:
        UserError: what breaks a rule.
    """
    graph = read_graph(package)
    if complaints := lint(graph):
        raise UserError(f"{shown or package}: a cluster would refuse or break this graph: {'; '.join(complaints)}")
    return Counter(container["command"][-1].rpartition(".")[2] for container in graph.executors.values())
