"""What a node says of the pods below it: how many have ended, and what they used."""

from datetime import datetime

from .nodes import FULFILLED, Node

_CPU, _MEMORY = 0.3, 9
"""What a pod uses each second, as `resourcesDuration` counts it."""


def add_up(nodes: dict[str, Node]) -> None:
    """Give every node its progress and resources; a pod below two nodes counts once in each."""
    pods = [node for node in nodes.values() if node["type"] == "Pod"]
    bits = {pod["id"]: 1 << number for number, pod in enumerate(pods)}
    ended = sum(bits[pod["id"]] for pod in pods if pod["phase"] in FULFILLED)
    for pod in pods:
        seconds = _seconds(pod)
        pod["resourcesDuration"] = {"cpu": int(seconds * _CPU), "memory": int(seconds * _MEMORY)}
    below: dict[str, int] = {}
    for key in _children_first(nodes):
        node = nodes[key]
        mine = bits.get(key, 0)
        for child in node.get("children", ()):
            mine |= below[child]
        below[key] = mine
        if node["type"] == "Pod":
            node["progress"] = f"{int(node['phase'] == 'Succeeded')}/1"
        elif node["type"] != "Skipped":
            node["progress"] = f"{(mine & ended).bit_count()}/{mine.bit_count()}"
            used = [pod["resourcesDuration"] for pod in pods if bits[pod["id"]] & mine]
            node["resourcesDuration"] = {name: sum(part[name] for part in used) for name in ("cpu", "memory")}


def _children_first(nodes: dict[str, Node]) -> list[str]:
    done: dict[str, None] = {}
    waiting = [(key, False) for key in nodes]
    while waiting:
        key, ready = waiting.pop()
        if key in done:
            continue
        if ready:
            done[key] = None
        else:
            waiting.append((key, True))
            waiting += [(child, False) for child in nodes[key].get("children", ())]
    return list(done)


def _seconds(pod: Node) -> float:
    if not pod["finishedAt"]:
        return 0.0
    return (datetime.fromisoformat(pod["finishedAt"]) - datetime.fromisoformat(pod["startedAt"])).total_seconds()
