"""A recipe compiled for the server: its file, the name of its version, the parameters that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nashflow.components.shared.digests import digest_json
from nashflow.components.shared.errors import UserError
from nashflow.components.shared.protocol import JOB

from ..graph import compile_graph
from ..lint import read_graph
from ..recipe import Recipe


@dataclass(frozen=True)
class Package:
    """A compiled pipeline."""

    file: Path
    name: str
    """The pipeline's name: the recipe's `run.name`."""
    version: str
    """A digest of the graph: the same recipe has the same version."""
    defaults: Mapping[str, Any]
    """Default by parameter."""
    service_account: str
    """The recipe's `cluster.service_account`."""


def compile_package(recipe: Recipe, file: Path, first: int = 1) -> Package:
    """Compile a recipe into `file`, a YAML file, from iteration `first` on.

    Raises:
        UserError: the recipe breaks a rule of the compiler.
    """
    compile_graph(recipe, file, first)
    graph = read_graph(file)
    ir = {name: part for name, part in graph.ir.items() if name != "sdkVersion"}
    declared = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    defaults = {name: parameter.get("defaultValue") for name, parameter in declared.items()}
    return Package(
        file,
        ir["pipelineInfo"]["name"],
        digest_json([ir, graph.platform])[:16],
        defaults,
        recipe.cluster.service_account,
    )


def run_root_of(package: Package, given: str) -> str:
    """The run root of a submitted run: the one given, or the recipe's.

    Raises:
        UserError: there is none, or it is a path that no pod knows.
    """
    root = given or str(package.defaults.get("run_root") or "")
    if not root:
        raise UserError("no run root: give --run-root s3://bucket/prefix, or set cluster.run_root in the recipe")
    if "://" not in root and not root.startswith("/"):
        raise UserError(f"--run-root {root}: a pod knows no relative path: give s3://bucket/prefix")
    return root


def firing_root_of(package: Package, given: str) -> str:
    """The run root of a recurring run: the same for all firings but for the job's id.

    Raises:
        UserError: as `run_root_of`, or every firing would have the same run root.
    """
    root = run_root_of(package, given)
    if JOB not in root:
        raise UserError(
            f"--run-root {root}: every firing needs a run root of its own: put {JOB} where its id shall stand, "
            f"such as {root.rstrip('/')}/{JOB}"
        )
    return root
