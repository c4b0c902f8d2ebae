"""`nashflow run`: execute a recipe's compiled graph on this machine."""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from nashflow.components.notifications.sending import unset
from nashflow.components.runtime import lock
from nashflow.components.runtime.protocol import PENDING, USER_ERROR
from nashflow.components.runtime.voice import FORMAT
from nashflow.components.storage import layout, outcome
from nashflow.components.storage.run import read_run
from nashflow.components.storage.store import Store, open_store
from nashflow.components.tracking.mlflow_store import sqlite_uri
from nashflow.components.tracking.opening import check_tracking
from nashflow.components.tracking.tracker import Tracker

from .finished import finished_tasks
from .lines import finished_line
from .local import Interrupted, StepFailed, execute
from .mlflow_ui import how_to_look, page_of
from .plan import planned_tasks
from .recipe import Recipe, load_recipe
from .run_display import Shown, display
from .steps import only
from .tables import print_table
from .terminal import terminal

_PRELOAD = (
    "torch",
    "transformers.generation.utils",
    "transformers.models.llama.modeling_llama",
    "transformers.tokenization_utils_tokenizers",
    "safetensors.torch",
    "mlflow.store.tracking.sqlalchemy_store",
    "pyarrow.parquet",
    "boto3",
    "matplotlib.figure",
    "jinja2",
)
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "agg",
    "OMP_WAIT_POLICY": "PASSIVE",  # idle threads sleep: two processes on few cores do not spin at each other
    "TOKENIZERS_PARALLELISM": "false",
}
_GOES_ON = "the same command resumes it"


def run_recipe(name: str, overrides: Sequence[str], run_root: str, shown: Shown) -> None:
    """Run a recipe to its end, resuming what is there, and show its report. Exits with the code of a failed step.

    Raises:
        UserError: the recipe, what it names, or MLflow cannot be used.
    """
    recipe = load_recipe(name, overrides)
    recipe.rollout.engine.require_here()
    recipe.logprobs.engine.require_here()
    recipe.training.engine.require_here()
    for oracle in (*recipe.oracles.values(), *recipe.evaluation.judges):
        oracle.require_here()
    store = open_store(run_root or f"runs/{recipe.run.name}")
    # For the steps, and for this process, which looks up champions, and tells how a run ended that was stopped.
    tracking = os.environ["MLFLOW_TRACKING_URI"] = os.environ.get("MLFLOW_TRACKING_URI") or tracking_beside(store)
    checked = only("beginning").module.check(recipe, store)
    recipe = checked.recipe
    for name in unset(recipe.notifications.webhooks):
        print(f"nashflow: warning: {name}, the address of a webhook, is not set: it will not be told", file=sys.stderr)
    console = terminal()
    for iteration in range(1, recipe.run.iterations + 1):
        for phase in recipe.method.phases(iteration):
            if phase.note and not shown.quiet:
                console.print(f"iteration {iteration}, {phase.name}: {phase.note}")
    if not store.exists(layout.SUMMARY):  # a finished run is shown without MLflow
        known = read_run(store)
        check_tracking(known.tracking if known else None)
    with locked(store) as owner:
        if (lines := finished_tasks(recipe, store, checked)) is None:
            _work(recipe, store, owner, console, shown)
        else:
            for line in [] if shown.quiet else lines:
                console.print(finished_line(line), soft_wrap=True)
    print_table(json.loads(store.read(layout.SUMMARY)), store, console)
    console.print(f"runs side by side in MLflow: {how_to_look(tracking)}", soft_wrap=True)
    if (run := read_run(store)) and run.tracking:
        console.print(f"  {page_of(tracking, run.tracking['experiment'])}", soft_wrap=True, highlight=False)


def _work(recipe: Recipe, store: Store, owner: str, console: Console, shown: Shown) -> None:
    """Execute the recipe's graph. Exits with the code of a failed step."""
    from .graph import write_graph  # kfp is a second's import, which a finished run does without

    showing = display(console, recipe.run.name, len(planned_tasks(recipe)), shown)
    with _scratch() as scratch, showing as show:
        write_graph(recipe, scratch / "pipeline.yaml")
        arguments = {"run_root": store.uri}
        environment = {**_ENVIRONMENT, lock.OWNER: owner, FORMAT: shown.log_format or os.environ.get(FORMAT, "text")}
        try:
            execute(scratch / "pipeline.yaml", arguments, scratch, _PRELOAD, environment, show, retry=False)
        except (StepFailed, Interrupted) as failure:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C must not leave the run RUNNING in MLflow
            _explain(failure, store)
            Tracker.of(store).close(_word(failure), str(failure))
            sys.exit(failure.exit_code)
        finally:
            _warn(scratch / "logs")


def tracking_beside(store: Store) -> str:
    """The address of the SQLite store that all runs of one folder share, where MLFLOW_TRACKING_URI names no other."""
    folder = Path("runs").absolute() if "://" in store.uri else Path(store.uri).parent
    return sqlite_uri(folder / "mlflow.db")


@contextmanager
def locked(store: Store) -> Iterator[str]:
    """Hold the run root's lock while this process lives; its owner."""
    owner = f"{socket.gethostname()}:{os.getpid()}"
    lock.acquire(store, owner, process=True)
    try:
        with lock.renewing(store):
            yield owner
    finally:
        lock.release(store, owner)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for KFP's own artifacts and the steps' logs; it stays where a step failed that can be tried again."""
    folder = Path(tempfile.mkdtemp(prefix="nashflow-run-"))
    try:
        yield folder
    except SystemExit as exit:
        if exit.code in (USER_ERROR, PENDING, 128 + signal.SIGINT, 128 + signal.SIGTERM):
            shutil.rmtree(folder)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _warn(logs: Path) -> None:
    """Say what steps warned of, each once."""
    lines = (line for log in sorted(logs.rglob("*.log")) for line in log.read_text(errors="replace").splitlines())
    for warning in dict.fromkeys(line for line in lines if line.startswith("warning: ")):
        print(f"nashflow: {warning}", file=sys.stderr)


def _word(failure: StepFailed | Interrupted) -> outcome.Word:
    """How the run ended."""
    if isinstance(failure, Interrupted):
        return "cancelled"
    return "pending" if failure.exit_code == PENDING else "failed"


def _explain(failure: StepFailed | Interrupted, store: Store) -> None:
    """One line on stderr; a second one with the log, unless the mistake is the user's or the run waits."""
    if isinstance(failure, Interrupted):
        print(f"nashflow: {failure}; {_GOES_ON}", file=sys.stderr)
        return
    if _word(failure) == "pending":
        ended = outcome.read(store)
        said = ended.reason if ended and ended.outcome == "pending" else failure
        print(f"nashflow: pending: {said}; then the same command goes on", file=sys.stderr)
        return
    print(f"nashflow: {failure}", file=sys.stderr)
    if failure.exit_code != USER_ERROR:
        print(f"nashflow: log: {failure.log}; {_GOES_ON}", file=sys.stderr)
