"""The second half of `nashflow plan`: the estimated costs as a table, and what they rest on."""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table

from .costs import TYPICAL_LENGTH, Assumptions, Cost, Estimate, checkpoint_bytes, cost_of, master_bytes
from .recipe import Recipe
from .terminal import terminal


def print_costs(recipe: Recipe, assumptions: Assumptions, command: Sequence[str]) -> None:
    """Show GPU hours by step, and prompts, sequences through models, tokens and storage, by iteration and in all.

    `command`: what the user typed, which is shown with what it lacks.
    """
    console, known = terminal(), assumptions.of(recipe)
    costs = [cost_of(recipe, iteration, known) for iteration in range(recipe.run.iterations + 1)]
    hours, amounts = (*costs[0].hours, "all"), ("prompts", "forwards", "oracle reads", "tokens", "storage")
    for title, headings, cells in (
        ("estimates: GPU hours by step", hours, _hours),
        ("estimates: what is read, made and stored", amounts, _amounts),
    ):
        console.print()
        console.print(_table(title, headings, costs, cells))
    for line in _basis(recipe, known):
        console.print(line)
    compared = sum(Estimate(recipe, known, cost.iteration).compared for cost in costs)
    if used := recipe.oracle.expected_usage(compared, known.prompt_tokens or 0, known.response_tokens or 0):
        console.print(f"The oracle uses at most {figures_of_use(used)}, by these lengths.", soft_wrap=True)
    if known.parameters is None:
        console.print(shlex.join([*command, "--parameters", "8e9"]), soft_wrap=True)


def _table(
    title: str, headings: Sequence[str], costs: Sequence[Cost], cells: Callable[[Sequence[Cost]], list[str]]
) -> Table:
    """A row for each iteration, and one for all of them."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    for heading in ("t", *headings):
        table.add_column(heading, justify="right", no_wrap=True)
    for cost in costs:
        table.add_row(str(cost.iteration), *cells([cost]))
    table.add_section()
    table.add_row("all", *cells(costs))
    return table


def _hours(costs: Sequence[Cost]) -> list[str]:
    by_step = [sum(cost.hours[step] for cost in costs) for step in costs[0].hours]
    return ["–" if math.isnan(hours) else _figure(hours) for hours in (*by_step, sum(by_step))]


def _amounts(costs: Sequence[Cost]) -> list[str]:
    counts = (sum(getattr(cost, name) for cost in costs) for name in ("prompts", "forwards", "readings"))
    tokens, stored = sum(cost.tokens for cost in costs), sum(cost.stored for cost in costs)
    return [*(f"{count:,}" for count in counts), _short(tokens), amount(stored)]


def _basis(recipe: Recipe, known: Assumptions) -> list[str]:
    """The assumptions of the estimate, and how to change them."""
    if known.parameters is None:
        return [
            f"The dashes need the policy's size: {recipe.policy.named}/config.json cannot be read here, or is not of "
            "the Llama family. For a policy of 8 billion parameters (and an oracle of as many, or --oracle-parameters):"
        ]
    master = master_bytes(recipe, known)
    starts = f", and the float32 weights that it starts from {amount(master)}" if master else ""
    share = "" if recipe.oracle.own_world else f"; where not given, {TYPICAL_LENGTH:.0%} of the longest"
    return [
        f"Estimates, not measurements. Parameters: {_short(known.parameters)} of the policy (--parameters), "
        f"{_short(known.oracle_parameters)} of the oracle (--oracle-parameters).",
        f"Mean tokens: {known.prompt_tokens:.4g} of a prompt (--prompt-tokens), {known.response_tokens:.4g} of a "
        f"response (--response-tokens){share}.",
        f"A GPU does {_short(known.gpu_flops)} FLOP/s (--gpu-flops), of which {known.utilisation:.1%} are used "
        f"(--utilisation), in generation {known.generation_utilisation:.1%} (--generation-utilisation).",
        f"While a policy is trained, its checkpoint takes {amount(checkpoint_bytes(recipe, known))} more{starts}.",
    ]


def figures_of_use(used: Mapping[str, float]) -> str:
    """What an oracle uses: `44,000 calls, 1.2e+07 input tokens`."""
    return ", ".join(f"{value:,.4g} {name.replace('_', ' ')}" for name, value in used.items())


def _short(number: float | None) -> str:
    """8.03e9 for 8 030 261 248, as the options take it."""
    return "–" if number is None else f"{number:.3g}".replace("e+0", "e").replace("e+", "e")


def _figure(number: float) -> str:
    return f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def amount(size: float) -> str:
    """Bytes for people: 16.1 GB, 1.2 MB, 0 B."""
    if math.isnan(size):
        return "–"
    units = ["B", "kB", "MB", "GB"]
    while units and size >= 1000:
        size /= 1000
        units.pop(0)
    unit = units[0] if units else "TB"
    return f"{size:.0f} B" if unit == "B" else f"{_figure(size)} {unit}"
