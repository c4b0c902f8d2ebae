"""The files of a benchmark: inputs in a folder or below an S3 prefix, told by their digests."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..core.digests import sha256_bytes
from ..core.errors import UserError, one_line
from ..storage.store import open_store


@dataclass(frozen=True)
class DataFile:
    """A file that a benchmark reads."""

    name: str
    """Its place in the benchmark's folder."""
    about: str
    """What it is, in a few words without an article, such as `questions`."""
    sha256: str = ""
    """Its digest; empty: any file of this name is taken, and its digest is recorded."""
    source: str = ""
    """The address from which `nashflow benchmark fetch` downloads it; empty: it is online nowhere."""
    needed: bool = True
    """Whether the benchmark measures nothing without it."""
    only_scores: bool = False
    """Whether it is read to compute scores alone, so that another one changes neither answers nor judgments."""


class Data:
    """The files of one benchmark, each checked against its digest when it is read first."""

    def __init__(self, kind: str, place: str, files: Sequence[DataFile]) -> None:
        """`kind` is the benchmark's; `place` a folder or s3://bucket/prefix.

        Raises:
            UserError: `place` is neither.
        """
        if not place:
            raise UserError(
                f"benchmark {kind}: data is not set: set it to the folder or s3:// prefix that holds its files"
            )
        self.kind, self.place = kind, place
        self._files = {file.name: file for file in files}
        self._store = open_store(place)
        self._bytes = cache(self._checked)

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """The digests of the files that are there, by name.

        Raises:
            UserError: a file that is needed is missing, or one is not as it should be; names the first of them.
        """
        there = [file.name for file in self._files.values() if file.needed or self.has(file.name)]
        return {name: sha256_bytes(self.read(name)) for name in there}

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return self._store.exists(name)

    def where(self, name: str) -> str:
        """A file's place, for messages."""
        return self._store.location(name)

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            UserError: it is missing, or its digest is not the one that is expected.
        """
        return self._bytes(name)

    def json(self, name: str) -> Any:
        """The value in a JSON file.

        Raises:
            UserError: as `read`, or it is not JSON; names the file.
        """
        return _value(self.read(name), self.where(name))

    def json_lines(self, name: str) -> list[Any]:
        """The values in a file with one JSON value a line; empty lines do not count.

        Raises:
            UserError: as `read`, or a line is not JSON; names the file and the line.
        """
        return [value for _, value in json_lines(self.read(name), self.where(name))]

    def _checked(self, name: str) -> bytes:
        file = self._files[name]
        try:
            data = self._store.read(name)
        except FileNotFoundError:
            wanted = f" of SHA-256 {file.sha256}" if file.sha256 else ""
            raise UserError(
                f"{self.where(name)}: missing: {file.about}{wanted}; {self._advice(file, self.place)}"
            ) from None
        if file.sha256 and (found := sha256_bytes(data)) != file.sha256:
            raise UserError(
                f"{self.where(name)}: its SHA-256 is {found}, not {file.sha256}: it is not the {file.about} that "
                f"{self.kind} is defined by; {self._advice(file, 'ANOTHER_FOLDER')}"
            )
        return data

    def _advice(self, file: DataFile, place: str) -> str:
        if file.source:
            return f"nashflow benchmark fetch {self.kind} --data {place} downloads it"
        return f"put it there, or set data to the folder that holds the files of {self.kind}"


def json_lines(content: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """The values of a file with one JSON value a line, each with its place; empty lines do not count.

    Raises:
        UserError: a line is not JSON; names it.
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            place = f"{where}, line {number}"
            yield place, _value(line, place)


def _value(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(f"{where}: not JSON: {one_line(error)}") from None
