"""The artifact store in S3 or anything that speaks its protocol."""

import errno
import os
import posixpath
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.atomic_file import replacing
from ..core.digests import sha256_bytes, sha256_file
from ..core.errors import UserError
from .store_keys import Entry, check_folder, check_key

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from mypy_boto3_s3 import S3Client

_ATTEMPTS, _TIMEOUT_SECONDS = 8, 60
_PART_BYTES = 32 << 20
# S3's own checksums end with a transfer: the ranged requests of a parallel download have none for the whole object.
_SHA256 = "nashflow-sha256"
_CREATION = "nashflow-creation"
# What stores answer to boto3's checksums, in headers or behind the body, that do not know them.
_REFUSED_CHECKSUMS = {
    "InvalidArgument",
    "InvalidRequest",
    "MissingContentLength",
    "NotImplemented",
    "SignatureDoesNotMatch",
    "XAmzContentSHA256Mismatch",
}
Checksums = Literal["when_supported", "when_required"]
WITHOUT_CHECKSUMS = (
    "set AWS_REQUEST_CHECKSUM_CALCULATION=when_required and AWS_RESPONSE_CHECKSUM_VALIDATION=when_required"
)
"""The way out where a store refuses S3's own checksums; NashFlow's are metadata and stay."""


class S3Store:
    """A `Store` under a prefix of a bucket. Objects carry the SHA-256 of their whole content."""

    def __init__(self, bucket: str, prefix: str, client: "S3Client", part_bytes: int) -> None:
        """`prefix` has no slash at its ends; it is empty for the whole bucket."""
        self._bucket = bucket
        self._prefix = prefix
        self._client = client
        self._part_bytes = part_bytes

    @classmethod
    def open(
        cls,
        uri: str,
        part_bytes: int = _PART_BYTES,
        *,
        attempts: int = _ATTEMPTS,
        timeout: int = _TIMEOUT_SECONDS,
        checksums: Checksums | None = None,
    ) -> "S3Store":
        """The store of `s3://bucket/prefix`. Files above `part_bytes` travel in parts of that size, several at a time.

        A request is made `attempts` times while the server is away, each for `timeout` seconds. `checksums` says when
        requests and answers have S3's own, which some stores that are like S3 refuse; None: as the environment says.

        Raises:
            UserError: there is no such bucket name, or the environment's endpoint, region or profile is wrong.
        """
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]{3,255}", bucket):
            raise UserError(f"no bucket in {uri!r}: write s3://bucket/prefix")
        return cls(bucket, "", _connect(uri, attempts, timeout, checksums), part_bytes).at(prefix.strip("/"))

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def checksums(self) -> bool:
        """Whether requests have S3's own checksums wherever they may."""
        config: Any = self._client.meta.config  # whose stubs lack it
        return bool(config.request_checksum_calculation == "when_supported")

    def read(self, key: str) -> bytes:
        """Content of `key`, checked. botocore asks again where no answer comes, but not where a body breaks off."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        for attempt in range(1, _ATTEMPTS + 1):
            with self._clear_errors(key):
                reply = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
                try:
                    data = reply["Body"].read()
                except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    if attempt == _ATTEMPTS:
                        raise
                    continue
            self._check(key, sha256_bytes(data), reply["Metadata"])
            return data
        raise AssertionError("unreachable")

    def write(self, key: str, data: bytes) -> None:
        """Make `data` the content of `key`."""
        with self._clear_errors(key):
            self._put(key, data, {})

    def create(self, key: str, data: bytes) -> bool:
        """Make `data` the content of `key` if there is none, by a conditional put."""
        from botocore.exceptions import ClientError

        token = uuid.uuid4().hex
        with self._clear_errors(key):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._put(key, data, {_CREATION: token}, IfNoneMatch="*")
                    return True
                except ClientError as error:
                    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    if status == 409 and attempt < _ATTEMPTS:  # others are at this key: S3 wants it sent again
                        continue
                    if status != 412:
                        raise
                    # botocore sends a put again if its answer was lost: the object may be this very call's
                    return self._metadata(key).get(_CREATION) == token
        raise AssertionError("unreachable")

    def exists(self, key: str) -> bool:
        """Whether there is an object `key`."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """The size of `key` in bytes, None if there is no such object."""
        name = self._name(key)
        with self._clear_errors(key):  # unlike HEAD, a listing tells a missing bucket from a missing key
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
        return next((item["Size"] for item in found.get("Contents", []) if item["Key"] == name), None)

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys in folder `prefix` and below it."""
        return sorted(self.entries(prefix))

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """The files in folder `prefix` and below it, by key."""
        root = f"{self._prefix}/" if self._prefix else ""
        pages = self._client.get_paginator("list_objects_v2")
        with self._clear_errors(prefix):
            return {
                item["Key"].removeprefix(root): Entry(item["Size"], item["LastModified"].timestamp())
                for page in pages.paginate(Bucket=self._bucket, Prefix=root + check_folder(prefix))
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")  # some consoles keep an empty object `folder/` for a folder
            }

    def age(self, key: str) -> float:
        """Seconds since `key` was written, by the server's clock."""
        name = self._name(key)
        with self._clear_errors(key):
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
        for item in found.get("Contents", []):
            if item["Key"] == name:
                now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
                return max(0.0, (now - item["LastModified"]).total_seconds())
        raise self._missing(key)

    def delete(self, key: str) -> None:
        """Remove `key` if it is there."""
        with self._clear_errors(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def upload(self, path: Path, key: str) -> None:
        """Send `path`, in parallel parts if it is large."""
        extra = {"Metadata": {_SHA256: sha256_file(path)}}
        with self._clear_errors(key), path.open("rb") as file:
            self._client.upload_fileobj(file, self._bucket, self._name(key), ExtraArgs=extra, Config=self._parts())

    def download(self, key: str, path: Path) -> None:
        """Fetch `key` to `path`, in parallel parts if it is large, and check the whole."""
        if not self.exists(key):
            raise self._missing(key)
        with self._clear_errors(key), replacing(path) as file:
            metadata = self._metadata(key)
            self._client.download_fileobj(self._bucket, self._name(key), file, Config=self._parts())
            file.flush()
            self._check(key, sha256_file(Path(file.name)), metadata)

    def location(self, key: str) -> str:
        """URI of `key`."""
        return f"s3://{self._bucket}/{self._name(key)}"

    def at(self, relative: str) -> "S3Store":
        """The store of the prefix at `relative`, with the same connection."""
        if relative.startswith("/"):
            raise ValueError(f"not a relative path: {relative!r}")
        prefix = posixpath.normpath(posixpath.join(self._prefix, relative))
        if prefix.split("/")[0] == "..":
            raise UserError(
                f"there is nothing above a bucket: {self.uri}/{relative}: use a prefix, s3://bucket/prefix/run"
            )
        return S3Store(self._bucket, "" if prefix == "." else prefix, self._client, self._part_bytes)

    def _name(self, key: str) -> str:
        return posixpath.join(self._prefix, check_key(key))

    def _put(self, key: str, data: bytes, metadata: dict[str, str], **condition: Any) -> None:
        metadata = {_SHA256: sha256_bytes(data), **metadata}
        self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data, Metadata=metadata, **condition)

    def _metadata(self, key: str) -> dict[str, str]:
        """Metadata of `key`, empty if it is gone."""
        from botocore.exceptions import ClientError

        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._name(key))["Metadata"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return {}

    def _check(self, key: str, digest: str, metadata: dict[str, str]) -> None:
        """Objects that others stored have no digest of ours: transport checksums alone protect those."""
        if metadata.get(_SHA256, digest) != digest:
            raise OSError(f"{self.location(key)} is corrupt: SHA-256 {digest}, stored as {metadata[_SHA256]}")

    def _missing(self, key: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.location(key))

    def _parts(self) -> "TransferConfig":
        from boto3.s3.transfer import TransferConfig

        return TransferConfig(multipart_threshold=self._part_bytes, multipart_chunksize=self._part_bytes)

    @contextmanager
    def _clear_errors(self, key: str) -> Iterator[None]:
        """Turn errors that the user can fix into one line; pass all others through.

        A server that does not answer is no UserError: it may come back, and a step that fails so is tried again.
        """
        from botocore.exceptions import (
            ClientError,
            ConnectTimeoutError,
            EndpointConnectionError,
            EndpointResolutionError,
            FlexibleChecksumError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        where = posixpath.join(self.uri, key)
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise UserError(
                f"no credentials for {where}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from error
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise ConnectionError(
                f"{where}: no answer from {self._client.meta.endpoint_url}: check AWS_ENDPOINT_URL_S3 and the network, "
                "or try again later"
            ) from error
        except FlexibleChecksumError as error:
            raise OSError(f"{where} is corrupt: {error}") from error
        except EndpointResolutionError:
            raise UserError(
                f"{where}: AWS_ENDPOINT_URL_S3 is no URL: write https://host:port, without user and password, which "
                "are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                raise self._missing(key) from None
            if code == "NoSuchBucket":
                raise UserError(
                    f"no bucket {self._bucket!r} for {where}: create it, or correct the URI or AWS_ENDPOINT_URL_S3"
                ) from error
            if code in _REFUSED_CHECKSUMS and self.checksums:
                raise UserError(
                    f"{where}: the store refuses the request ({code}): {WITHOUT_CHECKSUMS} if it refuses checksums, "
                    "which `nashflow doctor` tries; otherwise check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                ) from error
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403):
                raise UserError(
                    f"access to {where} is denied ({code}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or "
                    "AWS_PROFILE, and what the bucket allows them"
                ) from error
            raise


def credentials_known() -> bool:
    """Whether environment, profile or machine give credentials for S3."""
    import boto3

    return boto3.session.Session().get_credentials() is not None


def _connect(uri: str, attempts: int, timeout: int, checksums: Checksums | None) -> "S3Client":
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    waits = Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )
    session = botocore.session.get_session()
    session.register_component("data_loader", _descriptions())
    try:
        return boto3.session.Session(botocore_session=session).client("s3", config=waits)
    except (ProfileNotFound, ValueError) as error:  # ValueError: an endpoint or a region that cannot be one
        raise UserError(f"{uri}: {error}: check AWS_PROFILE, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL_S3") from error


@cache
def _descriptions() -> Any:
    """botocore's descriptions of services: read for each connection, they would take most of its time."""
    from botocore.loaders import create_loader

    return create_loader()
