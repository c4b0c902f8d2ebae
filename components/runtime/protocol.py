"""The step protocol: flags in, outputs and an exit code out.

    python3 -m nashflow.components.<step> --recipe <run root>/recipes/<digest>.json --iteration … --phase … --shard …

Preparation is given the run root and the recipe itself, as JSON; it writes that under the run root, where the other
steps read their part of it. In a graph the flags are parameters of the component, and come in `--executor-input
'{{$}}'`. Exit code 0: done. 2: the user's input is wrong, one line on stderr says how. 3: it waits for something from
outside, one line says for what. 75: the disk is full, or a server does not answer, one line. 143: SIGTERM. Anything but
0, 2 and 3 may be retried, as `--retries` says: see entry.py. While it works, it says how it gets on: see voice.py.
"""

import argparse
import errno
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NoReturn, TypeVar

from pydantic import ConfigDict, Field

from ..core.errors import Pending, TryAgain, UserError, one_line
from ..core.redaction import redact, redact_tracebacks
from ..core.settings import SHAPES_GRAPH, Part
from ..storage import recipes
from ..storage.store import Store, open_store
from ..storage.units import Manifest
from . import lock, voice
from .artifacts import Artifact, metrics_artifact, numbers

JOB = "{job}"
"""In preparation's `--run-root`: replaced by the KFP job id, so that every scheduled run has its own."""

USER_ERROR, PENDING, TRY_AGAIN, TERMINATED = 2, 3, 75, 143

_FLAGS = ("run-root", "iteration", "phase", "shard", "recipe")
_EXECUTOR_INPUT = "--executor-input"

SettingsT = TypeVar("SettingsT", bound="StepSettings")


class StepRun(Part):
    """The part of the recipe's `run` section that every step reads."""

    seed: int = 0
    """Seed of all random numbers of the run."""
    threads: int = Field(1, ge=1)
    """CPU threads of each step; results are reproducible bit by bit for the same number of threads."""

    def identity(self) -> dict[str, Any]:
        """What results depend on, a JSON value."""
        return self.model_dump(mode="json", include={*StepRun.model_fields})


class StepPrompts(Part):
    """The part of the recipe's `prompts` section that all steps read."""

    shards: Annotated[int, SHAPES_GRAPH] = Field(1, ge=1)
    """Number of shards of each iteration's prompts, which run in parallel."""


class StepCluster(Part):
    """What every step needs of the recipe's `cluster` section; the rest, the client's, is kept as it is."""

    model_config = ConfigDict(extra="allow")

    log_format: Literal["text", "json"] = "text"
    """Format of the steps' log lines: text, or json for one JSON object per line, for log collectors."""


class StepSettings(Part):
    """Settings of one step: the sections of the recipe that it reads."""

    run: StepRun = StepRun()


@dataclass(frozen=True)
class Call(Generic[SettingsT]):
    """One call of a step: what to work on, and how."""

    store: Store
    iteration: int
    phase: str
    shard: int
    settings: SettingsT
    flags: Mapping[str, str] = field(default_factory=dict)
    """The step's own further flags."""


@dataclass(frozen=True)
class Result:
    """The outputs of a step for the orchestrator."""

    manifest: Manifest | None = None
    """The unit that it made or found; closing makes none."""
    skipped: bool = False
    """Whether the unit was found finished."""
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """Output artifacts by name."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Output parameters by name."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Measurements of this call, besides the unit's metrics."""

    @property
    def metrics(self) -> dict[str, Any]:
        """Everything that was measured."""
        return {**(self.manifest.metrics if self.manifest else {}), **self.figures}


def main(package: str, arguments: Sequence[str]) -> NoReturn:
    """Run the step of a package to its end: parse its arguments, work, write the outputs, exit.

    The package's module `step` has the settings' class `SETTINGS`, the function `run` and, where it has flags of its
    own, their names `FLAGS`.
    """
    signal.signal(signal.SIGTERM, terminate)
    redact_tracebacks()
    name = package.rpartition(".")[2]
    try:
        step = importlib.import_module(f"{package}.step")
        flags: Sequence[str] = getattr(step, "FLAGS", ())
        executor_input = _executor_input(arguments)
        call, style = read_call(name, step.SETTINGS, [*passed(executor_input, flags), *arguments], flags)
        os.environ[voice.FORMAT] = style  # of the processes that the step starts, too
        started = time.monotonic()
        with lock.renewing(call.store), voice.speaking(place(name, call), style):
            result = step.run(call)
        _write_outputs(executor_input, result)
        print(json.dumps(line_of(name, call, result, time.monotonic() - started)), flush=True)
    except UserError as error:
        _fail(name, str(error), USER_ERROR)
    except TryAgain as error:
        _fail(name, str(error), TRY_AGAIN)
    except Pending as error:
        _fail(name, str(error), PENDING)
    except Exception as error:
        if disk_is_full(error):
            _fail(name, f"no space left on the device ({error}); free some and run the same command again", TRY_AGAIN)
        raise
    sys.exit(0)


def read_call(
    step: str, settings: type[SettingsT], arguments: Sequence[str], flags: Sequence[str] = ()
) -> tuple[Call[SettingsT], str]:
    """The call of a step by its arguments, and the format of its log lines; threads are pinned as it says.

    Raises:
        UserError: a wrong setting, or no recipe.
    """
    given = parser(step, flags).parse_args(arguments)
    own = {flag: getattr(given, flag.replace("-", "_")) for flag in flags}
    store, recipe = _found(given.recipe, given.run_root.replace(JOB, own.get("job-id", "")))
    call = Call(store, given.iteration, given.phase, given.shard, settings.parse(recipe, "--recipe"), own)
    cluster = StepCluster.parse(recipe.get("cluster", {}), "--recipe: cluster")
    pin_threads(call.settings.run.threads)
    return call, voice.log_format(cluster.log_format)


def _executor_input(arguments: Sequence[str]) -> dict[str, Any]:
    """The value of `--executor-input`; empty if the step is run by hand."""
    at = arguments.index(_EXECUTOR_INPUT) + 1 if _EXECUTOR_INPUT in arguments[:-1] else 0
    try:
        return dict(json.loads(arguments[at])) if at else {}
    except ValueError as error:
        raise UserError(f"{_EXECUTOR_INPUT}: not JSON: {error}") from None


def passed(executor_input: Mapping[str, Any], flags: Sequence[str]) -> list[str]:
    """KFP's parameters as flags: it hands them over in the executor input, and once is enough.

    Others than the protocol's flags and the step's own, such as the image, are KFP's.
    """
    known = {*_FLAGS, *flags}
    values = executor_input.get("inputs", {}).get("parameterValues", {})
    named = ((name.replace("_", "-"), value) for name, value in values.items())
    return [f"--{flag}={_text(value)}" for flag, value in named if flag in known]


def _text(value: Any) -> str:
    """A parameter as a flag's text; the local orchestrator writes whole numbers as floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def _found(text: str, run_root: str) -> tuple[Store, Mapping[str, Any]]:
    """The run root and the recipe that `--recipe` names; or, where it is JSON or left out, those of `--run-root`."""
    if text and not text.startswith("{"):
        return recipes.read(text)
    if not run_root:
        raise UserError("neither --run-root nor a --recipe under one: give either")
    try:
        return open_store(run_root), json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UserError(f"--recipe: not JSON: {error}") from None


def _fail(step: str, line: str, code: int) -> NoReturn:
    print(f"{step}: {redact(one_line(line))}", file=sys.stderr, flush=True)
    sys.exit(code)


def terminate(signum: int, frame: object) -> NoReturn:
    """Leave by an exception, so that open journals are flushed on the way out, undisturbed by a second SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(TERMINATED)


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's quota of it, is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Libraries in other languages report it in words only.
    return any(words in str(error) for words in ("No space left on device", "database or disk is full"))


def parser(
    step: str, flags: Sequence[str], kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """The parser, of some kind, of a step's flags: the protocol's, and the step's own `flags`."""
    made = kind(prog=f"python3 -m nashflow.components.{step}", allow_abbrev=False)
    made.add_argument("--run-root", default="", help="folder or s3://bucket/prefix that the run lives under")
    made.add_argument("--iteration", type=int, default=0, help="1, 2, …; 0 is before training")
    made.add_argument("--phase", default="", help="the method's name for the phase")
    made.add_argument("--shard", type=int, default=0, help="index of the shard of prompts")
    made.add_argument("--recipe", default="", help="where preparation has written the recipe; or itself, as JSON")
    made.add_argument("--retries", type=float, default=0, help="further attempts of one that failed")
    made.add_argument("--executor-input", default="", help="KFP's executor input, JSON")
    for flag in flags:
        made.add_argument(f"--{flag}", default="")
    return made


def pin_threads(threads: int) -> None:
    """Fix the number of threads of torch, loaded already or not, and of what is loaded later."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def place(step: str, call: Call[Any]) -> dict[str, Any]:
    """Which unit of work a call is about."""
    return {"step": step, "iteration": call.iteration, "phase": call.phase, "shard": call.shard}


def line_of(step: str, call: Call[Any], result: Result, seconds: float) -> dict[str, Any]:
    """The JSON object that a step prints when it is done."""
    measured = {"seconds": round(seconds, 3), "metrics": numbers(result.metrics)}
    return {**place(step, call), "skipped": result.skipped, **measured}


def _write_outputs(executor_input: Mapping[str, Any], result: Result) -> None:
    """Write the step's outputs, and the artifacts' metadata to the executor output file.

    Kubeflow adds an output that no step declares, `executor-logs`, and writes it itself.
    """
    outputs = executor_input.get("outputs", {})
    for name, parameter in outputs.get("parameters", {}).items():
        _write(Path(parameter["outputFile"]), result.parameters[name].encode())
    made = {"metrics": metrics_artifact(result.metrics), **result.artifacts}
    described = {}
    for name, listed in outputs.get("artifacts", {}).items():
        if name in made:
            artifact = listed["artifacts"][0]
            _write(_local_path(artifact), made[name].content)
            described[name] = {"artifacts": [{**_identity(artifact), "metadata": dict(made[name].metadata)}]}
    if described:
        _write(Path(outputs["outputFile"]), json.dumps({"artifacts": described}).encode())


def _identity(artifact: dict[str, Any]) -> dict[str, Any]:
    return {key: artifact[key] for key in ("name", "uri") if key in artifact}


def _local_path(artifact: dict[str, Any]) -> Path:
    """Where the launcher collects an output artifact: its custom path, or its URI as a path."""
    if custom := artifact.get("customPath"):
        return Path(custom)
    scheme, found, rest = artifact["uri"].partition("://")
    return Path(f"/{'gcs' if scheme == 'gs' else scheme}/{rest}") if found else Path(artifact["uri"])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
