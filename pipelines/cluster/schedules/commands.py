"""`nashflow schedule`: commands for schedules (KFP's recurring runs). Heavy imports are inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

from nashflow.components.core.errors import UserError

from ...options import Overrides
from ..api.access import Access, on_command_line, with_access
from ..commands import Experiment, ServiceAccount, console_here

app = typer.Typer(no_args_is_help=True, help="Run recipes on a schedule.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Owner = Annotated[str, typer.Option(help="Owner of the schedule; those of other owners are not changed.")]
_COMMAND_LINE = "command-line"
_FILE = "file"


@app.command()
@with_access
def apply(
    context: typer.Context,
    access: Access,
    recipe: Annotated[str, typer.Argument(metavar="[RECIPE]", help="The recipe to run.")] = "",
    cron: Annotated[str, typer.Option(help="When: six fields, seconds first, such as '0 0 3 * * 1'.")] = "",
    name: Annotated[str, typer.Option(help="The schedule's name. Default: the recipe's run.name.")] = "",
    overrides: Overrides = None,
    run_root: Annotated[
        str, typer.Option(help="s3://bucket/prefix/{job}: {job} becomes the id of each run. Default: the recipe's.")
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=10, help="Largest number of runs at the same time.")] = 1,
    catchup: Annotated[bool, typer.Option("--catchup", help="Start missed runs later, one by one.")] = False,
    only_new_prompts: Annotated[
        bool,
        typer.Option(
            "--only-new-prompts/--all-prompts", help="Whether a run skips prompts that earlier runs have taken."
        ),
    ] = True,
    experiment: Experiment = "nashflow",
    service_account: ServiceAccount = "",
    owner: Owner = _COMMAND_LINE,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file that declares all schedules of an owner.")
    ] = None,
) -> None:
    """Schedule runs of a recipe, each with its own run root; or create, change and delete schedules to match a file."""
    from ...recipe import load_recipe
    from ..api.connection import connect
    from .listing import print_done
    from .schedules import Schedule, ScheduleFile, read_schedules, reconcile

    _check_source(context, recipe, file)
    if file:
        declared = read_schedules(file)
    else:
        one = {
            "name": name or load_recipe(recipe, overrides or []).run.name,
            "recipe": recipe,
            "set": overrides or [],
            "cron": cron,
            "concurrency": concurrency,
            "catchup": catchup,
            "only_new_prompts": only_new_prompts,
            "run_root": run_root,
            "experiment": experiment,
            "service_account": service_account,
        }
        declared = ScheduleFile(owner=owner, schedules=(Schedule.parse(one, "schedule"),))
    done = reconcile(connect(access), declared.owner, declared.schedules, only_these=file is not None)
    print_done(done, declared.schedules)


@app.command("list")
@with_access
def show(access: Access) -> None:
    """List all schedules, including those of other owners."""
    from ..api.connection import connect
    from .listing import print_schedules
    from .recurring import list_recurring

    print_schedules(list_recurring(connect(access)), console_here())


@app.command()
@with_access
def pause(access: Access, name: Name, owner: Owner = _COMMAND_LINE) -> None:
    """Pause a schedule: it starts no runs."""
    _switch(access, name, owner, paused=True)


@app.command()
@with_access
def resume(access: Access, name: Name, owner: Owner = _COMMAND_LINE) -> None:
    """Resume a paused schedule."""
    _switch(access, name, owner, paused=False)


@app.command()
@with_access
def delete(access: Access, name: Name, owner: Owner = _COMMAND_LINE) -> None:
    """Delete a schedule; the runs that it has started stay."""
    from ..api.connection import connect
    from . import schedules

    schedules.delete(connect(access), name, owner)
    print(f"{name}: deleted")


def _switch(access: Access, name: str, owner: str, *, paused: bool) -> None:
    from ..api.connection import connect
    from . import schedules

    schedules.pause(connect(access), name, owner, paused)
    print(f"{name}: {'paused' if paused else 'resumed'}")


def _check_source(context: typer.Context, recipe: str, file: Path | None) -> None:
    """Refuse `apply` without a recipe or file, and options that --file would ignore."""
    if not recipe and not file:
        raise UserError("schedule apply: give a RECIPE with --cron, or --file")
    taken = {_FILE, *Access.__dataclass_fields__}
    others = (option for option in context.command.params if option.name not in taken)
    ignored = ["/".join((*o.opts, *o.secondary_opts)) for o in others if on_command_line(context, o.name or "")]
    if file and ignored:
        raise UserError(f"schedule apply: --file takes no {', '.join(ignored)}: the file says it")
