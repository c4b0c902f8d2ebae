"""The step protocol: flags in, outputs and an exit code out.

    python3 -m nashflow.components.<step> --run-root … --iteration … --phase … --shard …
            --settings '{…}' --executor-input '{{$}}'

Exit code 0: done. 2: the user's input is wrong, one line on stderr says how. 75: the disk is full, one line. 143:
SIGTERM. Anything but 0 and 2 may be retried.
"""

import argparse
import errno
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import Field

from . import lock
from .errors import UserError
from .settings import Settings
from .store import Store, open_store
from .units import Manifest

JOB = "{job}"
"""In preparation's `--run-root`: replaced by the KFP job id, so that every firing of a recurring run has its own."""

USER_ERROR, TRY_AGAIN, TERMINATED = 2, 75, 143

SettingsT = TypeVar("SettingsT", bound="StepSettings")


class StepRun(Settings):
    """What every step needs of the recipe's `run` section."""

    seed: int = 0
    """Seed of every random number of the run."""
    threads: int = Field(1, ge=1)
    """CPU threads of every step; results repeat bit by bit for one number of threads."""


class StepPrompts(Settings):
    """What steps after preparation need of the recipe's `prompts` section."""

    shards: int = Field(1, ge=1)
    """Shards of every iteration's prompts; they are worked on in parallel."""


class StepSettings(Settings):
    """Settings of one step: the sections of the recipe that it reads."""

    run: StepRun


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
    """What a step hands to the orchestrator."""

    manifest: Manifest
    skipped: bool = False
    """Whether the unit was found finished."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Output parameters by name."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Contents of further output artifacts by name."""


def main(
    step: str, settings: type[SettingsT], run: Callable[[Call[SettingsT]], Result], flags: Sequence[str] = ()
) -> NoReturn:
    """The entry point of a step's module: parse, run, write the outputs, exit."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments = parser(step, flags).parse_args()
        parsed = settings.parse(_json(arguments.settings), "--settings")
        _pin_threads(parsed.run.threads)
        executor_input = json.loads(arguments.executor_input or "{}")
        own = {flag: getattr(arguments, flag.replace("-", "_")) for flag in flags}
        store = open_store(arguments.run_root.replace(JOB, own.get("job-id", "")))
        call = Call(store, arguments.iteration, arguments.phase, arguments.shard, parsed, own)
        started = time.monotonic()
        with lock.renewing(store):
            result = run(call)
        _write_outputs(executor_input, result, store)
        print(json.dumps(_line(step, call, result, time.monotonic() - started)), flush=True)
    except UserError as error:
        _fail(step, str(error), USER_ERROR)
    except Exception as error:
        if disk_is_full(error):
            _fail(step, f"no space left on the device ({error}); free some and run the same command again", TRY_AGAIN)
        raise
    sys.exit(0)


def _fail(step: str, line: str, code: int) -> NoReturn:
    print(f"{step}: {' '.join(line.split())}", file=sys.stderr, flush=True)
    sys.exit(code)


def _terminate(signum: int, frame: object) -> NoReturn:
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
    made.add_argument("--run-root", required=True, help="folder or s3://bucket/prefix that the run lives under")
    made.add_argument("--iteration", type=int, default=0, help="1, 2, …; 0 is the reference")
    made.add_argument("--phase", default="", help="the method's name for the phase")
    made.add_argument("--shard", type=int, default=0, help="index of the shard of prompts")
    made.add_argument("--settings", required=True, help="the step's settings, a JSON object")
    made.add_argument("--executor-input", default="", help="KFP's executor input, JSON")
    for flag in flags:
        made.add_argument(f"--{flag}", default="")
    return made


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings: not JSON: {error}") from None


def _pin_threads(threads: int) -> None:
    """Fix the number of threads of torch, loaded already or not, and of what is loaded later."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _line(step: str, call: Call[Any], result: Result, seconds: float) -> dict[str, Any]:
    place = {"step": step, "iteration": call.iteration, "phase": call.phase, "shard": call.shard}
    return {**place, "skipped": result.skipped, "seconds": round(seconds, 3), "metrics": _scalars(result)}


def _write_outputs(executor_input: dict[str, Any], result: Result, store: Store) -> None:
    """Write the step's outputs, and the artifacts' metadata to the executor output file.

    Kubeflow adds an output that no step declares, `executor-logs`, and writes it itself.
    """
    outputs = executor_input.get("outputs", {})
    own = {"manifest", "metrics", *result.documents}
    for name, parameter in outputs.get("parameters", {}).items():
        _write(Path(parameter["outputFile"]), result.parameters[name].encode())
    described = {}
    for name, listed in outputs.get("artifacts", {}).items():
        if name not in own:
            continue
        artifact = listed["artifacts"][0]
        _write(_local_path(artifact), _content(name, result))
        described[name] = {"artifacts": [{**_identity(artifact), "metadata": _metadata(name, result, store)}]}
    if described:
        _write(Path(outputs["outputFile"]), json.dumps({"artifacts": described}).encode())


def _content(name: str, result: Result) -> bytes:
    if name == "metrics":
        return json.dumps(dict(result.manifest.metrics), indent=1).encode()
    if name == "manifest":
        return json.dumps(result.manifest.to_json(), indent=1).encode()
    return result.documents[name]


def _metadata(name: str, result: Result, store: Store) -> dict[str, Any]:
    if name == "metrics":
        return _scalars(result)
    return {"uri": store.location(result.manifest.unit), "digest": result.manifest.digest}


def _scalars(result: Result) -> dict[str, float]:
    """The metrics that are finite numbers: JSON has no NaN, and the launcher refuses it."""
    numbers = {key: value for key, value in result.manifest.metrics.items() if isinstance(value, int | float)}
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


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
