"""The object store as KFP's launcher uses it: whole files and folders, down and up."""

from pathlib import Path
from typing import Any


class Objects:
    """One bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def names(self, prefix: str = "") -> list[str]:
        """The names of the objects that begin so."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        """One object."""
        return self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()  # type: ignore[no-any-return]

    def download(self, key: str, target: Path) -> None:
        """What lies under a key, an object or a folder.

        Raises:
            FileNotFoundError: nothing does.
        """
        found = [name for name in self.names(key) if name == key or name.startswith(f"{key}/")]
        if not found:
            raise FileNotFoundError(key)
        for name in found:
            file = target if name == key else target / name.removeprefix(f"{key}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(self.bucket, name, str(file))

    def upload(self, source: Path, key: str) -> None:
        """A file, or a folder with all that is in it.

        Raises:
            FileNotFoundError: there is none.
        """
        if not source.exists():
            raise FileNotFoundError(source)
        for file in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file()):
            name = key if source.is_file() else f"{key}/{file.relative_to(source)}"
            self._client.upload_file(str(file), self.bucket, name)
