"""Removes redundant parts of a graph, because Argo stores several copies of it in the workflow."""

import json
import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_OLD_RESOURCES = ("cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest")
"""Numbers that older backends read; newer ones take the amounts beside them."""
_NAMES = {
    "configMapName": "configMapNameParameter",
    "secretName": "secretNameParameter",
    "constant": "pvcNameParameter",
}
"""Names, and parameters that hold the same once more."""
_PREFIX = "pipelinechannel--"
_REFERENCES = ("componentInputParameter", "componentInputArtifact", "condition", "image")
"""Where inputs of a graph are referred to, whose names KFP's compiler prefixes."""


def slim(ir: Json, platform: Json) -> tuple[Json, Json]:
    """A graph's IR and platform, which it changes: the same tasks with less text, and names that a person would give.

    - One component for all tasks whose interface, container and placement are the same, and for all equal graphs.
    - Written into the container, and not passed to each task, what all tasks of a component are given alike.
    - No input `base_image`, which KFP's compiler adds, as an unresolved placeholder, where an image is a parameter.
    - Nothing that says again, for older backends, what stands beside it; no parameter that no task reads.
    """
    placed = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    _drop_what_repeats(ir, placed)
    _merge(ir, placed)
    _merge_graphs(ir)
    _tidy_loops(ir)
    _fold_constants(ir)
    _rename_groups(ir)
    _drop_unread(ir)
    for value in _objects(ir["components"]):
        value.pop("schemaVersion", None)  # 0.0.1 of all artifacts' types; nothing reads it
    return _unprefixed(ir), _unprefixed(platform)


def _parts(ir: Json) -> Iterator[Json]:
    """The root, and every graph nested in it."""
    yield from (part["dag"] for part in (ir["root"], *ir["components"].values()) if "dag" in part)


def _tasks(ir: Json) -> Iterator[Json]:
    for part in _parts(ir):
        yield from part["tasks"].values()


def _parameters(task: Json) -> Json:
    found: Json = task.get("inputs", {}).get("parameters", {})
    return found


def _drop_what_repeats(ir: Json, placed: Json) -> None:
    for task in _tasks(ir):
        _parameters(task).pop("base_image", None)
        if not task.get("cachingOptions"):
            task.pop("cachingOptions", None)
    for executor in ir["deploymentSpec"]["executors"].values():
        resources = executor["container"].get("resources", {})
        for key in _OLD_RESOURCES:
            resources.pop(key, None)
        for key in ("count", "type"):
            resources.get("accelerator", {}).pop(key, None)
        for kind in ("Cpu", "Memory"):
            # Kubernetes requests what the limit is unless it is told otherwise.
            if resources.get(f"resource{kind}Request") == resources.get(f"resource{kind}Limit"):
                resources.pop(f"resource{kind}Request", None)
    for source in _objects(placed):
        for name, parameter in _NAMES.items():
            if name in source:
                source.pop(parameter, None)
        if source.get("optional") is False:
            del source["optional"]


def _merge(ir: Json, placed: Json) -> None:
    """Let tasks share components that are the same but for their name, under the name of the step that they run."""
    executors, components = ir["deploymentSpec"]["executors"], ir["components"]
    known: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for name in sorted(name for name, part in components.items() if "executorLabel" in part):
        part = components.pop(name)
        label = part.pop("executorLabel")
        executor, placement = executors.pop(label), placed.pop(label, None)
        step = executor["container"]["command"][2].rpartition(".")[2]
        made = _named_once(known, step, [part, executor, placement])
        renamed[name] = f"comp-{made}"
        components[f"comp-{made}"] = {"executorLabel": f"exec-{made}", **part}
        executors[f"exec-{made}"] = executor
        if placement is not None:
            placed[f"exec-{made}"] = placement
    _refer(ir, renamed)


def _named_once(known: dict[str, str], wanted: str, content: Any) -> str:
    """A name for some content: the one that it has, or the wanted one, numbered if it is another's."""
    key = json.dumps(content, sort_keys=True)
    taken = sum(each == wanted or each.startswith(f"{wanted}-") for each in known.values())
    return known.setdefault(key, f"{wanted}-{taken + 1}" if taken else wanted)


def _refer(ir: Json, renamed: dict[str, str]) -> None:
    for task in _tasks(ir):
        reference = task["componentRef"]
        reference["name"] = renamed.get(reference["name"], reference["name"])


def _merge_graphs(ir: Json) -> None:
    """Let tasks share graphs that are the same: one of them at a time, since others may be so when it is gone."""
    components = ir["components"]
    known: dict[str, str] = {}
    for name in sorted(name for name, part in components.items() if "dag" in part):
        if (first := known.setdefault(json.dumps(components[name], sort_keys=True), name)) != name:
            del components[name]
            _refer(ir, {name: first})
            _merge_graphs(ir)
            return


def _tidy_loops(ir: Json) -> None:
    """Name the inputs of loops, which KFP numbers."""
    for task in [task for task in _tasks(ir) if "parameterIterator" in task]:
        item = task["parameterIterator"]["itemInput"]
        part = ir["components"][task["componentRef"]["name"]]
        declared = part["inputDefinitions"]["parameters"]
        declared["shard"] = declared.pop(item)
        task["parameterIterator"]["itemInput"] = "shard"
        for inner in part["dag"]["tasks"].values():
            for source in _parameters(inner).values():
                if source.get("componentInputParameter") == item:
                    source["componentInputParameter"] = "shard"


def _fold_constants(ir: Json) -> None:
    """Move arguments that all tasks of a container share into the container."""
    calls: dict[str, list[Json]] = {}
    for task in _tasks(ir):
        calls.setdefault(task["componentRef"]["name"], []).append(_parameters(task))
    for name, part in ir["components"].items():
        if "executorLabel" not in part:
            continue
        container = ir["deploymentSpec"]["executors"][part["executorLabel"]]["container"]
        declared = part.get("inputDefinitions", {}).get("parameters", {})
        for key in list(declared):
            values = [given.get(key, {}).get("runtimeValue", {}).get("constant") for given in calls[name]]
            if values[0] is None or any(value != values[0] for value in values) or set("{$") & set(str(values[0])):
                continue
            text = values[0] if isinstance(values[0], str) else json.dumps(values[0]).removesuffix(".0")
            container["args"] = _with_constant(container["args"], key, text)
            del declared[key]
            for given in calls[name]:
                del given[key]


def _with_constant(arguments: list[str], key: str, text: str) -> list[str]:
    place = f"{{{{$.inputs.parameters['{key}']}}}}"
    if place in arguments:
        return [text if argument == place else argument for argument in arguments]
    return [f"--{key.replace('_', '-')}", text, *arguments]


def _rename_groups(ir: Json) -> None:
    """Name conditions, loops, exit handlers and graphs of shards by what they are shown as: KFP numbers them."""
    for dag in _parts(ir):
        numbered = [
            key for key in dag["tasks"] if re.fullmatch(r"(condition|exit-handler|for-loop|shards)(-\d+)?", key)
        ]
        _rename(dag, {key: re.sub(r"\W+", "-", dag["tasks"][key]["taskInfo"]["name"]) for key in numbered})


def _rename(dag: Json, names: dict[str, str]) -> None:
    """Give tasks of a graph other names, there and wherever others of it refer to them."""
    dag["tasks"] = {names.get(key, key): task for key, task in dag["tasks"].items()}
    for task in dag["tasks"].values():
        if "dependentTasks" in task:
            task["dependentTasks"] = [names.get(key, key) for key in task["dependentTasks"]]
    for value in _objects(dag):
        for key in ("producerTask", "producerSubtask"):
            if value.get(key) in names:
                value[key] = names[value[key]]


def _objects(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _unprefixed(value: Any) -> Any:
    """Inputs under plain names. Other texts stay as they are: a recipe may hold the prefix."""
    if isinstance(value, list):
        return [_unprefixed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    plain = {}
    for key, inner in value.items():
        is_reference = key in _REFERENCES and isinstance(inner, str)
        plain[key.replace(_PREFIX, "")] = inner.replace(_PREFIX, "") if is_reference else _unprefixed(inner)
    return plain


def _drop_unread(ir: Json) -> None:
    """Drop the parameters of a graph that neither its tasks read, nor its loop or condition."""
    callers: dict[str, list[Json]] = {}
    for task in _tasks(ir):
        callers.setdefault(task["componentRef"]["name"], []).append(task)
    dropped = False
    for name, part in (("", ir["root"]), *ir["components"].items()):
        if "dag" not in part:
            continue
        calls = callers.get(name, [])
        around = json.dumps([[task.get("parameterIterator"), task.get("triggerPolicy")] for task in calls])
        sources = (source for task in part["dag"]["tasks"].values() for source in _parameters(task).values())
        read = {source.get("componentInputParameter") for source in sources}
        declared = part.get("inputDefinitions", {}).get("parameters", {})
        for key in [key for key in declared if key not in read and key not in around]:
            dropped = True
            for parameters in (declared, *map(_parameters, calls)):
                parameters.pop(key, None)
    if dropped:  # what a caller passed may have been all that it read
        _drop_unread(ir)
