"""The commands that use Kubeflow Pipelines. Heavy imports are inside the commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import FirstIteration, Overrides, RecipeArgument
from .api.access import Access, with_access

if TYPE_CHECKING:
    from rich.console import Console

    from .api.connection import Connection

app = typer.Typer(no_args_is_help=True)

_ANY_WIDTH = 10_000

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or name.")]
Experiment = Annotated[
    str, typer.Option(envvar="KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", help="KFP experiment of the runs.")
]
ServiceAccount = Annotated[
    str, typer.Option(help="Kubernetes service account of the runs. Default: the recipe's, or the cluster's.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the run to its end, and exit with its result.")]


@app.command()
@with_access
def submit(
    access: Access,
    recipe: RecipeArgument,
    overrides: Overrides = None,
    run_root: Annotated[
        str,
        typer.Option(help="Run root, s3://bucket/prefix; {job} becomes the run's name. Default: cluster.run_root."),
    ] = "",
    first_iteration: FirstIteration = 1,
    name: Annotated[
        str, typer.Option(help="The run's name; repeating the command finds this run instead of starting another.")
    ] = "",
    takes_over: Annotated[
        str, typer.Option(metavar="RUN_ID", help="A run that has ended but still holds the lock of this run root.")
    ] = "",
    experiment: Experiment = "nashflow",
    service_account: ServiceAccount = "",
    wait: Wait = False,
    package: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the compiled pipeline in this YAML file.")
    ] = None,
) -> None:
    """Start a run of a recipe on Kubeflow Pipelines. Exit code with --wait: 0 succeeded, 1 did not, 75 server
    unreachable."""
    from ..image_versions import warn_of_images
    from ..recipe import load_for_runs
    from ..webhooks import warn_of_webhooks
    from .submission.submission import submit as start

    loaded, settings = load_for_runs(recipe, overrides or [])
    warn_of_images(loaded)
    warn_of_webhooks(loaded)
    connection = _connect(access)
    run = start(
        connection, loaded, run_root, experiment, service_account, package, first_iteration, name, settings, takes_over
    )
    _go_on(connection, run, wait)


@app.command()
@with_access
def wait(
    access: Access,
    run: Run,
) -> None:
    """Follow a run to its end, as `submit --wait` does."""
    from .runs.runs import find_run

    connection = _connect(access)
    _go_on(connection, find_run(connection, run), wait=True)


@app.command()
@with_access
def retry(
    access: Access,
    run: Run,
    wait: Wait = False,
) -> None:
    """Resume a run that failed or was cancelled, from its last finished unit of work."""
    from .submission.retry import retry as resubmit

    connection = _connect(access)
    _go_on(connection, resubmit(connection, run), wait)


@app.command()
@with_access
def cancel(
    access: Access,
    run: Run,
) -> None:
    """Stop a run, and wait until it has ended. `nashflow retry` resumes it later."""
    from .following.waiting import until_stopped
    from .runs.runs import cancel as stop

    connection = _connect(access)
    until_stopped(connection, stop(connection, run), console_here())


@app.command()
@with_access
def runs(
    access: Access,
    experiment: Annotated[str, typer.Option(help="Only runs of this experiment.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 20,
) -> None:
    """List the newest runs on Kubeflow Pipelines and their states."""
    from .runs.run_table import print_runs

    print_runs(_connect(access), experiment, limit, console_here())


@app.command()
@with_access
def logs(
    access: Access,
    run: Run,
    step: Annotated[
        str,
        typer.Option(
            help="Only this step, such as training, or this task, such as training-001-main; append -driver for KFP's "
            "driver of the task."
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep printing, through retries and new pods, to the run's end.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With the lines of KFP's launcher and Argo's executor.")] = False,
) -> None:
    """Print the logs of a run's pods, read through the Kubernetes API (by default in the current kube context)."""
    from .pods.logs import print_logs

    print_logs(_connect(access), run, step, raw, follow, console_here())


def _connect(access: Access) -> "Connection":
    from .api.connection import connect

    return connect(access)


def console_here() -> "Console":
    """The terminal; unlimited width if the output is not a terminal."""
    from ..terminal import terminal

    # A file or a pipe has no width.
    return terminal() if sys.stdout.isatty() else terminal(_ANY_WIDTH)


def _go_on(connection: "Connection", run: Any, wait: bool) -> None:
    """Print where to see the run; with `wait`, follow it, and exit with its result unless it succeeded."""
    print(f"{run.display_name} ({run.run_id}): {connection.link(run.run_id)}", flush=True)
    if wait:
        from .following.waiting import follow

        if code := follow(connection, run.run_id, console_here()):
            sys.exit(code)
