"""`nashflow sweep --submit`: the runs of a sweep on Kubeflow Pipelines."""

from nashflow.components.core.digests import digest_json
from nashflow.components.core.errors import UserError
from nashflow.components.runtime.protocol import JOB

from ..cluster.api.connection import Connection
from ..cluster.submission.submission import submit
from ..image_versions import warn_of_images
from ..recipe import load_for_runs, load_recipe
from ..terminal import terminal
from .grid import read_members
from .sweep import Sweep, show_standings


def root_of(recipe: str, overrides: list[str], given: str) -> str:
    """The folder of a submitted sweep's run roots: the one given, or that of the recipe's cluster.run_root.

    Raises:
        UserError: there is none.
    """
    root = given or load_recipe(recipe, overrides).cluster.run_root.replace(JOB, "").rstrip("/")
    if not root:
        raise UserError("no run root: give --run-root s3://bucket/prefix, or set cluster.run_root in the recipe")
    return root


def submit_sweep(sweep: Sweep, connection: Connection, experiment: str, service_account: str) -> None:
    """Start each combination that has not been started, and show which of those that are finished is best.

    A run's name is made of its run root, so that the same command finds the runs that there are.

    Raises:
        UserError: the grid or a recipe of it is wrong, or figures do not compare.
        ConnectionError: the server stays away.
    """
    members = read_members(sweep.recipe, sweep.overrides, sweep.grid, sweep.root)
    warn_of_images(members[0].recipe)
    for member in members:
        loaded, settings = load_for_runs(sweep.recipe, [*sweep.overrides, *member.sets])
        name = f"{loaded.run.name}-{digest_json([member.run_root, settings])[:8]}"
        run = submit(connection, loaded, member.run_root, experiment, service_account, name=name, settings=settings)
        if not sweep.as_json:
            terminal().print(f"{run.display_name}: {' '.join(member.sets)}: {member.run_root}", soft_wrap=True)
    show_standings(sweep, members)
