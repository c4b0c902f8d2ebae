"""Where every step's module begins: `python3 -m nashflow.components.<step>`. Nothing heavy is imported here.

With `--retries N` this process only watches over a child that does the work, and starts it again where that may help:
a cluster's own retries are for pods that are lost, not for containers that fail.
"""

import os
import sys

from .supervision import supervise

RETRIES = "--retries"
OVERRULE = "NASHFLOW_RETRIES"


def enter(package: str) -> None:
    """Run the step of a package: here, or in children of this process as often as `--retries` allows.

    NASHFLOW_RETRIES in the environment, a number, overrules the flag: runs on this machine set it to 0.
    """
    arguments = sys.argv[1:]
    retries = 0
    if RETRIES in arguments[:-1]:
        at = arguments.index(RETRIES)
        retries = _number(os.environ.get(OVERRULE) or arguments[at + 1])
        del arguments[at : at + 2]
    if retries:
        sys.exit(supervise([sys.executable, "-m", package, *arguments], retries, package.rpartition(".")[2]))
    from .protocol import main

    main(package, arguments)


def _number(text: str) -> int:
    """KFP's local orchestrator writes whole numbers as floats."""
    try:
        return max(0, int(float(text)))
    except (ValueError, OverflowError):
        print(f"{RETRIES}, or {OVERRULE} in the environment: {text!r} is no number of attempts", file=sys.stderr)
        sys.exit(2)
