"""Recurring runs as the server has them: found, compared, created, switched and deleted."""

import contextlib
import json
import re
from collections.abc import Iterable
from typing import Any

import kfp_server_api

from nashflow.components.core.errors import UserError

from ..api.connection import Connection, NotFound
from ..api.creation import create_once

_DECLARED = re.compile(r'; declared by (?P<owner>"(?:[^"\\]|\\.)*")(?:; fires in the place of (?P<replaced>[^;]+))?$')


def list_recurring(connection: Connection, name: str = "") -> list[Any]:
    """All recurring runs of the namespace, or those of one name."""
    options = {"namespace": connection.namespace} if connection.namespace else {}
    method = connection.client.recurring_runs.recurring_run_service_list_recurring_runs
    return named(connection.every(method, "recurring_runs", **options), name)


def named(runs: Iterable[Any], name: str) -> list[Any]:
    """Those of this name; all of them if it is empty."""
    return [run for run in runs if not name or run.display_name == name]


def describe(description: str, owner: str) -> str:
    """The description of a recurring run: what it runs, and who has declared it."""
    return f"{description}; declared by {json.dumps(owner)}"


def replacing(description: str, replaced: Iterable[Any]) -> str:
    """The description of a recurring run that shall fire in the place of others."""
    return f"{description}; fires in the place of {', '.join(run.recurring_run_id for run in replaced)}"


def owner_of(run: Any) -> str | None:
    """The owner in the description of a recurring run; None if it has none."""
    found = _DECLARED.search(run.description or "")
    return str(json.loads(found["owner"])) if found else None


def _replaced(run: Any) -> set[str]:
    """Ids of the recurring runs that a new one replaces."""
    found = _DECLARED.search(run.description or "")
    return set((found["replaced"] or "").split(", ")) if found else set()


def check_owner(runs: Iterable[Any], owner: str) -> None:
    """Raise if a recurring run belongs to another owner.

    Raises:
        UserError: somebody else holds one of the recurring runs.
    """
    for run in runs:
        if (holder := owner_of(run)) != owner:
            whose = f"is held by the owner {holder}" if holder else "was created by another owner"
            raise UserError(f"the schedule {run.display_name} {whose}, not by {owner}: choose another name")


def is_enabled(run: Any) -> bool:
    """Whether a recurring run fires."""
    return bool(run.mode == kfp_server_api.RecurringRunMode.ENABLE)


def shall_fire(runs: Iterable[Any]) -> bool:
    """Whether recurring runs of one name fire, or would if a change had not been interrupted."""
    there = {run.recurring_run_id: run for run in runs}
    return any(is_enabled(run) or there.keys() & _replaced(run) for run in there.values())


def alike(runs: Iterable[Any], run: Any) -> list[Any]:
    """Those that mean the same as `run`, whether they fire or not."""
    return [other for other in runs if _meaning(other) == _meaning(run, other)]


def create(connection: Connection, body: Any) -> Any:
    """A new recurring run.

    Raises:
        UserError: the server refuses it. ConnectionError: it stays away.
    """
    method = connection.client.recurring_runs.recurring_run_service_create_recurring_run

    def find() -> Any | None:
        return next(iter(alike(list_recurring(connection, body.display_name), body)), None)

    return create_once(connection, f"the schedule {body.display_name}", find, method, body)


def enable(connection: Connection, run: Any, enabled: bool) -> None:
    """Let a recurring run fire, or not."""
    recurring = connection.client.recurring_runs
    method = (
        recurring.recurring_run_service_enable_recurring_run
        if enabled
        else recurring.recurring_run_service_disable_recurring_run
    )
    connection.call(method, recurring_run_id=run.recurring_run_id)


def delete(connection: Connection, run: Any) -> None:
    """Delete a recurring run, unless it is gone already."""
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
