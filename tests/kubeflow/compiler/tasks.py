"""The tasks of an Argo DAG, from one task of KFP's: its driver, then the sub-graph or the pod."""

from typing import Any

from ..wire import stable
from .templates import RETRY, given, output

Task = dict[str, Any]


def depends(tasks: list[str]) -> dict[str, str]:
    """Argo's condition that all of them succeeded."""
    return {"depends": " && ".join(f"{task}.Succeeded" for task in tasks)} if tasks else {}


def parameters(values: dict[str, str]) -> dict[str, Any]:
    """The arguments of a task."""
    return {"arguments": {"parameters": [{"name": name, "value": value} for name, value in values.items()]}}


def graph_driver(name: str, component: str, values: dict[str, str]) -> Task:
    """The driver of a sub-graph."""
    order = ("iteration-index", "parent-dag-id", "runtime-config", "driver-type", "task", "task-name")
    given_values = {key: values[key] for key in order if key in values}
    return {"name": name, "template": "system-dag-driver", **parameters({"component": component, **given_values})}


def graph_task(name: str, template: str, parent: str, condition: str) -> Task:
    """A sub-graph, below the execution that its driver made."""
    return {"name": name, "template": template, **parameters({"parent-dag-id": parent, "condition": condition})}


def pod_driver(name: str, component: str, task: str, container: str, more: dict[str, str]) -> Task:
    """The driver of a container task."""
    values = {"component": component, "task": task, "container": container, **more}
    return {"name": name, "template": "system-container-driver", **parameters(values)}


def pod_task(name: str, template: str, labels: dict[str, str], retry: dict[str, Any] | None) -> Task:
    """The pod of a container task, by its driver's patch."""
    driver = f"{name}-driver"
    task = {
        "name": name,
        "template": template,
        **parameters({"pod-spec-patch": output(driver, "pod-spec-patch")}),
        **depends([driver]),
    }
    cached = {"name": "cached-decision", "default": "false", "value": output(driver, "cached-decision")}
    task["arguments"]["parameters"].append(cached)
    values = dict(zip(label_inputs(labels), [part for pair in labels.items() for part in pair], strict=True))
    values |= _retry(retry)
    task["arguments"]["parameters"] += [{"name": key, "value": value} for key, value in values.items()]
    return task


def label_inputs(labels: dict[str, str]) -> list[str]:
    """Names of the inputs that carry a pod's labels, by the label's name."""
    numbers = [f"-{number}" for number in range(1, len(labels) + 1)] if len(labels) > 1 else [""] * len(labels)
    return [f"pod-metadata-label-{part}{number}" for number in numbers for part in ("key", "val")]


def _retry(policy: dict[str, Any] | None) -> dict[str, str]:
    if policy is None:
        return {}
    seconds = [policy.get(key, "0s").removesuffix("s") for key in ("backoffDuration", "backoffMaxDuration")]
    counts = [str(policy.get("maxRetryCount", 0)), seconds[0], f"{policy.get('backoffFactor', 0):g}", seconds[1]]
    return dict(zip(RETRY, counts, strict=True))


def loop_templates(name: str, component: str, task: Task, items: list[Task]) -> tuple[Task, Task]:
    """The templates of a loop: of one item, and of the driver that counts the items and the items themselves."""
    reference = task["componentRef"]["name"]
    item = _graph(f"{reference}-iteration", ["parent-dag-id", "iteration-index"], items)
    values = {"parent-dag-id": given("parent-dag-id"), "task": stable(task), "task-name": name}
    driver = graph_driver("iteration-driver", component, values)
    each = {
        "name": "iteration-iterations",
        "template": item["name"],
        **parameters({"parent-dag-id": output("iteration-driver", "execution-id"), "iteration-index": "{{item}}"}),
        **depends(["iteration-driver"]),
        "withSequence": {"count": output("iteration-driver", "iteration-count")},
    }
    if task.get("triggerPolicy", {}).get("condition"):
        each["when"] = f"{output('iteration-driver', 'condition')} != false"
    loop = _graph(f"{reference}-{name}-iterator", ["parent-dag-id"], [driver, each])
    if limit := task.get("iteratorPolicy", {}).get("parallelismLimit"):
        loop["parallelism"] = limit
    return item, loop


def _graph(name: str, inputs: list[str], tasks: list[Task]) -> Task:
    return {"name": name, "inputs": {"parameters": [{"name": key} for key in inputs]}, "dag": {"tasks": tasks}}
