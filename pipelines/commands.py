"""The commands before and after runs: plan, doctor, gc. Heavy imports are inside the commands."""

import sys
from typing import Annotated, Any

import typer

from .cluster.api.access import Access, with_access
from .options import Overrides, RecipeArgument

app = typer.Typer(no_args_is_help=True)


@app.command()
def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    parameters: Annotated[
        float | None, typer.Option(min=1, help="Parameters of the policy, such as 8e9. Default: from its config.json.")
    ] = None,
    oracle_parameters: Annotated[
        float | None,
        typer.Option(min=1, help="Parameters of the oracle's model. Default: from its config.json, or the policy's."),
    ] = None,
    prompt_tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean tokens of a prompt. Default: a quarter of the longest.")
    ] = None,
    response_tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean tokens of a response. Default: a quarter of the longest.")
    ] = None,
    gpu_flops: Annotated[
        float | None, typer.Option(min=1, help="FLOP/s of a GPU. Default: 989e12, an H100 or H200 in bfloat16.")
    ] = None,
    utilisation: Annotated[
        float | None,
        typer.Option(min=0.001, max=1, help="Fraction of these that scoring and training reach. Default: 0.4."),
    ] = None,
    generation_utilisation: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="Fraction of these that generation reaches. Default: 0.1.")
    ] = None,
    measured: Annotated[
        str | None,
        typer.Option("--from", metavar="RUN_ROOT", help="A run whose tasks say how long these take."),
    ] = None,
) -> None:
    """Show what a recipe would do, without starting it: its steps, its work and its estimated costs."""
    from .costs import Assumptions
    from .costs_table import print_costs
    from .engines import warn_of_engines
    from .measured import print_measured
    from .plan import print_plan
    from .recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    options = {
        "parameters": parameters,
        "oracle_parameters": oracle_parameters,
        "prompt_tokens": prompt_tokens,
        "response_tokens": response_tokens,
        "gpu_flops": gpu_flops,
        "utilisation": utilisation,
        "generation_utilisation": generation_utilisation,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    command = ["nashflow", "plan", recipe]
    for override in overrides or []:
        command += ["--set", override]
    for name, value in given.items():
        command += [f"--{name.replace('_', '-')}", f"{value:.12g}"]
    print_plan(loaded)
    print_costs(loaded, Assumptions(**given), command)
    if measured:
        print_measured(loaded, Assumptions(**given), measured)
    warn_of_engines(loaded)


@app.command()
def prompts(
    named: Annotated[
        str, typer.Argument(metavar="RECIPE|PATH", help="A recipe, or a file, folder or pattern of prompts.")
    ],
    overrides: Overrides = None,
    field: Annotated[str, typer.Option(help="The field that holds the prompt, where a path is given.")] = "prompt",
    split: Annotated[str, typer.Option(help="The split to read, where a path is given.")] = "",
    show: Annotated[int, typer.Option(min=0, help="Number of prompts to print.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what would be read as prompts: the layout found, what is left out and why, lengths, and the first prompts.

    Those of a recipe are shown as its policy will see them, with their given responses.
    """
    from nashflow.components.prompts.settings import PromptSource

    from .prompts import show_prompts

    source = PromptSource(path=named, field=field, split=split)
    show_prompts(named, overrides or [], source, show, as_json)


@app.command()
def gc(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="The folder or s3://bucket/prefix that holds run roots.")
    ],
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Keep runs with a file younger than this: 12h, 30d, 4w.")
    ] = "30d",
    keep_last: Annotated[int, typer.Option(min=0, help="Number of newest finished runs of each name to keep.")] = 0,
    forget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also delete the ledger of the prompts that runs of this name have taken; repeatable.",
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--yes/--dry-run", help="Delete, or only list what would be deleted.")
    ] = False,
) -> None:
    """Delete old runs, and files of the shared cache that no other run needs.

    It keeps runs in use, unfinished runs for at least a week, runs with a registered model (set MLFLOW_TRACKING_URI),
    and everything that these read. The ledger of prompts taken by scheduled runs is kept unless --forget names it.
    """
    from .gc.collect import collect

    collect(prefix, older_than, keep_last, delete, forget or [])


@app.command()
@with_access
def doctor(
    access: Access,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe to check.")] = "",
    overrides: Overrides = None,
    run_root: Annotated[
        str, typer.Option(help="s3://bucket/prefix to try instead of the recipe's cluster.run_root.")
    ] = "",
    judge_url: Annotated[
        str, typer.Option(metavar="URL", envvar="NASHFLOW_JUDGE_URL", help="Address of a judge server.")
    ] = "",
    skip: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Skip a check, such as nodes; repeatable.")
    ] = None,
    itself: Annotated[
        bool, typer.Option("--self", help="Check only this container or machine, without network.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Count checks that could not be made as failures.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Is everything that a recipe needs there, reachable and allowed? Exit code: 0 nothing failed, 1 something did.

    With --strict, 1 also where something could not be tried.
    """
    from .doctor.show import show_json, show_table

    show = show_json if as_json else show_table
    if itself:
        from .doctor.itself import itself as examine_itself

        sys.exit(0 if show(examine_itself(), strict) else 1)
    from .doctor.case import Case
    from .doctor.examination import examine
    from .recipe import load_recipe

    loaded = load_recipe(recipe, overrides or []) if recipe else None
    found = examine(Case(loaded, access, run_root, judge_url), tuple(skip or ()))
    sys.exit(0 if show(found, strict) else 1)
