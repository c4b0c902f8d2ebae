"""`nashflow plan`: what a recipe would do, before anything starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nashflow.components.benchmarks.base import BenchmarkSettings
from nashflow.components.iterations.units import Shape
from nashflow.components.methods.phases import Phase
from nashflow.components.methods.tournament import TOURNAMENTS, Match

from .compiled import Graph, read_graph
from .prompts import prompts_line
from .recipe import Recipe
from .size import BUDGET, LIMIT, estimate, way_out
from .steps import Level, steps_of, steps_of_data, task_name


@dataclass(frozen=True)
class Work:
    """Upper bounds of what one iteration produces."""

    iteration: int
    phases: tuple[str, ...]
    responses: int
    comparisons: int
    """Comparisons of the tournaments. A pair preference model reads each new pair twice, once in either order."""
    candidates: dict[str, int]
    """Pairs that the tournaments of a phase find, some of which may be dropped."""
    pairs: int
    """Pairs that are trained on, at most: those of a phase whose data another one uses again count twice."""
    trainings: int
    scored: int
    """Sequences whose log-probabilities are cached: pairs × 2 sides × anchors."""
    ranked: int = 0
    """Comparisons by which the seeding oracle ranks responses."""


def planned_tasks(recipe: Recipe) -> list[str]:
    """The name of every task of a run, in order; those of several shards have one name."""

    def named(level: Level, *where: Any) -> list[str]:
        iteration = where[0] if where else 0
        return [
            task_name(step.name, *where, *filter(None, [group]))
            for step in steps_of(level)
            for group in step.groups(recipe, iteration)
        ]

    tasks = [*named("beginning"), *named("start"), *named("iteration", 0)]
    for iteration in range(1, recipe.run.iterations + 1):
        for phase in recipe.method.phases(iteration):
            for step in steps_of_data(phase):
                tasks += [task_name(step.name, iteration, phase.name)] * recipe.prompts.shards
            tasks += named("phase", iteration, phase.name)
        tasks += named("iteration", iteration)
    return [*tasks, *named("end"), *named("exit")]


def shape_of(recipe: Recipe) -> Shape:
    """Which units the recipe's iterations consist of."""
    sampling = recipe.rollout.engine.runtime
    benchmarks, last = recipe.evaluation.benchmarks, recipe.run.iterations
    return Shape(recipe.method, recipe.prompts.shards, benchmarks, sampling, tuple(recipe.judges), last)


def work_of(recipe: Recipe, iteration: int) -> Work:
    """The work of one iteration; there is none at 0."""
    phases = recipe.method.phases(iteration) if iteration else ()
    prompts = recipe.prompts.per_iteration
    pairs = {phase.name: prompts * _counts(phase)[1] for phase in phases if not phase.data_from}
    mine = [pairs[phase.data_from or phase.name] for phase in phases]
    return Work(
        iteration,
        tuple(f"{phase.name}: {_describe(phase)}" for phase in phases),
        sum(prompts * sampling.count for phase in phases for sampling in phase.samples),
        sum(prompts * _counts(phase)[0] for phase in phases if not phase.data_from),
        pairs,
        sum(mine),
        len(phases),
        sum(2 * count * len(phase.weights) for count, phase in zip(mine, phases, strict=True)),
        prompts * sum(map(len, rankings_of(recipe, phases))),
    )


def rankings_of(recipe: Recipe, phases: Sequence[Phase]) -> list[list[Match]]:
    """The comparisons that rank the responses to one prompt, by phase: all of them against all."""
    if not recipe.judging.seeding:
        return []
    sizes = (sum(sampling.count for sampling in phase.samples) for phase in phases if not phase.data_from)
    return [list(combinations(range(size), 2)) for size in sizes]


def rounds_of(phase: Phase) -> tuple[list[list[Match]], int]:
    """The rounds of one prompt's tournament, if the first wins every match, and how many pairs come of it.

    One given response or pair joins where the method uses such.
    """
    given = {"responses": 1, "pairs": 2, None: 0}[phase.given]
    tournament = TOURNAMENTS[phase.comparisons](sum(sampling.count for sampling in phase.samples) + given)
    rounds = [next(tournament)]
    while True:
        try:
            rounds.append(tournament.send([1.0] * len(rounds[-1])))
        except StopIteration as stop:
            return rounds, len(stop.value)


def _counts(phase: Phase) -> tuple[int, int]:
    """Comparisons and pairs of one prompt."""
    rounds, pairs = rounds_of(phase)
    return sum(map(len, rounds)), pairs


def _describe(phase: Phase) -> str:
    anchors = " + ".join(f"{weight:.3g} of {name}" for name, weight in phase.weights.items())
    target = f", target {phase.target:.4g} nats" if phase.link != "logistic" else f", beta {phase.beta:.4g}"
    note = f" ({phase.note})" if phase.note else ""
    return f"{_data(phase)}; {phase.start_from} → {phase.result} by {phase.link} regression on {anchors}{target}{note}"


def _data(phase: Phase) -> str:
    """Where the pairs come from."""
    if phase.data_from:
        return f"pairs of {phase.data_from}"
    sources = [
        f"{sampling.count} of {' × '.join(f'{name}^{weight:.3g}' for name, weight in sampling.weights.items())}"
        if len(sampling.weights) > 1
        else f"{sampling.count} of {next(iter(sampling.weights))}"
        for sampling in phase.samples
    ]
    given = [f"given {phase.given}"] if phase.given else []
    return f"{' and '.join(sources + given)}, {phase.comparisons}"


def _measured(recipe: Recipe) -> list[tuple[BenchmarkSettings, int]]:
    """The benchmarks, and how many policies each measures."""
    last = recipe.run.iterations
    return [(each, sum(each.due(t, last) for t in range(last + 1))) for each in recipe.evaluation.benchmarks]


def _graph(recipe: Recipe) -> Graph:
    """The graph of a run on a cluster."""
    from .graph import write_graph

    with TemporaryDirectory(prefix="nashflow-plan-") as folder:
        package = Path(folder, "pipeline.yaml")
        write_graph(recipe, package)
        return read_graph(package)


def print_plan(recipe: Recipe) -> None:
    """Show the recipe's work on the terminal."""
    from rich.table import Table

    from .terminal import terminal

    console = terminal()
    table = Table(title=f"{recipe.run.name}: {recipe.method.name}, {recipe.run.iterations} iterations")
    headings = ("iteration", "responses", "comparisons", "pairs (at most)", "scored sequences", "trainings")
    for heading in headings:
        table.add_column(heading, justify="right")
    works = [work_of(recipe, iteration) for iteration in range(1, recipe.run.iterations + 1)]
    for work in works:
        figures = (work.iteration, work.responses, work.comparisons, work.pairs, work.scored, work.trainings)
        table.add_row(*(f"{figure:,}" for figure in figures))
    console.print(table)
    for work in works:
        for phase in work.phases:
            console.print(f"iteration {work.iteration}, {phase}")
    compared = sum(work.comparisons for work in works)
    held_out = recipe.prompts.held_out * recipe.evaluation.samples
    evaluated = held_out * sum(each.asks_oracle * times for each, times in _measured(recipe) if not each.oracles)
    console.print(f"{len(planned_tasks(recipe))} tasks; the {recipe.oracle.kind} oracle compares at most", end=" ")
    console.print(f"{compared:,} pairs in tournaments and {evaluated:,} in evaluations")
    if seeding := recipe.judging.seeding:
        ranked = sum(work.ranked for work in works)
        console.print(f"the {seeding.kind} oracle ranks responses for the brackets by {ranked:,} comparisons")
    for benchmark, times in _measured(recipe):
        judged = benchmark.judged or (held_out if benchmark.asks_oracle and benchmark.oracles else 0)
        if benchmark.answered or judged:
            judges = ", ".join(oracle.short_name for oracle in benchmark.asked_of(recipe.oracle))
            asked = f"; {judges} is asked at most {judged * times:,} times" if judges else ""
            console.print(
                f"{benchmark.name}: {benchmark.answered:,} answers in each of {times} evaluations{asked}",
                soft_wrap=True,
            )
    for name in recipe.judges:
        console.print(f"the judge {name} is fitted to labelled pairs before the first iteration")
    graph = _graph(recipe)
    size = estimate(graph)
    console.print(
        f"on a cluster a workflow of {size.tasks:,.0f} tasks (each shard's counted), about "
        f"{size.total / 1000:,.0f} kB: {size.total / LIMIT:.0%} of what Argo stores; {BUDGET / LIMIT:.0%} are allowed",
    )
    if size.total > BUDGET:
        console.print(f"too large for a cluster: {way_out(graph)}")
    if note := recipe.rollout.otherwise(recipe.method.phases(recipe.run.iterations)):
        console.print(note, soft_wrap=True)
    console.print(f"policy: {recipe.policy.kind}; {prompts_line(recipe)}", soft_wrap=True)
