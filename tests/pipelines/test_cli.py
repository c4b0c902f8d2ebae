"""The `nashflow` command: what it lists, how fast it answers, how it fails."""

import errno
import functools
import importlib.metadata
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nashflow.components.core.errors import UserError
from nashflow.pipelines import cli as command_line
from tests.fixtures import cli


def test_help_lists_the_commands() -> None:
    text = cli.call("--help").stdout
    for command in ("run", "compile", "plan", "report"):
        assert f" {command} " in text
    assert "Usage: nashflow plan " in cli.call("plan", "--help").stdout


def test_every_command_explains_itself_by_h() -> None:
    for command in ((), ("init",), ("run",), ("doctor",), ("game", "solve")):
        assert cli.here(*command, "-h").stdout == cli.here(*command, "--help").stdout


def test_the_version_is_the_packages() -> None:
    assert cli.here("--version").stdout == f"nashflow {importlib.metadata.version('nashflow')}\n"


def test_the_shell_completes_commands_and_shipped_recipes() -> None:
    def completed(words: str) -> list[str]:
        place = str(len(words.split(" ")) - 1)
        asked = {"_NASHFLOW_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place}
        return cli.call(**asked).stdout.split()

    assert completed("nashflow re") == ["report", "recipes", "retry"]
    assert completed("nashflow run quickstart-") == ["quickstart-iterative-dpo", "quickstart-tournament"]


def test_a_tilde_is_the_home_folder_where_the_shell_leaves_it(tmp_path: Path) -> None:
    matrix, home = tmp_path / "home/m.csv", {"HOME": str(tmp_path / "home")}
    matrix.parent.mkdir()
    matrix.write_text("0.5,0.9\n0.1,0.5\n")
    matrix.with_name("r.csv").write_text("0.25,0.75\n")
    done = subprocess.run(
        cli.command("game", "solve", "~/m.csv", "--method=inpo", "--reference=~/r.csv"),
        env=cli.environment(**home),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "0.250000" in done.stdout) == (0, True), done.stderr
    done = cli.here("compile", "quickstart", "-o~/p.yaml", **home)
    assert (done.stdout, matrix.with_name("p.yaml").exists()) == (f"{tmp_path}/home/p.yaml\n", True)


HELP = """
import sys
from nashflow.pipelines import cli
sys.argv = ["nashflow", "--help"]
try:
    cli.main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names), file=sys.stderr)
"""


def test_help_answers_at_once() -> None:
    """Of all libraries it imports the ones that write it."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    # setuptools loads its hack when Python starts, where it is installed.
    theirs = {name for name in done.stderr.split() if not name.startswith("__")} - {"nashflow", "_distutils_hack"}
    assert theirs <= {"annotated_doc", "attr", "markdown_it", "mdurl", "pygments", "rich", "shellingham", "typer"}


# --- exit codes ------------------------------------------------------------------------------------------------------


def refused(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code, and the one line on stderr, of a command that fails."""
    done = cli.here(*arguments, check=False, **environment)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_a_compiled_graph_is_named(tmp_path: Path) -> None:
    done = cli.here("compile", "quickstart", "-o", str(tmp_path / "p.yaml"))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/p.yaml\n")
    assert (tmp_path / "p.yaml").stat().st_size > 0


def test_a_users_mistake_is_one_line_and_2(tmp_path: Path) -> None:
    code, line = refused("plan", "quikstart")
    assert (code, line.startswith("nashflow: quikstart: no such recipe")) == (2, True)
    assert refused("report", str(tmp_path)) == (
        2,
        f"nashflow: {tmp_path}: no run here; a run root holds run.json, which preparation writes",
    )


def test_an_unknown_option_is_2() -> None:
    assert cli.here("run", "quickstart", "--rot", "x", check=False).returncode == 2


def test_a_place_that_cannot_be_written_is_one_line_and_2(tmp_path: Path) -> None:
    code, line = refused("compile", "quickstart", "-o", f"{tmp_path}/absent/p.yaml")
    assert (code, line) == (2, f"nashflow: {tmp_path}/absent/p.yaml: No such file or directory")
    (tmp_path / "file").touch()
    code, line = refused("compile", "quickstart", "-o", f"{tmp_path}/file/p.yaml")
    assert (code, line) == (2, f"nashflow: {tmp_path}/file/p.yaml: Not a directory")


def test_a_run_root_that_cannot_be_made_is_one_line_and_2() -> None:
    code, line = refused("run", "quickstart", "--run-root", "/proc/nobody/run")
    assert code == 2
    assert line.startswith("nashflow: /proc/nobody")


def failing(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What the command makes of an error from inside."""

    def app(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", app)
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, 2),
        (errno.EACCES, 2),
        (errno.EPERM, 2),
        (errno.ENOTDIR, 2),
        (errno.EISDIR, 2),
        (errno.EROFS, 2),
        (errno.ENOSPC, 75),
        (errno.EDQUOT, 75),
        (errno.ECONNREFUSED, 75),
        (errno.EIO, 1),
    ],
)
def test_the_systems_errors_have_codes(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, os.strerror(number), "/data/runs")
    assert failing(error, monkeypatch, capsys) == (code, f"nashflow: /data/runs: {os.strerror(number)}\n")


def test_what_an_error_says_becomes_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "no bucket here:\n  create it"
    assert failing(UserError(words), monkeypatch, capsys) == (2, "nashflow: no bucket here: create it\n")
    assert failing(ConnectionError(words), monkeypatch, capsys) == (75, "nashflow: no bucket here: create it\n")
    assert failing(OSError("corrupt"), monkeypatch, capsys) == (1, "nashflow: corrupt\n")


def test_a_mistake_of_ours_keeps_its_traceback_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = failing(KeyError("http://joe:canary@host"), monkeypatch, capsys)
    assert code == 1
    assert said.startswith("Traceback (most recent call last):\n")
    assert said.splitlines()[-1] == "KeyError: 'http://host'"


def _connected_once(connect: Any, uri: str, attempts: int, *options: Any) -> Any:
    return connect(uri, 1, *options)


@pytest.mark.usefixtures("s3_server")
def test_a_server_that_does_not_answer_is_75(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nashflow.components.storage import store_s3

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        monkeypatch.setattr(store_s3, "_connect", functools.partial(_connected_once, store_s3._connect))
        monkeypatch.setattr("sys.argv", ["nashflow", "report", "s3://bucket/run"])
        with pytest.raises(SystemExit) as caught:
            command_line.main()
    assert caught.value.code == 75
    assert capsys.readouterr().err == (
        f"nashflow: s3://bucket/run/run.json: no answer from {endpoint}: check AWS_ENDPOINT_URL_S3 and the network, or "
        "try again later\n"
    )
