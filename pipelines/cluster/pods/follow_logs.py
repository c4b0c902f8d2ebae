"""`nashflow logs --follow`: what the pods of a run write, as they write it, through all that happens to them."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import urllib3
from kubernetes.client import ApiException
from rich.console import Console

from ..api.connection import Connection
from ..runs.tasks import FINISHED
from .log_lines import shown_lines
from .logged_pods import header_of, is_wanted
from .pods import Json, Pods, is_driver, main_state

_POLL_SECONDS = 3.0
_AGAIN_SECONDS = 1.0
_MARGIN_SECONDS = 60
"""How much more of a log is read again than was missed, because clocks differ; lines are known again by their time."""


class _Heard(NamedTuple):
    """A message from the reader of a pod's log."""

    pod: Json
    line: str | Exception


def follow_logs(connection: Connection, run: Any, pods: Pods, step: str, raw: bool, console: Console) -> bool:
    """Print what the pods write until the run has ended, under a header whenever another one speaks.

    Whether there was a pod whose log was wanted.

    Raises:
        UserError: the server does not know the run any more. ConnectionError: it stays away.
        ApiException, urllib3.exceptions.HTTPError: the same of the Kubernetes API.
    """
    heard: queue.Queue[_Heard] = queue.Queue()
    readers: dict[str, threading.Thread] = {}
    speaking = ""
    while True:
        # Asked before the pods are: each pod of a run that is over has begun by then, and is read to its end.
        over = run.state in FINISHED
        for pod in pods.find():
            uid = pod["metadata"]["uid"]
            # A pod that is lost is made again under the same name.
            if uid not in readers and is_wanted(pod, step) and main_state(pod).keys() & {"running", "terminated"}:
                readers[uid] = threading.Thread(target=_read, args=(pods, pod, raw, heard), daemon=True)
                readers[uid].start()
        for pod, line in _until(time.monotonic() + _POLL_SECONDS, heard, list(readers.values()) if over else None):
            if isinstance(line, Exception):
                raise line
            if pod["metadata"]["uid"] != speaking:
                speaking = pod["metadata"]["uid"]
                console.print(header_of(pod), soft_wrap=True)
            console.print(line, soft_wrap=True)
        if over:
            return bool(readers)
        run = connection.call(connection.client.runs.run_service_get_run, run_id=run.run_id)


def _until(end: float, heard: "queue.Queue[_Heard]", last: list[threading.Thread] | None) -> Iterator[_Heard]:
    """Messages until the time `end`, or until all of the `last` readers have ended."""
    while time.monotonic() < end if last is None else True:
        at_work = last is None or any(reader.is_alive() for reader in last)
        try:
            yield heard.get(timeout=0.1 if at_work else 0)
        except queue.Empty:
            if not at_work:
                return


def _read(pods: Pods, pod: Json, raw: bool, heard: "queue.Queue[_Heard]") -> None:
    """Hand on what a pod writes until its end."""
    try:
        lines = _lines_of(pods, pod)
        for line in lines if raw else shown_lines(lines, is_driver(pod)):
            heard.put(_Heard(pod, line))
    except Exception as error:
        heard.put(_Heard(pod, error))


def _lines_of(pods: Pods, pod: Json) -> Iterator[str]:
    """Each line that a pod writes once, however often the connection breaks."""
    name = pod["metadata"]["name"]
    last, count, at = "", 0, 0.0
    while True:
        now = _as_it_is(pods, pod)
        known, since = count, int(time.monotonic() - at) + _MARGIN_SECONDS if last else None
        try:
            for stamp, line in pods.stream(name, since) if now else ():
                if stamp < last or (stamp == last and known):
                    known -= stamp == last
                    continue
                last, count, at = stamp, count + 1 if stamp == last else 1, time.monotonic()
                yield line
        except urllib3.exceptions.HTTPError:
            pass
        except ApiException as error:
            if error.status in (401, 403):
                raise
        # What it wrote between this look at it and its end has been read, too.
        if not now or "terminated" in main_state(now):
            return
        time.sleep(_AGAIN_SECONDS)


def _as_it_is(pods: Pods, pod: Json) -> Json | None:
    """The pod as it is now; None if it is gone, or another one has its name."""
    try:
        now = pods.read(pod["metadata"]["name"])
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    return now if now["metadata"]["uid"] == pod["metadata"]["uid"] else None
