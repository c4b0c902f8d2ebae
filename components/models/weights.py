"""The weights of a model folder, read without a model: their digest, and that every one is a finite number."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..core.errors import UserError
from ..storage.units import read_once_while_asking

BLOCK = 1 << 22  # bytes hashed at a time; a multiple of every number's size


class _Layout(NamedTuple):
    """How a type of numbers is stored: as which integers, little-endian, and the least magnitude that is not finite."""

    integers: str
    magnitude: int
    """The bits of a number but its sign."""
    least: int


_LAYOUTS = {
    "F64": _Layout("<u8", 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000),
    "F32": _Layout("<u4", 0x7FFF_FFFF, 0x7F80_0000),
    "C64": _Layout("<u4", 0x7FFF_FFFF, 0x7F80_0000),
    "BF16": _Layout("<u2", 0x7FFF, 0x7F80),
    "F16": _Layout("<u2", 0x7FFF, 0x7C00),
    "F8_E5M2": _Layout("u1", 0x7F, 0x7C),
    "F8_E4M3": _Layout("u1", 0x7F, 0x7F),
    "F8_E8M0": _Layout("u1", 0xFF, 0xFF),
}
"""By safetensors' names; every other type has finite numbers only."""


def shards(folder: Path) -> list[Path]:
    """The files that hold a folder's weights."""
    return sorted(folder.glob("*.safetensors"))


@read_once_while_asking
def weights_digest(folder: Path) -> str:
    """Sha256 (hex) over every tensor's name, dtype, shape and bytes, in order of name.

    Independent of how the tensors are spread over files and of the files' metadata. Reads 4 MiB at a time.

    Raises:
        UserError: no *.safetensors, a file that is cut short, a tensor that two files hold, or one with a number that
            is not finite.
    """
    files = shards(folder)
    if not files:
        raise UserError(f"model folder {folder} has no *.safetensors weights")
    tensors: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for shard in files:
        start, header = _safetensors_header(shard)
        for name, entry in header.items():
            if name in tensors:
                raise UserError(f"model folder {folder} holds the tensor {name} twice: {tensors[name][0]} and {shard}")
            tensors[name] = (shard, start, entry)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        shard, start, entry = tensors[name]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        first, last = entry["data_offsets"]
        with shard.open("rb") as file:
            file.seek(start + first)
            for block in _blocks(file, last - first):
                digest.update(block)
                _require_finite(block, entry["dtype"], f"{shard}: the tensor {name}")
    return digest.hexdigest()


def _require_finite(block: bytes, dtype: str, where: str) -> None:
    """Raise if one of the numbers in the bytes is infinite or NaN.

    Costs about a tenth of the hashing.

    Raises:
        UserError: one is.
    """
    if not (layout := _LAYOUTS.get(dtype)):
        return
    magnitudes = np.frombuffer(block, layout.integers) & layout.magnitude
    if magnitudes.max(initial=0) >= layout.least:
        raise UserError(
            f"{where} holds a number that is infinite or NaN: the model is damaged; take a checkpoint from before its "
            "training diverged, or, if its numbers were converted to float16, convert them to bfloat16 instead"
        )


def _safetensors_header(shard: Path) -> tuple[int, dict[str, Any]]:
    """Where the data begins, and each tensor's dtype, shape and data_offsets."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= shard.stat().st_size else b""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise UserError(f"{shard} is not a safetensors file, or is cut short") from error
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if shard.stat().st_size != 8 + length + end:
        raise UserError(f"{shard} is cut short: {shard.stat().st_size} bytes, its header says {8 + length + end}")
    return 8 + length, header


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0:
        block = file.read(min(BLOCK, size))
        size -= len(block)
        yield block
