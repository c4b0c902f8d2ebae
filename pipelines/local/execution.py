"""Execute a compiled pipeline here."""

import contextlib
import json
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nashflow.components.runtime.entry import OVERRULE
from nashflow.components.runtime.voice import STATUS

from .events import Event, Interrupted, StepFailed
from .processes import StepProcesses

_TAIL_BYTES = 1 << 16


def execute(
    package: Path,
    arguments: Mapping[str, object],
    pipeline_root: Path,
    preload: Sequence[str],
    environment: Mapping[str, str],
    on_event: Callable[[Event], None],
    retry: bool = True,
) -> dict[str, Any]:
    """Run the compiled pipeline `package` to its end and return its outputs by name.

    Its tasks must be container components with a command `python3 -m module …`; they run as children of this process
    that share its installation, in the order, loops, conditions and retries of kfp.local, without kfp's cache.

    Args:
        package: the IR YAML that the compiler wrote.
        arguments: values of the pipeline's parameters by name.
        pipeline_root: folder for the outputs of tasks, `logs/<task>.log` (stderr), `.out` (stdout) and `.status`, and
            `kfp.log`.
        preload: modules to import once instead of in every task. They must do nothing but be imported.
        environment: added to this process's environment for every task.
        on_event: told when a task starts and ends, and of how it gets on; one call at a time, from any thread.
        retry: whether a task that fails is tried again as its graph has it.

    Raises:
        StepFailed: a step failed, retries included. One that exits with code 2 or 3 is not retried.
        Interrupted: SIGINT or SIGTERM came; steps got `GRACE_SECONDS` to end (a second signal kills them at once).
    """
    # Retries in the pod are for clusters: here the user hears of a failure at once.
    environment = {**environment, OVERRULE: "0"}
    processes = StepProcesses(preload, environment)
    from . import kfp_adapter  # a second's import, while the server imports too

    root = pipeline_root.resolve()
    runner = _Runner(root / "logs", processes, {**os.environ, **environment}, on_event)
    with _stopped_by_signals(processes):
        try:
            outputs = kfp_adapter.run(package, arguments, root, runner, processes.sleep, retry)
        finally:
            if processes.stopped_by is not None:
                raise Interrupted(processes.stopped_by) from None
    return outputs


class _Runner:
    """Runs the command of one task and tells about it."""

    def __init__(
        self,
        logs: Path,
        processes: StepProcesses,
        environment: Mapping[str, str],
        on_event: Callable[[Event], None],
    ) -> None:
        self._logs, self._processes, self._environment, self._on_event = logs, processes, environment, on_event
        self._lock = threading.Lock()

    def __call__(
        self, task: str, attempt: int, argv: Sequence[str], environment: Mapping[str, str], must_write: Sequence[Path]
    ) -> None:
        """Run `argv` to its end; it must leave the files `must_write`, as on a cluster.

        Raises StepFailed or Interrupted.
        """
        if self._processes.stopped_by is not None:
            raise Interrupted(self._processes.stopped_by)
        log, out = self._logs / f"{task}.log", self._logs / f"{task}.out"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"$ {shlex.join(argv)}\n")
        log_start, out_start = log.stat().st_size, out.stat().st_size if out.exists() else 0
        self._tell(Event(task, tuple(argv), "started", attempt, log))
        begun = time.monotonic()
        module, *rest = _module_and_arguments(task, argv)
        status = self._logs / f"{task}.status"
        status.unlink(missing_ok=True)

        def tell_how_it_gets_on() -> None:
            if said := _status(status):
                self._tell(Event(task, tuple(argv), "working", attempt, log, status=said))

        environment = {**self._environment, STATUS: str(status), **environment}
        code = self._processes.run(module, rest, environment, out, log, tell_how_it_gets_on)
        complaint = _complaint(task, code, _read(log, log_start)[-_TAIL_BYTES:], must_write)
        exit_code = (128 - code if code < 0 else code) or int(bool(complaint))
        state: Literal["succeeded", "failed"] = "failed" if complaint else "succeeded"
        records = tuple(_records(_read(out, out_start)))
        self._tell(Event(task, tuple(argv), state, attempt, log, time.monotonic() - begun, exit_code, records))
        if complaint:
            raise StepFailed(task, exit_code, complaint, log)

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._on_event(event)


def _module_and_arguments(task: str, argv: Sequence[str]) -> Sequence[str]:
    if len(argv) < 3 or argv[0] not in ("python", "python3") or argv[1] != "-m":
        raise ValueError(f"task {task}: only `python3 -m module …` runs here, not `{shlex.join(argv[:3])}`")
    return argv[2:]


def _complaint(task: str, code: int, stderr: str, must_write: Sequence[Path]) -> str:
    """Why the task failed, in one line; empty if it did not."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"{task}: killed by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
    if code > 0:
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"{task}: exited with code {code} and left no message"
    missing = [path.name for path in must_write if not path.exists()]
    return f"{task}: did not write its output {', '.join(missing)}" if missing else ""


def _records(stdout: str) -> Iterator[dict[str, Any]]:
    for line in stdout.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):  # a library's own print
                yield json.loads(line)


def _status(path: Path) -> dict[str, Any]:
    """The task's status; empty if it has not reported any."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}


def _read(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


@contextlib.contextmanager
def _stopped_by_signals(processes: StepProcesses) -> Iterator[None]:
    """Within this block SIGINT and SIGTERM end the steps; only the main thread can arrange that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    saved = {number: signal.signal(number, lambda number, _frame: processes.stop(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
