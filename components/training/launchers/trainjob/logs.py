"""The logs of a TrainJob's pods, in the step's own."""

import threading
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ....core.whole_lines import say
from .api import Api
from .nodes import has_begun, index_of

_AGAIN_SECONDS = 1.0
_OVERLAP_SECONDS = 5


class Logs:
    """Follows each pod in a thread of its own, until the pod's log ends or `close`.

    The lines of node 0, which says how the training gets on, stand as they are; those of others after their number.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._over = threading.Event()
        self._followed: dict[str, threading.Thread] = {}

    def follow(self, pods: Iterable[dict[str, Any]]) -> None:
        """Begin with those of these pods that have begun and are not followed yet."""
        for pod in pods:
            name = pod["metadata"]["name"]
            if name not in self._followed and has_begun(pod):
                arguments = (name, f"node {index_of(pod)}: " if index_of(pod) else "")
                self._followed[name] = threading.Thread(target=self._copy, args=arguments, daemon=True)
                self._followed[name].start()

    def drain(self, pods: Iterable[str], seconds: float) -> None:
        """Wait, at most so long in all, for the logs of these pods, which have ended."""
        end = time.monotonic() + seconds
        for pod in pods:
            if pod in self._followed:
                self._followed[pod].join(max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Print no more."""
        self._over.set()

    def _copy(self, pod: str, prefix: str) -> None:
        """Print a pod's log, through connections that break, until it ends."""
        newest = ""
        while not self._over.is_set():
            newest, ended = self._read(pod, prefix, newest)
            if ended:
                return
            self._over.wait(_AGAIN_SECONDS)

    def _read(self, pod: str, prefix: str, newest: str) -> tuple[str, bool]:
        """Print what comes after the time `newest`; the newest time, and whether the log has ended."""
        from kubernetes import client
        from urllib3.exceptions import HTTPError

        try:
            for line in self._api.stream(pod, _seconds_since(newest)):
                if self._over.is_set():
                    return newest, True
                stamp, _, text = line.partition(" ")
                if stamp > newest:
                    newest = stamp
                    say(f"{prefix}{text}")
        except client.ApiException as error:
            return newest, error.status == 404
        except (HTTPError, OSError):
            return newest, False
        return newest, True


def _seconds_since(stamp: str) -> int | None:
    """Seconds from a little before a time in a log until now; None for no time."""
    if not stamp:
        return None
    # Kubernetes writes nanoseconds.
    seconds = datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp()
    return max(1, int(time.time() - seconds) + _OVERLAP_SECONDS)
