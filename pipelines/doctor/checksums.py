"""S3's own checksums, which boto3 sends unless told otherwise, and which some stores that are like S3 refuse."""

from collections.abc import Callable, Iterator

from nashflow.components.core.errors import one_line
from nashflow.components.storage.store_s3 import WITHOUT_CHECKSUMS, Checksums, S3Store

from .case import Case
from .finding import Finding

VARIABLES = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")
_TRIED = "a write with S3's checksums"
_IN_PODS = (
    f"set {' and '.join(VARIABLES)} to when_required in a ConfigMap (the chart: s3.checksums), and add both to its "
    "keys in cluster.config_maps"
)

Opened = Callable[[Checksums], S3Store]


def refused_here(check: str, opened: Opened) -> Iterator[Finding]:
    """After a write that failed: a finding if it succeeds without checksums."""
    if not _refusal(opened("when_required")):
        found = _refusal(opened("when_supported"))
        yield Finding(check, "failed", _TRIED, found, f"{WITHOUT_CHECKSUMS}; for pods {_IN_PODS}")


def refused_in_pods(check: str, store: S3Store, opened: Opened, case: Case) -> Iterator[Finding]:
    """After a write that succeeded: a finding if it did so only by variables that pods do not get."""
    missing = [name for name in VARIABLES if name not in case.variables()]
    if case.recipe and missing and not store.checksums and (found := _refusal(opened("when_supported"))):
        yield Finding(check, "failed", f"{_TRIED}, as pods make it", found, _IN_PODS)


def _refusal(store: S3Store) -> str:
    """What the store says to a write; empty if it takes it."""
    try:
        store.write("probe", b"NashFlow")
        return "" if store.read("probe") == b"NashFlow" else "read otherwise than written"
    except Exception as error:  # boto3 raises what the store's own errors do not cover
        return one_line(error)
