"""The lines that Argo's executor and KFP's programs print around a step's own."""

from datetime import UTC, datetime


def argo(message: str) -> str:
    """A line of Argo's."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"time={stamp} level=INFO {message}"


def begun() -> list[str]:
    """What Argo says before the command."""
    signal = 'msg="waiting for signals" argo=true signalPath=/var/run/argo/ctr/main/signal'
    return [argo('msg="capturing logs" argo=true'), argo(signal)]


def ended(code: int) -> list[str]:
    """What Argo says after it."""
    cancelled = argo('msg="file signal handler exiting due to context cancellation" argo=true')
    if code:
        exited = argo(f'msg="sub-process exited" argo=true error="exit status {code}"')
        return [exited, f"Error: exit status {code}", cancelled]
    return [cancelled, argo('msg="sub-process exited" argo=true error=<nil>')]


def kfp(where: str, message: str, severity: str = "I") -> str:
    """A line of KFP's, from a line of its source."""
    now = datetime.now(UTC)
    return f"{severity}{now:%m%d %H:%M:%S}.{now.microsecond:06d}      15 {where}] {message}"
