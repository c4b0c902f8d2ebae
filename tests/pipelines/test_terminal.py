"""What is printed is text: no brackets and no words between colons in it are taken for markup."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.table import Table

from nashflow.pipelines.doctor.finding import Finding
from nashflow.pipelines.doctor.show import show_table
from nashflow.pipelines.terminal import terminal
from tests.fixtures import cli
from tests.fixtures.recipe_fields import FRAGMENTS

ROOT = Path(__file__).parents[2]
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


def test_there_is_no_other_terminal() -> None:
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("pipelines/**/*.py")}
    assert [path for path, source in sources.items() if "Console(" in source] == ["pipelines/terminal.py"]


def test_the_plan_names_prompts_so() -> None:
    path = f"/models/{MARKUP}{'x' * 300}.jsonl"
    done = cli.call("plan", "inpo-llama3-8b", "--set", f"prompts.path={json.dumps(path)}")
    assert path in done.stdout, "and not broken at the terminal's edge"


def test_the_doctor_says_so_what_it_found(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert not show_table([Finding("prompts", "failed", MARKUP, MARKUP, MARKUP)], strict=False)
    assert capsys.readouterr().out.count(MARKUP) == 3
