"""Rules for the compiled graph: what Kubeflow Pipelines 2.17 rejects although the graph runs locally."""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from nashflow.components.core.errors import UserError
from nashflow.components.runtime.protocol import parser, passed

from .compiled import Graph, Json, read_graph, tasks_of, times
from .names import LABEL_KEY, LABEL_VALUE
from .provenance import read_twice
from .size import BUDGET, FEWER_ITERATIONS, estimate, read_by, way_out
from .steps import STEPS, Step, only

LONGEST_ARGUMENT = 100_000
"""Bytes of one argument: Linux takes 128 KiB, and the launcher adds to it."""
ARTIFACT = 450
"""Bytes of one artifact in the argument that holds them all: its URI, its type, its metadata."""

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([\w-]+)'\]\}\}")
_EXECUTOR_INPUT = "{{$}}"
_KINDS: dict[str | None, Any] = {"NUMBER_INTEGER": 1, "NUMBER_DOUBLE": 1.0, "BOOLEAN": True}
"""A value of each kind of parameter."""
_WHOLE_ARGUMENTS = ("{{$.pipeline_job_uuid}}", "{{$.pipeline_job_name}}", "{{$.pipeline_task_uuid}}")
_EXPANDED = re.compile(r"\{\{|\$[($]")
_CONDITIONAL = ('{"Concat":', '{"IfPresent":')


def lint(graph: Graph) -> list[str]:
    """The violations of the rules, one line each, beginning with the rule's name."""
    return [f"{rule.__name__}: {complaint}" for rule in RULES for complaint in rule(graph)]


class _Strict(argparse.ArgumentParser):
    """A parser that raises its error instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)

    def print_help(self, file: Any = None) -> None:
        self.error("asks for help")


def _step(container: Json) -> Step | None:
    """The step that a container runs, if it runs one."""
    command = container.get("command", [])
    return next((step for step in STEPS.values() if command == ["python3", "-m", step.package]), None)


def _settings(container: Json) -> str:
    """Where a recipe says what a container asks for."""
    step = _step(container)
    return f"cluster.steps.{step.name if step else '<step>'}"


def inputs_are_passed(graph: Graph) -> Iterator[str]:
    """The driver fails a task if a declared input is not passed, even an optional one; null counts as not passed."""
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
    """A task is of a component, which is a graph or has an executor, and reads what tasks before it declare."""
    for part, name, task in graph.tasks():
        component = graph.component(task)
        if not component:
            yield f"task {name} is of {task.get('componentRef', {}).get('name', 'nothing')}, which is not there"
        elif "dag" not in component and component.get("executorLabel") not in graph.executors:
            yield f"task {name} runs {component.get('executorLabel', 'nothing')}, which is not there"
        for kind, key in (("parameters", "Parameter"), ("artifacts", "Artifact")):
            for source in task.get("inputs", {}).get(kind, {}).values():
                output = source.get(f"taskOutput{key}")
                if not output:
                    continue
                producer, read = output.get("producerTask", ""), output.get(f"output{key}Key", "")
                made = graph.component(tasks_of(part).get(producer, {})).get("outputDefinitions", {}).get(kind, {})
                if read not in made or producer not in task.get("dependentTasks", []):
                    yield f"task {name} reads {producer}.{read}, which it cannot"


def artifacts_are_read_once(graph: Graph) -> Iterator[str]:
    """The metadata store keeps one event for an artifact and a task: a driver fails if two inputs are one artifact."""
    for name, one, other in read_twice(graph):
        yield f"task {name} is given what may be one artifact as {one} and as {other}"


def placeholders_are_resolved(graph: Graph) -> Iterator[str]:
    """The backend replaces input parameters and the executor input anywhere, the job's id alone as a whole argument.

    It knows no concatenation, no artifact's metadata, no path of the executor output and no condition on an artifact.
    """
    for label, part in graph.users():
        declared = set(part.get("inputDefinitions", {}).get("parameters", {}))
        container = graph.executors[label]
        for text in (*container.get("command", []), *container.get("args", [])):
            if text.startswith(_CONDITIONAL) or "{{" in _PARAMETER.sub("", text).replace(_EXECUTOR_INPUT, ""):
                yield f"{label}: {text[:80]!r} holds a placeholder that a cluster leaves as it is"
            elif unknown := set(_PARAMETER.findall(text)) - declared:
                yield f"{label}: {', '.join(sorted(unknown))} is no input of its component"
    for _, name, task in graph.tasks():
        for given, source in task.get("inputs", {}).get("parameters", {}).items():
            constant = source.get("runtimeValue", {}).get("constant")
            if isinstance(constant, str) and "{{" in _PARAMETER.sub("", constant) and constant not in _WHOLE_ARGUMENTS:
                yield f"task {name}: {given} holds {{{{, which KFP takes for a placeholder"


def texts_are_left_alone(graph: Graph) -> Iterator[str]:
    """Argo replaces {{…}}, Kubernetes $(NAME) and $$, in parameters' defaults and in the environment too."""
    texts = {
        f"the default of {name}": json.dumps(parameter.get("defaultValue"))
        for name, parameter in graph.ir["root"].get("inputDefinitions", {}).get("parameters", {}).items()
    }
    for label, container in graph.executors.items():
        for variable in container.get("env", []):
            texts[f"{label}: {variable.get('name')}"] = variable.get("value", "")
    for where, text in texts.items():
        if found := _EXPANDED.search(text):
            yield f"{where} holds {found[0]}, which a cluster takes for a placeholder"


def executors_are_distinct(graph: Graph) -> Iterator[str]:
    """Components with equal containers are merged in the workflow, and one of the interfaces is lost."""
    interfaces: dict[str, list[str]] = {}
    for label, part in graph.users():
        interface = json.dumps([part.get("inputDefinitions"), part.get("outputDefinitions")], sort_keys=True)
        interfaces.setdefault(json.dumps(graph.executors[label], sort_keys=True), []).append(interface)
    for container, found in interfaces.items():
        if len(set(found)) > 1:
            command = " ".join(json.loads(container).get("command", []))
            yield f"{len(set(found))} components with different inputs or outputs have the same container, {command}"


def steps_take_their_arguments(graph: Graph) -> Iterator[str]:
    """Every container runs a step by its own module, with flags that its parser knows."""
    for label, part in graph.users():
        container = graph.executors[label]
        step, command = _step(container), " ".join(container.get("command", []))[:80]
        if not step:
            yield f"{label}: runs {f'{command}, which is no step' if command else 'no container'}"
            continue
        declared = part.get("inputDefinitions", {}).get("parameters", {})
        values = {name: _KINDS.get(spec.get("parameterType"), "text") for name, spec in declared.items()}
        texts, flags = container.get("args", []), getattr(step.module, "FLAGS", ())
        arguments = [_PARAMETER.sub(lambda match, v=values: str(v.get(match[1], "")), text) for text in texts]  # type: ignore[misc]
        if _EXECUTOR_INPUT in texts:
            arguments = [*passed({"inputs": {"parameterValues": values}}, flags), *arguments]
        try:
            parser(step.name, flags, _Strict).parse_args(arguments)
        except ValueError as error:
            yield f"{label}: its entry point refuses its arguments: {error}"


def outputs_are_written(graph: Graph) -> Iterator[str]:
    """Every declared output must be written, by the step that says so."""
    for label, part in graph.users():
        outputs, step = part.get("outputDefinitions", {}), _step(graph.executors[label])
        module = step.module if step else None
        for kind, said in (("artifacts", "OUTPUTS"), ("parameters", "PARAMETERS")):
            for name in sorted(set(outputs.get(kind, {})) - set(getattr(module, said, ()))):
                yield f"{label}: nothing writes its output {name}"


def loops_have_components(graph: Graph) -> Iterator[str]:
    """KFP names the workflow's template of a loop after the loop's component, and refuses a second one of that name."""
    names = [task["componentRef"]["name"] for _, _, task in graph.tasks() if "parameterIterator" in task]
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{count} loops are of {name}: each needs a component of its own"


def loops_are_static(graph: Graph) -> Iterator[str]:
    """A loop over artifacts is not implemented, and one over a task's output breaks locally: shards are numbers."""
    for _, name, task in graph.tasks():
        if "artifactIterator" in task:
            yield f"task {name} loops over artifacts"
        if times(task) is None:
            yield f"task {name} loops over no list that is written out"


def nothing_is_cached(graph: Graph) -> Iterator[str]:
    """A hit of KFP's cache would skip verification and ignore code changes; finished units are found by manifests."""
    for _, name, task in graph.tasks():
        if "dag" not in graph.component(task) and task.get("cachingOptions", {}).get("enableCache"):
            yield f"task {name} is cached"


def accelerators_have_what_they_need(graph: Graph) -> Iterator[str]:
    """The steps' own image has torch for CPUs; vLLM's workers and NCCL need more shared memory than a pod has."""
    for label, container in graph.executors.items():
        if "accelerator" not in container.get("resources", {}):
            continue
        image = _PARAMETER.fullmatch(container.get("image", ""))
        if image and image[1].removeprefix("pipelinechannel--") == "image":
            yield f"{label}: asks for accelerators in the image of the steps on CPUs; take vllm_image or training_image"
        mounts = graph.placed(label).get("emptyDirMounts", [])
        if ("/dev/shm", "Memory") not in ((mount.get("mountPath"), mount.get("medium")) for mount in mounts):
            yield f"{label}: no /dev/shm in memory; set cluster.steps.<step>.shared_memory"


def pods_are_bounded(graph: Graph) -> Iterator[str]:
    """A pod that hangs holds its node until its deadline; one without limits harms others, and quotas refuse it."""
    for label, container in graph.executors.items():
        settings = _settings(container)
        if not int(graph.placed(label).get("activeDeadlineSeconds", 0)):
            yield f"{label}: no timeout; set {settings}.timeout_seconds"
        resources = container.get("resources", {})
        for key in ("cpu", "memory"):
            # KFP's older graphs have the second name.
            if not resources.get(f"resource{key.title()}Limit") and not resources.get(f"{key}Limit"):
                yield f"{label}: no limit of {key}; set {settings}.{key}"


def pods_are_restricted(graph: Graph) -> Iterator[str]:
    """A namespace under the restricted Pod Security Standard admits no pod that may run as root."""
    for label in graph.executors:
        context = graph.placed(label).get("securityContext", {})
        if not context.get("runAsNonRoot") or context.get("runAsUser") == "0":
            yield f"{label}: may run as root; its security context has to say runAsNonRoot, and no user 0"


def runs_are_closed(graph: Graph) -> Iterator[str]:
    """Nothing but an exit task runs after a failure: without it no outcome is recorded and no lock given back."""
    last = [
        graph.executors.get(graph.component(task).get("executorLabel", ""), {})
        for task in tasks_of(graph.ir["root"]).values()
        if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
    ]
    step = only("exit")
    if step not in map(_step, last):
        yield f"no {step.name} whatever happens: the root has no exit task that runs it"


def steps_are_retried(graph: Graph) -> Iterator[str]:
    """Pods die with their nodes, and stores stay away for minutes; what preparation refuses is the user's mistake."""
    for _, name, task in graph.tasks():
        part = graph.component(task)
        if part.get("executorLabel") not in graph.executors:
            continue
        container = graph.executors[part["executorLabel"]]
        step, retries = _step(container), task.get("retryPolicy", {}).get("maxRetryCount", 0)
        retried = not step or step.retried
        if retried and not retries:
            yield f"task {name} is not retried; set {_settings(container)}.retries"
        if retries and not retried:
            yield f"task {name} is retried, though it fails only on mistakes of the user"


def arguments_are_short(graph: Graph) -> Iterator[str]:
    """One argument is limited to 128 KiB: a task's parameters and artifacts are one, and so is a whole sub-graph."""
    for part, name, task in graph.tasks():
        inputs = task.get("inputs", {})
        total = sum(len(json.dumps(source.get("runtimeValue", {}))) for source in inputs.get("parameters", {}).values())
        read = sum(read_by(part, source) for source in inputs.get("artifacts", {}).values())
        if total > LONGEST_ARGUMENT:
            yield f"task {name} has {total:,} bytes of parameters, above {LONGEST_ARGUMENT:,}"
        elif total + read * ARTIFACT > LONGEST_ARGUMENT:
            yield (
                f"task {name} reads {read} artifacts, each about {ARTIFACT} bytes of an argument, besides {total:,} of "
                f"parameters: above {LONGEST_ARGUMENT:,}; lower prompts.shards"
            )
    for name, part in graph.components.items():
        if "dag" in part and (length := len(json.dumps(part))) > LONGEST_ARGUMENT:
            yield f"{name} has {length:,} bytes, above {LONGEST_ARGUMENT:,}; {FEWER_ITERATIONS}"


def it_is_small(graph: Graph) -> Iterator[str]:
    """Argo keeps a run in one object of Kubernetes, and fails it, in the middle, when that grows too large."""
    size = estimate(graph)
    if size.total > BUDGET:
        yield (
            f"its workflow would have about {size.total:,.0f} bytes at the end, above {BUDGET:,}: "
            f"{size.specification:,.0f} of specification, {size.status:,.0f} of status for {size.tasks:,.0f} tasks; "
            f"{way_out(graph)}"
        )


def names_are_allowed(graph: Graph) -> Iterator[str]:
    """Kubernetes has an alphabet and a length for labels, KFP for pipelines: 63 and 128 characters."""
    pipeline = graph.ir.get("pipelineInfo", {}).get("name", "")
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,127}", pipeline):
        yield f"{pipeline!r} is no name of a pipeline: lower-case letters, digits and dashes, at most 128"
    for label in graph.executors:
        for key, value in graph.placed(label).get("podMetadata", {}).get("labels", {}).items():
            if not re.fullmatch(LABEL_KEY, key):
                yield f"{label}: no label can be called {key!r}"
            if not re.fullmatch(LABEL_VALUE, value):
                yield f"{label}: label {key} cannot be {value!r}"


Rule = Callable[[Graph], Iterator[str]]

RULES: tuple[Rule, ...] = (
    inputs_are_passed,
    references_are_declared,
    artifacts_are_read_once,
    placeholders_are_resolved,
    texts_are_left_alone,
    executors_are_distinct,
    steps_take_their_arguments,
    outputs_are_written,
    loops_are_static,
    loops_have_components,
    nothing_is_cached,
    accelerators_have_what_they_need,
    pods_are_bounded,
    pods_are_restricted,
    runs_are_closed,
    steps_are_retried,
    arguments_are_short,
    it_is_small,
    names_are_allowed,
)


def check_graph(package: Path, shown: str = "") -> Counter[str]:
    """Hold every rule against a compiled file, `shown` as what it is of; how many containers of each step it has.

    Raises:
        UserError: what breaks a rule.
    """
    graph = read_graph(package)
    if complaints := lint(graph):
        raise UserError(f"{shown or package}: a cluster would refuse or break this graph: {'; '.join(complaints)}")
    return Counter(step.name for step in map(_step, graph.executors.values()) if step)
