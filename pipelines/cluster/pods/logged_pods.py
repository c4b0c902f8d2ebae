"""Which pods' logs `nashflow logs` shows, and what stands above each."""

from ..runs.tasks import place_of
from .pods import Json, is_driver, node_of


def is_wanted(pod: Json, step: str) -> bool:
    """Whether a pod's log is wanted: `step` is a step's, a task's or a driver's name, or empty for all of them.

    Of drivers only those that failed are, unless one is asked for by its own name.
    """
    node = node_of(pod)
    place = place_of(node)
    if is_driver(pod) and pod["status"]["phase"] != "Failed":
        return step == node
    return step in ("", node, node.removesuffix("-driver")) or (place is not None and step == place.step)


def header_of(pod: Json) -> str:
    """The line above a pod's log."""
    return f"==> {node_of(pod)}, pod {pod['metadata']['name']}, {pod['status']['phase']} <=="
