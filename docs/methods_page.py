"""`docs/methods.md`, made from the methods' docstrings and phases, the sandbox recipes and `docs/methods.template.md`.

`python -m docs.methods_page`, from the root of the repository, writes it anew.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple, get_args

from nashflow.components.methods import METHODS
from nashflow.components.methods.base import Method
from nashflow.components.methods.phases import REFERENCE, Phase, PolicyRef, Sampling
from nashflow.pipelines.plan import work_of
from nashflow.pipelines.recipe import SHIPPED, Recipe, load_recipe

from .docstrings import Description, describe

ROOT = Path(__file__).parents[1]
PAGE, TEMPLATE = ROOT / "docs/methods.md", ROOT / "docs/methods.template.md"

_ITERATION = 3
"""The iteration that is shown: late enough for every history, and for all step sizes to be in their stride."""
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
_EMPHASIS = re.compile(r"(?<=')_|(?<=π)\*")
"""What Markdown would take for emphasis in a formula."""


class _Documented(NamedTuple):
    """A method with what documents it."""

    name: str
    """`method.name`."""
    file: str
    """Stem of its source file."""
    description: Description
    recipes: Mapping[str, Recipe]
    """Its sandbox recipes by name."""


def render() -> str:
    """The page.

    Raises:
        ValueError: a method has no sandbox recipe, or its docstring lacks something.
    """
    stems = sorted(path.stem for path in SHIPPED.glob("sandbox-*.yaml"))
    recipes = {stem: load_recipe(str(SHIPPED / f"{stem}.yaml")) for stem in stems}
    documented = [_document(method, recipes) for method in METHODS.members.values()]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        theory=_theory(documented), iteration=_iteration(documented), sections="\n\n".join(map(_section, documented))
    )


def _document(method: type[Method], recipes: Mapping[str, Recipe]) -> _Documented:
    module, name = inspect.getmodule(method), method.model_fields["name"].default
    assert module is not None
    file = module.__name__.rpartition(".")[2]
    own = {stem: recipe for stem, recipe in recipes.items() if type(recipe.method) is method}
    if not own:
        raise ValueError(f"{name}: there is no pipelines/recipes/sandbox-*.yaml of this method")
    return _Documented(name, file, describe(module.__doc__ or "", f"components/methods/{file}.py"), own)


def _theory(documented: Iterable[_Documented]) -> str:
    """A row a method: what it solves, what it promises, which tests illustrate it."""
    rows = []
    for method in documented:
        entries = method.description.entries
        link = f"[`{method.name}`](#{_anchor(method.description.name)})"
        paper, game, guarantee = map(_text, (method.description.source, entries["Game"], entries["Guarantee"]))
        rows.append([link, paper, game, guarantee, ", ".join(_tests(method))])
    return _table(["method", "paper", "game solved", "guarantee", "illustrated by"], rows)


def _tests(method: _Documented) -> list[str]:
    """Links to the tests of its population minimiser, of its exact solvers and, where there are such, of its phases."""
    tests = ROOT / "tests/components"
    links = {"minimiser": tests / "methods/test_population.py"}
    for path in sorted((tests / "games/solvers").glob(f"test_{method.file}*.py")):
        links[f"solver {path.stem.removeprefix('test_')}"] = path
    if (own := tests / f"methods/test_{method.file}.py").is_file():
        links["phases"] = own
    return [f"[{kind}](../{path.relative_to(ROOT).as_posix()})" for kind, path in links.items()]


def _iteration(documented: Iterable[_Documented]) -> str:
    """A row a sandbox recipe: an iteration with the recipe's constants, and the counts of a bracket of eight."""
    headings = ["recipe", "constants", "responses of", "anchors", "target"]
    headings += ["responses", "comparisons", "trainings", "log-probs of"]
    rows = [_row(name, recipe) for method in documented for name, recipe in method.recipes.items()]
    return _table(headings, rows)


def _row(name: str, recipe: Recipe) -> list[str]:
    counted = _of_eight(recipe)
    phases, work = recipe.method.phases(_ITERATION), work_of(counted, _ITERATION)
    updates = "".join(f" of {phase.updates} updates" for phase in phases if phase.updates)
    return [
        f"[`{name}`](../pipelines/recipes/{name}.yaml)",
        _constants(recipe.method),
        *(_by_phase(phases, describe_one) for describe_one in (_source, _anchors, _target)),
        str(work.responses),
        f"{work.comparisons} ({counted.method.phases(_ITERATION)[0].comparisons})",
        f"{work.trainings}{updates}",
        ", ".join(dict.fromkeys(_policy(policy) for phase in phases for policy in _counting(phase))),
    ]


def _constants(method: Method) -> str:
    """What the recipe sets of the method, but for K, in whose place stands 8."""
    given = method.model_dump(mode="json", exclude_unset=True, exclude={"name", "samples"})
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _of_eight(recipe: Recipe) -> Recipe:
    """The recipe for one prompt and K = 8, with a bracket where the method plays one."""
    method = recipe.method.model_dump(mode="json")
    fields = type(recipe.method).model_fields
    if "samples" in fields:
        method["samples"] = 8
    if "bracket" in get_args(fields["comparisons"].annotation if "comparisons" in fields else None):
        method["comparisons"] = "bracket"
    data = recipe.model_dump(mode="json")
    data["prompts"]["per_iteration"] = 1
    return Recipe.parse({**data, "method": method}, recipe.run.name)


def _by_phase(phases: Sequence[Phase], describe_one: Callable[[Phase], str]) -> str:
    """One line where all phases agree, else one a phase."""
    cells = {phase.name: describe_one(phase) for phase in phases}
    if len(set(cells.values())) == 1:
        return cells[phases[0].name]
    return "<br>".join(f"{name}: {cell}" for name, cell in cells.items())


def _source(phase: Phase) -> str:
    """Who writes the responses."""
    if phase.data_from:
        return f"those of {phase.data_from}"
    given = {"pairs": "given pairs", "responses": "given responses", None: ""}[phase.given]
    return " and ".join(filter(None, [*map(_sampled, phase.samples), given]))


def _sampled(sampling: Sampling) -> str:
    policies = {policy: weight for policy, weight in sorted(sampling.policies.items()) if weight}
    if len(policies) == 1:
        return _policy(*policies)
    return " · ".join(f"{_policy(policy)}^{weight:.3g}" for policy, weight in policies.items()) + ", token by token"


def _anchors(phase: Phase) -> str:
    weights = {policy: f"{phase.anchors[policy]:.3g} " for policy in _counting(phase)}
    return " + ".join(f"{weight if len(weights) > 1 else ''}{_policy(policy)}" for policy, weight in weights.items())


def _target(phase: Phase) -> str:
    constant = f"β = {phase.beta:.4g}" if phase.link == "logistic" else f"c = {phase.target:.4g}"
    return f"{phase.link}, {constant}"


def _counting(phase: Phase) -> list[PolicyRef]:
    return [policy for policy in sorted(phase.anchors) if phase.anchors[policy]]


def _policy(policy: PolicyRef) -> str:
    """A policy as the papers write it, t being that of the policy at the iteration's start."""
    if policy == REFERENCE:
        return "π_ref"
    age = policy.iteration - (_ITERATION - 1)
    index = f"{{t{age:+d}}}".replace("-", "−") if age else "t"
    return f"π_{index}" + ("" if policy.name == "main" else f" ({policy.name})")


def _section(method: _Documented) -> str:
    """Everything that the method's docstring says."""
    described = method.description
    places = [f"[`{method.file}.py`](../components/methods/{method.file}.py)"]
    places += [f"[`{name}`](../pipelines/recipes/{name}.yaml)" for name in method.recipes]
    subtitle = ", ".join(filter(None, [f"`{method.name}`", described.long, _text(described.source)]))
    lines = [f"### {described.name}", "", f"{subtitle}. {', '.join(places)}", ""]
    lines += [f"- **{key}**: {_text(text)}" for key, text in described.entries.items()]
    for note in described.notes:
        lines += ["", _text(note)]
    return "\n".join(lines)


def _anchor(heading: str) -> str:
    """The fragment that a heading gets on the forge."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _text(text: str) -> str:
    """A docstring's text as Markdown: papers are links, formulas stay as they are."""
    return _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", _EMPHASIS.sub(r"\\\g<0>", text))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
