"""Argo's workflow controller: it takes a workflow from its entrypoint to its end, node by node."""

import copy
import re
import time
from datetime import UTC, datetime
from typing import Any, Protocol

from . import retries
from .nodes import BAD, FULFILLED, Node, node_id, now
from .template import TemplateError, process, substitute

DEADLINE = "Step exceeded its deadline"
_PENDING_SECONDS = 1.0
"""How long a pod of an exit hook may be pending after the deadline: until the controller looks again."""
_DELETED = "pod deleted"
_OMITTED = "omitted: depends condition not met"


class Pod(Protocol):
    """What the controller reads of a pod."""

    phase: str
    """Pending, Running, Succeeded, Failed, or Missing."""
    message: str
    outputs: dict[str, str]
    exit_code: int | None


class Pods(Protocol):
    """What makes the workflow's pods, each named by its node."""

    def start(self, node: Node, template: dict[str, Any]) -> None:
        """Make a node's pod, unless it is there."""

    def look(self, node: Node) -> Pod | None:
        """The node's pod; None: there is none."""

    def stop(self, node: Node) -> None:
        """Terminate the node's pod."""


class Controller:
    """One workflow's. `operate` goes as far as it can without waiting; call it again when a pod has changed."""

    def __init__(self, workflow: dict[str, Any], pods: Pods) -> None:
        self.workflow = workflow
        self.name: str = workflow["metadata"]["name"]
        self.pods = pods
        self.status: dict[str, Any] = workflow.setdefault(
            "status", {"nodes": {}, "phase": "Running", "startedAt": now()}
        )
        self.nodes: dict[str, Node] = self.status["nodes"]
        self.pace = 1.0
        """How many times faster than on a cluster the waits between two attempts pass."""
        self.wait: float | None = None
        """Seconds until a retry is due, after `operate`."""
        self._templates = {template["name"]: template for template in workflow["spec"]["templates"]}
        self._started: dict[str, float] = {}
        self._processed: dict[str, dict[str, Any]] = {}
        self._values = _values(workflow)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.status["phase"] in FULFILLED

    @property
    def late(self) -> bool:
        """Whether the workflow's deadline has passed, as when a run is terminated."""
        seconds = self.workflow["spec"].get("activeDeadlineSeconds")
        begun = datetime.fromisoformat(self.status["startedAt"])
        return seconds is not None and (datetime.now(UTC) - begun).total_seconds() > seconds

    def operate(self) -> None:
        """Take the workflow as far as it goes now."""
        self.wait = None
        self._reconcile()
        top = self._execute(self.name, self.name, "entrypoint", {}, None, {})
        if top["phase"] in FULFILLED:
            self.status |= {"phase": top["phase"], "finishedAt": now()}
            if "message" in top:
                self.status["message"] = top["message"]

    def fail(self, message: str) -> None:
        """End the workflow for a reason of the controller's own."""
        self.status |= {"phase": "Error", "message": message, "finishedAt": now()}

    # --- pods --------------------------------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Take over what has become of the pods."""
        for node in self.nodes.values():
            if node["type"] != "Pod" or node["phase"] in FULFILLED:
                continue
            pod = self.pods.look(node)
            if pod is None:
                if node["phase"] == "Running":
                    # An error whose result has not come in is no end: the pod is made again, under its name.
                    node |= {"phase": "Pending", "message": _DELETED}
                continue
            if self.late and self._ends_with_deadline(node, pod):
                continue
            self._assess(node, pod)

    def _ends_with_deadline(self, node: Node, pod: Pod) -> bool:
        """Whether a pod that has no more time is no more looked at. Exit hooks have it, unless they do not start."""
        hooked = ".onExit" in node["name"]
        if pod.phase == "Pending" and (not hooked or time.monotonic() > self._started[node["id"]] + _PENDING_SECONDS):
            self.pods.stop(node)
            self._mark(node, "Failed", DEADLINE)
            return True
        if pod.phase == "Running" and not hooked:
            self.pods.stop(node)
        return False

    def _assess(self, node: Node, pod: Pod) -> None:
        if node.get("message") != _DELETED:
            node.pop("message", None)
        if pod.phase in ("Pending", "Running"):
            node["phase"] = pod.phase
            if pod.message:
                node["message"] = pod.message
            return
        template = self._templates[node["templateName"]]
        parameters = [
            {**parameter, "value": pod.outputs.get(parameter["name"], parameter["valueFrom"].get("default"))}
            for parameter in template["outputs"].get("parameters", ())
        ]
        folder = f"private-artifacts/{self.workflow['metadata']['namespace']}/{self.name}"
        key = f"{folder}/{node['startedAt'][:10].replace('-', '/')}/{pod_name(self.name, node)}/main.log"
        outputs: dict[str, Any] = (
            {"parameters": [_in_order(parameter) for parameter in parameters]} if parameters else {}
        )
        outputs |= {"artifacts": [{"name": "main-logs", "s3": {"key": key}}], "exitCode": str(pod.exit_code)}
        node |= {"outputs": outputs, "taskResultSynced": True, "hostNodeName": "node-1"}
        if pod.phase == "Succeeded" and any(parameter["value"] is None for parameter in parameters):
            self._mark(node, "Error", "failed to find an output parameter's file")
        else:
            self._mark(node, pod.phase, pod.message)

    # --- templates ---------------------------------------------------------------------------------------------------

    def _execute(
        self, name: str, display: str, template: str, arguments: dict[str, str], boundary: str | None, flag: Node
    ) -> Node:
        """A node that runs a template: attempts, each under a name of its own."""
        node = self.nodes.get(node_id(self.name, name))
        if node and node["phase"] in FULFILLED:
            return node
        try:
            processed = self._process(name, template, arguments)
        except TemplateError as error:
            node = node or self._new(name, display, "Retry", template, boundary, flag)
            return self._mark(node, "Error", str(error))
        if not node:
            node = self._new(name, display, "Retry", template, boundary, flag)
            self._give(node, processed)
        attempts = self._attempts(node)
        if attempts and attempts[-1]["phase"] in FULFILLED:
            decision = self._after(node, attempts, processed)
            if not decision:
                return node
        if not attempts or attempts[-1]["phase"] in FULFILLED:
            attempts.append(self._attempt(node, len(attempts), processed, boundary))
        last = attempts[-1]
        if "dag" in processed:
            self._graph(last, processed["dag"], processed.get("parallelism"))
        elif last["phase"] == "Pending":
            self._pod(last, processed, len(attempts) - 1)
        if last["phase"] in FULFILLED:
            return self._execute(name, display, template, arguments, boundary, flag)
        return node

    def _after(self, node: Node, attempts: list[Node], processed: dict[str, Any]) -> bool:
        """Whether another attempt is due; otherwise the node has ended, or waits."""
        last = attempts[-1]
        if "outputs" in last:
            node["outputs"] = last["outputs"]
        if last["phase"] not in BAD:
            self._mark(node, "Succeeded", "")
            return False
        if self.late:
            begun = self.status["startedAt"].replace("T", " ").replace("Z", " +0000 UTC")
            self._mark(node, last["phase"], f"retry exceeded workflow deadline {begun}")
            return False
        defaults = self.workflow["spec"]["templateDefaults"]["retryStrategy"]
        decision = retries.decide(
            {**defaults, **processed.get("retryStrategy", {})}, attempts, datetime.now(UTC), self.pace
        )
        if not decision.again:
            self._mark(node, last["phase"], decision.message)
            return False
        if decision.wait:
            node["message"] = f"Backoff for {decision.wait:.0f} seconds"
            self.wait = min(decision.wait, self.wait or decision.wait)
            return False
        node.pop("message", None)
        return True

    def _attempts(self, node: Node) -> list[Node]:
        mine = re.compile(re.escape(node["name"]) + r"\(\d+\)")
        return [self.nodes[key] for key in node.get("children", ()) if mine.fullmatch(self.nodes[key]["name"])]

    def _attempt(self, node: Node, number: int, processed: dict[str, Any], boundary: str | None) -> Node:
        kind = "DAG" if "dag" in processed else "Pod"
        name, display = f"{node['name']}({number})", f"{node['displayName']}({number})"
        flag = {**node.get("nodeFlag", {}), "retried": True}
        made = self.nodes.get(node_id(self.name, name))  # there already, of a graph in a run that is retried
        if not made:
            made = self._new(name, display, kind, node["templateName"], boundary, flag)
            self._give(made, processed)
            if kind == "Pod":
                made["phase"] = "Pending"
        self._child(node, made)
        return made

    def _pod(self, node: Node, processed: dict[str, Any], number: int) -> None:
        if self.late and ".onExit" not in node["name"]:
            self._mark(node, "Failed", DEADLINE)
            return
        self._started.setdefault(node["id"], time.monotonic())
        values = {
            **self._values,
            "retries": str(number),
            "pod.name": pod_name(self.name, node),
            "node.name": node["name"],
        }
        inputs = processed["inputs"].get("parameters", ())
        # What came in through an input is looked through again.
        values |= {f"inputs.parameters.{parameter['name']}": parameter["value"] for parameter in inputs}
        self.pods.start(node, substitute(processed, values))
        if (pod := self.pods.look(node)) is not None:
            self._assess(node, pod)

    def _process(self, name: str, template: str, arguments: dict[str, str]) -> dict[str, Any]:
        if name not in self._processed:
            self._processed[name] = process(self._templates[template], arguments, self._values)
        return self._processed[name]

    # --- graphs ------------------------------------------------------------------------------------------------------

    def _graph(self, node: Node, dag: dict[str, Any], parallelism: int | None) -> None:
        """A DAG's tasks, each when those that it depends on have ended."""
        tasks = {task["name"]: task for task in dag["tasks"]}
        visited: set[str] = set()
        for name in tasks:
            self._task(node, name, tasks, visited, parallelism)
        made = [self.nodes.get(node_id(self.name, f"{node['name']}.{name}")) for name in tasks]
        hooked = [part for part in made if part and part["type"] != "Skipped" and "hooks" in tasks[part["displayName"]]]
        hooks = [self.nodes.get(node_id(self.name, f"{part['name']}.onExit")) for part in hooked]
        if any(part is None or part["phase"] not in FULFILLED for part in (*made, *hooks)):
            return
        needed = {dependency for task in tasks.values() for dependency in _dependencies(task)}
        leaves = [f"{node['name']}.{name}" for name in tasks if name not in needed]
        node["outboundNodes"] = [key for leaf in leaves for key in self._outbound(self.nodes[node_id(self.name, leaf)])]
        self._mark(node, "Failed" if any(part["phase"] in BAD for part in made if part) else "Succeeded", "")

    def _task(self, graph: Node, name: str, tasks: dict[str, Any], visited: set[str], parallelism: int | None) -> None:
        if name in visited:
            return
        visited.add(name)
        task = tasks[name]
        for dependency in _dependencies(task):
            self._task(graph, dependency, tasks, visited, parallelism)
        full = f"{graph['name']}.{name}"
        node = self.nodes.get(node_id(self.name, full))
        if not node or node["phase"] not in FULFILLED:
            node = self._run_task(graph, full, task, node, parallelism)
        if node and node["phase"] in FULFILLED and node["type"] != "Skipped" and "hooks" in task:
            self._hook(graph, node, task["hooks"]["exit"])

    def _run_task(
        self, graph: Node, full: str, task: dict[str, Any], node: Node | None, parallelism: int | None
    ) -> Node | None:
        needed = [self.nodes.get(node_id(self.name, f"{graph['name']}.{name}")) for name in _dependencies(task)]
        if not all(need and need["phase"] in FULFILLED for need in needed):
            return None
        fresh = node is None
        if any(need["phase"] != "Succeeded" for need in needed if need):
            node = self._skip(graph, full, task, "Omitted", _OMITTED)
        else:
            resolved = substitute(task, {**self._values, **self._outputs(graph, task)})
            condition = resolved.get("when")
            if condition and not _holds(condition):
                node = self._skip(graph, full, task, "Skipped", f"when '{condition}' evaluated false")
            elif "withSequence" in resolved:
                node = self._sequence(graph, full, resolved, node, parallelism)
            else:
                values = {item["name"]: item["value"] for item in resolved["arguments"]["parameters"]}
                node = self._execute(full, task["name"], task["template"], values, graph["id"], {})
        if fresh:
            for parent in [key for need in needed if need for key in self._outbound(need)] or [graph["id"]]:
                self._child(self.nodes[parent], node)
        return node

    def _outputs(self, graph: Node, task: dict[str, Any]) -> dict[str, str]:
        """The outputs of a task's dependencies, as tags name them."""
        found = {}
        for name in _dependencies(task):
            outputs = self.nodes[node_id(self.name, f"{graph['name']}.{name}")].get("outputs", {})
            for parameter in outputs.get("parameters", ()):
                found[f"tasks.{name}.outputs.parameters.{parameter['name']}"] = parameter["value"]
        return found

    def _sequence(
        self, graph: Node, full: str, task: dict[str, Any], node: Node | None, parallelism: int | None
    ) -> Node:
        """The items of a loop, so many of them at once."""
        node = node or self._new(full, task["name"], "TaskGroup", task["template"], graph["id"], {})
        running, ended = 0, []
        count = int(task["withSequence"]["count"])
        for number in range(count):
            name = f"{full}({number}:{number})"
            known = node_id(self.name, name) in self.nodes
            if not known and parallelism and running >= parallelism:
                continue
            # The item's own number is what `{{item}}` stands for.
            values = {
                part["name"]: part["value"].replace("{{item}}", str(number)) for part in task["arguments"]["parameters"]
            }
            item = self._execute(name, f"{task['name']}({number}:{number})", task["template"], values, graph["id"], {})
            if not known:
                self._child(node, item)
            running += item["phase"] not in FULFILLED
            ended += [item["phase"]] if item["phase"] in FULFILLED else []
        if len(ended) == count:
            self._mark(node, "Failed" if any(phase in BAD for phase in ended) else "Succeeded", "")
        return node

    def _hook(self, graph: Node, node: Node, hook: dict[str, Any]) -> None:
        """A task's exit hook, whatever became of the task. What becomes of the hook is no matter."""
        arguments = {part["name"]: part["value"] for part in hook["arguments"]["parameters"]}
        full = f"{node['name']}.onExit"
        known = node_id(self.name, full) in self.nodes
        made = self._execute(
            full, f"{node['displayName']}.onExit", hook["template"], arguments, graph["id"], {"hooked": True}
        )
        if not known:
            made["nodeFlag"] = {"hooked": True, "retried": True}
            self._child(node, made)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _new(self, name: str, display: str, kind: str, template: str, boundary: str | None, flag: Node) -> Node:
        node: Node = {
            "id": node_id(self.name, name),
            "name": name,
            "displayName": display,
            "type": kind,
            "templateName": template,
            "templateScope": f"local/{self.name}",
            "phase": "Running",
            **({"boundaryID": boundary} if boundary else {}),
            "startedAt": now(),
            "finishedAt": None,
        }
        if flag or kind in ("Skipped", "TaskGroup"):
            node["nodeFlag"] = dict(flag)
        self.nodes[node["id"]] = node
        return node

    def _give(self, node: Node, processed: dict[str, Any]) -> None:
        if parameters := processed["inputs"].get("parameters"):
            node["inputs"] = {"parameters": [_in_order(parameter) for parameter in parameters]}

    def _skip(self, graph: Node, full: str, task: dict[str, Any], phase: str, message: str) -> Node:
        node = self._new(full, task["name"], "Skipped", task["template"], graph["id"], {})
        return self._mark(node, phase, message)

    def _mark(self, node: Node, phase: str, message: str) -> Node:
        node["phase"] = phase
        if message:
            node["message"] = message
        if phase in FULFILLED:
            node["finishedAt"] = now()
        return node

    def _child(self, parent: Node, child: Node) -> None:
        children = parent.setdefault("children", [])
        if child["id"] not in children:
            children.append(child["id"])

    def _outbound(self, node: Node) -> list[str]:
        """The nodes that what follows a node is tied to."""
        if node["type"] == "Retry":
            return [node["children"][-1]] if node.get("children") else [node["id"]]
        if node["type"] == "TaskGroup":
            children = [self.nodes[key] for key in node.get("children", ())]
            return [key for child in children for key in self._outbound(child)]
        return [node["id"]]


def pod_name(workflow: str, node: Node) -> str:
    """A pod's name: the workflow's, the template's, and the hash of the node's."""
    return f"{workflow}-{node['templateName']}-{node['id'].removeprefix(workflow + '-')}"


def _values(workflow: dict[str, Any]) -> dict[str, str]:
    """What any template of a workflow may refer to."""
    metadata = workflow["metadata"]
    values = {
        "workflow.name": metadata["name"],
        "workflow.namespace": metadata["namespace"],
        "workflow.uid": metadata["uid"],
        "workflow.serviceAccountName": workflow["spec"]["serviceAccountName"],
        "workflow.mainEntrypoint": workflow["spec"]["entrypoint"],
        "workflow.creationTimestamp": metadata["creationTimestamp"],
        "workflow.status": "Running",
    }
    values |= {f"workflow.labels.{key}": value for key, value in metadata["labels"].items()}
    for parameter in workflow["spec"]["arguments"]["parameters"]:
        values[f"workflow.parameters.{parameter['name']}"] = parameter["value"]
    return values


def _dependencies(task: dict[str, Any]) -> list[str]:
    return [part.removesuffix(".Succeeded") for part in task["depends"].split(" && ")] if "depends" in task else []


def _holds(condition: str) -> bool:
    left, _, right = condition.partition(" != ")
    return left != right


def _in_order(parameter: dict[str, Any]) -> dict[str, Any]:
    return {key: copy.copy(parameter[key]) for key in ("name", "default", "value", "valueFrom") if key in parameter}
