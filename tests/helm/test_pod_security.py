"""Every pod that the chart makes fits the restricted Pod Security Standard; each rule sees what breaks it."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.helm import pod_security as rules
from tests.helm.pod_security import HOUSE, STANDARD, Rule, Spec
from tests.helm.rendering import CHART, JUDGE, SCHEDULE, Values, merged, pod_specs, releases, render

FINE: Spec = {
    "serviceAccountName": "a",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "main",
            "workingDir": "/tmp",
            "env": [{"name": "HOME", "value": "/tmp"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            },
            "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}
REMOVED = object()
BROKEN: list[tuple[Rule, str, Any]] = [
    (rules.host_namespaces, "hostNetwork", True),
    (rules.host_namespaces, "hostPID", True),
    (rules.host_namespaces, "hostIPC", True),
    (rules.host_process, "securityContext.windowsOptions", {"hostProcess": True}),
    (rules.host_process, "containers.0.securityContext.windowsOptions", {"hostProcess": True}),
    (rules.privileged, "containers.0.securityContext.privileged", True),
    (rules.host_ports, "containers.0.ports", [{"containerPort": 80, "hostPort": 80}]),
    (rules.probe_hosts, "containers.0.livenessProbe", {"httpGet": {"host": "169.254.169.254"}}),
    (rules.probe_hosts, "containers.0.lifecycle", {"preStop": {"tcpSocket": {"host": "10.0.0.1"}}}),
    (rules.app_armor, "securityContext.appArmorProfile", {"type": "Unconfined"}),
    (rules.selinux, "securityContext.seLinuxOptions", {"type": "spc_t"}),
    (rules.selinux, "containers.0.securityContext.seLinuxOptions", {"user": "system_u"}),
    (rules.proc_mount, "containers.0.securityContext.procMount", "Unmasked"),
    (rules.sysctls, "securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    (rules.volume_types, "volumes", [{"name": "tmp", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/"}}]),
    (rules.privilege_escalation, "containers.0.securityContext.allowPrivilegeEscalation", REMOVED),
    (rules.privilege_escalation, "containers.0.securityContext.allowPrivilegeEscalation", True),
    (rules.non_root, "securityContext.runAsNonRoot", REMOVED),
    (rules.non_root, "containers.0.securityContext.runAsNonRoot", False),
    (rules.root_user, "securityContext.runAsUser", 0),
    (rules.root_user, "containers.0.securityContext.runAsUser", 0),
    (rules.seccomp, "securityContext.seccompProfile", REMOVED),
    (rules.seccomp, "containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
    (rules.capabilities, "containers.0.securityContext.capabilities", REMOVED),
    (rules.capabilities, "containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}),
    (rules.capabilities, "containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    (rules.read_only_root, "containers.0.securityContext.readOnlyRootFilesystem", False),
    (rules.writable_home, "containers.0.volumeMounts", []),
    (rules.writable_home, "containers.0.env", []),
    (rules.writable_home, "containers.0.workingDir", REMOVED),
    (rules.writable_home, "volumes", [{"name": "tmp", "persistentVolumeClaim": {"claimName": "x"}}]),
    (rules.resources, "containers.0.resources.limits", {"cpu": 1}),
    (rules.resources, "containers.0.resources.requests", REMOVED),
    (rules.service_links, "enableServiceLinks", REMOVED),
    (rules.token, "automountServiceAccountToken", REMOVED),
    (rules.token, "serviceAccountName", REMOVED),
]


def changed(spec: Spec, path: str, value: Any) -> Spec:
    """The spec with one place changed."""
    result = deepcopy(spec)
    place: Any = result
    *parts, last = path.split(".")
    for part in parts:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return result


@pytest.mark.parametrize(("rule", "path", "value"), BROKEN, ids=[f"{r.__name__}-{p}" for r, p, _ in BROKEN])
def test_a_rule_sees_what_breaks_it_and_the_others_do_not(rule: Rule, path: str, value: Any) -> None:
    broken = changed(FINE, path, value)
    assert [other.__name__ for other in STANDARD + HOUSE if list(other(broken))] == [rule.__name__]


@pytest.mark.parametrize("rule", STANDARD + HOUSE, ids=lambda rule: rule.__name__)
def test_a_rule_looks_at_containers_of_every_sort(rule: Rule) -> None:
    for broken_rule, path, value in BROKEN:
        if broken_rule is rule and path.startswith("containers.0."):
            spec = changed(FINE, path, value)
            hidden = FINE | {"initContainers": [spec["containers"][0] | {"name": "first"}]}
            assert list(rule(hidden)) == ["first"], path


def test_every_rule_is_shown_to_fire_and_accepts_what_is_fine() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(STANDARD + HOUSE)
    assert [rule.__name__ for rule in STANDARD + HOUSE if list(rule(FINE))] == []


@pytest.mark.parametrize("rule", STANDARD + HOUSE, ids=lambda rule: rule.__name__)
def test_every_pod_keeps_the_rule(rule: Rule) -> None:
    specs = [(name, spec) for release in releases() for name, spec in pod_specs(release)]
    assert {name.partition("nf-nashflow-")[2] for name, _ in specs} == {
        "mlflow",
        "judge",
        "doctor",
        "schedules",
        "unschedule",
    }
    assert {f"{name}: {complaint}" for name, spec in specs for complaint in rule(spec)} == set()


def test_no_pod_has_a_sidecar_of_istios() -> None:
    """It would keep Jobs from ending, and the network policies leave it no way to Istio's control plane."""
    seen = set()
    for release in (render({"judge": JUDGE, "schedules": {"enabled": True, "items": [SCHEDULE]}}), *releases()):
        for found in release:
            if "containers" in found.get("spec", {}) or "template" in found.get("spec", {}):
                labels = found["spec"].get("template", found)["metadata"]["labels"]
                assert labels["sidecar.istio.io/inject"] == "false", found["metadata"]["name"]
                seen.add(found["kind"])
    assert seen == {"Pod", "Job", "Deployment"}


def test_on_openshift_the_project_chooses_users_and_groups() -> None:
    values = yaml.safe_load((CHART / "examples/openshift.yaml").read_text())
    for _, spec in pod_specs(render(merged(values, {"judge": JUDGE}))):
        assert spec["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_only_the_doctor_has_kubernetes_token() -> None:
    mounted = {
        name.partition("nf-nashflow-")[2]
        for release in releases()
        for name, spec in pod_specs(release)
        if spec["automountServiceAccountToken"]
    }
    assert mounted == {"doctor"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"fsGroup": 10001, "fsGroupChangePolicy": "OnRootMismatch"}),
        ({"runAsUser": 1000, "runAsGroup": 0, "fsGroup": None}, {"runAsUser": 1000, "runAsGroup": 0}),
        ({"fsGroup": None}, {}),
    ],
)
def test_users_and_groups_are_the_clusters_unless_they_are_set(values: Values, expected: Values) -> None:
    """OpenShift gives every namespace its own; elsewhere MLflow's volume needs a group that may write."""
    for _, spec in pod_specs(render({"podSecurity": values})):
        context = spec["securityContext"]
        assert {key: context[key] for key in context.keys() - {"runAsNonRoot", "seccompProfile"}} == expected
