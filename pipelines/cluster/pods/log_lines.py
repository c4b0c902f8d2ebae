"""A pod's log, told apart: what the step has written, and what KFP's launcher or driver and Argo's executor have."""

import re
from collections.abc import Iterable, Iterator

from nashflow.components.core.errors import one_line

_ARGO = re.compile(r'time="?\d{4}-\d\d-\d\dT\S+ level=\w+ .*\bargo=true\b|Error: exit status \d+$')
_KFP = re.compile(r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+\.go:\d+\] (?P<said>.*)")
_EXIT = re.compile(r"Component failed to execute successfully: exit status (\d+)")


class OwnLines:
    """Which lines of a log are the step's own, asked line by line, from the first one on."""

    def __init__(self) -> None:
        self._inside = False

    def __call__(self, line: str) -> bool:
        """Whether this line, the next one of the log, is the step's own."""
        if self._inside:
            # KFP prints whole JSON objects, indented, whose last brace is the first one at a line's beginning.
            self._inside = line != "}"
            return False
        if match := _KFP.match(line):
            self._inside = match["said"].endswith("{")
            return False
        return not _ARGO.match(line)


def shown_lines(log: Iterable[str], driver: bool) -> Iterator[str]:
    """The lines of a log that a person wants to see: the step's own; those of KFP's that are no JSON, if a driver's."""
    own = OwnLines()
    for line in log:
        mine = own(line)
        if mine or (driver and _KFP.match(line) and not line.endswith("{")):
            yield line


def last_words(log: str, driver: bool) -> str:
    """The last line that the step has written, else the last of KFP's complaints; the other way round for a driver."""
    lines = [line for line in log.splitlines() if line.strip()]
    complaints = [match["said"] for line in lines if (match := _KFP.match(line)) and match["level"] in "EF"]
    own = list(shown_lines(lines, driver=False))
    pools = (complaints, own) if driver else (own, complaints)
    return next((one_line(pool[-1]) for pool in pools if pool), "")


def exit_code(log: str) -> int | None:
    """The exit code of the step, where it failed: the pod's own is 1 whatever the step's was."""
    found = _EXIT.search(log)
    return int(found[1]) if found else None
