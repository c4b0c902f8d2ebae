"""A recipe compiled for the server: its file, the name of its version, the parameters that it takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nashflow.components.core.digests import digest_json
from nashflow.components.core.errors import UserError
from nashflow.components.runtime.protocol import JOB

from ...compiled import read_graph
from ...description import described
from ...graph import compile_graph
from ...names import RUN_ROOT, RUN_ROOT_WANTED
from ...recipe import Recipe


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
    description: str
    """A readable description of the recipe."""


def compile_package(recipe: Recipe, file: Path, first: int = 1) -> Package:
    """Compile a recipe into `file`, a YAML file, from iteration `first` on.

    Raises:
        UserError: the recipe breaks a rule of the compiler; or the file name, which is the user's.
    """
    if file.suffix != ".yaml":
        raise UserError(f"--package {file}: a pipeline is a YAML file: give a name that ends in .yaml")
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
        described(recipe, first),
    )


def submitted_root_of(package: Package, given: str) -> str:
    """The run root of a submitted run: the one given, or the recipe's.

    Raises:
        UserError: there is none, pods cannot reach it, or it holds what would be replaced on its way to them.
    """
    root = given or str(package.defaults.get("run_root") or "")
    if not root:
        raise UserError("no run root: give --run-root s3://bucket/prefix, or set cluster.run_root in the recipe")
    if not re.fullmatch(RUN_ROOT, root):
        raise UserError(f"run root {root!r} is no {RUN_ROOT_WANTED}")
    if not _is_prefix(root):
        raise UserError(f"run root {root}: pods can only use s3://; give s3://bucket/prefix")
    return root


def _is_prefix(root: str) -> bool:
    """Whether it is s3://bucket/prefix."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    return root.startswith("s3://") and bool(bucket and prefix.strip("/")) and JOB not in bucket


def firing_root_of(package: Package, given: str) -> str:
    """The run root of scheduled runs: the same for all except for the job's id.

    Raises:
        UserError: as `submitted_root_of`; or scheduled runs would share a run root, or not lie in one folder, which
            holds the ledger of the prompts that earlier ones have taken.
    """
    root = submitted_root_of(package, given)
    folder, _, last = root.rstrip("/").rpartition("/")
    if JOB not in last or JOB in folder:
        example = "s3://bucket/prefix" if JOB in root else root.rstrip("/")
        raise UserError(
            f"run root {root}: every scheduled run needs its own run root in the same folder, to see which prompts "
            f"earlier runs have taken: put {JOB} into the last part and nowhere else, such as {example}/{JOB}"
        )
    return root
