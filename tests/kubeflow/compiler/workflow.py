"""KFP's compiler: a pipeline's IR becomes one Argo workflow, as the API server makes it."""

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig, PipelineSpec

from ..wire import normal, stable
from . import tasks as make
from .templates import NO_PROXY, V2, driver, executor, given, implementation, output

EXIT = "ALL_UPSTREAM_TASKS_COMPLETED"


@dataclass
class Job:
    """What a run adds to its pipeline."""

    run_id: str
    display_name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    service_account: str = "pipeline-runner"
    pipeline_root: str = ""


def compiled(spec: dict[str, Any], platform: dict[str, Any] | None, job: Job) -> dict[str, Any]:
    """The workflow's manifest, without the names and dates that Kubernetes gives it."""
    compiler = _Compiler(spec, platform, job)
    compiler.component("root", None)
    config = (platform or {}).get("platforms", {}).get("kubernetes", {}).get("pipelineConfig", {})
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "generateName": f"{compiler.name}-",
            "labels": {"pipeline/runid": job.run_id},
            "annotations": {"pipelines.kubeflow.org/run_name": job.display_name},
        },
        "spec": {
            "arguments": {"parameters": compiler.arguments},
            "entrypoint": "entrypoint",
            "podMetadata": {"annotations": dict(V2), "labels": {"pipeline/runid": job.run_id, **V2}},
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "serviceAccountName": job.service_account,
            # The workflow controller's own defaults, which fill in what the pipeline leaves open.
            "templateDefaults": {
                "inputs": {},
                "metadata": {},
                "outputs": {},
                "retryStrategy": {"limit": "2", "retryPolicy": "OnError"},
            },
            "templates": compiler.templates,
            "ttlStrategy": {
                "secondsAfterSuccess": 3600,
                "secondsAfterFailure": 3600,
                **_ttl(config),
            },
        },
    }


class _Compiler:
    """Components bottom-up, each once; specs of components and containers become arguments, which tasks refer to."""

    def __init__(self, spec: dict[str, Any], platform: dict[str, Any] | None, job: Job) -> None:
        self.spec = copy.deepcopy(normal(spec, PipelineSpec))
        self.name = self.spec["pipelineInfo"]["name"]
        self.job = job
        # The deployment travels as a free struct, so that its defaults are not dropped with the spec's.
        deployment = {"executors": spec.get("deploymentSpec", {}).get("executors", {})}
        self.executors = normal(deployment, PipelineDeploymentConfig).get("executors", {})
        kubernetes = (platform or {}).get("platforms", {}).get("kubernetes", {})
        self.kubernetes = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self.arguments: list[dict[str, str]] = []
        self.templates: list[dict[str, Any]] = []
        self._visited: set[str] = set()

    def component(self, name: str, task: dict[str, Any] | None) -> None:
        """A component and, before it, those that it uses."""
        if name in self._visited:
            return
        self._visited.add(name)
        component = self._component(name)
        if label := component.get("executorLabel"):
            if label in self.kubernetes:
                self._argument(f"kubernetes-{name}", self.kubernetes[label])
            self._argument(f"components-{self._key(name)}", component)
            self._argument(f"implementations-{self._key(name)}", self.executors[label]["container"])
            return
        tasks = component["dag"]["tasks"]
        for key in sorted(tasks):
            if "retryPolicy" not in tasks[key] and "retryPolicy" in (task or {}):
                tasks[key]["retryPolicy"] = task["retryPolicy"]  # type: ignore[index]
            self.component(tasks[key]["componentRef"]["name"], tasks[key])
        self._graph(name, component)

    def _component(self, name: str) -> dict[str, Any]:
        return self.spec["root"] if name == "root" else self.spec["components"][name]  # type: ignore[no-any-return]

    def _graph(self, name: str, component: dict[str, Any]) -> None:
        tasks = component["dag"]["tasks"]
        for task in tasks.values():
            _depend_on_producers(task)
        self._argument(f"components-{self._key(name)}", component)
        exits = {key: task for key, task in tasks.items() if task.get("triggerPolicy", {}).get("strategy") == EXIT}
        hooks: dict[str, str] = {}
        for key in sorted(exits):
            hook = f"exit-hook-{name}-{key}"
            hooks |= dict.fromkeys(exits[key].get("dependentTasks", ()), hook)
            self._template(hook, ["parent-dag-id"], self._task(key, exits[key]))
        made = [
            part for key in sorted(tasks.keys() - exits.keys()) for part in self._task(key, tasks[key], hooks.get(key))
        ]
        self._template(name, ["parent-dag-id"], made)
        if name == "root":
            self._entrypoint()

    def _task(self, key: str, task: dict[str, Any], hook: str | None = None, index: str = "") -> list[dict[str, Any]]:
        """The Argo tasks of one task; with `index`, of one item of a loop, whose driver looks the task up by `key`."""
        reference = task["componentRef"]["name"]
        component = self._component(reference)
        if "parameterIterator" in task and not index:
            return self._loop(key, task)
        policy = task.get("triggerPolicy", {})
        name = "iteration-item" if index else key
        more = {"task-name": key, "parent-dag-id": given("parent-dag-id")}
        if index:
            more["iteration-index"] = index
        if "dag" in component:
            driven = make.graph_driver(
                f"{name}-driver", self._use("components", reference), {**more, "task": stable(task)}
            )
            condition = output(f"{name}-driver", "condition")
            run = make.graph_task(name, reference, output(f"{name}-driver", "execution-id"), condition)
            run |= make.depends([f"{name}-driver"])
        else:
            if any(parameter["name"] == f"kubernetes-{reference}" for parameter in self.arguments):
                more["kubernetes-config"] = f"{{{{workflow.parameters.kubernetes-{reference}}}}}"
            driven = make.pod_driver(
                f"{name}-driver",
                self._use("components", reference),
                stable(task),
                self._use("implementations", reference),
                more,
            )
            labels = self._labels(component["executorLabel"])
            run = make.pod_task(name, self._pod(labels, "retryPolicy" in task), labels, task.get("retryPolicy"))
            condition = output(f"{name}-driver", "condition")
        if policy.get("strategy") != EXIT and not index:
            driven |= make.depends(task.get("dependentTasks", []))
        if policy.get("condition"):
            run["when"] = f"{condition} != false"
        if hook:
            run["hooks"] = {"exit": {"template": hook, **make.parameters({"parent-dag-id": given("parent-dag-id")})}}
        return [driven, run]

    def _loop(self, key: str, task: dict[str, Any]) -> list[dict[str, Any]]:
        items = self._task(key, task, index=given("iteration-index"))
        component = self._use("components", task["componentRef"]["name"])
        for template in (made := make.loop_templates(key, component, task, items)):
            self._add(template)
        loop = {"name": key, "template": made[1]["name"], **make.parameters({"parent-dag-id": given("parent-dag-id")})}
        return [{**loop, **make.depends(task.get("dependentTasks", []))}]

    def _pod(self, labels: dict[str, str], retried: bool) -> str:
        """The template of a pod with so many labels."""
        inputs = make.label_inputs(labels)
        prefix = f"metadata-0-{len(labels)}-" if labels else ""
        name = f"{prefix}{'retry-' if retried else ''}system-container"
        if f"{name}-executor" not in (template["name"] for template in self.templates):
            self.templates.append(executor(f"{name}-executor", f"{name}-impl", inputs, retried))
            self.templates.append(implementation(f"{name}-impl", inputs, retried, self.job.run_id))
        return f"{name}-executor"

    def _labels(self, executor_label: str) -> dict[str, str]:
        labels = self.kubernetes.get(executor_label, {}).get("podMetadata", {}).get("labels", {})
        return dict(sorted(labels.items()))

    def _entrypoint(self) -> None:
        declared = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        values = {key: declaration.get("defaultValue") for key, declaration in declared.items()} | self.job.parameters
        config = {"parameterValues": values}
        if self.job.pipeline_root:
            config["gcsOutputDirectory"] = self.job.pipeline_root
        driven = make.graph_driver(
            "root-driver",
            self._use("components", "root"),
            {"runtime-config": stable(config), "driver-type": "ROOT_DAG"},
        )
        run = make.graph_task("root", "root", output("root-driver", "execution-id"), "") | make.depends(["root-driver"])
        self._template("entrypoint", [], [driven, run])

    def _template(self, name: str, inputs: list[str], tasks: list[dict[str, Any]]) -> None:
        given_inputs = {"parameters": [{"name": key} for key in inputs]} if inputs else {}
        self._add({"name": name, "inputs": given_inputs, "dag": {"tasks": tasks}})

    def _add(self, template: dict[str, Any]) -> None:
        """A DAG; drivers come into being with the first task that has one."""
        assert template["name"] not in (known["name"] for known in self.templates), (
            f'template name="{template["name"]}": template already exists'
        )
        kinds = {task["template"] for task in template["dag"]["tasks"]} & {
            "system-dag-driver",
            "system-container-driver",
        }
        for name in sorted(kinds - {template["name"] for template in self.templates}):
            kind = name.split("-")[1]
            self.templates.append(driver(kind, self.name, self.job.run_id, self.job.display_name))
        self.templates.append({**template, "outputs": {}, "metadata": {"annotations": dict(NO_PROXY)}})

    def _argument(self, name: str, value: Any) -> None:
        if name not in (parameter["name"] for parameter in self.arguments):
            self.arguments.append({"name": name, "value": stable(value)})

    def _use(self, kind: str, component: str) -> str:
        return f"{{{{workflow.parameters.{kind}-{self._key(component)}}}}}"

    def _key(self, component: str) -> str:
        """A container's hash, so that two components with one container are one; a graph's name."""
        label = self._component(component).get("executorLabel")
        return hashlib.sha256(stable(self.executors[label]["container"]).encode()).hexdigest() if label else component


def _depend_on_producers(task: dict[str, Any]) -> None:
    """What a task takes outputs from it depends on."""
    inputs = task.get("inputs", {})
    sources = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
    producers = {
        source[kind]["producerTask"]
        for source in sources
        for kind in ("taskOutputParameter", "taskOutputArtifact")
        if kind in source
    }
    if all_of_them := sorted({*task.get("dependentTasks", ()), *producers}):
        task["dependentTasks"] = all_of_them


def _ttl(config: dict[str, Any]) -> dict[str, int]:
    names = {
        "resourceTtlOnCompletion": "secondsAfterCompletion",
        "resourceTtlOnSuccess": "secondsAfterSuccess",
        "resourceTtlOnFailure": "secondsAfterFailure",
    }
    return {theirs: config[ours] for ours, theirs in names.items() if config.get(ours)}
