"""Nodes of a workflow's status: their names, and the order in which Argo writes them."""

from datetime import UTC, datetime
from typing import Any

Node = dict[str, Any]
_KEYS = (
    *("id", "name", "displayName", "type", "templateName", "templateScope", "phase", "boundaryID", "message"),
    *("startedAt", "finishedAt", "progress", "resourcesDuration", "nodeFlag", "inputs", "outputs", "children"),
    *("outboundNodes", "hostNodeName", "taskResultSynced"),
)
FULFILLED = ("Succeeded", "Failed", "Error", "Skipped", "Omitted")
BAD = ("Failed", "Error")


def node_id(workflow: str, name: str) -> str:
    """A node's id: the workflow's name and the FNV-1a hash of the node's."""
    if name == workflow:
        return workflow
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{workflow}-{value}"


def ordered(nodes: dict[str, Node]) -> dict[str, Node]:
    """Nodes by id, each with its keys in Argo's order."""
    return {key: {name: node[name] for name in _KEYS if name in node} for key, node in sorted(nodes.items())}


def now() -> str:
    """The time as Kubernetes writes it, in whole seconds."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
