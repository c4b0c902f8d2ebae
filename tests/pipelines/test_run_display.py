"""What a run shows while it runs: bars on a terminal, lines elsewhere, by what its steps say of themselves."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import cli

COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])(?:;[0-9;]*)?m")
SHOW = """
import sys, time
from pathlib import Path
from nashflow.pipelines.local import Event
from nashflow.pipelines.run_display import Shown, display
from nashflow.pipelines.terminal import terminal

log, options = Path(sys.argv[1]), eval(sys.argv[2])
log.write_text("$ python3 -m x\\n")
status = {"lines": 1, "line": "12:00 training: 3 of 4 updates"}
status |= {"done": 3, "total": 4, "unit": "updates", "words": "8.1/s, 2 min left, loss 0.421"}
record = {"step": "training", "iteration": 1, "phase": "main", "skipped": False, "seconds": 9.0}
record |= {"metrics": {"loss": 0.4}}
with display(terminal(), "quickstart", 2, Shown(**options)) as show:
    show(Event("x/training-001-main", (), "started", 1, log))
    show(Event("x/training-001-main", (), "working", 1, log, status=status))
    with log.open("a") as file:
        file.write("some library: a word\\nhalf a li")
    show(Event("x/training-001-main", (), "working", 1, log, status=status))
    time.sleep(0.3 if sys.stdout.isatty() else 0)  # until the bars are drawn again
    with log.open("a") as file:
        file.write("ne\\n")
    show(Event("x/training-001-main", (), "succeeded", 1, log, 9.0, 0, (record,)))
"""
LINE = "iteration 1  main      training                 9.0 s  loss 0.4\n"


def shown(folder: Path, options: dict[str, object]) -> tuple[str, str]:
    """Stdout and stderr of a run that is no terminal's."""
    command = [sys.executable, "-c", SHOW, str(folder / "log"), repr(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def on_terminal(folder: Path, options: dict[str, object], **environment: str) -> bytes:
    """Everything that a terminal of 160 columns is sent."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", SHOW, str(folder / "log"), repr(options)]
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI")}
    terminal = {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=kept | terminal | environment)
    os.close(theirs)
    sent = b""
    try:
        while new := os.read(ours, 65536):
            sent += new
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, sent.decode()
    return sent


def words(sent: bytes) -> str:
    """What stands on a terminal, colours and movements left out."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent.decode())


def test_a_terminal_shows_a_bar_for_the_task_below_the_runs(tmp_path: Path) -> None:
    sent = on_terminal(tmp_path, {})
    assert re.search(r"quickstart +━+ 0/2 0:00:0\d", words(sent))
    bar = r"  training-001-main +━+[╸╺]?━* 3/4 0:00:0\d updates  8\.1/s, 2 min left, loss 0\.421"
    assert re.search(bar, words(sent))
    assert LINE.strip() in words(sent)
    assert "12:00 training" not in words(sent)
    assert COLOUR.search(sent)


def test_no_color_holds(tmp_path: Path) -> None:
    sent = on_terminal(tmp_path, {}, NO_COLOR="1")
    assert "loss 0.421" in words(sent)
    assert not COLOUR.search(sent)


def test_verbose_says_above_the_bars_what_steps_write(tmp_path: Path) -> None:
    sent = words(on_terminal(tmp_path, {"verbose": True}))
    assert "some library: a word" in sent
    assert "half a line" in sent
    assert "loss 0.421" in sent


@pytest.mark.parametrize("options", [{"quiet": True}, {"log_format": "json"}])
def test_without_bars_nothing_moves(tmp_path: Path, options: dict[str, object]) -> None:
    assert "━" not in words(on_terminal(tmp_path, options))


@pytest.mark.parametrize(
    ("options", "out", "err"),
    [
        ({}, LINE, "12:00 training: 3 of 4 updates\n"),
        ({"log_format": "text"}, LINE, "12:00 training: 3 of 4 updates\n"),
        ({"verbose": True}, LINE, "some library: a word\nhalf a line\n"),
        ({"quiet": True}, "", ""),
    ],
)
def test_elsewhere_there_are_lines(tmp_path: Path, options: dict[str, object], out: str, err: str) -> None:
    assert shown(tmp_path, options) == (out, err)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--log-format", "xml"), "--log-format: 'xml' is unknown; known here: json, text"),
        (("--log-format", "jsn"), "--log-format: 'jsn' is unknown; did you mean json?"),
        (("--quiet", "--verbose"), "--quiet and --verbose contradict each other: give one of them"),
        (
            ("--set", "cluster.log_format=xml"),
            "quickstart: cluster.log_format: Input should be 'text' or 'json', not 'xml'",
        ),
    ],
)
def test_options_that_mean_nothing_are_one_line(tmp_path: Path, options: tuple[str, ...], line: str) -> None:
    done = cli.here("run", "quickstart", "--run-root", str(tmp_path / "run"), *options, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"nashflow: {line}\n")
    assert not (tmp_path / "run").exists()
