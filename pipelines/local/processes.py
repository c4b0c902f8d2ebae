"""Steps as processes forked from one server that has imported the heavy libraries already.

Importing torch, transformers and mlflow takes seconds; a fork of a process that has them, milliseconds. The server does
nothing but import: no tensor operation, no CUDA context, no Python thread, none of which would survive a fork.
"""

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest import mock

GRACE_SECONDS = 20.0
"""Seconds between SIGTERM and SIGKILL, in which a step flushes its journals."""

_POLL_SECONDS = 0.5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
_LONGEST_SOCKET = 107  # bytes; sun_path of unix(7), without its last one
_SOCKET_BYTES = len("/pymp-12345678/listener-12345678")


class StepProcesses:
    """Starts step modules as child processes, waits for them and stops them; safe to use from several threads."""

    def __init__(self, preload: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the server; it goes on importing `preload` in the background.

        A Python process has one server: a second call finds it running, with the modules of the first.
        """
        self.stopped_by: int | None = None
        """Number of the signal that stops the run, if any."""
        self._deadline = float("inf")
        self._running: set[ForkServerProcess] = set()
        self._lock = threading.Lock()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])
        resource_tracker.ensure_running()  # before the block: its start unblocks the signals
        own = {"PYTHONSAFEPATH": "1"}  # a torch.py in the current folder is not torch
        with _blocked_signals(), mock.patch.dict(os.environ, {**environment, **own}), _room_for_sockets():
            forkserver.ensure_running()

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        out: Path,
        err: Path,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> int:
        """Run `python3 -m module arguments…` to its end; stdout and stderr are appended to `out` and `err`.

        `meanwhile` is called twice a second. Returns the exit code; -n for a process that signal n killed.
        """
        process = self._start(module, list(arguments), dict(environment), str(out), str(err))
        self._running.add(process)
        if self.stopped_by is not None:  # the signal came while this one was being started
            self._terminate(process)
        try:
            while not connection.wait([process.sentinel], timeout=_POLL_SECONDS):
                if time.monotonic() > self._deadline:
                    _kill_group(process)
                meanwhile()
        finally:
            self._running.discard(process)
            _kill_group(process)  # what the step started and left behind
        with self._lock:
            process.join()
        assert process.exitcode is not None
        return process.exitcode

    def stop(self, signal_number: int) -> None:
        """Ask every step to end; kill those that have not after the grace, or at once when asked again."""
        again = self.stopped_by is not None
        self.stopped_by = signal_number
        self._deadline = time.monotonic() + (0.0 if again else GRACE_SECONDS)
        for process in tuple(self._running):
            self._terminate(process)

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the run is being stopped."""
        end = time.monotonic() + seconds
        while self.stopped_by is None and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_SECONDS))

    def _start(
        self, module: str, arguments: list[str], environment: dict[str, str], out: str, err: str
    ) -> ForkServerProcess:
        arguments_of_child = (module, arguments, environment, out, err, GRACE_SECONDS)
        process = self._context.Process(target=_run_module, args=arguments_of_child)
        # One at a time: start() polls all other processes of this one, and two readers of one exit code lose it.
        # The caller's script must not run again in the child, hence its name is hidden.
        main = mock.patch.multiple(sys.modules["__main__"], create=True, __spec__=None, __file__=None)
        with self._lock, main:
            process.start()
        return process

    @staticmethod
    def _terminate(process: ForkServerProcess) -> None:
        assert process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)


def _kill_group(process: ForkServerProcess) -> None:
    """Kill what is left of the step and of the processes that it started."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _room_for_sockets() -> contextlib.AbstractContextManager[object]:
    """Let multiprocessing make its folder of sockets in /tmp where the paths of sockets below TMPDIR are too long."""
    fits = len(os.fsencode(tempfile.gettempdir())) + _SOCKET_BYTES <= _LONGEST_SOCKET
    return contextlib.nullcontext() if fits else mock.patch.object(tempfile, "tempdir", "/tmp")


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """The server inherits the mask: a Ctrl-C or SIGTERM for the whole process group must not end it under its steps."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_module(
    module: str, arguments: list[str], environment: dict[str, str], out: str, err: str, grace_seconds: float
) -> None:
    """Become `python3 -m module arguments…`; what the forked process does."""
    os.setsid()  # its own group: Ctrl-C reaches it through the parent only, and the group can be killed as one
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    _follow_the_parent(grace_seconds)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    multiprocessing.set_start_method(None, force=True)  # a step's own workers start as they do under python3 -m
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a forked process leaves without them


def _follow_the_parent(grace_seconds: float) -> None:
    """End when the process that asked for this step is gone, however it went."""
    if sys.platform == "linux":  # the server's own death
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_the_parent, args=(grace_seconds,), daemon=True).start()


def _end_with_the_parent(grace_seconds: float) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_seconds)
    os.killpg(0, signal.SIGKILL)
