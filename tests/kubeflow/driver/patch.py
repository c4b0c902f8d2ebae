"""The patch of a step's pod: the launcher's command around the step's, its environment, resources and volumes."""

import json
import re
from typing import Any

from kfp.pipeline_spec.pipeline_spec_pb2 import ComponentSpec, ExecutorInput

from ..compiler.templates import SERVERS
from ..wire import compact, message
from .upstream import DriverError

_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")


def pod_patch(
    container: dict[str, Any],
    component: dict[str, Any],
    executor_input: dict[str, Any],
    kubernetes: dict[str, Any],
    identity: dict[str, str],
) -> dict[str, Any]:
    """What Argo merges into the pod of a container task; `identity`: pipeline_name, run_id, execution_id.

    Raises:
        DriverError: an argument, the image or a resource that names an input that is not there.
    """
    values = executor_input["inputs"].get("parameterValues", {})
    launcher = [
        *("/kfp-launcher/launch", "--executor_type", "container"),
        *(part for name, value in identity.items() for part in (f"--{name}", value)),
        *("--executor_input", message(executor_input, ExecutorInput)),
        *("--component_spec", message(component, ComponentSpec)),
        *("--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)", *SERVERS, "--publish_logs", "true"),
        *("--ml_pipeline_tls_enabled=false", "--metadata_tls_enabled=false", "--ca_cert_path", ""),
        *("--cache_disabled=false", "--log_level", "1", "--"),
    ]
    words = [*container.get("command", ()), *container.get("args", ())]
    main = {
        "name": "main",
        "image": _one(container["image"], values),
        "command": launcher,
        "args": [argument for word in words for argument in _arguments(word, values)],
        "env": _environment(container, kubernetes),
        "resources": _resources(container.get("resources", {}), values),
        "volumeMounts": [],
    }
    pod: dict[str, Any] = {"volumes": [], "containers": [main]}
    _volumes(pod, kubernetes)
    if (policy := kubernetes.get("securityContext")) is not None:
        main["securityContext"] = {"capabilities": {"drop": ["ALL"]}, **policy}
    if timeout := int(kubernetes.get("activeDeadlineSeconds", 0)):
        pod["activeDeadlineSeconds"] = timeout
    if labels := kubernetes.get("nodeSelector", {}).get("labels"):
        pod["nodeSelector"] = labels
    if secrets := kubernetes.get("imagePullSecret"):
        pod["imagePullSecrets"] = [{"name": secret["secretName"]} for secret in secrets]
    if tolerations := kubernetes.get("tolerations"):
        pod["tolerations"] = [{key: item[key] for key in item if key != "tolerationJson"} for item in tolerations]
    pod["containers"] = [{key: value for key, value in main.items() if value or key == "resources"}]
    return {key: value for key, value in pod.items() if value}


def text(value: Any) -> str:
    """A parameter's value as an argument has it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return compact(value)


def _arguments(word: str, values: dict[str, Any]) -> list[str]:
    """The arguments that one of the component's becomes; what names an output is left to the launcher."""
    if "$.outputs" in word:
        return [word]
    if word.strip().startswith('{"IfPresent":'):
        choice = json.loads(word)["IfPresent"]
        chosen = choice["Then"] if values.get(choice["InputName"]) is not None else choice.get("Else", [])
        return [_resolved(part, values) for part in ([chosen] if isinstance(chosen, str) else chosen)]
    return [_resolved(word, values)]


def _resolved(word: str, values: dict[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise DriverError(
                "failed to resolve container args: failed to resolve input parameters: parameter "
                f'"{found[1]}" not found in executor input'
            )
        return text(values[found[1]])

    return _INPUT.sub(value, word)


def _one(word: str, values: dict[str, Any]) -> str:
    """A text that may be an input as a whole."""
    if not (found := _INPUT.search(word)):
        return word
    if found[1] not in values:
        raise DriverError("failed to init podSpecPatch: executorInput did not contain container Image input parameter")
    return str(values[found[1]])


def _environment(container: dict[str, Any], kubernetes: dict[str, Any]) -> list[dict[str, Any]]:
    variables = [{"name": item["name"], "value": item.get("value", "")} for item in container.get("env", ())]
    for kind, key, reference in (
        ("secretAsEnv", "secretKey", "secretKeyRef"),
        ("configMapAsEnv", "configMapKey", "configMapKeyRef"),
    ):
        for source in kubernetes.get(kind, ()):
            name = source.get("secretName") or source.get("configMapName")
            for item in source["keyToEnv"]:
                selector = {"name": name, "key": item[key], "optional": source.get("optional", False)}
                variables.append({"name": item["envVar"], "valueFrom": {reference: selector}})
    for field in kubernetes.get("fieldPathAsEnv", ()):
        variables.append({"name": field["name"], "valueFrom": {"fieldRef": {"fieldPath": field["fieldPath"]}}})
    return variables


def _resources(asked: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, dict[str, str]] = {"limits": {}, "requests": {}}
    for kind in made:
        for name in ("cpu", "memory"):
            if quantity := asked.get(f"resource{name.title()}{kind.title()[:-1]}"):
                made[kind][name] = _one(quantity, values)
    accelerator = asked.get("accelerator", {})
    if accelerator.get("resourceCount") and accelerator.get("resourceType"):
        made["limits"][_one(accelerator["resourceType"], values)] = _one(accelerator["resourceCount"], values)
    return {kind: {name: _quantity(quantity) for name, quantity in made[kind].items()} for kind in made if made[kind]}


def _quantity(amount: str) -> str:
    """As Kubernetes writes it: 0.25 is 250m."""
    return f"{float(amount) * 1000:g}m" if re.fullmatch(r"\d*\.\d+", amount) and float(amount) % 1 else amount


def _volumes(pod: dict[str, Any], kubernetes: dict[str, Any]) -> None:
    mounts = pod["containers"][0]["volumeMounts"]
    for claim in kubernetes.get("pvcMount", ()):
        name = claim.get("constant") or claim["pvcNameParameter"]["runtimeValue"]["constant"]
        mounts.append({"name": name, "mountPath": claim["mountPath"]})
        pod["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    for empty in kubernetes.get("emptyDirMounts", ()):
        source = {"medium": empty.get("medium"), "sizeLimit": empty.get("sizeLimit")}
        mounts.append({"name": empty["volumeName"], "mountPath": empty["mountPath"]})
        pod["volumes"].append(
            {"name": empty["volumeName"], "emptyDir": {key: value for key, value in source.items() if value}}
        )
