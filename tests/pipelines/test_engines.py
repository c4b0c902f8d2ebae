"""An engine that is not available is said by whatever looks at a recipe before it runs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from nashflow.components.core.errors import UserError
from nashflow.components.training.engines import DeepSpeed
from nashflow.pipelines.cli import app
from nashflow.pipelines.cluster.api.access import Access
from nashflow.pipelines.doctor.case import Case
from nashflow.pipelines.doctor.engines import engines
from nashflow.pipelines.recipe import load_recipe

WARNINGS = [
    "nashflow: warning: training.engine: deepspeed is not available here; set it to torch, and logprobs.dtype "
    "to float32",
]
NAMED, THERE = "inpo-llama3-8b", "quickstart"


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSpeed is such an engine."""

    def check(engine: DeepSpeed) -> None:
        raise UserError(WARNINGS[0].removeprefix("nashflow: warning: "))

    monkeypatch.setattr(DeepSpeed, "check", check)


def warned(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stderr.splitlines()


@pytest.mark.parametrize(("recipe", "said"), [(NAMED, WARNINGS), (THERE, [])])
def test_plan_compile_and_lint_say_so(recipe: str, said: list[str], tmp_path: Path) -> None:
    package = str(tmp_path / "pipeline.yaml")
    assert warned("plan", recipe) == said
    assert warned("compile", recipe, "--output", package) == said
    assert warned("lint", package) == said


def test_the_doctor_says_so() -> None:
    def found(recipe: str) -> list[tuple[str, str, str]]:
        return [(each.state, each.found, each.advice) for each in engines(Case(load_recipe(recipe), Access()))]

    assert found(THERE) == [("ok", "all there", "")]
    assert found(NAMED) == [
        (
            "failed",
            "training.engine: deepspeed is not available here",
            "set it to torch, and logprobs.dtype to float32",
        ),
    ]
