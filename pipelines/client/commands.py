"""The commands that talk to Kubeflow Pipelines. Heavy imports stand inside the commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import FirstIteration, Overrides, RecipeArgument
from .access import Access, with_access

if TYPE_CHECKING:
    from rich.console import Console

    from .connection import Connection

app = typer.Typer(no_args_is_help=True)

_ANY_WIDTH = 10_000

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or name.")]
Experiment = Annotated[
    str, typer.Option(envvar="KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", help="The KFP experiment that the runs are of.")
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
        typer.Option(
            help="s3://bucket/prefix that the run lives under; {job} becomes its name. Default: cluster.run_root."
        ),
    ] = "",
    first_iteration: FirstIteration = 1,
    name: Annotated[
        str, typer.Option(help="The run's name: the same command again finds it instead of starting it again.")
    ] = "",
    takes_over: Annotated[
        str, typer.Option(metavar="RUN_ID", help="A run that has ended, but still holds the lock of this run root.")
    ] = "",
    experiment: Experiment = "nashflow",
    service_account: ServiceAccount = "",
    wait: Wait = False,
    package: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the compiled pipeline in this YAML file.")
    ] = None,
) -> None:
    """Start a run of a recipe on Kubeflow Pipelines. Exit code with --wait: 0 succeeded, 1 did not, 75 server away."""
    from ..image_versions import warnings
    from ..recipe import load_for_runs
    from .submission import submit as start

    loaded, settings = load_for_runs(recipe, overrides or [])
    for warning in warnings(loaded):
        print(f"nashflow: warning: {warning}", file=sys.stderr)
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
    from .runs import find_run

    connection = _connect(access)
    _go_on(connection, find_run(connection, run), wait=True)


@app.command()
@with_access
def retry(
    access: Access,
    run: Run,
    wait: Wait = False,
) -> None:
    """Submit a run that failed or was cancelled again: it goes on from its last finished unit."""
    from .retry import retry as resubmit

    connection = _connect(access)
    _go_on(connection, resubmit(connection, run), wait)


@app.command()
@with_access
def cancel(
    access: Access,
    run: Run,
) -> None:
    """Stop a run, and wait until it has ended. `retry` lets it go on later."""
    from .runs import cancel as stop
    from .waiting import until_stopped

    connection = _connect(access)
    until_stopped(connection, stop(connection, run), _console())


@app.command()
@with_access
def runs(
    access: Access,
    experiment: Annotated[str, typer.Option(help="Only runs of this experiment.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 20,
) -> None:
    """List the newest runs on Kubeflow Pipelines, and what became of them."""
    from .run_table import print_runs

    print_runs(_connect(access), experiment, limit, _console())


@app.command()
@with_access
def logs(
    access: Access,
    run: Run,
    step: Annotated[
        str,
        typer.Option(
            help="Only this step, such as training, or this task, such as training-001-main; with -driver at its end: "
            "KFP's driver of it."
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep printing, through retries and new pods, to the run's end.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With the lines of KFP's launcher and Argo's executor.")] = False,
) -> None:
    """Print what a run's pods have written, through the Kubernetes API (the current kube context, unless named)."""
    from .logs import print_logs

    print_logs(_connect(access), run, step, raw, follow, _console())


@app.command()
@with_access
def schedule(
    context: typer.Context,
    access: Access,
    recipe: Annotated[str, typer.Argument(metavar="[RECIPE]", help="A recipe, to be run again and again.")] = "",
    cron: Annotated[str, typer.Option(help="When: six fields, seconds first, such as '0 0 3 * * 1'.")] = "",
    name: Annotated[str, typer.Option(help="The schedule's name. Default: the recipe's run.name.")] = "",
    overrides: Overrides = None,
    run_root: Annotated[
        str, typer.Option(help="s3://bucket/prefix/{job}: {job} becomes the id of each run. Default: the recipe's.")
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=10, help="Runs that may be at work at once.")] = 1,
    catchup: Annotated[bool, typer.Option("--catchup", help="Make up for missed firings, one by one.")] = False,
    only_new_prompts: Annotated[
        bool,
        typer.Option(
            "--only-new-prompts/--all-prompts", help="Whether a firing leaves out prompts that earlier ones have taken."
        ),
    ] = True,
    experiment: Experiment = "nashflow",
    service_account: ServiceAccount = "",
    owner: Annotated[str, typer.Option(help="Whose schedule it is; others' are not touched.")] = "command-line",
    paused: Annotated[
        bool | None,
        typer.Option("--pause/--resume", help="Stop the RECIPE's schedule, or that of --name; or let it go on."),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the schedule of this name.")] = False,
    show: Annotated[bool, typer.Option("--list", help="List the schedules.")] = False,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make all schedules of an owner what this YAML file declares.")
    ] = None,
) -> None:
    """Run a recipe again and again, each time under a run root of its own; the schedule is found again by its name."""
    from ..recipe import load_recipe
    from . import recurring, schedules
    from .listing import print_done, print_schedules
    from .mode import mode_of

    mode = mode_of(context, name)
    declared = schedules.ScheduleFile(owner=owner)
    if file:
        declared = schedules.read_schedules(file)
    elif mode == "recipe":
        one = {
            "name": name or load_recipe(recipe, overrides or []).run.name,
            "recipe": recipe,
            "set": overrides or [],
            "cron": cron,
            "concurrency": concurrency,
            "catchup": catchup,
            "paused": paused,
            "only_new_prompts": only_new_prompts,
            "run_root": run_root,
            "experiment": experiment,
            "service_account": service_account,
        }
        declared = schedules.ScheduleFile(owner=owner, schedules=(schedules.Schedule.parse(one, "schedule"),))
    connection = _connect(access)
    if mode in ("recipe", "file"):
        done = schedules.reconcile(connection, declared.owner, declared.schedules, only_these=mode == "file")
        print_done(done, declared.schedules)
    elif show:
        print_schedules(recurring.list_recurring(connection), _console())
    elif delete:
        schedules.delete(connection, name, owner)
        print_done({name: "deleted"})
    else:
        schedules.pause(connection, name, owner, bool(paused))
        print_done({name: "paused" if paused else "resumed"})


def _connect(access: Access) -> "Connection":
    from .connection import connect

    return connect(access)


def _console() -> "Console":
    from ..terminal import terminal

    # What is not a terminal, such as a file or a pipe, has no width.
    return terminal() if sys.stdout.isatty() else terminal(_ANY_WIDTH)


def _go_on(connection: "Connection", run: Any, wait: bool) -> None:
    """Say where a run is to be seen; follow it if that is wanted, and exit with its result unless it succeeded."""
    print(f"{run.display_name} ({run.run_id}): {connection.link(run.run_id)}", flush=True)
    if wait:
        from .waiting import follow

        if code := follow(connection, run.run_id, _console()):
            sys.exit(code)
