"""Recorded answers of a real Kubeflow, read: of a workflow also the pipeline that it was compiled from."""

import base64
import copy
import gzip
import json
import re
from typing import Any

from ..fixtures.recordings import recording


def read(name: str) -> Any:
    """One recording; of a workflow with compressed nodes, with its nodes."""
    file = recording(name)
    if file.suffix != ".gz":
        return json.loads(file.read_text())
    workflow = json.loads(gzip.decompress(file.read_bytes()))
    if packed := workflow["status"].get("compressedNodes"):
        workflow["status"]["nodes"] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return workflow


def pipeline(workflow: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The pipeline that a workflow was compiled from: its specification, its platform's, and the run's parameters."""
    arguments = {item["name"]: item["value"] for item in workflow["spec"]["arguments"]["parameters"]}
    spec: dict[str, Any] = {"components": {}, "deploymentSpec": {"executors": {}}, "schemaVersion": "2.1.0"}
    spec["pipelineInfo"] = {"name": workflow["metadata"]["generateName"].removesuffix("-")}
    executors: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for template in workflow["spec"]["templates"]:
        for task in template.get("dag", {}).get("tasks", ()):
            given = {item["name"]: item["value"] for item in task.get("arguments", {}).get("parameters", ())}
            if "runtime-config" in given:
                config = json.loads(given["runtime-config"])["parameterValues"]
                spec["root"] = json.loads(arguments["components-root"])
            if "task" not in given:
                continue
            name = json.loads(given["task"])["componentRef"]["name"]
            component = copy.deepcopy(json.loads(arguments[_named(given["component"])]))
            if "container" in given:
                # Two components with one container share an argument, where the first one's label stands.
                label = component["executorLabel"] = f"exec-{name.removeprefix('comp-')}"
                spec["deploymentSpec"]["executors"][label] = {
                    "container": json.loads(arguments[_named(given["container"])])
                }
                executors[label] = json.loads(arguments[f"kubernetes-{name}"])
            spec["components"][name] = component
    finished = workflow["spec"]["ttlStrategy"]["secondsAfterCompletion"]
    kubernetes = {
        "deploymentSpec": {"executors": executors},
        "pipelineConfig": {"resourceTtlOnCompletion": finished},
    }
    return spec, {"platforms": {"kubernetes": kubernetes}}, config


def _named(placeholder: str) -> str:
    found = re.fullmatch(r"\{\{workflow\.parameters\.(.+)}}", placeholder)
    assert found
    return found[1]
