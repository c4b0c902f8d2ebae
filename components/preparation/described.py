"""What MLflow is told of a run before it begins: its name, its settings, and what it is made from."""

import os
from collections.abc import Mapping

from ..methods.base import Method
from ..recipe import Recipe
from ..runtime import lock
from ..storage.run import Run, settings_of
from ..storage.store import Store
from ..tracking.code import code_tags
from ..tracking.opening import Tracking, open_run
from ..tracking.tags import IDENTITY, IMAGE, INPUT, KFP_RUN, KFP_URL, METHOD, ORACLE, RECIPE

IMAGES = {"image": "steps", "vllm-image": "vllm", "training-image": "training"}
"""The flags that say which images a run on Kubeflow has: the runtime of each."""

_CONSTANTS = ("eta", "beta", "tau")
_INTERFACE = "KF_PIPELINES_UI_ENDPOINT"


def open_tracking(
    store: Store, recipe: Recipe, run: Run, known: Run | None, flags: Mapping[str, str]
) -> Tracking | None:
    """Open the run of the tracker; `known` is what `run.json` had before, `flags` are preparation's."""
    fixed, free = settings_of(run.recipe)
    before = Tracking.from_json(known.tracking) if known and known.tracking else None
    return open_run(store, name_of(recipe), fixed, before, {**free, **_tags(recipe, run), **_on_kubeflow(flags)})


def name_of(recipe: Recipe) -> str:
    """A name that tells runs apart: the recipe's, the method unless that says it, its step size, the seed."""
    name, method = recipe.run.name, recipe.method
    told = method.name.replace("_", "-") in name
    return " ".join([name, *([] if told else [method.name]), *_step_size(method), f"seed={recipe.run.seed}"])


def _step_size(method: Method) -> list[str]:
    """The constant under its paper's name that comes nearest to a step size."""
    found = [key for key in _CONSTANTS if key in type(method).model_fields]
    return [f"{key}={getattr(method, key)}" for key in found[:1]]


def _tags(recipe: Recipe, run: Run) -> dict[str, str]:
    inputs = {f"{INPUT}{name}": digest for name, digest in run.inputs.items()}
    oracle = {ORACLE: recipe.oracle.signature} if run.inputs else {}
    return {
        RECIPE: recipe.run.name,
        METHOD: recipe.method.name,
        IDENTITY: run.identity,
        **code_tags(),
        **inputs,
        **oracle,
    }


def _on_kubeflow(flags: Mapping[str, str]) -> dict[str, str]:
    """The run there, its page, and its images, by their digests where the recipe gives these."""
    job = flags["job-id"]
    if not job or os.environ.get(lock.OWNER):  # `nashflow run` on this machine
        return {}
    page = f"{os.environ.get(_INTERFACE, '').rstrip('/')}/#/runs/details/{job}"
    images = {f"{IMAGE}{runtime}": flags[flag] for flag, runtime in IMAGES.items() if flags[flag]}
    return {KFP_RUN: job, KFP_URL: page, **images}
