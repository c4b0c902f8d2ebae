"""`nashflow benchmark fetch`: download a benchmark's files."""

import hashlib
from pathlib import Path

from nashflow.components.benchmarks.data import DataFile
from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.digests import sha256_file
from nashflow.components.core.errors import TryAgain, UserError, one_line

from .kinds import question_benchmark

_BLOCK, _SECONDS = 1 << 20, 60.0


def fetch_files(name: str, folder: Path) -> None:
    """Put a benchmark's files into a folder; those that are there stay.

    Raises:
        UserError: it has no files that are online, or one that is there, or what an address gives, has another digest;
            nothing is replaced.
        TryAgain: an address does not answer.
    """
    benchmark = question_benchmark(name)
    online = [file for file in benchmark.files if file.source]
    if not online:
        needed = ", ".join(file.name for file in benchmark.files) or "none"
        raise UserError(
            f"benchmark {name}: none of its files is online (files: {needed}): put them into a folder yourself"
        )
    for file in online:
        path = folder / file.name
        if path.is_file():
            _require_same(file, path)
            print(f"{path}: is there")
        else:
            _download(file, path)
            print(f"{path}: {file.about}")
    for file in benchmark.files:
        if not file.source and not (folder / file.name).is_file():
            print(f"{folder / file.name}: {file.about}: is online nowhere: put it there yourself")


def _require_same(file: DataFile, path: Path) -> None:
    if file.sha256 and (found := sha256_file(path)) != file.sha256:
        raise UserError(
            f"{path}: is there, and its SHA-256 is {found}, not {file.sha256}: it is not the {file.about}: give "
            "another folder, or remove it"
        )


def _download(file: DataFile, path: Path) -> None:
    import requests

    digest = hashlib.sha256()
    try:
        with requests.get(file.source, timeout=_SECONDS, stream=True) as response, replacing(path) as target:
            response.raise_for_status()
            for block in response.iter_content(_BLOCK):
                digest.update(block)
                target.write(block)
            if file.sha256 and digest.hexdigest() != file.sha256:
                raise UserError(
                    f"{file.source}: its SHA-256 is {digest.hexdigest()}, not {file.sha256}: it is not the "
                    f"{file.about} that the benchmark is defined by: get that from elsewhere, and put it at {path}"
                )
    except requests.RequestException as error:
        raise TryAgain(f"{file.source}: {one_line(error)}: try again, or put the file at {path} yourself") from None
