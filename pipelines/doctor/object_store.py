"""The store of the run root: write, read, conditional writes, a file in parts, delete."""

import tempfile
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from nashflow.components.core.errors import UserError, one_line
from nashflow.components.storage.store import Store, open_store
from nashflow.components.storage.store_s3 import Checksums, S3Store, credentials_known

from .case import Case
from .checksums import refused_here, refused_in_pods
from .cluster import NotTried
from .conditional_writes import KEYS, conditional_writes
from .finding import Finding

_NAME = "object store"
_PART_BYTES = 8 << 20
_FILE_BYTES = 9 << 20
_RIGHTS = "the credentials need s3:PutObject, GetObject, DeleteObject, ListBucket and AbortMultipartUpload there"


def object_store(case: Case) -> Iterator[Finding]:
    """Write, read, write on conditions, in parts, and delete probe objects."""
    root = case.run_root or case.needs.cluster.run_root
    if not root:
        raise NotTried("no run root is known", "set cluster.run_root to s3://bucket/prefix/{job}, or give --run-root")
    if not root.startswith("s3://"):
        advice = "set cluster.run_root to s3://bucket/prefix/{job}"
        yield Finding(_NAME, "failed", root, "pods do not see this machine's folders", advice)
        return
    try:
        open_store(root)
    except UserError as error:
        yield Finding(
            _NAME, "failed", root, str(error), "set cluster.run_root, or --run-root, to s3://bucket/prefix/{job}"
        )
        return
    name = f"nashflow-doctor-{uuid.uuid4().hex}"
    if not credentials_known():
        raise NotTried("no credentials here", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    uri = root.replace("{job}", name) if "{job}" in root else f"{root.rstrip('/')}/{name}"
    # A server that is away shall not hold up the other checks.
    opened = partial(_opened, uri)
    store = opened(None)
    written, left = False, ""
    try:
        for check in (_written, _conditional, _in_parts):
            yield from check(store)
            written = True
        yield from refused_in_pods(_NAME, store, opened, case)
    except Exception as error:  # boto3 raises what the store's own errors do not cover
        said = [] if written else list(refused_here(_NAME, opened))
        yield from said or [
            Finding(_NAME, "failed", f"writing and reading below {store.uri}", one_line(error), _RIGHTS)
        ]
    finally:
        left = _clean(store)
    if left:
        yield Finding(_NAME, "failed", f"deleting below {store.uri}", left, f"{_RIGHTS}; then delete {store.uri}")
    elif written:
        yield Finding(_NAME, "ok", "deleting the probe objects", "nothing is left")


def _opened(uri: str, checksums: Checksums | None) -> S3Store:
    return S3Store.open(uri, _PART_BYTES, attempts=2, timeout=10, checksums=checksums)


def _written(store: Store) -> Iterator[Finding]:
    store.write("probe", b"NashFlow")
    read, listed = store.read("probe"), store.list()
    right = read == b"NashFlow" and listed == ["probe"]
    found = "as written" if right else f"read {read[:20]!r}, listed {listed}"
    advice = "" if right else "check whether a cache or gateway in front of the store changes data"
    yield Finding(_NAME, "ok" if right else "failed", f"write, read and list below {store.uri}", found, advice)


def _conditional(store: Store) -> Iterator[Finding]:
    yield conditional_writes(_NAME, store)


def _in_parts(store: Store) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="nashflow-doctor-") as folder:
        path = Path(folder, "file")
        path.write_bytes(bytes(_FILE_BYTES))
        store.upload(path, "file")
        store.download("file", Path(folder, "back"))
    yield Finding(_NAME, "ok", f"a file of {_FILE_BYTES >> 20} MiB, in parts", "read back unchanged")


def _clean(store: Store) -> str:
    """Delete the probe objects, whatever happened; what went wrong, if any of them is still there."""
    said = "they are still listed"
    for key in ("probe", "file", *KEYS):
        try:
            store.delete(key)
        except Exception as error:
            said = one_line(error)
    try:
        return said if store.list() else ""
    except Exception:  # what may not be listed has been told before
        return ""
