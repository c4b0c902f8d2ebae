"""Replacements for parts of kfp.local during a run.

kfp.local (2.17) runs container components with Docker only. DAG order, placeholders, ParallelFor, Collected,
conditions, nested pipelines and retries stay kfp's own. What is swapped, and why:

1. how one task runs: as a child process; its declared outputs are reported even if it wrote no executor output file, as
   the launcher of a cluster does, and it fails if it left an output parameter unwritten, as there;
2. the execution of one task with its retries: a step that exits with 2 (the user's mistake) or 3 (it waits for people)
   is not tried again, and the failures of a loop's iterations, of which kfp keeps a name only, are remembered;
3. the resource name of a nested pipeline: kfp gives all calls of it the same, and their outputs overwrite each other;
4. the value that a condition reads: kfp finds a task's output only if it is called `Output`, which a container
   component's cannot be, and takes every other condition for false;
5. its log lines and rules on the terminal, which go to a file;
6. the wait before a retry, which a signal cuts short.
"""

import contextlib
import contextvars
import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from unittest import mock

from kfp import components, local
from kfp.local import (
    config,
    executor_input_utils,
    executor_output_utils,
    logging_utils,
    placeholder_utils,
    task_dispatcher,
)
from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor, task_spec_utils
from kfp.local.status import Status

from nashflow.components.runtime.protocol import PENDING
from nashflow.components.runtime.supervision import FINAL

from .events import StepFailed


class Runner(Protocol):
    """Runs one attempt at a task."""

    def __call__(
        self, task: str, attempt: int, argv: Sequence[str], environment: Mapping[str, str], must_write: Sequence[Path]
    ) -> None:
        """Run `argv` to its end; raises StepFailed."""


@dataclass
class _Task:
    """The task that a thread is at."""

    path: str
    attempts: int = 0
    failure: StepFailed | None = None


_current: contextvars.ContextVar[_Task] = contextvars.ContextVar("task")
_TaskResult = tuple[dict[str, Any], Status]


def run(
    package: Path,
    arguments: Mapping[str, object],
    root: Path,
    runner: Runner,
    sleep: Callable[[float], None],
    retry: bool,
) -> dict[str, Any]:
    """Execute the pipeline in `package`; returns its outputs, raises the first failure of a task."""
    failures: list[Exception] = []
    root.mkdir(parents=True, exist_ok=True)
    pipeline = components.load_component_from_file(str(package))
    with _swapped(runner, sleep, failures, retry), _quiet(root / "kfp.log"):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
        try:
            return dict(pipeline(**arguments).outputs)
        except RuntimeError:
            if failures:  # say what failed, not which loop it was in; one that waits has not failed
                raise next((each for each in failures if not _waits(each)), failures[0]) from None
            raise


def _waits(failure: Exception) -> bool:
    return isinstance(failure, StepFailed) and failure.exit_code == PENDING


@contextlib.contextmanager
def _swapped(runner: Runner, sleep: Callable[[float], None], failures: list[Exception], retry: bool) -> Iterator[None]:
    evaluator = enhanced_dag_orchestrator.ConditionEvaluator
    resolve = staticmethod(functools.partial(_channel_value, evaluator._resolve_pipeline_channel))
    execute = functools.partial(_execute_task, task_executor.execute_single_task, failures, retry)
    with (
        mock.patch.object(config.LocalExecutionConfig, "instance", None),
        mock.patch.object(task_dispatcher, "run_single_task_implementation", functools.partial(_run_task, runner)),
        mock.patch.object(task_executor, "execute_single_task", execute),
        mock.patch.object(task_executor, "time", SimpleNamespace(sleep=sleep)),
        mock.patch.object(task_spec_utils, "get_nested_pipeline_resource_name", _nested_name),
        mock.patch.object(evaluator, "_resolve_pipeline_channel", resolve),
    ):
        yield


def _execute_task(
    kfp_execute: Callable[..., _TaskResult], failures: list[Exception], retry: bool, **kwargs: Any
) -> _TaskResult:
    """Execute one task, retries included, knowing its name."""
    if not retry:
        kwargs["task_spec"].ClearField("retry_policy")
    _, *parents = kwargs["pipeline_resource_name"].split("/")
    task = _Task("/".join([*parents, kwargs["task_name"]]))
    _current.set(task)
    try:
        outputs, status = kfp_execute(**kwargs)
    except StepFailed:
        outputs, status = {}, Status.FAILURE
    except Exception as error:  # not handled, only kept: a ParallelFor drops it
        failures.append(error)
        raise
    if status == Status.FAILURE and task.failure:
        failures.append(task.failure)
    return outputs, status


def _run_task(
    run_command: Runner,
    pipeline_resource_name: str,
    component_spec: Any,
    executor_spec: Any,
    arguments: dict[str, Any],
    pipeline_root: str,
    unique_pipeline_id: str,
    **_unused: Any,
) -> _TaskResult:
    """Run one attempt at one task: resolve its command, run it, read its outputs."""
    task = _current.get()
    task.attempts += 1
    job, name = pipeline_resource_name.partition("/")[0], task.path.rpartition("/")[2]
    folder = os.path.join(pipeline_root, job, task.path)
    os.makedirs(folder, exist_ok=True)
    executor_input = executor_input_utils.construct_executor_input(component_spec, arguments, folder, False)
    argv = placeholder_utils.replace_placeholders(
        full_command=[*executor_spec.container.command, *executor_spec.container.args],
        executor_input_dict=executor_input_utils.executor_input_to_dict(executor_input, component_spec),
        pipeline_resource_name=job,
        task_resource_name=name,
        pipeline_root=pipeline_root,
        unique_pipeline_id=unique_pipeline_id,
    )
    environment = {variable.name: variable.value for variable in executor_spec.container.env}
    must_write = [Path(parameter.output_file) for parameter in executor_input.outputs.parameters.values()]
    try:
        run_command(task.path, task.attempts, argv, environment, must_write)
    except StepFailed as failure:
        task.failure = failure
        if failure.exit_code in FINAL:
            raise  # past kfp's retries
        return {}, Status.FAILURE
    return _outputs(executor_input, component_spec), Status.SUCCESS


def _outputs(executor_input: Any, component_spec: Any) -> dict[str, Any]:
    """All declared outputs; what the step's executor output file says of an artifact goes over the defaults."""
    written = executor_output_utils.load_executor_output(executor_input.outputs.output_file)
    for name, declared in executor_input.outputs.artifacts.items():
        if not written.artifacts[name].artifacts:
            written.artifacts[name].CopyFrom(declared)
    outputs: dict[str, Any] = executor_output_utils.get_outputs_from_executor_output(
        written, executor_input, component_spec
    )
    return outputs


def _nested_name(task_name: str, pipeline_resource_name: str) -> str:
    return f"{pipeline_resource_name}/{task_name}"


def _channel_value(kfp_resolve: Callable[[str, Any], Any], reference: str, store: Any) -> Any:
    """Value of `pipelinechannel--<task>-<output>` or of a parameter of the pipeline around."""
    value = kfp_resolve(reference, store)
    if value is None:
        task, _, output = reference.removeprefix("pipelinechannel--").rpartition("-")  # an output's name has no hyphen
        value = store.get_task_output(task, output)
    return value


@contextlib.contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Write kfp's log to a file, and restore the root logger afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    file = logging.FileHandler(log)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root.handlers[:] = [file]
    root.setLevel(logging.INFO)
    try:
        with (
            mock.patch.object(logging_utils, "local_logger_context", contextlib.nullcontext),
            mock.patch.object(logging_utils, "print_horizontal_line"),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message=".*have no effect in the current local runner")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        file.close()
