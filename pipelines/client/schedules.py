"""`nashflow schedule`: recurring runs, reconciled by name with what is declared."""

import contextlib
import copy
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import kfp_server_api
import yaml
from pydantic import AfterValidator, Field

from nashflow.components.shared.errors import UserError
from nashflow.components.shared.settings import Settings

from ..recipe import load_recipe
from .connection import Connection, NotFound
from .creation import create_once
from .cron import check_cron
from .package import Package, compile_package, firing_root_of
from .submission import experiment_id, upload


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
    """Whether firings that were missed are made up for, one by one."""
    paused: bool = False
    """Whether it fires at all."""
    only_new_prompts: bool = True
    """Whether a firing takes only prompts that no earlier one has taken, and ends at once where there are none."""
    run_root: str = ""
    """Run root of its runs, with {job} in it; empty: the recipe's cluster.run_root."""
    experiment: str = "nashflow"
    """The experiment of its runs."""
    service_account: str = ""
    """The Kubernetes service account of its runs; empty: the recipe's, or else the cluster's default."""


class ScheduleFile(Settings):
    """All recurring runs of one owner."""

    owner: str = Field(min_length=1)
    """Whose they are: nobody else's are touched."""
    schedules: tuple[Schedule, ...] = ()
    """What there shall be; what else this owner has declared before is deleted."""


def read_schedules(path: Path) -> ScheduleFile:
    """The schedules declared in a YAML file.

    Raises:
        UserError: it cannot be read, an unknown key or a wrong value, a name declared twice.
    """
    try:
        declared = ScheduleFile.parse(yaml.safe_load(path.read_text()), str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"--file {path}: cannot be read: {' '.join(str(error).split())}") from None
    names = [schedule.name for schedule in declared.schedules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"--file {path}: declared twice: {', '.join(twice)}")
    return declared


def reconcile(
    connection: Connection, owner: str, schedules: Sequence[Schedule], *, only_these: bool = False
) -> dict[str, str]:
    """Make recurring runs what is declared: created, changed, paused, resumed, or unchanged; what was done, by name.

    With `only_these`, the owner's other ones are deleted. Everything is checked before anything is changed.

    Raises:
        UserError: a schedule that cannot be, or a name that somebody else holds.
    """
    known = list_schedules(connection)
    for schedule in schedules:
        _check_owner(_named(known, schedule.name), owner)
    with TemporaryDirectory(prefix="nashflow-schedule-") as folder:
        packages = [
            compile_package(load_recipe(schedule.recipe, schedule.set), Path(folder, f"{number}.yaml"))
            for number, schedule in enumerate(schedules)
        ]
        wanted = list(zip(schedules, packages, map(_parameters, schedules, packages), strict=True))
        done = {
            schedule.name: _make(
                connection, _body(connection, schedule, package, parameters, owner), _named(known, schedule.name)
            )
            for schedule, package, parameters in wanted
        }
    for run in known:
        if only_these and owner_of(run) == owner and run.display_name not in done:
            _delete(connection, run)
            done[run.display_name] = "deleted"
    return done


def list_schedules(connection: Connection) -> list[Any]:
    """All recurring runs of the namespace."""
    options = {"namespace": connection.namespace} if connection.namespace else {}
    method = connection.client.recurring_runs.recurring_run_service_list_recurring_runs
    return list(connection.every(method, "recurring_runs", **options))


def pause(connection: Connection, name: str, owner: str, paused: bool) -> None:
    """Stop a recurring run from firing, or let it fire again.

    Raises:
        UserError: there is none of this name, or it is somebody else's.
    """
    for run in _existing(connection, name, owner):
        _enable(connection, run, not paused)


def delete(connection: Connection, name: str, owner: str) -> None:
    """Delete a recurring run; the runs that it has fired stay.

    Raises:
        UserError: there is none of this name, or it is somebody else's.
    """
    for run in _existing(connection, name, owner):
        _delete(connection, run)


def owner_of(run: Any) -> str | None:
    """Who declared a recurring run, as its description says; None if nobody did."""
    try:
        description = json.loads(run.description or "")
    except ValueError:
        return None
    return description.get("nashflow-owner") if isinstance(description, dict) else None


def _named(runs: Iterable[Any], name: str) -> list[Any]:
    return [run for run in runs if run.display_name == name]


def _existing(connection: Connection, name: str, owner: str) -> list[Any]:
    found = _named(list_schedules(connection), name)
    if not found:
        raise UserError(f"--name {name}: {connection.access} knows no such schedule; --list shows those there are")
    _check_owner(found, owner)
    return found


def _check_owner(runs: Iterable[Any], owner: str) -> None:
    for run in runs:
        if (holder := owner_of(run)) != owner:
            whose = f"is held by the owner {holder}" if holder else "was made by somebody else"
            raise UserError(f"the schedule {run.display_name} {whose}, not by {owner}: choose another name")


def _parameters(schedule: Schedule, package: Package) -> dict[str, str]:
    parameters = {"run_root": firing_root_of(package, schedule.run_root)}
    if "only_new_prompts" in package.defaults:
        parameters["only_new_prompts"] = "true" if schedule.only_new_prompts else "false"
    return parameters


def _body(connection: Connection, schedule: Schedule, package: Package, parameters: dict[str, str], owner: str) -> Any:
    """The recurring run, as the API has it."""
    mode = kfp_server_api.RecurringRunMode
    return kfp_server_api.V2beta1RecurringRun(
        display_name=schedule.name,
        description=json.dumps({"nashflow-owner": owner}),
        experiment_id=experiment_id(connection, schedule.experiment),
        pipeline_version_reference=upload(connection, package).reference,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=parameters),
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=schedule.cron)),
        max_concurrency=str(schedule.concurrency),
        no_catchup=not schedule.catchup,
        service_account=schedule.service_account or package.service_account or None,
        mode=mode.DISABLE if schedule.paused else mode.ENABLE,
    )


def _make(connection: Connection, body: Any, existing: Sequence[Any]) -> str:
    """Make one recurring run what it shall be; KFP cannot change one, so a new one takes the place of the old.

    The new one is made before the old one goes, and fires only then: what the server refuses leaves the old one as it
    is, and an interrupted change is completed by the next call.
    """
    same = next((run for run in existing if _meaning(run) == _meaning(body, run)), None)
    if not same:
        new = _create(connection, body, existing)
    keep = same or new
    for run in existing:
        if run.recurring_run_id != keep.recurring_run_id:
            _delete(connection, run)
    wanted, is_so = is_enabled(body), is_enabled(keep)
    if wanted != is_so:
        _enable(connection, keep, wanted)
    if not same:
        return "changed" if existing else "created"
    return "unchanged" if wanted == is_so else "resumed" if wanted else "paused"


def _create(connection: Connection, body: Any, existing: Sequence[Any]) -> Any:
    """A new recurring run; it does not fire yet where there is one that it replaces."""
    method = connection.client.recurring_runs.recurring_run_service_create_recurring_run
    old = {run.recurring_run_id for run in existing}
    if existing:
        body = copy.copy(body)
        body.mode = kfp_server_api.RecurringRunMode.DISABLE

    def find() -> Any | None:
        named = _named(list_schedules(connection), body.display_name)
        return next((run for run in named if run.recurring_run_id not in old), None)

    return create_once(connection, f"the schedule {body.display_name}", find, method, body)


def is_enabled(run: Any) -> bool:
    """Whether a recurring run fires."""
    return bool(run.mode == kfp_server_api.RecurringRunMode.ENABLE)


def _enable(connection: Connection, run: Any, enabled: bool) -> None:
    recurring = connection.client.recurring_runs
    method = (
        recurring.recurring_run_service_enable_recurring_run
        if enabled
        else recurring.recurring_run_service_disable_recurring_run
    )
    connection.call(method, recurring_run_id=run.recurring_run_id)


def _delete(connection: Connection, run: Any) -> None:
    method = connection.client.recurring_runs.recurring_run_service_delete_recurring_run
    with contextlib.suppress(NotFound):  # an answer may have been lost
        connection.call(method, recurring_run_id=run.recurring_run_id)


def _meaning(run: Any, other: Any = None) -> tuple[Any, ...]:
    """All that makes a recurring run what it is, but whether it fires; unset fields are left to the server."""
    version, config = run.pipeline_version_reference, run.runtime_config
    cron = run.trigger.cron_schedule if run.trigger else None
    return (
        cron.cron if cron else None,
        (version.pipeline_id, version.pipeline_version_id) if version else None,
        dict(config.parameters or {}) if config else {},
        int(run.max_concurrency or 1),
        bool(run.no_catchup),
        run.experiment_id,
        owner_of(run),
        run.service_account or (other.service_account if other else None),
    )
