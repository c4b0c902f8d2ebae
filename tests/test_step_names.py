"""A step is named in the list of steps, in its own folder and in the recipe; elsewhere it is a value of that list."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from nashflow.pipelines.steps import STEPS
from tests.test_architecture import imported, sources

LIST, RECIPE, UNITS = "pipelines/steps.py", "components/recipe.py", "components/iterations/units.py"
"""What may name any step: the list of them, the recipe's fields, and the module that says which units there are."""

EXCEPTIONS = {
    "components/benchmarks/kl.py": {"logprobs"},
    "components/core/runtimes.py": {"training"},
    "components/evaluation/step.py": {"evaluation", "rollout"},
    "components/iterations/tracked.py": {"training", "evaluation"},
    "components/oracles/llm_judge/client.py": {"logprobs"},
    "components/oracles/llm_judge/grammar.py": {"logprobs"},
    "components/preparation/described.py": {"training"},
    "components/promotion/gate.py": {"evaluation", "promotion", "rollout"},
    "components/reports/comparison/comparison.py": {"training"},
    "components/reports/comparison/costs.py": {"training"},
    "components/reports/comparison/entries.py": {"training"},
    "components/reports/summary.py": {"judging"},
    "components/storage/layout.py": {"preparation", "logprobs", "training", "evaluation", "promotion"},
    "components/storage/records.py": {"logprobs"},
    "components/storage/run.py": {"evaluation", "judging", "promotion", "reporting", "training"},
    "components/training/task.py": {"training", "logprobs"},
    "pipelines/judge/train.py": {"judge_training"},
    "pipelines/prompts.py": {"preparation"},
    "pipelines/run_root.py": {"judging"},
    "pipelines/reference/initial.py": {"rollout", "judging", "logprobs", "training", "evaluation"},
}
"""What names steps besides: folders, columns, sections and a server's fields that are called as they are; and the
recipes of `init`."""


def named(path: str, source: str) -> set[str]:
    """Steps that a file imports from, or names in a word such as `training-001-main`, `1/training` or `training`.

    A sentence may speak of a step, and `training.learning_rate` is a setting.
    """
    return {*_imported(path, source), *_written(source)} & STEPS.keys()


def _imported(path: str, source: str) -> Iterator[str]:
    for _, name, _ in imported(path, source):
        tree, _, rest = name.removeprefix("nashflow.").partition(".")
        if tree == "components":
            yield rest.partition(".")[0]


def _written(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield from () if re.search(r"\s", node.value) else re.split("[/-]", node.value)


def allowed(path: str) -> set[str]:
    """The steps that a file may name."""
    if path in (LIST, RECIPE, UNITS):
        return set(STEPS)
    return {PurePath(path).parts[1], *EXCEPTIONS.get(path, ())}


def test_no_other_file_names_a_step() -> None:
    found = {path: named(path, source) - allowed(path) for path, source in sources().items()}
    assert {path: steps for path, steps in found.items() if steps} == {}


def test_every_exception_is_one() -> None:
    assert {path: named(path, sources()[path]) for path in EXCEPTIONS} == EXCEPTIONS


FILE = "pipelines/x.py"


@pytest.mark.parametrize(
    "source",
    [
        "x = 'training'",
        "x = f'{t}/training'",
        "if name.startswith('training-'): ...",
        "x = {'training': 1}",
        "from nashflow.components.training.step import run",
        "from nashflow.components import training",
        "import nashflow.components.training.component",
        "def f():\n    from ..components.training import settings",
    ],
)
def test_a_name_is_found(source: str) -> None:
    assert named(FILE, source) == {"training"}


@pytest.mark.parametrize(
    "source",
    [
        '"""training"""',
        'class A:\n    x: int\n    """training"""',
        "x = 'while training goes on'",
        "x = 'training.learning_rate=1e-6'",
        "x = 'training_image'",
        "x = recipe.training.epochs",
        "from nashflow.components.scoring import logprobs",
    ],
)
def test_what_names_none_is_let_be(source: str) -> None:
    assert named(FILE, source) == set()
