"""Schedules on the terminal: what there are, and what has been done about them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from nashflow.components.core.errors import UserError

from .cron import check_cron, cron_in_words, next_firings
from .recurring import is_enabled, owner_of
from .schedules import Schedule


def print_done(done: Mapping[str, str], declared: Iterable[Schedule] = ()) -> None:
    """The action on each schedule, and the next time of each existing one."""
    crons = {schedule.name: schedule.cron for schedule in declared}
    for name, action in done.items():
        print(f"{name}: {action}")
        if name in crons and not action.endswith("paused"):
            print(f"  {cron_in_words(crons[name])}; next:")
            for time in next_firings(crons[name], datetime.now(UTC)):
                print(f"  {time:%a %Y-%m-%d %H:%M:%S}")


def print_schedules(runs: Iterable[Any], console: Console) -> None:
    """All recurring runs of a namespace, of all owners."""
    columns = ("name", "owner", "cron", "in words", "next", "at once", "catch-up", "run root")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for run in sorted(runs, key=lambda run: run.display_name):
        parameters = (run.runtime_config.parameters if run.runtime_config else None) or {}
        cron, words, next_one = _when(run)
        table.add_row(
            run.display_name,
            owner_of(run) or "",
            cron,
            words,
            next_one if is_enabled(run) else "paused",
            run.max_concurrency or "",
            "no" if run.no_catchup else "yes",
            str(parameters.get("run_root", "")),
        )
    console.print(table)


def _when(run: Any) -> tuple[str, str, str]:
    """Cron, the same in words, and the next time; other programs may have made schedules without cron."""
    cron = run.trigger.cron_schedule.cron if run.trigger and run.trigger.cron_schedule else ""
    if not cron:
        return "", "", ""
    try:
        check_cron(cron)
    except UserError:
        return cron, "", ""
    return cron, cron_in_words(cron), f"{next_firings(cron, datetime.now(UTC), 1)[0]:%Y-%m-%d %H:%M:%S}"
