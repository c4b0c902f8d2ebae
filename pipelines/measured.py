"""What the steps of another run took, and what its oracle used: `nashflow plan --from` estimates a recipe by it.

Work is counted as it is planned, in the other run too: what is dropped, cached or remembered there will be here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from time import localtime, strftime

from nashflow.components.core.errors import UserError
from nashflow.components.iterations.units import Shape
from nashflow.components.oracles.usage import PREFIX, total_usage
from nashflow.components.storage.run import flatten, require_run
from nashflow.components.storage.store import open_store
from nashflow.components.storage.units import Manifest, read_manifest

from .costs import Assumptions, Estimate
from .costs_table import figures_of_use
from .recipe import Recipe
from .steps import STEPS, Amount, Step
from .terminal import terminal


@dataclass(frozen=True)
class Measured:
    """A run's finished tasks."""

    where: str
    recipe: Recipe
    tasks: dict[tuple[str, int], list[Manifest]]
    """The units of a step in an iteration, if all of them are done."""

    @classmethod
    def of(cls, run_root: str) -> "Measured":
        """Those under a run root.

        Raises:
            UserError: there is no run, or nothing of it is finished.
        """
        store = open_store(run_root)
        run = require_run(store)
        shape, tasks = Shape.of(run), dict[tuple[str, int], list[Manifest]]()
        for iteration in range(run.recipe["run"]["iterations"] + 1):
            keys: dict[str, list[str]] = {}
            for task, units in shape.units(iteration).items():
                keys.setdefault(task.rpartition("/")[2], []).extend(units)
            for step, units in keys.items():
                there = [manifest for unit in units if (manifest := read_manifest(store, unit))]
                if len(there) == len(units):
                    tasks[step, iteration] = there
        if not tasks:
            raise UserError(f"{store.uri}: no task of it is finished yet, so nothing can be measured by it")
        return cls(run_root, Recipe.parse(run.recipe, f"{run_root}'s recipe"), tasks)

    @cached_property
    def usage(self) -> dict[str, float]:
        """What the oracle used in all."""
        return total_usage(manifest.metrics for manifests in self.tasks.values() for manifest in manifests)

    def counted(self, planned: Callable[[Estimate], int], iterations: list[int]) -> int:
        """What some iterations took."""
        known = Assumptions().of(self.recipe)
        return sum(planned(Estimate(self.recipe, known, iteration)) for iteration in iterations)


def print_measured(recipe: Recipe, assumptions: Assumptions, run_root: str) -> None:
    """Show the hours of a recipe's tasks and what its oracle uses, each with where it is from."""
    run, console = Measured.of(run_root), terminal()
    console.print(f"\nhours of tasks, all shards together, as {run_root} has measured them or as assumed above:")
    known = assumptions.of(recipe)
    estimates = [Estimate(recipe, known, iteration) for iteration in range(recipe.run.iterations + 1)]
    for step in STEPS.values():
        if step.hours and step.amount:
            for line in _lines(step, step.hours, step.amount, estimates, run):
                console.print(line, soft_wrap=True)
    console.print(_used(recipe, estimates, run), soft_wrap=True)


def _lines(
    step: Step, hours: Callable[[Estimate], float], amount: Amount, estimates: list[Estimate], run: Measured
) -> Iterator[str]:
    """A line for the reference's iteration and one for the others, where the step has work in them."""
    for part in (estimates[:1], estimates[1:]):
        if not (count := sum(map(amount.planned, part))):
            continue
        when = "" if step.once else " of the reference" if part[0].iteration == 0 else " of all iterations"
        name = f"{step.name}{when}, {count:,} {amount.of}"
        like = [t for each, t in run.tasks if each == step.name and bool(t) == bool(part[0].iteration)]
        known = run.counted(amount.planned, like)
        if other := _differences(part[0].recipe, run.recipe, amount.sections) or ([] if known else ["not run there"]):
            yield f"{name}: {sum(map(hours, part)):,.4g} h; assumed ({', '.join(other)})"
            continue
        made = [manifest for t in like for manifest in run.tasks[step.name, t]]
        seconds = sum(manifest.seconds for manifest in made) / known
        yield f"{name}: {seconds * count / 3600:,.4g} h; measured: {seconds:.4g} s each, on {known:,} {_where(made)}"


def _used(recipe: Recipe, estimates: list[Estimate], run: Measured) -> str:
    """What the oracle is asked, and what it uses for that."""
    planned = sum(estimate.compared for estimate in estimates)
    known = run.counted(lambda estimate: estimate.compared, sorted({t for _, t in run.tasks}))
    asked = f"{recipe.oracle.kind} oracle, {planned:,} comparisons"
    if not run.usage or _differences(recipe, run.recipe, ("oracle",)):
        used = recipe.oracle.expected_usage(planned, estimates[0].prompt, estimates[0].response)
        return f"{asked}; {figures_of_use(used)}: assumed" if used else asked
    used = {name.removeprefix(PREFIX): value * planned / known for name, value in run.usage.items()}
    made = [manifest for manifests in run.tasks.values() for manifest in manifests if total_usage([manifest.metrics])]
    return f"{asked}; {figures_of_use(used)}: measured on {known:,} {_where(made)}"


def _differences(here: Recipe, there: Recipe, sections: tuple[str, ...]) -> list[str]:
    """In what two recipes differ within some sections."""
    ours, theirs = (
        {key: value for key, value in flatten(recipe.model_dump(mode="json")).items() if key.split(".")[0] in sections}
        for recipe in (here, there)
    )
    keys = sorted(ours.keys() | theirs.keys())
    return [
        f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in keys
        if ours.get(key) != theirs.get(key)
    ]


def _where(made: list[Manifest]) -> str:
    """When manifests were finished, and on what."""
    days = sorted({strftime("%Y-%m-%d", localtime(manifest.finished / 1000)) for manifest in made})
    machines = sorted({manifest.machine or "a machine that is not recorded" for manifest in made})
    return f"({' to '.join(dict.fromkeys([days[0], days[-1]]))}, {' and '.join(machines)})"
