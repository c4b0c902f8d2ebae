"""How a workflow is stored: whole while it is small, then with its nodes compressed, and not at all beyond that."""

import base64
import gzip
from typing import Any, NamedTuple

from ..wire import compact
from .nodes import Node, ordered

LIMIT = 1024 * 1024
"""The controller's limit of a workflow's JSON."""
_GO = 1.06
"""Bytes that Go's compressor makes for each byte of zlib's at its level 5, measured on recorded workflows."""


class Packed(NamedTuple):
    """A workflow's bytes."""

    specification: int
    nodes: int
    """The nodes as they are."""
    compressed: int
    """The nodes as gzip in base64."""
    rest: int
    """Metadata and the rest of the status."""

    @property
    def whole(self) -> int:
        """With its nodes as they are."""
        return self.specification + self.nodes + self.rest

    @property
    def least(self) -> int:
        """With its nodes compressed."""
        return self.specification + self.compressed + self.rest


def pack(workflow: dict[str, Any]) -> Packed:
    """Measure a workflow."""
    nodes = node_bytes(workflow["status"]["nodes"])
    bare = {**workflow, "status": {**workflow["status"], "nodes": {}}}
    specification = len(compact(workflow["spec"]).encode())
    rest = len(compact(bare).encode()) - specification
    return Packed(specification, len(nodes), compressed(nodes), rest)


def node_bytes(nodes: dict[str, Node]) -> bytes:
    """Nodes as Argo writes them."""
    return compact(ordered(nodes)).encode()


def compressed(nodes: bytes) -> int:
    """How long nodes are when they are compressed."""
    return 4 * -(-round(len(gzip.compress(nodes, 5)) * _GO) // 3)


def encoded(nodes: dict[str, Node]) -> str:
    """Nodes as `status.compressedNodes` has them."""
    return base64.b64encode(gzip.compress(node_bytes(nodes), 5)).decode()
