"""What Kubernetes' NetworkPolicies let through, computed from rendered ones.

A pod is not matched by its address: network plugins differ in that, so a flow that needs it is not allowed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.helm.rendering import Object

NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    """A pod, in the release's namespace unless it says another."""

    labels: Mapping[str, str]
    namespace: str = "team"


@dataclass(frozen=True)
class Host:
    """Something outside of the cluster, by its address."""

    address: str


@dataclass(frozen=True)
class Network:
    """The policies of one namespace."""

    policies: Sequence[Object]
    namespace: str = "team"
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def allows(self, source: Pod | Host, target: Pod | Host, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is possible: the source may go there, and the target takes it."""
        leaves = self._passes(source, target, port, protocol, "Egress", "to")
        return leaves and self._passes(target, source, port, protocol, "Ingress", "from")

    def _passes(self, pod: Pod | Host, peer: Pod | Host, port: int, protocol: str, way: str, peers: str) -> bool:
        if isinstance(pod, Host) or pod.namespace != self.namespace:
            return True
        specs = [policy["spec"] for policy in self.policies]
        mine = [s for s in specs if way in s["policyTypes"] and selects(s["podSelector"], pod.labels)]
        rules = [rule for spec in mine for rule in spec.get(way.lower(), [])]
        return not mine or any(self._rule(rule, peers, peer, port, protocol) for rule in rules)

    def _rule(self, rule: Object, peers: str, peer: Pod | Host, port: int, protocol: str) -> bool:
        ports = rule.get("ports")
        if ports and not any(p["port"] == port and p.get("protocol", "TCP") == protocol for p in ports):
            return False
        return not rule.get(peers) or any(self._peer(found, peer) for found in rule[peers])

    def _peer(self, rule: Object, peer: Pod | Host) -> bool:
        if isinstance(peer, Host):
            block = rule.get("ipBlock")
            return bool(block) and _inside(peer.address, [block["cidr"]], block.get("except", []))
        if "ipBlock" in rule:
            return False
        if "namespaceSelector" in rule:
            labels = {NAME: peer.namespace, **self.namespaces.get(peer.namespace, {})}
            if not selects(rule["namespaceSelector"], labels):
                return False
        elif peer.namespace != self.namespace:
            return False
        return selects(rule.get("podSelector", {}), peer.labels)


def _inside(address: str, blocks: Sequence[str], holes: Sequence[str]) -> bool:
    found = ip_address(address)
    return any(found in ip_network(block) for block in blocks) and not any(found in ip_network(hole) for hole in holes)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(found, labels) for found in selector.get("matchExpressions", []))


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]
