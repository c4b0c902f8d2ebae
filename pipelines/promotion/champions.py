"""`nashflow rollback` and `nashflow champions`."""

import json
from typing import Any

from nashflow.components.core.errors import UserError
from nashflow.components.registry.champions import Registry
from nashflow.components.registry.version import CROWNED, Version

from ..mlflow_beside import use_store_beside
from ..terminal import terminal


def roll_back(model: str, to: int | None, reason: str) -> None:
    """Make version `to`, or the champion before, the champion, and say what was done.

    Raises:
        UserError: there is none to go back to, or its files are gone or changed.
    """
    use_store_beside()
    before, now = Registry.open(model).rollback(to, reason)
    was = f"version {before.number}" if before else "a version that has been deleted"
    terminal().print(f"{model}: version {now.number} is the champion, and was {was}: {now.place}", soft_wrap=True)


def print_champions(model: str, as_json: bool) -> None:
    """Print the versions of a registered model, the newest last.

    Raises:
        UserError: there are none.
    """
    use_store_beside()
    registry = Registry.open(model)
    versions, champion = registry.versions(), registry.number("champion")
    if not versions:
        raise UserError(f"registered model {model}: has no versions; nashflow promote RUN_ROOT registers the first")
    rows = [_row(version, champion) for version in versions]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    # Reasons and places are long: in columns, a terminal would cut them.
    console = terminal()
    console.print(f"registered model {model}", style="bold", soft_wrap=True)
    for row in rows:
        since = f", since {row['since']}" if row["since"] else ""
        weights = row["weights"][:12] or "unknown"
        console.print(f"{row['version']}: {row['state']}{since}; weights {weights}; {row['place']}", soft_wrap=True)


def _row(version: Version, champion: int | None) -> dict[str, Any]:
    current = version.number == champion
    return {
        "version": version.number,
        "state": "champion" if current else version.rolled_back or ("was champion" if version.reign else "registered"),
        "reign": version.reign,
        "since": version.tags.get(CROWNED, ""),
        "weights": version.weights,
        "run_root": version.run_root,
        "policy": version.policy,
        "place": version.place,
    }
