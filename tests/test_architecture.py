"""The house's rules for imports, sizes and documentation, read off the sources; the rules are tested themselves."""

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TREES = ("components", "pipelines")
STEPS = (
    "preparation",
    "judge_training",
    "rollout",
    "judging",
    "logprobs",
    "training",
    "evaluation",
    "promotion",
    "reporting",
    "closing",
)
FLOORS = [
    ("core",),
    ("storage",),
    ("runtime", "models", "notifications", "tracking", "prompts"),
    ("methods", "games", "fitting", "registry"),
    ("oracles", "sampling", "scoring"),
    ("benchmarks",),
    ("iterations", "quality"),
    ("measuring",),
    ("reports",),
    STEPS,
]
FLOOR = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
RECIPE, READS_RECIPES = "recipe.py", "preparation"
"""The one module beside the floors: it composes the steps' settings, and one step reads what it composes."""
OF_STEPS = {("preparation", "policy")} | {(step, "settings") for step in STEPS}
"""The modules of steps that hold settings: of which the recipe is composed."""
HEAVY = {
    "boto3",
    "botocore",
    "deepspeed",
    "emoji",
    "langdetect",
    "lm_eval",
    "matplotlib",
    "mlflow",
    "nltk",
    "safetensors",
    "scipy",
    "sklearn",
    "syllapy",
    "tokenizers",
    "torch",
    "transformers",
    "vllm",
}
CLIENT_ONLY = {"kfp", "kfp_kubernetes", "kubernetes"}
STARTS_JOBS = "components/training/launchers/"
"""Beside the client, what makes the jobs that a step trains by asks Kubernetes."""
FILE_LINES, FUNCTION_LINES = 500, 80

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def sources() -> dict[str, str]:
    """Every source file by its path from the repository's root."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for tree in TREES
        for path in sorted((ROOT / tree).rglob("*.py"))
    }


# --- the rules: a source file in, complaints out ---------------------------------------------------------------------


def imported(path: str, source: str) -> Iterator[tuple[ast.stmt, str, bool]]:
    """(statement, dotted module or member, whether it is relative) of every import, relative ones from the root."""
    package = Path(path).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            depth = len(package) - node.level + 1
            base = () if not node.level else package[:depth] if depth >= 0 else ("..",)
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((node, ".".join((*module, alias.name)), node.level > 0) for alias in node.names)


def floor_mistakes(path: str, source: str) -> list[str]:
    """Imports that point upwards or sideways."""
    tree, part = Path(path).parts[:2]
    mistakes = []
    for node, name, _ in imported(path, source):
        target = name.removeprefix("nashflow.").split(".")
        if tree != "components" or target[0] not in TREES:
            continue
        if part == RECIPE or target[1] == "recipe":
            if not about_recipes(part, target):
                mistakes.append(f"{path}:{node.lineno}: {part} imports {name}")
        elif target[0] == "pipelines" or part not in FLOOR or target[1] not in FLOOR:
            mistakes.append(f"{path}:{node.lineno}: {name} is on no floor below")
        elif target[1] != part and FLOOR[target[1]] >= FLOOR[part]:
            mistakes.append(f"{path}:{node.lineno}: {part} imports {name}")
    return mistakes


def about_recipes(part: str, target: list[str]) -> bool:
    """Whether an import of the recipe's module, or by it, is allowed."""
    if target[:2] == ["components", "recipe"]:
        return part == READS_RECIPES
    below = target[0] == "components" and target[1] in FLOOR
    return below and (target[1] not in STEPS or tuple(target[1:3]) in OF_STEPS)


def relative_mistakes(path: str, source: str) -> list[str]:
    """Absolute imports of the own tree, and imports under names that are not installed."""
    tree = Path(path).parts[0]
    mistakes = []
    for node, name, relative in imported(path, source):
        if relative and name.split(".")[0] not in TREES:
            mistakes.append(f"{path}:{node.lineno}: {name} lies outside of the package")
        if not relative and f"{name}.".startswith(f"nashflow.{tree}."):
            mistakes.append(f"{path}:{node.lineno}: import {name} relatively")
        if not relative and name.split(".")[0] in TREES:
            mistakes.append(f"{path}:{node.lineno}: {name} is installed as nashflow.{name}")
    return mistakes


def client_mistakes(path: str, source: str) -> list[str]:
    """Imports of what belongs to the client in code that runs in a container."""
    parts = Path(path).parts
    if parts[0] == "pipelines" or (len(parts) == 3 and parts[1] in STEPS and parts[2] == "component.py"):
        return []
    forbidden = CLIENT_ONLY - ({"kubernetes"} if path.startswith(STARTS_JOBS) else set())
    found = imported(path, source)
    return [f"{path}:{node.lineno}: {name}" for node, name, _ in found if name.split(".")[0] in forbidden]


def heavy_mistakes(path: str, source: str) -> list[str]:
    """Imports of heavy libraries that happen when the module is imported."""
    allowed: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (isinstance(node, ast.If) and for_types(node)):
            inside = (inner for statement in node.body for inner in ast.walk(statement))
            allowed.update(inner.lineno for inner in inside if isinstance(inner, ast.Import | ast.ImportFrom))
    return [
        f"{path}:{node.lineno}: {name} at the module's top"
        for node, name, relative in imported(path, source)
        if not relative and name.split(".")[0] in HEAVY and node.lineno not in allowed
    ]


def for_types(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def public(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Public functions and classes, and the public methods of those."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def documentation_mistakes(path: str, source: str) -> list[str]:
    """Public definitions without a docstring, and public functions that are not annotated throughout."""
    tree = ast.parse(source)
    mistakes = [] if ast.get_docstring(tree) or not tree.body else [f"{path}: no docstring"]
    for node in public(tree):
        if not ast.get_docstring(node):
            mistakes.append(f"{path}:{node.lineno}: {node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            continue
        signature = node.args
        arguments = [*signature.posonlyargs, *signature.args, *signature.kwonlyargs, signature.vararg, signature.kwarg]
        bare = [a.arg for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")]
        if bare or not node.returns:
            mistakes.append(f"{path}:{node.lineno}: {node.name} lacks annotations: {', '.join(bare) or 'return'}")
    return mistakes


def size_mistakes(path: str, source: str) -> list[str]:
    """Files and functions that are too long."""
    lines = source.count("\n")
    mistakes = [f"{path}: {lines} lines"] if lines > FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                mistakes.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    return mistakes


Rule = Callable[[str, str], list[str]]

RULES: list[Rule] = [
    floor_mistakes,
    relative_mistakes,
    client_mistakes,
    heavy_mistakes,
    documentation_mistakes,
    size_mistakes,
]

STEP, CORE, METHOD = "components/rollout/step.py", "components/core/x.py", "components/methods/x.py"
DOC = '"""What it is."""\n'

BROKEN: list[tuple[Rule, str, str]] = [
    (floor_mistakes, STEP, "from ..judging import step"),
    (floor_mistakes, STEP, "def f():\n    from ..judging.settings import JudgingSettings"),
    (floor_mistakes, STEP, "from nashflow.pipelines import graph"),
    (floor_mistakes, CORE, "from ..methods import inpo"),
    (floor_mistakes, CORE, "from .. import methods"),
    (floor_mistakes, METHOD, "from ..games.preference import gap"),
    (floor_mistakes, "components/games/sandbox/world.py", "from ...oracles import base"),
    (floor_mistakes, "components/oracles/base.py", "from ..scoring import logprobs"),
    (floor_mistakes, "components/sampling/x.py", "import nashflow.components.oracles.base"),
    (floor_mistakes, "components/benchmarks/x.py", "from ..iterations.work import AtWork"),
    (floor_mistakes, "components/iterations/x.py", "from ..evaluation.settings import EvaluationSettings"),
    (floor_mistakes, "components/scoring/x.py", "from ..benchmarks.base import Bench"),
    (floor_mistakes, "components/unheard_of/x.py", "from ..core import errors"),
    (floor_mistakes, STEP, "from ..recipe import Recipe"),
    (floor_mistakes, CORE, "from nashflow.components.recipe import Recipe"),
    (floor_mistakes, "components/recipe.py", "from .evaluation.step import run"),
    (floor_mistakes, "components/recipe.py", "from .evaluation import step"),
    (floor_mistakes, "components/recipe.py", "from .preparation import prompts"),
    (floor_mistakes, "components/recipe.py", "from nashflow.pipelines import cluster"),
    (floor_mistakes, "components/recipe.py", "from .unheard_of import x"),
    (relative_mistakes, STEP, "from nashflow.components.core import errors"),
    (relative_mistakes, STEP, "from components.core import errors"),
    (relative_mistakes, "pipelines/cli.py", "from components.core import errors"),
    (relative_mistakes, "pipelines/cli.py", "from ..tests.fixtures import s3"),
    (relative_mistakes, "pipelines/local/x.py", "from ....pipelines import graph"),
    (relative_mistakes, "pipelines/cli.py", "import nashflow.pipelines.graph"),
    (client_mistakes, STEP, "from kfp import dsl"),
    (client_mistakes, STEP, "def f():\n    import kfp.dsl"),
    (client_mistakes, "components/core/component.py", "import kfp"),
    (client_mistakes, "components/training/step.py", "from kubernetes import client"),
    (client_mistakes, f"{STARTS_JOBS}torchrun.py", "import kfp"),
    (heavy_mistakes, STEP, "import torch"),
    (heavy_mistakes, STEP, "import numpy, transformers.models as t"),
    (heavy_mistakes, STEP, "try:\n    from scipy import stats\nexcept ImportError:\n    stats = None"),
    (heavy_mistakes, STEP, "class A:\n    import mlflow"),
    (heavy_mistakes, STEP, "if TYPE_CHECKING:\n    pass\nelse:\n    import vllm"),
    (documentation_mistakes, STEP, "x = 1"),
    (documentation_mistakes, STEP, DOC + "def f() -> None: ..."),
    (documentation_mistakes, STEP, DOC + "class A: ..."),
    (documentation_mistakes, STEP, DOC + f"class A:\n    {DOC}    def f(self) -> None: ..."),
    (documentation_mistakes, STEP, DOC + f"def f(a, *, b: int) -> int:\n    {DOC}"),
    (documentation_mistakes, STEP, DOC + f"def f(*a) -> int:\n    {DOC}"),
    (documentation_mistakes, STEP, DOC + f"async def f(a: int):\n    {DOC}"),
    (size_mistakes, STEP, "x = 1\n" * (FILE_LINES + 1)),
    (size_mistakes, STEP, "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
    (size_mistakes, STEP, "class A:\n    async def f():\n" + "        x = 1\n" * FUNCTION_LINES),
]

FINE: list[tuple[Rule, str, str]] = [
    (
        floor_mistakes,
        STEP,
        "from .settings import RolloutStep\nfrom ..scoring.logprobs import score\nfrom ..storage import run",
    ),
    (floor_mistakes, METHOD, "from ..core.settings import Settings\nimport numpy\nfrom . import phases"),
    (floor_mistakes, "components/games/sandbox/world.py", "from ..preference import gap\nfrom ...core import seeds"),
    (floor_mistakes, "pipelines/graph.py", "from nashflow.components.judging import component"),
    (floor_mistakes, "pipelines/recipe.py", "from nashflow.components.recipe import Recipe"),
    (floor_mistakes, "components/preparation/step.py", "from ..recipe import Recipe"),
    (
        floor_mistakes,
        "components/recipe.py",
        "from .evaluation.settings import Evaluation\nfrom .methods import AnyMethod\nfrom .core import errors\n"
        "from .preparation.policy import AnyPolicy",
    ),
    (relative_mistakes, "pipelines/graph.py", "from nashflow.components.methods import inpo\nfrom . import local"),
    (relative_mistakes, "pipelines/graph.py", "from ..components.methods import inpo"),
    (relative_mistakes, CORE, "from .store import Store\nimport componentsish"),
    (client_mistakes, "components/rollout/component.py", "from kfp import dsl"),
    (client_mistakes, "pipelines/graph.py", "import kfp"),
    (client_mistakes, f"{STARTS_JOBS}trainjob/api.py", "def f():\n    from kubernetes import client"),
    (heavy_mistakes, STEP, "import torchlike\nfrom ..core import torch\ndef f():\n    if 1:\n        import torch"),
    (heavy_mistakes, STEP, "if TYPE_CHECKING:\n    import torch\n    from transformers import PreTrainedModel"),
    (documentation_mistakes, "components/core/__init__.py", ""),
    (documentation_mistakes, STEP, DOC + f"def f(a: int) -> int:\n    {DOC}    def g(b): ...\ndef _h(c): ..."),
    (
        documentation_mistakes,
        STEP,
        DOC + f"class A:\n    {DOC}    def __init__(self, a): ...\nclass _B:\n    def f(self): ...",
    ),
    (size_mistakes, STEP, "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)),
]


@pytest.mark.parametrize(("rule", "path", "source"), BROKEN)
def test_a_rule_sees_what_breaks_it(rule: Rule, path: str, source: str) -> None:
    assert len(rule(path, source)) == 1


@pytest.mark.parametrize(("rule", "path", "source"), FINE)
def test_a_rule_lets_the_rest_be(rule: Rule, path: str, source: str) -> None:
    assert rule(path, source) == []


# --- the house -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_the_sources_keep_the_rule(rule: Rule) -> None:
    assert [mistake for path, source in sources().items() for mistake in rule(path, source)] == []


def test_every_folder_of_components_has_a_floor() -> None:
    folders = {path.parent.name for path in (ROOT / "components").glob("*/*.py")}
    assert folders <= set(FLOOR), "say in FLOORS which floor a new folder stands on"


def test_pyproject_lists_exactly_the_packages_that_there_are() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {Path(path).parent for path in sources()}
    assert sorted(listed) == sorted("nashflow." + ".".join(folder.parts) for folder in folders)
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


def test_importing_the_steps_loads_nothing_heavy() -> None:
    """The second way to the same answer: import every module that runs in a container, and see what has been loaded."""
    modules = [
        "nashflow." + path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for path in sources()
        if path.startswith("components/") and not path.endswith(("/component.py", "/__main__.py"))
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(*sorted({HEAVY | CLIENT_ONLY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.sep, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
