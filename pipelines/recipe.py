"""Recipes read from YAML."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import model_validator

from nashflow.components.core.errors import UserError
from nashflow.components.core.overrides import override
from nashflow.components.core.settings import SHAPES_GRAPH, Part, Settings
from nashflow.components.core.yaml_files import load_yaml, read_yaml
from nashflow.components.oracles.fitted.settings import AnyJudge, JudgeSettings
from nashflow.components.oracles.oracle_settings import OracleSettings
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.recipe import Recipe as BaseRecipe
from nashflow.components.recipe import shapes_graph, with_settings

from .carried import carried
from .cluster.settings import ClusterSettings
from .steps import STEPS

SHIPPED = Path(__file__).parent / "recipes"
WHOLES = {"method", "policy", "oracle"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_HOME = re.compile(r"~[\w.-]*(?=/)")


class Recipe(BaseRecipe):
    """A recipe with where and with what its steps run on a cluster."""

    cluster: Annotated[ClusterSettings, SHAPES_GRAPH] = ClusterSettings()

    @model_validator(mode="after")
    def _jobs_fit_the_cluster(self) -> Self:
        for name, step in STEPS.items():
            job, accelerators = step.job(self), self.cluster.resources(name).accelerators
            if job and job.nodes > 1 and self.cluster.profile == "one-node":
                raise ValueError(
                    f"{name}.launcher.nodes is {job.nodes}, and cluster.profile is one-node: set cluster.profile to "
                    f"many-nodes, or {name}.launcher to torchrun"
                )
            if job and accelerators and (job.processes or 0) > accelerators:
                raise ValueError(
                    f"{name}.launcher.processes is {job.processes}, and a pod has {accelerators} accelerators: lower "
                    f"it, or raise cluster.steps.{name}.accelerators"
                )
        return self


class _Fitted(Settings):
    judge: AnyJudge


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, or a shipped one by its name, with overrides such as `training.learning_rate=1e-6`.

    A recipe that says `extends: other` takes from the other one what it does not say itself: key by key, but `method`,
    `policy` and `oracle` as wholes. The other one is a file beside it, or shipped. `${NAME}` in a text becomes the
    environment variable's value, and `~/` at its beginning the home folder. An override that replaces
    a section by another variant, such as `method=egpo`, is told on stderr, with what was dropped and what are defaults
    now.

    Raises:
        UserError: no such file, not YAML, an unknown key (names the nearest), a wrong value, an unset variable.
    """
    data = _read(name, Path(), ())
    for line in override(data, overrides, Recipe):
        print(f"nashflow: {line}", file=sys.stderr)
    return _parsed(data, name)


class _Judged(Part):
    oracle: AnyOracle


def load_oracle(name: str, overrides: Sequence[str] = ()) -> OracleSettings:
    """The oracle of a recipe, or of a YAML file that holds the section `oracle` or the oracle's settings alone.

    `overrides` are of its settings, such as `oracle.batch_size=4`.

    Raises:
        UserError: no such file, no oracle in it, an unknown key (names the nearest), or a wrong value.
    """
    data = _read(name, Path(), ())
    if "oracle" not in data and "kind" not in data:
        raise UserError(
            f"{name}: no oracle: give a recipe, or a file with the section oracle or with an oracle's settings, one "
            "of which is kind"
        )
    section = {"oracle": data.get("oracle", data)}
    if others := [each for each in overrides if not each.strip().startswith("oracle")]:
        raise UserError(f"--set {others[0]}: of {name}, the oracle alone is read: give oracle.key=value")
    for line in override(section, overrides, _Judged):
        print(f"nashflow: {line}", file=sys.stderr)
    return _Judged.parse(_expanded(section, name), name).oracle


def load_judge(path: Path, overrides: Sequence[str] = ()) -> JudgeSettings:
    """How a judge is fitted, from a YAML file, with overrides such as `epochs=2`; variables are replaced likewise.

    Raises:
        UserError: no such file, not YAML, an unknown key (names the nearest), a wrong value, an unset variable.
    """
    try:
        data = {"judge": read_yaml(path, str(path))}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give a YAML file with a judge's kind, model and data") from None
    for line in override(data, [f"judge.{each}" for each in overrides], _Fitted):
        print(f"nashflow: {line}", file=sys.stderr)
    return _Fitted.parse(_expanded(data, str(path)), str(path)).judge


def load_for_runs(name: str, overrides: Sequence[str] = ()) -> tuple[Recipe, str]:
    """The recipe to compile, and the settings that a run of it gets as its parameter `set`.

    Together they are the recipe with all overrides: runs that differ in nothing that shapes the graph share a version.

    Raises:
        UserError: as `load_recipe`.
    """
    whole = load_recipe(name, overrides)
    others = [each for each in overrides if not shapes_graph(each)]
    settings = [_setting(each.partition("=")[0].strip(), whole) for each in others]
    try:
        data = _read(name, Path(), ())
        override(data, [each for each in overrides if shapes_graph(each)], Recipe)
        base = _parsed(data, name)
        if with_settings(base, settings) == whole:
            return base, shlex.join(settings)
    except UserError:
        pass  # without its settings it is no recipe, or has another graph
    return whole, ""


def _parsed(data: dict[str, Any], name: str) -> Recipe:
    return Recipe.parse(_expanded(data, name), name)


def _setting(key: str, recipe: Recipe) -> str:
    """A setting by its value in a recipe, as a text that nothing is replaced in on its way to a pod."""
    section, *parts = key.split(".")
    value: Any = getattr(recipe, section).model_dump(mode="json")  # the recipe's own leaves out what does nothing
    for part in parts:
        value = value.get(part)
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w./:-]*", value) and load_yaml(value) == value
    return f"{key}={value if plain else carried(value)}"


def _read(name: str, beside: Path, heirs: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe's YAML with what it extends; `heirs` are the recipes that extend it."""
    path = beside / os.path.expanduser(name)
    if not path.exists() and (SHIPPED / f"{name}.yaml").exists():
        path = SHIPPED / f"{name}.yaml"
    if path.resolve() in heirs:
        raise UserError(f"{name}: extends itself, through {' and '.join(heir.name for heir in heirs)}")
    try:
        data = read_yaml(path, name)
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise UserError(f"{name}: no such recipe; give a YAML file or one of {shipped}") from None
    if not isinstance(data, dict):
        raise UserError(f"{name}: a recipe is a mapping with the sections {', '.join(Recipe.model_fields)}")
    base = data.pop("extends", None)
    if base is None:
        return data
    return _merged(_read(str(base), path.parent, (*heirs, path.resolve())), data)


def _merged(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **data}
    for section in merged.keys() - WHOLES:
        if isinstance(base.get(section), dict) and isinstance(data.get(section), dict):
            merged[section] = {**base[section], **data[section]}
    return merged


def _expanded(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expanded(inner, where) for inner in value]
    if isinstance(value, str):
        value = _VARIABLE.sub(lambda match: _variable(match.group(1), where), value)
        return os.path.expanduser(value) if _HOME.match(value) else value
    return value


def _variable(name: str, where: str) -> str:
    if name not in os.environ:
        raise UserError(f"{where}: the environment variable {name} is not set; the recipe uses it as ${{{name}}}")
    return os.environ[name]
