"""Takes out of a compiled graph what repeats or means nothing: Argo keeps several copies of it in the workflow."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OLD_RESOURCES = ("cpuLimit", "cpuRequest", "memoryLimit", "memoryRequest")
"""Numbers that older backends read; newer ones take the amounts beside them."""
_OLD_NAMES = {"configMapAsEnv": "configMapName", "secretAsEnv": "secretName"}
"""Likewise names, beside parameters that hold them."""


def slim(package: Path) -> None:
    """Rewrite a compiled pipeline in place: the same tasks with less text.

    - One component for all tasks whose interface, container and placement are the same.
    - No input `base_image`: KFP's compiler adds it, as an unresolved placeholder, where an image is a parameter.
    - Nothing that says again, for older backends, what stands beside it.
    - No parameter that no task reads.
    """
    documents = list(yaml.load_all(package.read_text(), _Loader))
    ir, platform = documents[0], documents[1] if len(documents) > 1 else {}
    placed = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for task in _tasks(ir):
        task.get("inputs", {}).get("parameters", {}).pop("base_image", None)
    for executor in ir["deploymentSpec"]["executors"].values():
        for key in _OLD_RESOURCES:
            executor["container"].get("resources", {}).pop(key, None)
    for settings in placed.values():
        for kind, key in _OLD_NAMES.items():
            for source in settings.get(kind, []):
                source.pop(key, None)
    _merge(ir, placed)
    _drop_unread_parameters(ir)
    package.write_text(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, allow_unicode=True))


def _tasks(ir: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (ir["root"], *ir["components"].values()):
        yield from part.get("dag", {}).get("tasks", {}).values()


def _merge(ir: dict[str, Any], placed: dict[str, Any]) -> None:
    """Let tasks share components that are the same but for their name, under the name of the step that they run."""
    executors, components = ir["deploymentSpec"]["executors"], ir["components"]
    known: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for name in sorted(name for name, part in components.items() if "executorLabel" in part):
        part = components.pop(name)
        label = part.pop("executorLabel")
        executor, placement = executors.pop(label), placed.pop(label, None)
        content = json.dumps([part, executor, placement], sort_keys=True)
        if content not in known:
            step = executor["container"]["command"][2].rpartition(".")[2]
            count = sum(each == step or each.startswith(f"{step}-") for each in known.values())
            known[content] = step if not count else f"{step}-{count + 1}"
            made = known[content]
            components[f"comp-{made}"] = {"executorLabel": f"exec-{made}", **part}
            executors[f"exec-{made}"] = executor
            if placement is not None:
                placed[f"exec-{made}"] = placement
        renamed[name] = f"comp-{known[content]}"
    for task in _tasks(ir):
        reference = task["componentRef"]
        reference["name"] = renamed.get(reference["name"], reference["name"])


def _drop_unread_parameters(ir: dict[str, Any]) -> None:
    declared = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    inputs = (task.get("inputs", {}).get("parameters", {}) for task in ir["root"]["dag"]["tasks"].values())
    read = {source.get("componentInputParameter") for given in inputs for source in given.values()}
    for name in set(declared) - read:
        del declared[name]
