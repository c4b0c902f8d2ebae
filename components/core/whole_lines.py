"""Lines on stderr of a process whose threads speak at the same time."""

import sys


def say(line: str) -> None:
    """Write a line to stderr in one piece: `print` writes its end apart, and another thread's text may come between."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
