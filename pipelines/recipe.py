"""A recipe: the steps' settings composed, read from YAML."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import model_validator

from nashflow.components.engines.settings import GenerationSettings, ScoringSettings
from nashflow.components.evaluation.settings import EvaluationSettings
from nashflow.components.judging.settings import JudgingSettings
from nashflow.components.methods import AnyMethod
from nashflow.components.oracles.settings import AnyOracle
from nashflow.components.preparation.settings import (
    AnyPolicy,
    PromptSettings,
    RunSettings,
    check_given,
    check_one_world,
    check_sampling,
)
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import StepSettings
from nashflow.components.training.settings import TrainingSettings

from .cluster import ClusterSettings

SHIPPED = Path(__file__).parent / "recipes"
_WHOLES = {"method", "policy", "oracle"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Recipe(StepSettings):
    """Everything about a run. Each section is the settings of the step or part that owns it."""

    run: RunSettings
    method: AnyMethod
    policy: AnyPolicy
    prompts: PromptSettings
    oracle: AnyOracle
    rollout: GenerationSettings = GenerationSettings()
    judging: JudgingSettings = JudgingSettings()
    logprobs: ScoringSettings = ScoringSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    cluster: ClusterSettings = ClusterSettings()

    @model_validator(mode="after")
    def _one_world(self) -> Self:
        check_one_world(self.policy, self.prompts, self.oracle, self.evaluation.benchmarks)
        check_given(self.method, self.prompts)
        check_sampling(self.method, self.rollout.engine)
        return self

    def part(self, first: int) -> Self:
        """The recipe of the run that begins with iteration `first`, and ends by `cluster.iterations_per_run`."""
        last = first - 1 + (self.cluster.iterations_per_run or self.run.iterations)
        run = self.run.model_copy(update={"iterations": min(last, self.run.iterations)})
        return self.model_copy(update={"run": run})


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, or a shipped one by its name, with overrides such as `training.learning_rate=1e-6`.

    A recipe that says `extends: other` takes from the other one what it does not say itself: key by key, but `method`,
    `policy` and `oracle` as wholes. The other one is a file beside it, or shipped. `${NAME}` in a text becomes the
    environment variable's value.

    Raises:
        UserError: no such file, not YAML, an unknown key (names the nearest), a wrong value, an unset variable.
    """
    data = _read(name, Path(), ())
    for override in overrides:
        _override(data, override)
    return Recipe.parse(_expanded(data, name), name)


def _read(name: str, beside: Path, heirs: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe's YAML with what it extends; `heirs` are the recipes that extend it."""
    path = beside / name
    if not path.exists() and (SHIPPED / f"{name}.yaml").exists():
        path = SHIPPED / f"{name}.yaml"
    if path.resolve() in heirs:
        raise UserError(f"{name}: extends itself, through {' and '.join(heir.name for heir in heirs)}")
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise UserError(f"{name}: no such recipe; give a YAML file or one of {shipped}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{name}: a recipe is a mapping with the sections {', '.join(Recipe.model_fields)}")
    base = data.pop("extends", None)
    if base is None:
        return data
    return _merged(_read(str(base), path.parent, (*heirs, path.resolve())), data)


def _merged(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **data}
    for section in merged.keys() - _WHOLES:
        if isinstance(base.get(section), dict) and isinstance(data.get(section), dict):
            merged[section] = {**base[section], **data[section]}
    return merged


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not sections or not last:
        raise UserError(f"--set {override}: give section.key=value, such as training.learning_rate=1e-6")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise UserError(f"--set {override}: {section} is a value, not a section")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: {text!r} is not a YAML value") from None


def _expanded(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(inner, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expanded(inner, where) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _variable(match.group(1), where), value)
    return value


def _variable(name: str, where: str) -> str:
    if name not in os.environ:
        raise UserError(f"{where}: the environment variable {name} is not set; the recipe uses it as ${{{name}}}")
    return os.environ[name]
