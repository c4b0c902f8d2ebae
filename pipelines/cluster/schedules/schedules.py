"""`nashflow schedule`: recurring runs, reconciled by name with what is declared."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import kfp_server_api
from pydantic import AfterValidator, Field

from nashflow.components.core.errors import UserError
from nashflow.components.core.settings import Settings
from nashflow.components.core.yaml_files import read_yaml

from ...image_versions import warn_of_images
from ...recipe import load_for_runs
from ...webhooks import warn_of_webhooks
from ..api.connection import Connection, NotFound
from ..submission.package import Package, compile_package, firing_root_of
from ..submission.submission import experiment_id, tracked_in, upload, with_set
from .cron import check_cron
from .recurring import (
    alike,
    check_owner,
    create,
    describe,
    enable,
    is_enabled,
    list_recurring,
    named,
    owner_of,
    replacing,
    shall_fire,
)
from .recurring import delete as delete_recurring


class Schedule(Settings):
    """A recurring run, as it shall be."""

    name: str = Field(min_length=1)
    """Its name, by which it is found again."""
    recipe: str
    """A recipe's YAML file, or a shipped recipe's name."""
    set: tuple[str, ...] = ()
    """The recipe's values to set, such as training.learning_rate=1e-6."""
    cron: Annotated[str, AfterValidator(check_cron)]
    """When it fires: six fields, seconds first, such as 0 0 3 * * 1."""
    concurrency: int = Field(1, ge=1, le=10)
    """Runs of it that may be at work at once."""
    catchup: bool = False
    """Whether missed runs are started later, one by one."""
    paused: bool | None = None
    """Whether it does not fire; unset: as it is, and a new one fires."""
    only_new_prompts: bool = True
    """Whether a scheduled run takes only prompts that no earlier one has taken, and ends at once if there are too
    few."""
    run_root: str = ""
    """Run root of its runs, with {job} in its last part; empty: the recipe's cluster.run_root."""
    experiment: str = "nashflow"
    """The experiment of its runs."""
    service_account: str = ""
    """The Kubernetes service account of its runs; empty: the recipe's, or else the cluster's default."""


class ScheduleFile(Settings):
    """All recurring runs of one owner."""

    owner: str = Field(min_length=1)
    """Owner of the schedules; those of other owners are not changed."""
    schedules: tuple[Schedule, ...] = ()
    """The wanted schedules; all others of this owner are deleted."""


def read_schedules(path: Path) -> ScheduleFile:
    """The schedules declared in a YAML file.

    Raises:
        UserError: it cannot be read, an unknown key or a wrong value, a name declared twice.
    """
    try:
        declared = ScheduleFile.parse(read_yaml(path, f"--file {path}"), str(path))
    except FileNotFoundError:
        raise UserError(f"--file {path}: there is no such file") from None
    names = [schedule.name for schedule in declared.schedules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"--file {path}: declared twice: {', '.join(twice)}")
    return declared


def reconcile(
    connection: Connection, owner: str, schedules: Sequence[Schedule], *, only_these: bool = False
) -> dict[str, str]:
    """Create, change, pause or resume recurring runs to match their declarations; returns the action by name.

    With `only_these`, the owner's other ones are deleted. Everything is checked before anything is changed.

    Raises:
        UserError: a schedule that cannot be, or a name that somebody else holds.
    """
    known = list_recurring(connection)
    for schedule in schedules:
        check_owner(named(known, schedule.name), owner)
    with TemporaryDirectory(prefix="nashflow-schedule-") as folder:
        wanted = []
        for number, schedule in enumerate(schedules):
            recipe, settings = load_for_runs(schedule.recipe, schedule.set)
            warn_of_images(recipe, f"{schedule.name}: ")
            warn_of_webhooks(recipe, f"{schedule.name}: ")
            package = compile_package(recipe, Path(folder, f"{number}.yaml"))
            wanted.append((schedule, package, _parameters(schedule, package, settings)))
        done = {
            schedule.name: _make(
                connection,
                _body(connection, schedule, package, parameters, owner),
                schedule.paused,
                named(known, schedule.name),
            )
            for schedule, package, parameters in wanted
        }
    for run in known:
        if only_these and owner_of(run) == owner and run.display_name not in done:
            delete_recurring(connection, run)
            done[run.display_name] = "deleted"
    return done


def pause(connection: Connection, name: str, owner: str, paused: bool) -> None:
    """Pause or resume a recurring run.

    Raises:
        UserError: there is none of this name, or it is somebody else's.
    """
    for run in _existing(connection, name, owner):
        enable(connection, run, not paused)


def delete(connection: Connection, name: str, owner: str) -> None:
    """Delete a recurring run; the runs that it has fired stay.

    Raises:
        UserError: there is none of this name, or it is somebody else's.
    """
    for run in _existing(connection, name, owner):
        delete_recurring(connection, run)


def _existing(connection: Connection, name: str, owner: str) -> list[Any]:
    found = list_recurring(connection, name)
    if not found:
        raise UserError(
            f"{name}: {connection.access} knows no such schedule; `nashflow schedule list` shows those there are"
        )
    check_owner(found, owner)
    return found


def _parameters(schedule: Schedule, package: Package, settings: str) -> dict[str, Any]:
    root = firing_root_of(package, schedule.run_root)
    return {"run_root": root, "set": settings, "only_new_prompts": schedule.only_new_prompts}


def _body(connection: Connection, schedule: Schedule, package: Package, parameters: dict[str, Any], owner: str) -> Any:
    """The recurring run, as the API has it; it does not fire yet."""
    return kfp_server_api.V2beta1RecurringRun(
        display_name=schedule.name,
        description=describe(with_set(package.description, parameters["set"]), owner),
        experiment_id=experiment_id(connection, schedule.experiment),
        pipeline_version_reference=upload(connection, package).reference,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=parameters),
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=schedule.cron)),
        max_concurrency=str(schedule.concurrency),
        no_catchup=not schedule.catchup,
        service_account=schedule.service_account or package.service_account or None,
        plugins_input=tracked_in(schedule.experiment),
        mode=kfp_server_api.RecurringRunMode.DISABLE,
    )


def _make(connection: Connection, body: Any, paused: bool | None, existing: Sequence[Any]) -> str:
    """Make one recurring run match its declaration; KFP cannot change one, so a new one replaces the old.

    The new one is made before the old one goes, and fires only when that does not any more: what the server refuses
    leaves the old one as it is, and an interrupted change is completed by the next call.
    """
    fires = not paused if paused is not None else not existing or shall_fire(existing)
    same = alike(existing, body)
    made = not same
    if made:
        same = _replace(connection, body, fires, existing)
    # Whoever declares the same at the same time keeps the same one.
    keep = min(same, key=lambda run: (run.created_at, run.recurring_run_id))
    others = {run.recurring_run_id: run for run in (*existing, *same) if run.recurring_run_id != keep.recurring_run_id}
    switched = is_enabled(keep) != fires
    if switched:
        _switch(connection, keep, fires, [run for run in others.values() if is_enabled(run)])
    for run in others.values():
        delete_recurring(connection, run)
    state = "" if fires else ", paused"
    if made:
        return ("changed" if existing else "created") + state
    return f"unchanged{state}" if not switched else "resumed" if fires else "paused"


def _replace(connection: Connection, body: Any, fires: bool, existing: Sequence[Any]) -> list[Any]:
    """Create a recurring run; it, and those of the same meaning that somebody else has made meanwhile."""
    if fires and existing:
        body.description = replacing(body.description, existing)
    elif fires:
        body.mode = kfp_server_api.RecurringRunMode.ENABLE
    new = create(connection, body)
    return alike(list_recurring(connection, body.display_name), body) or [new]


def _switch(connection: Connection, run: Any, fires: bool, others: Sequence[Any]) -> None:
    """Let a recurring run fire in place of `others`, which fire now; or let none of them fire."""
    for other in others:
        with contextlib.suppress(NotFound):
            enable(connection, other, False)
    enable(connection, run, fires)
