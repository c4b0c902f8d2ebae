"""Whether the code makes the results that it made before: `python -m tests.same_results FILE`.

The first time it writes the digests of all policies and records of five sandbox runs, and of a small run on real models
and prompts where NASHFLOW_DATA and NASHFLOW_MODELS are set, into FILE. After that it makes them again and says what
differs; its exit code is 1 if anything does. Digests are those of one kind of machine, lock and thread count.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from nashflow.components.core.digests import sha256_bytes
from nashflow.components.iterations.units import Shape
from nashflow.components.storage.records import COMPARISONS, GAME_POLICY, ROLLOUTS, Record, table, to_bytes
from nashflow.components.storage.run import require_run
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import require_manifest
from tests.fixtures import cli
from tests.real.test_real import HERE, SMALL

_EVALUATION = re.compile(r"(iterations/\d+/evaluation)/\S+")
EVALUATED: tuple[Record[Any], ...] = (ROLLOUTS, COMPARISONS, GAME_POLICY)
SANDBOX = ("quickstart", "quickstart-tournament", "sandbox-egpo", "sandbox-onpo", "sandbox-nash-md")


def made(folder: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of every policy and record, by unit and name, by run."""
    runs = {name: (name, (*cli.SMALL, "run.iterations=2", "prompts.shards=2")) for name in SANDBOX}
    if {"NASHFLOW_DATA", "NASHFLOW_MODELS"} <= set(os.environ):
        runs["real"] = (str(HERE / "real.yaml"), SMALL)
    found = {}
    for name, (recipe, sets) in runs.items():
        cli.call("run", recipe, "--run-root", str(folder / name), sets=sets)
        found[name] = content(folder / name)
        print(f"{name}: {len(found[name])} files", flush=True)
    return found


def content(run_root: Path) -> dict[str, str]:
    """Those of one run; of an evaluation, each kind of record is one, whichever units it is kept in."""
    found = {name: digest for name, digest in cli.records(run_root).items() if not _EVALUATION.match(name)}
    store = open_store(str(run_root))
    run = require_run(store)
    for iteration in range(run.recipe["run"]["iterations"] + 1):
        units = [require_manifest(store, unit) for unit in Shape.of(run).units(iteration)["evaluation"]]
        for record in EVALUATED:
            rows = [row for unit in units if record.name in unit.files for row in unit.rows(store, record)]
            data = to_bytes(table(rows, record), record, record.name)
            found[f"iterations/{iteration:03d}/evaluation {record.name}"] = sha256_bytes(data)
    return found


def read(file: Path) -> dict[str, dict[str, str]]:
    """What was written before; then an evaluation may have been one unit, with all of its records."""
    written = json.loads(file.read_text())
    return {run: {_EVALUATION.sub(r"\1", name): digest for name, digest in of.items()} for run, of in written.items()}


def differences(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """The files that are not the same, in a line each; a run that one of them lacks is left out."""
    return [
        f"{run}: {name}"
        for run in before.keys() & after.keys()
        for name in sorted(before[run].keys() | after[run].keys())
        if before[run].get(name) != after[run].get(name)
    ]


if __name__ == "__main__":
    file = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        now = made(Path(scratch))
    if not file.exists():
        file.write_text(json.dumps(now, indent=1))
        sys.exit()
    differing = differences(read(file), now)
    print(*(differing or ["all the same"]), sep="\n")
    sys.exit(bool(differing))
