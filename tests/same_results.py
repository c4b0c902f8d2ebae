"""Whether the code makes the results that it made before: `python -m tests.same_results FILE`.

The first time it writes the digests of all policies and records of five sandbox runs, and of a small run on real models
and prompts where NASHFLOW_DATA and NASHFLOW_MODELS are set, into FILE. After that it makes them again and says what
differs; its exit code is 1 if anything does. Digests are those of one kind of machine, lock and thread count.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from tests.fixtures import cli
from tests.real.test_real import HERE, SMALL

SANDBOX = ("quickstart", "quickstart-tournament", "sandbox-egpo", "sandbox-onpo", "sandbox-nash-md")


def made(folder: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of every policy and record, by unit and name, by run."""
    runs = {name: (name, (*cli.SMALL, "run.iterations=2", "prompts.shards=2")) for name in SANDBOX}
    if {"NASHFLOW_DATA", "NASHFLOW_MODELS"} <= set(os.environ):
        runs["real"] = (str(HERE / "real.yaml"), SMALL)
    found = {}
    for name, (recipe, sets) in runs.items():
        cli.call("run", recipe, "--run-root", str(folder / name), sets=sets)
        found[name] = cli.records(folder / name)
        print(f"{name}: {len(found[name])} files", flush=True)
    return found


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
    differing = differences(json.loads(file.read_text()), now)
    print(*(differing or ["all the same"]), sep="\n")
    sys.exit(bool(differing))
