"""`nashflow report`: the report again, or several runs measured alike in one figure."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from nashflow.components.core.atomic_file import replacing
from nashflow.components.core.errors import UserError
from nashflow.components.reports.figure import draw
from nashflow.components.reports.files import publish_report, report_unit
from nashflow.components.reports.reported import Reported, differences, read_reported

from .resend import send_again
from .tables import FEW, print_comparison, print_place, print_table
from .terminal import terminal

_WAY_OUT = (
    "Their figures do not compare: give both the same settings and run again (evaluation's: under the same run root; "
    "others: under a new one), or add --anyway to see them nevertheless"
)


def report_runs(run_roots: Sequence[str], output: Path | None, anyway: bool = False) -> None:
    """One run: show its table again, write its report's files anew, and send MLflow, where the environment names one,
    what it lacks. Several: compare them in a table and a figure.

    `output` is where the figure goes; by default that of several runs goes below the first run root. `anyway` shows
    runs that do not compare too, and says so in table and figure.

    Raises:
        UserError: there is no run, nothing in it is finished, its iterations are not measured alike, or the runs do not
            compare; says what differs.
    """
    if output and (output.suffix != ".png" or output.is_dir()):
        raise UserError(f"--output {output}: the figure is a PNG file: give a name that ends in .png")
    reports = [read_reported(run_root) for run_root in run_roots]
    warnings = list(_warnings(reports))
    if warnings and len(reports) > 1 and not anyway:
        raise UserError(f"{'; '.join(warnings)}. {_WAY_OUT}")
    console = terminal()
    if len(reports) == 1:
        store, run, summary = reports[0]
        publish_report(report_unit(store, run, summary), run, summary)
        print_table(summary, store, console)
        send_again(store)
    else:
        print_comparison([report.summary for report in reports], console)
    for warning in warnings:
        console.print(warning, style="yellow")
    if output or len(reports) > 1:
        print_place(console, "figure", _write_figure(reports, output, "\n".join(warnings)))


def _warnings(reports: Sequence[Reported]) -> Iterator[str]:
    """One line for each run that is not measured as the first."""
    first, *others = reports
    for other in others:
        if found := differences(first, other):
            yield f"{first.store.uri} and {other.store.uri} are not measured alike: {'; '.join(found)}"


def _write_figure(reports: Sequence[Reported], output: Path | None, warning: str) -> str:
    """Draw the runs in one figure; where it was written."""
    figure = draw([report.summary for report in reports], warning)
    if output:
        with replacing(output) as file:
            file.write(figure)
        return str(output)
    store, others = reports[0].store, reports[1:]
    named = "-".join(report.run.name for report in others) if len(reports) <= FEW else f"{len(others)}-others"
    key = f"report/figure-with-{named}.png"
    store.write(key, figure)
    return store.location(key)
