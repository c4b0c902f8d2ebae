"""The artifact store in a local folder."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..core import atomic_file
from ..core.atomic_file import HIDDEN, replacing
from ..core.errors import UserError
from .store_keys import Entry, check_folder, check_key


class LocalStore:
    """A `Store` in a folder."""

    def __init__(self, root: Path) -> None:
        """`root`: absolute.

        Raises:
            UserError: `root` is a file.
        """
        if root.is_file():
            raise UserError(f"{root} is a file: give a folder")
        self._root = root

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    def read(self, key: str) -> bytes:
        """Content of `key`."""
        with self._open(key) as file:
            return file.read()

    def write(self, key: str, data: bytes) -> None:
        """Make `data` the content of `key`."""
        with replacing(self._path(key)) as file:
            file.write(data)

    def create(self, key: str, data: bytes) -> bool:
        """Make `data` the content of `key` if there is none."""
        return atomic_file.create(self._path(key), data)

    def exists(self, key: str) -> bool:
        """Whether there is a file `key`."""
        return self._path(key).is_file()

    def size(self, key: str) -> int | None:
        """The size of `key` in bytes, None if there is no such file."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = self._path(key).stat()
            return status.st_size if stat.S_ISREG(status.st_mode) else None
        return None

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys in folder `prefix` and below it."""
        return sorted(path.relative_to(self._root).as_posix() for path in self._files(prefix))

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """The files in folder `prefix` and below it, by key."""
        found = {}
        for path in self._files(prefix):
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                status = path.lstat()
                found[path.relative_to(self._root).as_posix()] = Entry(status.st_size, status.st_mtime)
        return found

    def age(self, key: str) -> float:
        """Seconds since `key` was written, by the file system's clock, which may be another machine's."""
        with self._open(key) as file, tempfile.TemporaryFile(dir=self._path(key).parent) as now:
            now.write(b"now")
            now.flush()
            return max(0.0, os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime)

    def delete(self, key: str) -> None:
        """Remove `key` if it is there."""
        if self.exists(key):
            self._path(key).unlink(missing_ok=True)

    def upload(self, path: Path, key: str) -> None:
        """Copy `path` into the folder."""
        with path.open("rb") as source, replacing(self._path(key)) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def download(self, key: str, path: Path) -> None:
        """Copy `key` to `path`."""
        with self._open(key) as source, replacing(path) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def location(self, key: str) -> str:
        """Absolute path of `key`."""
        return str(self._path(key))

    def at(self, relative: str) -> "LocalStore":
        """The store of the folder at `relative`."""
        if os.path.isabs(relative):
            raise ValueError(f"not a relative path: {relative!r}")
        return LocalStore(Path(os.path.abspath(self._root / relative)))

    def _files(self, prefix: str) -> Iterator[Path]:
        for parent, _, names in os.walk(self._root / check_folder(prefix), onerror=_fail):
            yield from (Path(parent, name) for name in names if not name.startswith(HIDDEN))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):  # a folder is no file, as in S3
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.location(key)) from None


def _fail(error: OSError) -> None:
    # A folder that vanished since its parent was listed, or a file in its place.
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
