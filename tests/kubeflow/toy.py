"""Small pipelines: tasks of shell commands, as KFP's compiler would write them."""

from typing import Any

Task = dict[str, Any]


def task(script: str, *, inputs: dict[str, Any] | None = None, **more: Any) -> Task:
    """A task that runs a shell script.

    inputs: constants, or ("task", "output") for a text and ["task", "output"] for an artifact. `outputs` and
    `artifacts` are names; `after`, `retries`, `condition`, `exit` (it is the exit task), `env` and `labels` as named.
    """
    return {"script": script, "inputs": inputs or {}, **more}


def pipeline(tasks: dict[str, Task], **parameters: str) -> dict[str, Any]:
    """A flat graph of tasks, with its parameters and their defaults."""
    components, executors, graph = {}, {}, {}
    for name, made in tasks.items():
        components[f"comp-{name}"] = _component(name, made)
        executors[f"exec-{name}"] = {"container": _container(name, made)}
        graph[name] = _task(name, made)
    declared = {name: _text(value) for name, value in parameters.items()}
    return {
        "pipelineInfo": {"name": "toy"},
        "components": components,
        "deploymentSpec": {"executors": executors},
        "root": {"dag": {"tasks": graph}, "inputDefinitions": {"parameters": declared}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


def inside(spec: dict[str, Any], name: str, *tasks: str, **more: Any) -> dict[str, Any]:
    """The graph with some of its tasks in a sub-graph of this name; `more` is the sub-graph's own task."""
    root = spec["root"]["dag"]["tasks"]
    inner = {key: root.pop(key) for key in tasks}
    spec["components"][f"comp-{name}"] = {"dag": {"tasks": inner}}
    root[name] = {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}, **more}
    return spec


def _text(default: str) -> dict[str, Any]:
    return {"parameterType": "STRING", "defaultValue": default, "isOptional": True}


def _component(name: str, made: Task) -> dict[str, Any]:
    inputs, outputs = _parts(made), {}
    artifact = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
    definitions = {
        "parameters": {key: {"parameterType": made.get("types", {}).get(key, "STRING")} for key in inputs[0]},
        "artifacts": dict.fromkeys(inputs[1], artifact),
    }
    if made.get("outputs"):
        outputs["parameters"] = {key: {"parameterType": "STRING"} for key in made["outputs"]}
    if made.get("artifacts"):
        outputs["artifacts"] = dict.fromkeys(made["artifacts"], artifact)
    component: dict[str, Any] = {"executorLabel": f"exec-{name}", "outputDefinitions": outputs}
    return {**component, "inputDefinitions": {key: value for key, value in definitions.items() if value}}


def _container(name: str, made: Task) -> dict[str, Any]:
    texts, _ = _parts(made)
    words = [f"{{{{$.inputs.parameters['{key}']}}}}" for key in texts]
    environment = [{"name": key, "value": value} for key, value in made.get("env", {}).items()]
    # The name makes each container another one, as KFP's backend wants it.
    container = {"image": made.get("image", "toy:1"), "command": ["sh", "-c", made["script"], name]}
    return {
        **container,
        "args": [*words, "{{$}}"],
        **({"env": environment} if environment else {}),
        **made.get("pod", {}),
    }


def _task(name: str, made: Task) -> dict[str, Any]:
    texts, artifacts = _parts(made)
    inputs: dict[str, Any] = {"parameters": {}, "artifacts": {}}
    for key, value in texts.items():
        if isinstance(value, tuple):
            source = {"taskOutputParameter": {"producerTask": value[0], "outputParameterKey": value[1]}}
        elif isinstance(value, dict):
            source = value
        else:
            source = {"runtimeValue": {"constant": value}}
        inputs["parameters"][key] = source
    for key, (producer, output) in artifacts.items():
        inputs["artifacts"][key] = {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": output}}
    task = {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}, "cachingOptions": {}}
    task |= {"inputs": {key: value for key, value in inputs.items() if value}}
    task |= {"dependentTasks": list(made["after"])} if made.get("after") else {}
    if "retries" in made:
        task["retryPolicy"] = {
            "maxRetryCount": made["retries"],
            "backoffDuration": "60s",
            "backoffFactor": 2.0,
            "backoffMaxDuration": made.get("longest", "3600s"),
        }
    if made.get("exit"):
        task["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    return task


def _parts(made: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    artifacts = {key: value for key, value in made["inputs"].items() if isinstance(value, list)}
    return {key: value for key, value in made["inputs"].items() if key not in artifacts}, artifacts
