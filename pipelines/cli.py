"""The command line. Heavy imports are inside the commands, so that `--help` is fast."""

import errno
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from nashflow.components.core.errors import TryAgain, UserError, one_line
from nashflow.components.core.redaction import redact, traceback_of

from .benchmark.commands import app as benchmark_app
from .cluster.commands import app as client_app
from .cluster.schedules.commands import app as schedule_app
from .commands import app as upkeep_app
from .compare.commands import app as compare_app
from .drift.commands import app as drift_app
from .game.commands import app as game_app
from .human.commands import app as human_app
from .judge.commands import app as judge_app
from .lineage.commands import app as lineage_app
from .options import FirstIteration, Overrides, RecipeArgument
from .promotion.commands import app as promotion_app
from .reference.commands import app as reference_app
from .sweep.commands import app as sweep_app
from .terminal import print_anything

app = typer.Typer(
    name="nashflow",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(reference_app)
app.add_typer(upkeep_app)
app.add_typer(sweep_app)
app.add_typer(promotion_app)
app.add_typer(compare_app)
app.add_typer(lineage_app)
app.add_typer(client_app)
app.add_typer(drift_app)
app.add_typer(schedule_app, name="schedule")
app.add_typer(game_app, name="game")
app.add_typer(human_app, name="human")
app.add_typer(judge_app, name="judge")
app.add_typer(benchmark_app, name="benchmark")

_WRONG_PATH = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"nashflow {version('nashflow')}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Align language models with general preferences by iterative self-play, as a Kubeflow pipeline."""


@app.command()
def run(
    recipe: RecipeArgument,
    run_root: Annotated[
        str, typer.Option(help="Folder or s3://bucket/prefix that the run lives under. Default: runs/<run.name>.")
    ] = "",
    overrides: Overrides = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only the final table, and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show everything that the steps write.")] = False,
    log_format: Annotated[
        str,
        typer.Option(metavar="text|json", help="Show log lines on stderr instead of bars; json: one object per line."),
    ] = "",
) -> None:
    """Run a recipe on this machine, with Kubeflow's local orchestrator. The same command resumes an interrupted run."""
    from .run import run_recipe
    from .run_display import Shown

    run_recipe(recipe, overrides or [], run_root, Shown(quiet, verbose, log_format))


@app.command()
def compile(
    recipe: RecipeArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("pipeline.yaml"),
    first_iteration: FirstIteration = 1,
    overrides: Overrides = None,
) -> None:
    """Compile a recipe to a Kubeflow pipeline (IR YAML), the same graph that `nashflow run` executes, and lint it."""
    from .engines import warn_of_engines
    from .graph import compile_graph
    from .recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    compile_graph(loaded, output, first_iteration)
    warn_of_engines(loaded)
    print(output)


@app.command()
def lint(package: Annotated[Path, typer.Argument(metavar="PIPELINE", help="A compiled pipeline (IR YAML).")]) -> None:
    """Check a compiled pipeline for what Kubeflow rejects even though it runs on this machine."""
    from .compiled import read_graph
    from .engines import recipe_in, warn_of_engines
    from .lint import check_graph

    steps = check_graph(package)
    warn_of_engines(recipe_in(read_graph(package)))
    print(f"{package}: {sum(steps.values())} executors, no complaint ({', '.join(map(str, sorted(steps)))})")


@app.command()
def report(
    run_root: Annotated[str, typer.Argument(metavar="RUN_ROOT", help="A run's folder or s3:// prefix.")],
    others: Annotated[
        list[str] | None, typer.Option("--with", metavar="RUN_ROOT", help="Another run, measured alike.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="PNG file for the figure of several runs.")] = None,
    anyway: Annotated[bool, typer.Option(help="Show runs that are measured differently too, and say how.")] = False,
) -> None:
    """Report on a run again, or on several runs that are measured alike in one figure.

    MLflow is sent what it lacks of one run, where MLFLOW_TRACKING_URI names the server that it is in.
    """
    from .report import report_runs

    report_runs([run_root, *(others or [])], output, anyway)


@app.command()
def path(
    named: Annotated[
        str,
        typer.Argument(
            metavar="RUN_ROOT[@ITERATION]|MODEL",
            help="A run's folder or s3:// prefix, for the policy of its last iteration; or models:/NAME@champion, "
            "models:/NAME/3: a registered model.",
        ),
    ],
    policy: Annotated[
        str, typer.Option(metavar="NAME", help="The method's name for the policy of a run, where it has several.")
    ] = "main",
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Copy the policy to this new folder.")] = None,
) -> None:
    """Print the folder of a policy, for transformers, `vllm serve` or `policy.model`; every file is checked against its
    digest, and a policy in S3 is downloaded first."""
    from nashflow.components.models.named import copy_to, find
    from nashflow.components.models.policies import open_policy

    from .lineage.registered import SCHEME, registered_policy

    store, reference = registered_policy(named) if named.startswith(SCHEME) else find(named, policy)
    if to:
        copy_to(store, reference, to)
    print(to or open_policy(store, reference).folder)


def main() -> None:
    """The `nashflow` command: an error that the user or an administrator can fix is one line on stderr.

    Exit code 2: the user's input is wrong. 75: the disk is full or a server does not answer: try again. 1: all else.
    """
    print_anything()
    try:
        app([_at_home(argument) for argument in sys.argv[1:]])
    except (UserError, TryAgain, OSError) as error:
        print(f"nashflow: {_line(error)}", file=sys.stderr)
        sys.exit(_exit_code(error))
    except UnicodeEncodeError as error:
        mend = "set PYTHONUTF8=1" if error.encoding == "ascii" else "rename it"
        print(f"nashflow: {error.object}: cannot be written in {error.encoding}: {mend}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        sys.stderr.write(traceback_of(error))
        sys.exit(1)


def _at_home(argument: str) -> str:
    """An argument with the home folder for `~`, which shells replace in `--output ~/x` but not in `--output=~/x`."""
    option, path = re.fullmatch(r"(--[\w-]+=|-\w(?=~))?(.*)", argument, re.DOTALL).groups("")  # type: ignore[union-attr]
    return option + os.path.expanduser(path)


def _line(error: UserError | TryAgain | OSError) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return redact(f"{error.filename}: {error.strerror}")
    return redact(one_line(error))


def _exit_code(error: UserError | TryAgain | OSError) -> int:
    from nashflow.components.runtime.protocol import TRY_AGAIN, USER_ERROR, disk_is_full

    if isinstance(error, UserError):
        return USER_ERROR
    if isinstance(error, TryAgain | ConnectionError) or disk_is_full(error):
        return TRY_AGAIN
    return USER_ERROR if isinstance(error, _WRONG_PATH) or error.errno == errno.EROFS else 1
