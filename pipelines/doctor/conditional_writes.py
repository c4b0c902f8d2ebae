"""Conditional writes, with two writers at once: of them one has to win."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .finding import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ROUNDS = 10
KEYS = tuple(f"race-{number}" for number in range(_ROUNDS))
"""The probe objects."""
_ADVICE = "two runs could take one run root in this store: bring it up to date, or use another one"


def conditional_writes(check: str, writers: Sequence["S3Client"], bucket: str, prefix: str) -> Iterator[Finding]:
    """Let the writers create objects below a prefix, and then replace one, always both at the same time.

    Locks and ledgers rest on If-None-Match alone: some stores keep If-Match only while nobody else writes.
    """
    from botocore.exceptions import ClientError

    names = [f"{prefix}/{key}" for key in KEYS]
    created = [_winners(writers, Bucket=bucket, Key=name, IfNoneMatch="*") for name in names]
    tried = "If-None-Match with two writers at once"
    if max(created) == 1:
        yield Finding(check, "ok", tried, "one of them wins")
    else:
        yield Finding(check, "failed", tried, _lost(created), _ADVICE)
    tried = "If-Match with two writers at once"
    try:
        replaced = [
            _winners(
                writers,
                Bucket=bucket,
                Key=name,
                IfMatch=writers[0].put_object(Bucket=bucket, Key=name, Body=b"before")["ETag"],
            )
            for name in names
        ]
    except ClientError as error:
        yield Finding(check, "not needed", tried, f"refused: {error.response['Error']['Code']}")
        return
    if max(replaced) == 1:
        yield Finding(check, "ok", tried, "one of them wins; nothing here needs it")
    else:
        yield Finding(check, "not needed", tried, _lost(replaced))


def _winners(writers: Sequence["S3Client"], **request: Any) -> int:
    """How many of the writers are told that they wrote."""
    from botocore.exceptions import ClientError

    together = threading.Barrier(len(writers))

    def write(writer: "S3Client") -> bool:
        together.wait()
        try:
            writer.put_object(Body=b"NashFlow", **request)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                raise
            return False
        return True

    with ThreadPoolExecutor(len(writers)) as pool:
        return sum(pool.map(write, writers))


def _lost(winners: Sequence[int]) -> str:
    if both := sum(number > 1 for number in winners):
        return f"both of them win in {both} of {len(winners)} races"
    return "none of them may write"
