"""The *restricted* Pod Security Standard, and the house's own additions, as rules over a pod's spec."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.helm.rendering import containers

Spec = dict[str, Any]
Rule = Callable[[Spec], Iterator[str]]

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}


def _contexts(spec: Spec) -> Iterator[tuple[str, Spec]]:
    """The security contexts of a pod and of its containers."""
    yield "pod", spec.get("securityContext", {})
    for container in _all(spec):
        yield container["name"], container.get("securityContext", {})


def _all(spec: Spec) -> list[Spec]:
    return [*containers(spec), *spec.get("ephemeralContainers", [])]


# --- baseline --------------------------------------------------------------------------------------------------------


def host_namespaces(spec: Spec) -> Iterator[str]:
    """Pods have their own network, process ids and IPC."""
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))


def host_process(spec: Spec) -> Iterator[str]:
    """No Windows host processes."""
    yield from (name for name, context in _contexts(spec) if context.get("windowsOptions", {}).get("hostProcess"))


def privileged(spec: Spec) -> Iterator[str]:
    """No privileged containers."""
    yield from (name for name, context in _contexts(spec) if context.get("privileged"))


def host_ports(spec: Spec) -> Iterator[str]:
    """No ports of the node."""
    for container in _all(spec):
        yield from (container["name"] for port in container.get("ports", []) if port.get("hostPort"))


def probe_hosts(spec: Spec) -> Iterator[str]:
    """Probes and lifecycle hooks call the pod itself."""
    for container in _all(spec):
        hooks = [container.get(key, {}) for key in ("startupProbe", "readinessProbe", "livenessProbe")]
        hooks += container.get("lifecycle", {}).values()
        actions = [hook.get(kind, {}) for hook in hooks for kind in ("httpGet", "tcpSocket")]
        yield from (container["name"] for action in actions if action.get("host"))


def app_armor(spec: Spec) -> Iterator[str]:
    """AppArmor is not switched off."""
    for name, context in _contexts(spec):
        if context.get("appArmorProfile", {}).get("type") == "Unconfined":
            yield name


def selinux(spec: Spec) -> Iterator[str]:
    """No SELinux users or roles, and container types only."""
    for name, context in _contexts(spec):
        options = context.get("seLinuxOptions", {})
        if options.get("user") or options.get("role") or options.get("type", "") not in SELINUX_TYPES:
            yield name


def proc_mount(spec: Spec) -> Iterator[str]:
    """/proc is masked."""
    yield from (name for name, context in _contexts(spec) if context.get("procMount", "Default") != "Default")


def sysctls(spec: Spec) -> Iterator[str]:
    """Safe kernel parameters only."""
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield sysctl["name"]


# --- restricted ------------------------------------------------------------------------------------------------------


def volume_types(spec: Spec) -> Iterator[str]:
    """No host paths, and nothing else that is not in the list."""
    for volume in spec.get("volumes", []):
        yield from (f"{volume['name']}: {kind}" for kind in volume.keys() - VOLUMES - {"name"})


def privilege_escalation(spec: Spec) -> Iterator[str]:
    """No container gains rights."""
    for container in _all(spec):
        if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
            yield container["name"]


def non_root(spec: Spec) -> Iterator[str]:
    """Every container says that it does not run as root, itself or through its pod."""
    pod = spec.get("securityContext", {}).get("runAsNonRoot")
    for container in _all(spec):
        if container.get("securityContext", {}).get("runAsNonRoot", pod) is not True:
            yield container["name"]


def root_user(spec: Spec) -> Iterator[str]:
    """UID 0 is not asked for."""
    yield from (name for name, context in _contexts(spec) if context.get("runAsUser") == 0)


def seccomp(spec: Spec) -> Iterator[str]:
    """Every container has a seccomp profile, itself or through its pod; none is switched off."""
    allowed = ("RuntimeDefault", "Localhost")
    pod = spec.get("securityContext", {}).get("seccompProfile", {})
    for name, context in _contexts(spec):
        if context.get("seccompProfile", pod).get("type") not in allowed and (name != "pod" or pod):
            yield name


def capabilities(spec: Spec) -> Iterator[str]:
    """Every container drops all capabilities, and adds at most the binding of low ports."""
    for container in _all(spec):
        own = container.get("securityContext", {}).get("capabilities", {})
        if "ALL" not in own.get("drop", []) or set(own.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield container["name"]


# --- the house -------------------------------------------------------------------------------------------------------


def read_only_root(spec: Spec) -> Iterator[str]:
    """Root file systems are read-only."""
    for container in _all(spec):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield container["name"]


def writable_home(spec: Spec) -> Iterator[str]:
    """HOME is /tmp, which is an empty volume, and commands begin there."""
    empty = {volume["name"] for volume in spec.get("volumes", []) if "emptyDir" in volume}
    for container in _all(spec):
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        home = {entry["name"]: entry.get("value") for entry in container.get("env", [])}.get("HOME")
        if mounts.get("/tmp") not in empty or (home, container.get("workingDir")) != ("/tmp", "/tmp"):
            yield container["name"]


def resources(spec: Spec) -> Iterator[str]:
    """Every container asks for CPU and memory, and has a limit of memory."""
    for container in _all(spec):
        own = container.get("resources", {})
        if not {"cpu", "memory"} <= own.get("requests", {}).keys() or "memory" not in own.get("limits", {}):
            yield container["name"]


def service_links(spec: Spec) -> Iterator[str]:
    """No variables for services, which could mean something to MLflow or vLLM."""
    if spec.get("enableServiceLinks") is not False:
        yield "pod"


def token(spec: Spec) -> Iterator[str]:
    """Whether Kubernetes' token is mounted is said."""
    if not isinstance(spec.get("automountServiceAccountToken"), bool) or not spec.get("serviceAccountName"):
        yield "pod"


STANDARD: list[Rule] = [
    host_namespaces,
    host_process,
    privileged,
    host_ports,
    probe_hosts,
    app_armor,
    selinux,
    proc_mount,
    sysctls,
    volume_types,
    privilege_escalation,
    non_root,
    root_user,
    seccomp,
    capabilities,
]
HOUSE: list[Rule] = [read_only_root, writable_home, resources, service_links, token]
