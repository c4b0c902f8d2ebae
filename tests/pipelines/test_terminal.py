"""What is printed is text: no brackets and no words between colons in it are taken for markup."""

import ast
import contextlib
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.table import Table

from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.doctor.show import show_table
from nashflow.pipelines.terminal import print_anything, terminal
from tests.fixtures import cli
from tests.fixtures.recipe_fields import FRAGMENTS

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("pipelines", "components") for path in ROOT.glob(f"{folder}/**/*.py")]
MARKUP = "[bold]x[/bold] [/] :cat: [link=y] \\["

printable = st.lists(st.sampled_from([":cat:", ":", "[", "]", *FRAGMENTS]) | st.text(max_size=3), max_size=6).map(
    lambda parts: "".join(character for part in parts for character in part if character.isprintable())
)


@given(text=printable)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_is_printed_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(10_000).print(text, soft_wrap=True)
    assert capsys.readouterr().out == f"{text}\n"


def test_so_are_titles_and_cells_of_tables(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(MARKUP, title=MARKUP)
    table.add_row(MARKUP)
    terminal(200).print(table)
    assert capsys.readouterr().out.count(MARKUP) == 3


def in_ascii(show: Callable[[], object]) -> str:
    """What a terminal that has ASCII only gets."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(stream):
        print_anything()
        show()
    stream.seek(0)
    return stream.read()


def test_what_a_terminal_cannot_print_gets_a_plain_substitute() -> None:
    said = in_ascii(lambda: print("π_ref – τ → η ≥ 1 …, 2 × 3 ± 1, Größe, /caf\udce9/run, \ud800"))
    assert said == "pi_ref - tau -> eta >= 1 ..., 2 x 3 +- 1, Gr\\xf6\\xdfe, /caf\\xe9/run, \\ud800\n"


def test_columns_stay_columns_there() -> None:
    table = Table("τ", "then", title="μ")
    table.add_row("…", "x")
    lines = in_ascii(lambda: terminal(80).print(table)).rstrip("\n").splitlines()[1:]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "| tau | then |" in lines


def test_every_character_that_messages_have_is_known_there() -> None:
    """Docstrings and comments apart, which nobody prints."""
    written = "".join(sorted({character for path in SOURCES for text in _texts(path) for character in text}))
    assert "–" in written
    assert "\\" not in in_ascii(lambda: print(written))


def _texts(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in statements:
            yield "".join(character for character in node.value if not character.isascii() and character.isprintable())


def test_a_byte_that_is_no_utf8_is_printed_on_any_terminal() -> None:
    done = subprocess.run([*cli.COMMAND, "lint", b"/caf\xe9/x.yaml"], env=cli.environment(), capture_output=True)
    assert (done.returncode, b"/caf\\xe9/x.yaml" in done.stderr) == (2, True), done.stderr


def test_names_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("extends: caf\u00e9.yaml\n", encoding="utf-8")
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    for arguments, words, where in (
        (("path", b"/caf\xe9"), "/caf\\xe9: has a byte that is no utf-8: rename the folder", {}),
        (("path", b"/caf\xc3\xa9"), "/caf\\xc3\\xa9: has a byte that is no ascii: set PYTHONUTF8=1", ascii_only),
        (("plan", str(recipe)), "cannot be written in ascii: set PYTHONUTF8=1", ascii_only),
    ):
        done = subprocess.run([*cli.COMMAND, *arguments], env=cli.environment(**where), capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n"), words in done.stderr) == (2, 1, True), done.stderr


def test_there_is_no_other_terminal() -> None:
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("pipelines/**/*.py")}
    assert [path for path, source in sources.items() if "Console(" in source] == []


def test_the_plan_names_prompts_so() -> None:
    path = f"/models/{MARKUP}{'x' * 300}.jsonl"
    done = cli.here("plan", "inpo-llama3-8b", "--set", f"prompts.path={json.dumps(path)}")
    assert path in done.stdout, "and not broken at the terminal's edge"


def test_the_doctor_says_so_what_it_found(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert not show_table([Finding("prompts", "failed", MARKUP, MARKUP, MARKUP)], strict=False)
    assert capsys.readouterr().out.count(MARKUP) == 3
