"""The artifact store: where a run keeps its data, in a local folder or in S3, behind one interface."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..core.errors import UserError
from .store_keys import Entry
from .store_local import LocalStore
from .store_s3 import S3Store


class Store(Protocol):
    """Files under one root, named by keys: relative POSIX paths such as `iterations/001/prompts/00000.parquet`.

    A reader never sees half a file: `write`, `create`, `upload` and `download` happen at once or not at all. A key that
    is absolute or holds `..` is a ValueError. Denied access, missing credentials and a missing bucket are a UserError;
    any other failure of disk or network is what the operating system or botocore raised, and can be tried again.
    """

    @property
    def uri(self) -> str:
        """The argument of `open_store` for this store: an absolute path or `s3://bucket/prefix`."""

    def read(self, key: str) -> bytes:
        """Content of `key`.

        Raises:
            FileNotFoundError: there is none; names the whole URI.
            OSError: the content is not what was stored (S3).
        """

    def write(self, key: str, data: bytes) -> None:
        """Make `data` the content of `key`, whatever was there."""

    def create(self, key: str, data: bytes) -> bool:
        """Make `data` the content of `key` if there is no such key yet; whether this call did.

        Of several processes that create one key exactly one gets True, also where its request had to be sent twice.
        """

    def exists(self, key: str) -> bool:
        """Whether there is a file `key`."""

    def size(self, key: str) -> int | None:
        """The size of `key` in bytes; None if there is no such file."""

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys of all files in folder `prefix` and below it: `a/b` (or `a/b/`) finds `a/b/c`, never `a/bc`."""

    def entries(self, prefix: str = "") -> Mapping[str, Entry]:
        """Size and time of writing of all files in folder `prefix` and below it, by key."""

    def age(self, key: str) -> float:
        """Seconds since `key` was written, by the clock that said when that was: this machine's is not asked.

        Raises:
            FileNotFoundError: there is none; names the whole URI.
        """

    def delete(self, key: str) -> None:
        """Remove `key`; nothing happens if it is gone already."""

    def upload(self, path: Path, key: str) -> None:
        """Copy the local file `path` to `key`."""

    def download(self, key: str, path: Path) -> None:
        """Copy `key` to the local file `path`, whose folder is made if need be.

        Raises:
            FileNotFoundError: there is no such key; names the whole URI.
            OSError: the content is not what was stored (S3), or the disk is full. `path` is as it was.
        """

    def location(self, key: str) -> str:
        """Path or URI of `key`, for a person to open."""

    def at(self, relative: str) -> "Store":
        """The store of a folder: `cache/logprobs` is below this one, `..` is the folder that holds it.

        Raises:
            UserError: there is nothing above a bucket.
        """


def open_store(uri: str) -> Store:
    """Open the store of a local folder (which need not exist yet) or of `s3://bucket/prefix`, without connecting to it.

    `~` at the beginning of a folder's path is the home folder.

    S3 is reached as boto3 does it: credentials, region and `AWS_ENDPOINT_URL_S3` from the environment or a profile.

    Raises:
        UserError: the URI names no bucket, is of another kind, is a file, is below the home folder of nobody, or has
            bytes that are no text in Python's encoding of file names.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator and uri:
        path = os.path.expanduser(uri)
        if path.startswith("~"):
            raise UserError(
                f"{uri}: nobody's home folder is {path.partition('/')[0]}: write the whole path, or ./{uri}"
            )
        if not path.isascii() and any("\udc80" <= character <= "\udcff" for character in path):
            mend = "rename the folder" if sys.getfilesystemencoding() == "utf-8" else "set PYTHONUTF8=1"
            raise UserError(f"{uri}: has a byte that is no {sys.getfilesystemencoding()}: {mend}")
        return LocalStore(Path(os.path.abspath(path)))
    if scheme != "s3":
        raise UserError(f"not a place for artifacts: {uri!r}: give a local folder or s3://bucket/prefix")
    return S3Store.open(uri)
